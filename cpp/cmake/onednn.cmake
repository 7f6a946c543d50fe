# oneDNN, shared, with its OpenMP runtime. An imported target, because the package's own CMake files carry the paths of
# the machine that built them.
unset(DNNL_LIBRARY CACHE) # found anew each time: DNNL_ROOT may have changed since
unset(DNNL_INCLUDE_DIR CACHE)
find_library(DNNL_LIBRARY NAMES dnnl PATHS "${DNNL_ROOT}/lib" "${DNNL_ROOT}/lib64" NO_DEFAULT_PATH)
find_path(DNNL_INCLUDE_DIR NAMES oneapi/dnnl/dnnl.hpp PATHS "${DNNL_ROOT}/include" NO_DEFAULT_PATH)
if(NOT DNNL_LIBRARY OR NOT DNNL_INCLUDE_DIR)
  message(FATAL_ERROR "oneDNN was not found: looked for lib/libdnnl.so and include/oneapi/dnnl/dnnl.hpp in "
                      "${DNNL_ROOT}. Run third_party/fetch, or set DNNL_ROOT.")
endif()
find_package(OpenMP REQUIRED COMPONENTS CXX)

add_library(dnnl SHARED IMPORTED)
set_target_properties(dnnl PROPERTIES IMPORTED_LOCATION "${DNNL_LIBRARY}")
target_include_directories(dnnl SYSTEM INTERFACE "${DNNL_INCLUDE_DIR}")
target_link_libraries(dnnl INTERFACE OpenMP::OpenMP_CXX)
