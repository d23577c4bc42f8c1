# What comes from a parent project, the environment or the command line and would break the library is undone here, for all targets
# of this project. Included before the first of them.

# Numbers follow IEEE 754: infinities and NaNs have a meaning here, and sums an order. These come behind CMAKE_C_FLAGS and the
# parent's options and before each target's own. (In one word each, since CMake drops the second of two equal options.)
set(ieee "-fno-fast-math -fno-unsafe-math-optimizations -fno-associative-math -fno-reciprocal-math -fno-finite-math-only -fsigned-zeros")
add_compile_options("SHELL:${ieee}")
if(CMAKE_C_COMPILER_ID STREQUAL "GNU") # what else -Ofast turns on, and a flag that halves the digits of the double build
  set(more "-fno-cx-limited-range -fno-single-precision-constant")
  if(CMAKE_C_COMPILER_VERSION VERSION_GREATER_EQUAL 10)
    string(PREPEND more "-fno-allow-store-data-races ")
  endif()
  add_compile_options("SHELL:${more}")
elseif(CMAKE_C_COMPILER_ID MATCHES "Clang|IntelLLVM")
  set(more "-fhonor-nans -fhonor-infinities -fdenormal-fp-math=ieee -Wno-overriding-t-option")
  if(CMAKE_C_COMPILER_VERSION VERSION_GREATER_EQUAL 14)
    string(PREPEND more "-fno-approx-func ")
  endif()
  add_compile_options("SHELL:${more}")
  if(CMAKE_C_COMPILER_ID STREQUAL "IntelLLVM") # fast is what it does unasked
    add_compile_options("SHELL:-ffp-model=precise ${ieee}")
  endif()
endif()
# Where one of these is on when linking, compilers add an object that makes small numbers zero in every program that loads the
# library; only another -O takes -Ofast back.
add_link_options("SHELL:-fno-fast-math -fno-unsafe-math-optimizations -O3")

# Files have static functions of equal names.
set(CMAKE_UNITY_BUILD OFF)

# A parent's warnings and checks are about its own sources.
if(NOT PROJECT_IS_TOP_LEVEL)
  set(CMAKE_COMPILE_WARNING_AS_ERROR OFF)
  foreach(check CLANG_TIDY CPPCHECK CPPLINT INCLUDE_WHAT_YOU_USE)
    set(CMAKE_C_${check} "")
  endforeach()
  if(NOT XLSTM_WERROR)
    add_compile_options(SHELL:-w)
  endif()
endif()
