// What suites that need a GPU have in common.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "gptj/error.h"

// Skips the test when `reason`, why there is no GPU here, is not empty; with GPTJ_REQUIRE_GPU=1 the test
// fails.
#define GPTJ_SKIP_WITHOUT_GPU(reason)                                                    \
  do {                                                                                   \
    const std::string why = (reason);                                                    \
    if (why.empty()) break;                                                              \
    if (::gptj::testing::is_gpu_required()) FAIL() << "GPTJ_REQUIRE_GPU=1, but " << why; \
    GTEST_SKIP() << why;                                                                 \
  } while (false)

namespace gptj::testing {

inline bool is_gpu_required() {
  const char* required = std::getenv("GPTJ_REQUIRE_GPU");
  return required != nullptr && std::string(required) == "1";
}

// Why `start` does not work here; empty when it does.
template <typename Start>
std::string why_not(const Start& start) {
  try {
    start();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

// Where libgptj_cuda.so is: the folder in GPTJ_ENGINE_LIBRARY_DIR, for a suite that was taken to another
// machine; else where it was built.
inline std::vector<std::string> engine_library_dirs() {
  const char* folder = std::getenv("GPTJ_ENGINE_LIBRARY_DIR");
  return {folder != nullptr ? folder : GPTJ_BUILT_LIBRARY_DIR};
}

}  // namespace gptj::testing
