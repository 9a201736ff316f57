# 64-bit Arm from another Linux: Debian's cross compiler, and QEMU's user mode to run what it makes. Header-only
# packages need no second copy: this compiler looks into /usr/include after its own folders.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static -cpu max -L /usr/aarch64-linux-gnu)
