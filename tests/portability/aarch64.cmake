# Debian's cross compiler with the libraries of a folder of arm64 packages (XLSTM_SYSROOT), run by qemu.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES XLSTM_SYSROOT)
set(CMAKE_SYSROOT ${XLSTM_SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(libraries /usr/lib/aarch64-linux-gnu)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${XLSTM_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR}
    ${XLSTM_SYSROOT}${libraries}/pkgconfig:${XLSTM_SYSROOT}${libraries}/openblas-pthread/pkgconfig)
set(CMAKE_CROSSCOMPILING_EMULATOR
    qemu-aarch64 -L ${XLSTM_SYSROOT} -E LD_LIBRARY_PATH=${libraries}/openblas-pthread)
