// The first thing that went wrong in a run. Threads and LoadGen callbacks may not let exceptions out, so they
// leave them here, and whoever started the run throws the first one again once every thread is done.
#pragma once

#include <exception>
#include <mutex>

#include "gptj/progress.h"

namespace gptj {

class FirstFailure {
 public:
  explicit FirstFailure(Progress& progress) : progress_(progress) {}

  // Keeps `failure` if it is the first one, and tells the progress about it.
  void capture(std::exception_ptr failure) noexcept;

  // Whether something failed; cheap enough for every step.
  bool happened() const noexcept { return progress_.failed.load(std::memory_order_acquire); }

  // Throws what was captured; returns when nothing was.
  void rethrow() const;

 private:
  Progress& progress_;
  mutable std::mutex mutex_;
  std::exception_ptr first_;
};

// "kind: message" of an exception, the form in which errors cross to Rust.
std::string describe(const std::exception_ptr& failure);

}  // namespace gptj
