# What `cmake --install` puts where. Everything is found relative to itself, so an installed tree can be moved.
include(CMakePackageConfigHelpers)

# xlstm_install_program(name "what it does"): the program, and a manual page made from its --help.
find_program(XLSTM_HELP2MAN help2man)
function(xlstm_install_program name title)
  if(NOT XLSTM_INSTALL)
    return()
  endif()
  file(RELATIVE_PATH to_lib ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
  set_target_properties(${name} PROPERTIES INSTALL_RPATH "$ORIGIN/${to_lib}")
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT xlstm_programs)
  if(XLSTM_HELP2MAN AND NOT CMAKE_CROSSCOMPILING)
    set(page ${CMAKE_CURRENT_BINARY_DIR}/${name}.1)
    add_custom_command(OUTPUT ${page}.gz DEPENDS ${name} VERBATIM
      COMMAND ${XLSTM_HELP2MAN} --no-info --name=${title} --version-string=${PROJECT_VERSION} --output=${page}
              $<TARGET_FILE:${name}>
      COMMAND gzip -9nf ${page})
    add_custom_target(${name}_manual ALL DEPENDS ${page}.gz)
    install(FILES ${page}.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT xlstm_programs)
  endif()
endfunction()

if(NOT XLSTM_INSTALL)
  return()
endif()

install(TARGETS xlstm EXPORT xlstmTargets
  ARCHIVE COMPONENT xlstm_development
  LIBRARY COMPONENT xlstm_runtime NAMELINK_COMPONENT xlstm_development)
install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT xlstm_development)
if(NOT XLSTM_DEB) # its packages have a copyright file of their own
  install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT xlstm_development)
endif()

# For find_package(xlstm).
set(cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/xlstm)
configure_package_config_file(lib/cmake/xlstmConfig.cmake.in ${PROJECT_BINARY_DIR}/xlstmConfig.cmake
                              INSTALL_DESTINATION ${cmake_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/xlstmConfigVersion.cmake COMPATIBILITY ${XLSTM_COMPATIBILITY})
install(EXPORT xlstmTargets NAMESPACE xlstm:: DESTINATION ${cmake_dir} COMPONENT xlstm_development)
install(FILES ${PROJECT_BINARY_DIR}/xlstmConfig.cmake ${PROJECT_BINARY_DIR}/xlstmConfigVersion.cmake
        DESTINATION ${cmake_dir} COMPONENT xlstm_development)

# For pkg-config. A shared library brings what it needs; with a static one `pkg-config --static` adds it: all of it shared. OpenBLAS
# stands there as it was found and not by its name, since `--static` would then ask for what its own archive needs, a Fortran
# runtime, which none has who does not write Fortran.
file(RELATIVE_PATH pc_to_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" pc_to_prefix "${pc_to_prefix}")
file(RELATIVE_PATH pc_libdir ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_LIBDIR})
file(RELATIVE_PATH pc_includedir ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_INCLUDEDIR})
string(TOUPPER "${CMAKE_BUILD_TYPE}" config)
set(pc_name xlstm${CMAKE_${config}_POSTFIX})
set(pc_private "")
if(NOT BUILD_SHARED_LIBS)
  set(requires ${XLSTM_REQUIRES})
  set(blas "")
  if(XLSTM_BLAS)
    list(REMOVE_ITEM requires openblas)
    list(JOIN OPENBLAS_LDFLAGS " " blas)
  endif()
  list(JOIN requires ", " requires)
  set(pc_private "Requires.private: ${requires}\nLibs.private: -Wl,-z,nodelete ${blas} ${OpenMP_C_FLAGS} -lm\n")
endif()
configure_file(lib/cmake/xlstm.pc.in ${PROJECT_BINARY_DIR}/xlstm.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/xlstm.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT xlstm_development)
