# MLCommons LoadGen, compiled unmodified from its source package. The package carries no CMakeLists.txt; it does carry
# the generated version file and the embedded mlperf.conf, so nothing is written into its folder.
set(loadgen_sources
    early_stopping.cc
    generated/version_generated.cc
    issue_query_controller.cc
    loadgen.cc
    logging.cc
    results.cc
    test_settings_internal.cc
    utils.cc
    version.cc)
list(TRANSFORM loadgen_sources PREPEND "${LOADGEN_SOURCE_DIR}/")
foreach(file IN LISTS loadgen_sources)
  if(NOT EXISTS "${file}")
    message(FATAL_ERROR "LoadGen's source is incomplete: ${file} is missing. Run third_party/fetch, or set "
                        "LOADGEN_SOURCE_DIR to an unpacked mlcommons-loadgen source package.")
  endif()
endforeach()

add_library(mlperf_loadgen STATIC ${loadgen_sources})
target_include_directories(mlperf_loadgen SYSTEM PUBLIC "${LOADGEN_SOURCE_DIR}")
# LoadGen writes the names of its source files into its logs; where they were compiled is nobody's business.
target_compile_options(mlperf_loadgen PRIVATE -w "-fmacro-prefix-map=${LOADGEN_SOURCE_DIR}/=")
target_link_libraries(mlperf_loadgen PUBLIC Threads::Threads PRIVATE gptj_sanitizers)
