# Headers, libraries, tool, manual, xai.pc and the CMake package, all movable with the prefix.

install(DIRECTORY include/xai DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.h)
install(TARGETS libxai libxai_static EXPORT xai)
if(XAI_TOOL)
  install(TARGETS xai)
  install(DIRECTORY docs/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 FILES_MATCHING PATTERN *.1)
endif()
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

list(TRANSFORM needs PREPEND -l OUTPUT_VARIABLE private_libs)
list(JOIN private_libs " " private_libs)
if(NOT BUILD_SHARED_LIBS) # then every user links the archive, without asking pkg-config for it
  set(public_libs ${private_libs})
endif()
file(RELATIVE_PATH to_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(xai.pc.in xai.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/xai.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# The exported targets depend on no other package, so they are the whole of xaiConfig.cmake.
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/xai)
install(EXPORT xai NAMESPACE xai:: FILE xaiConfig.cmake DESTINATION ${package_dir})
include(CMakePackageConfigHelpers)
write_basic_package_version_file(xaiConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/xaiConfigVersion.cmake DESTINATION ${package_dir})
