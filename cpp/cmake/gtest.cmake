# GoogleTest: an installed one (GTEST_ROOT, or Debian's libgtest-dev), else the source that Debian's googletest package
# puts under /usr/src.
include(GoogleTest)
find_package(GTest QUIET)
if(NOT TARGET GTest::gtest_main)
  if(EXISTS "/usr/src/googletest/CMakeLists.txt")
    set(INSTALL_GTEST OFF)
    add_subdirectory(/usr/src/googletest "${CMAKE_CURRENT_BINARY_DIR}/googletest" EXCLUDE_FROM_ALL SYSTEM)
  else()
    message(FATAL_ERROR "GoogleTest was not found: looked in GTEST_ROOT, the usual prefixes and /usr/src/googletest. "
                        "Install it (Debian, Ubuntu: apt-get install libgtest-dev), or set GTEST_ROOT.")
  endif()
endif()
