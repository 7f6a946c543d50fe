#include "harness/first_failure.h"

#include <new>
#include <string>
#include <utility>

#include "gptj/error.h"

namespace gptj {

std::string describe(const std::exception_ptr& failure) {
  const auto join = [](ErrorKind kind, const char* message) {
    return std::string(to_string(kind)) + ": " + message;
  };
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    return join(error.kind(), error.what());
  } catch (const std::bad_alloc&) {
    return join(ErrorKind::kOutOfMemory, "host memory is exhausted");
  } catch (const std::exception& error) {
    return join(ErrorKind::kInternal, error.what());
  } catch (...) {
    return join(ErrorKind::kInternal, "an exception that is no std::exception");
  }
}

void FirstFailure::capture(std::exception_ptr failure) noexcept {
  const std::lock_guard lock(mutex_);
  if (first_) return;
  first_ = std::move(failure);
  try {
    progress_.failure = describe(first_);
  } catch (...) {
    // Without memory for the text the flag alone must do; the exception itself is kept.
  }
  progress_.failed.store(true, std::memory_order_release);
}

void FirstFailure::rethrow() const {
  const std::lock_guard lock(mutex_);
  if (first_) std::rethrow_exception(first_);
}

}  // namespace gptj
