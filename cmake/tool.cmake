# The xai tool: the public header, the shared library, and the picture formats.

find_package(PNG REQUIRED)
find_package(JPEG REQUIRED)
find_package(ZLIB REQUIRED)

file(GLOB sources CONFIGURE_DEPENDS src/*.c)
add_executable(xai ${sources})
target_compile_definitions(xai PRIVATE _POSIX_C_SOURCE=200809L)
target_link_libraries(xai PRIVATE xai::xai PNG::PNG JPEG::JPEG ZLIB::ZLIB m)

# An installed tool finds the library beside it, wherever the prefix is.
file(RELATIVE_PATH libdir ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
set_target_properties(xai PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
                                     INSTALL_RPATH "$ORIGIN/${libdir}")
