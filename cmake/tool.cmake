# The xai tool: the public header, the shared library, and the picture formats.

find_package(PNG REQUIRED)
find_package(JPEG REQUIRED)
find_package(ZLIB REQUIRED)

# All but main.c is an archive, so that the tests (test_tool_*.c) link what they need of it.
file(GLOB sources CONFIGURE_DEPENDS src/*.c)
list(FILTER sources EXCLUDE REGEX "/main\\.c$")
add_library(xai_tool STATIC EXCLUDE_FROM_ALL ${sources})
target_compile_definitions(xai_tool PUBLIC _POSIX_C_SOURCE=200809L)
target_include_directories(xai_tool PUBLIC src
                                    PRIVATE $<TARGET_PROPERTY:xai::xai,INTERFACE_INCLUDE_DIRECTORIES>)
target_link_libraries(xai_tool PUBLIC PNG::PNG JPEG::JPEG ZLIB::ZLIB m)
add_executable(xai src/main.c)
target_link_libraries(xai PRIVATE xai_tool xai::xai)

# An installed tool finds the library beside it, wherever the prefix is.
file(RELATIVE_PATH libdir ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
set_target_properties(xai PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
                                     INSTALL_RPATH "$ORIGIN/${libdir}")
