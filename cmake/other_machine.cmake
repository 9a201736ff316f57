# Another machine from this Linux: Debian's cross compiler for GPTQ_MACHINE, and what runs its programs here: QEMU's user
# mode, or for i686 its own loader on a kernel for x86-64. Header-only packages need no second copy: these compilers look
# into /usr/include after their own folders.
#     aarch64  64-bit Arm
#     s390x    big-endian
#     i686     32 bits; with SSE2, since x87 rounds floats otherwise than every other processor
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR ${GPTQ_MACHINE})
set(CMAKE_CXX_COMPILER ${GPTQ_MACHINE}-linux-gnu-g++)
set(libraries /usr/${GPTQ_MACHINE}-linux-gnu)
if(GPTQ_MACHINE STREQUAL i686)
  set(CMAKE_CXX_FLAGS_INIT "-msse2 -mfpmath=sse")
  set(CMAKE_CROSSCOMPILING_EMULATOR ${libraries}/lib/ld-linux.so.2 --library-path ${libraries}/lib)
else()
  set(CMAKE_CROSSCOMPILING_EMULATOR qemu-${GPTQ_MACHINE}-static -cpu max -L ${libraries})
endif()
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES GPTQ_MACHINE)
