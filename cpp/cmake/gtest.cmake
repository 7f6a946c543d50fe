# GoogleTest: the one in GTEST_ROOT, else an installed one, else source that Debian's googletest package puts under
# /usr/src, else the same package fetched into third_party.
include(GoogleTest)
if(NOT GTEST_ROOT AND DEFINED ENV{GTEST_ROOT})
  set(GTEST_ROOT "$ENV{GTEST_ROOT}")
endif()
if(GTEST_ROOT)
  set(GTest_ROOT "${GTEST_ROOT}")
  find_package(GTest QUIET NO_DEFAULT_PATH PATHS "${GTEST_ROOT}" CONFIG)
  if(NOT TARGET GTest::gtest_main)
    message(FATAL_ERROR "GTEST_ROOT is ${GTEST_ROOT}, which has no GTestConfig.cmake with GTest::gtest_main. "
                        "Correct it, or unset it to use an installed or fetched GoogleTest.")
  endif()
else()
  find_package(GTest QUIET)
endif()

if(NOT TARGET GTest::gtest_main)
  set(gtest_source "/usr/src/googletest/googletest")
  if(NOT EXISTS "${gtest_source}/src/gtest-all.cc")
    execute_process(COMMAND "${CMAKE_CURRENT_LIST_DIR}/../../third_party/fetch" googletest
                    OUTPUT_VARIABLE fetched RESULT_VARIABLE failed OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(failed)
      message(FATAL_ERROR "GoogleTest was not found (looked in GTEST_ROOT, the usual prefixes and ${gtest_source}) and "
                          "could not be fetched; the remedy stands above.")
    endif()
    string(REGEX REPLACE "^googletest\t" "" fetched "${fetched}")
    set(gtest_source "${fetched}/usr/src/googletest/googletest")
  endif()
  # Its own CMake files ask for policies that recent versions of CMake no longer have; the two sources need nothing.
  add_library(gtest_main STATIC "${gtest_source}/src/gtest-all.cc" "${gtest_source}/src/gtest_main.cc")
  target_include_directories(gtest_main SYSTEM PUBLIC "${gtest_source}/include")
  target_include_directories(gtest_main PRIVATE "${gtest_source}")
  target_compile_options(gtest_main PRIVATE -w)
  target_link_libraries(gtest_main PUBLIC Threads::Threads PRIVATE gptj_sanitizers)
  add_library(GTest::gtest_main ALIAS gtest_main)
endif()
