# libxlstm_cuda, which libxlstm opens when a device "cuda" is asked for: lib/ops/cuda, by nvcc, one object per file. It is no CMake
# language here: what has no nvcc should be told so in one sentence, and nothing else of the build depends on it.
if(XLSTM_CUDA STREQUAL "AUTO" AND NOT PROJECT_IS_TOP_LEVEL) # who takes the source tree asks for it
  set(XLSTM_CUDA OFF)
endif()
if(NOT XLSTM_CUDA STREQUAL "OFF")
  find_program(XLSTM_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda/bin)
  if(NOT XLSTM_NVCC AND NOT XLSTM_CUDA STREQUAL "AUTO")
    message(FATAL_ERROR "XLSTM_CUDA is ${XLSTM_CUDA}, and nvcc was not found; install CUDA's toolkit, set XLSTM_NVCC to its path, or use "
                        "XLSTM_CUDA=OFF")
  endif()
endif()
if(XLSTM_CUDA STREQUAL "OFF" OR NOT XLSTM_NVCC OR CMAKE_CROSSCOMPILING OR NOT CMAKE_SIZEOF_VOID_P EQUAL 8)
  set(XLSTM_HAS_CUDA OFF)
  return()
endif()
set(XLSTM_HAS_CUDA ON)

# Machine code for Hopper, whose own instructions want the "a"; PTX of 8.0, from which the driver makes code for all others.
set(XLSTM_CUDA_CODE "arch=compute_90a,code=sm_90a;arch=compute_80,code=compute_80" CACHE STRING "-gencode of nvcc")
list(TRANSFORM XLSTM_CUDA_CODE PREPEND "-gencode=" OUTPUT_VARIABLE code)
execute_process(COMMAND ${XLSTM_NVCC} --version OUTPUT_VARIABLE release)
string(REGEX MATCH "release ([0-9.]+)" release "${release}")
set(release ${CMAKE_MATCH_1})
set(warnings -Xcompiler=-Wall,-Wextra)
if(XLSTM_WERROR)
  list(APPEND warnings -Werror=all-warnings -Xcompiler=-Werror)
endif()
# (--fmad=true, --prec-div=true, --prec-sqrt=true, --ftz=false are what nvcc does by itself: IEEE, with products contracted)
set(nvcc ${CMAKE_C_COMPILER_LAUNCHER} ${XLSTM_NVCC} -std=c++20 -O3 --extended-lambda -I${PROJECT_SOURCE_DIR}/include
    -I${PROJECT_SOURCE_DIR}/lib "-DXL_CUDA_RELEASE=\"${release}\"" ${code} ${warnings} -Xcompiler=-fPIC,-fvisibility=hidden)

file(GLOB sources CONFIGURE_DEPENDS lib/ops/cuda/*.cu)
set(objects "")
foreach(source ${sources})
  get_filename_component(name ${source} NAME_WE)
  set(object ${PROJECT_BINARY_DIR}/cuda/${name}.o)
  add_custom_command(OUTPUT ${object} DEPENDS ${source} DEPFILE ${object}.d VERBATIM COMMENT "Building CUDA object ${name}.o"
                     COMMAND ${nvcc} -MD -MF ${object}.d -MT cuda/${name}.o -c ${source} -o ${object})
  list(APPEND objects ${object})
endforeach()
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/cuda)
set(XLSTM_CUDA_LIBRARY ${PROJECT_BINARY_DIR}/libxlstm_cuda.so.${XLSTM_ABI})
add_custom_command(OUTPUT ${XLSTM_CUDA_LIBRARY} DEPENDS ${objects} VERBATIM COMMENT "Linking libxlstm_cuda.so.${XLSTM_ABI}"
                   COMMAND ${XLSTM_NVCC} -shared -cudart=static ${code} ${objects} -o ${XLSTM_CUDA_LIBRARY}
                           -Xlinker=-soname,libxlstm_cuda.so.${XLSTM_ABI},--exclude-libs,ALL,-z,nodelete)
add_custom_target(xlstm_cuda ALL DEPENDS ${XLSTM_CUDA_LIBRARY})
if(XLSTM_INSTALL)
  install(FILES ${XLSTM_CUDA_LIBRARY} DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT xlstm_cuda
          PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
endif()
