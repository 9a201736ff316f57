# How our own programs are compiled. Nothing here reaches a consumer: warnings, sanitizers and -march are private.
option(GPTQ_NATIVE "Compile our programs for this machine's processor" ON)
option(GPTQ_WERROR "Warnings are errors in our programs" ON)
set(GPTQ_SANITIZE "" CACHE STRING "Sanitizers for our programs, such as address,undefined")
option(GPTQ_COVERAGE "Count which lines our programs run (clang); tests/coverage.py reads it" OFF)

add_library(gptq_private_flags INTERFACE)
target_compile_options(gptq_private_flags INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow
                       $<$<BOOL:${GPTQ_WERROR}>:-Werror>)
add_library(gptq_native_flags INTERFACE)
target_compile_options(gptq_native_flags INTERFACE $<$<BOOL:${GPTQ_NATIVE}>:-march=native>)
# g++ 12 sees overlapping copies in std::string's operator+ where there are none (GCC bug 105329).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(gptq_private_flags INTERFACE -Wno-restrict)
endif()
if(GPTQ_SANITIZE)
  target_compile_options(gptq_private_flags INTERFACE -fsanitize=${GPTQ_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  # Instrumented code makes g++ see uninitialized values in the standard library.
  target_compile_options(gptq_private_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(gptq_private_flags INTERFACE -fsanitize=${GPTQ_SANITIZE})
endif()
if(GPTQ_COVERAGE)
  target_compile_options(gptq_private_flags INTERFACE -fprofile-instr-generate -fcoverage-mapping)
  target_link_options(gptq_private_flags INTERFACE -fprofile-instr-generate)
endif()
