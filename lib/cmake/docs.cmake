# The API reference as HTML: target `docs`, installed beside the other documents. Doxygen fails on anything undocumented.
find_package(Doxygen REQUIRED)
configure_file(docs/Doxyfile.in ${PROJECT_BINARY_DIR}/Doxyfile @ONLY)
file(GLOB_RECURSE docs_sources CONFIGURE_DEPENDS include/*.h include/*.def docs/*.md docs/*.css)
set(docs_stamp ${PROJECT_BINARY_DIR}/docs/stamp) # a failed run leaves pages behind, but not this
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/docs)
add_custom_command(OUTPUT ${docs_stamp} DEPENDS ${docs_sources} ${PROJECT_BINARY_DIR}/Doxyfile
                   tests/docs/values.sh VERBATIM
  COMMENT "API reference: docs/html/index.html"
  COMMAND Doxygen::doxygen ${PROJECT_BINARY_DIR}/Doxyfile
  COMMAND sh ${PROJECT_SOURCE_DIR}/tests/docs/values.sh ${PROJECT_BINARY_DIR}/docs/xml
  COMMAND ${CMAKE_COMMAND} -E touch ${docs_stamp})
add_custom_target(docs ALL DEPENDS ${docs_stamp})
if(XLSTM_INSTALL)
  set(docs_dir ${CMAKE_INSTALL_DOCDIR})
  if(XLSTM_DEB) # where Debian has the documents of a package
    set(docs_dir ${CMAKE_INSTALL_DATAROOTDIR}/doc/libxlstm-dev)
  endif()
  install(DIRECTORY ${PROJECT_BINARY_DIR}/docs/html DESTINATION ${docs_dir} COMPONENT xlstm_development)
endif()
