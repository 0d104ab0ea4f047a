# libxai, compiled once: xai::xai is the shared library (the static one without BUILD_SHARED_LIBS),
# xai::xai_static always the archive. A new source file needs no line here.

file(GLOB sources CONFIGURE_DEPENDS lib/*/*.c)

# Kernels carry their instruction set in their name; the dispatcher picks one at run time.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
  set(isa_avx2 -mavx2 -mfma)
  set(isa_avx512 -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mprefer-vector-width=512)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  set(isa_neon "")
endif()
foreach(isa avx2 avx512 neon)
  set(kernels ${sources})
  list(FILTER kernels INCLUDE REGEX "/lib/[a-z]+/.*_${isa}\\.c$")
  if(DEFINED isa_${isa})
    set_source_files_properties(${kernels} PROPERTIES COMPILE_OPTIONS "${isa_${isa}}")
  else()
    list(REMOVE_ITEM sources ${kernels})
  endif()
endforeach()

# Unrolled vector code is too much for sanitizers; the portable kernels are the same code, and kept.
if(CMAKE_C_FLAGS MATCHES sanitize)
  set_property(SOURCE lib/engine/block_avx2.c lib/engine/block_avx512.c
               APPEND PROPERTY COMPILE_OPTIONS -fno-sanitize=all)
endif()

# No -ffast-math: the first two flags below let loops vectorise and change no result. No
# contraction: kernels name their fused operations, so every path of an element has the same bits.
add_library(libxai_objects OBJECT ${sources})
set_target_properties(libxai_objects PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_compile_options(libxai_objects PRIVATE -fno-math-errno -fno-trapping-math -ffp-contract=off
                                              $<$<NOT:$<CONFIG:Debug>>:-O3>)
target_compile_definitions(libxai_objects PRIVATE XAI_BUILDING XAI_LRP=$<BOOL:${XAI_LRP}>
                                                  XAI_BLAS=$<BOOL:${XAI_BLAS}>)
target_include_directories(libxai_objects PRIVATE include lib)

set(needs m pthread)
if(XAI_BLAS) # by its name alone, so that an installed xai works where the library is elsewhere
  find_library(openblas openblas DOC "OpenBLAS, with LAPACK inside")
  mark_as_advanced(openblas)
  if(NOT openblas)
    message(FATAL_ERROR "OpenBLAS (Debian: libopenblas-dev) is not there; -DXAI_BLAS=OFF builds without it.")
  endif()
  list(PREPEND needs openblas)
endif()

add_library(libxai_static STATIC $<TARGET_OBJECTS:libxai_objects>)
set_target_properties(libxai_static PROPERTIES OUTPUT_NAME xai EXPORT_NAME xai_static)
target_link_libraries(libxai_static INTERFACE ${needs})
target_compile_definitions(libxai_static INTERFACE XAI_STATIC)

if(BUILD_SHARED_LIBS)
  set(map ${PROJECT_SOURCE_DIR}/lib/xai.map)
  add_library(libxai SHARED $<TARGET_OBJECTS:libxai_objects>)
  set_target_properties(libxai PROPERTIES OUTPUT_NAME xai VERSION ${PROJECT_VERSION}
                                          SOVERSION ${PROJECT_VERSION_MAJOR} LINK_DEPENDS ${map})
  target_link_libraries(libxai PRIVATE ${needs})
  target_link_options(libxai PRIVATE LINKER:--version-script=${map})
else()
  add_library(libxai INTERFACE)
  target_link_libraries(libxai INTERFACE libxai_static)
endif()
set_target_properties(libxai PROPERTIES EXPORT_NAME xai)

foreach(library libxai libxai_static)
  target_include_directories(
    ${library} INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                         $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endforeach()
add_library(xai::xai ALIAS libxai)
add_library(xai::xai_static ALIAS libxai_static)
if(NOT PROJECT_IS_TOP_LEVEL) # a parent builds what it links, no more
  set_target_properties(libxai_objects libxai_static PROPERTIES EXCLUDE_FROM_ALL ON)
endif()
