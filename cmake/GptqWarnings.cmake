# How our own programs are compiled. Nothing here reaches a consumer: warnings, sanitizers and -march are private.
option(GPTQ_NATIVE "Compile our programs for this machine's processor" ON)
option(GPTQ_WERROR "Warnings are errors in our programs" ON)
set(GPTQ_SANITIZE "" CACHE STRING "Sanitizers for our programs, such as address,undefined")

add_library(gptq_private_flags INTERFACE)
target_compile_options(gptq_private_flags INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow
                       $<$<BOOL:${GPTQ_WERROR}>:-Werror> $<$<BOOL:${GPTQ_NATIVE}>:-march=native>)
if(GPTQ_SANITIZE)
  target_compile_options(gptq_private_flags INTERFACE -fsanitize=${GPTQ_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(gptq_private_flags INTERFACE -fsanitize=${GPTQ_SANITIZE})
endif()
