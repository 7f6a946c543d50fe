// How exceptions cross to Rust: as "kind: message". cxx calls this around every function that is declared
// `Result`; src/bridge/error.rs takes the text apart.
#pragma once

#include <exception>
#include <string>

#include "harness/first_failure.h"

namespace rust::behavior {

template <typename Try, typename Fail>
static void trycatch(Try&& func, Fail&& fail) noexcept try {
  func();
} catch (...) {
  fail(gptj::describe(std::current_exception()));
}

}  // namespace rust::behavior
