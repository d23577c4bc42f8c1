# Debian packages by `cpack`: libxlstm with the number in its SONAME, libxlstm-dev and xlstm-tools. tests/install/deb.sh makes and tries them.
# Configure with -DXLSTM_DEB=ON -DCMAKE_INSTALL_PREFIX=/usr -DCMAKE_SKIP_INSTALL_RPATH=ON.
set(XLSTM_DEB_MAINTAINER "libxlstm maintainers <maintainers@libxlstm.org>" CACHE STRING "Maintainer field of the packages")
set(debian_version ${PROJECT_VERSION}-1)
string(TIMESTAMP debian_date "%a, %d %b %Y %H:%M:%S +0000" UTC)
configure_file(lib/cmake/debian/changelog.in ${PROJECT_BINARY_DIR}/debian/changelog.Debian @ONLY)
execute_process(COMMAND gzip -9nf ${PROJECT_BINARY_DIR}/debian/changelog.Debian COMMAND_ERROR_IS_FATAL ANY)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME xlstm)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT ${XLSTM_DEB_MAINTAINER})
set(CPACK_PACKAGING_INSTALL_PREFIX ${CMAKE_INSTALL_PREFIX})
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR})
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

# debian_package(component name section depends lines of description...)
function(debian_package component name section depends)
  string(TOUPPER ${component} upper)
  string(JOIN "\n" description ${ARGN})
  set(CPACK_COMPONENTS_ALL ${CPACK_COMPONENTS_ALL} ${component} PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${name} PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${section} PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS "${depends}" PARENT_SCOPE)
  set(CPACK_COMPONENT_${upper}_DESCRIPTION ${description} PARENT_SCOPE)
  install(FILES ${PROJECT_SOURCE_DIR}/lib/cmake/debian/copyright ${PROJECT_BINARY_DIR}/debian/changelog.Debian.gz
          DESTINATION share/doc/${name} COMPONENT ${component})
endfunction()

set(runtime libxlstm${XLSTM_ABI})
debian_package(xlstm_runtime ${runtime} libs ""
  "libxlstm trains and runs xLSTM networks (sLSTM and mLSTM), LSTMs and small"
  "Transformers on the CPU, and reads the official package's checkpoints."
  "." "This package has what programs need to run.")
debian_package(xlstm_development libxlstm-dev libdevel "${runtime} (= ${debian_version}), libc6-dev"
  "libxlstm trains and runs xLSTM networks (sLSTM and mLSTM), LSTMs and small"
  "Transformers on the CPU, and reads the official package's checkpoints."
  "." "This package has the headers, and what CMake and pkg-config look for.")
debian_package(xlstm_programs xlstm-tools science "${runtime} (= ${debian_version})"
  "Programs over libxlstm: making models, generating from them, comparing models"
  "of equal size, and checking a saved model against reference values.")
# The linker's cache is made anew after the library came or went.
file(WRITE ${PROJECT_BINARY_DIR}/debian/triggers "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_XLSTM_RUNTIME_PACKAGE_CONTROL_EXTRA ${PROJECT_BINARY_DIR}/debian/triggers)
include(CPack)
