// The one queue of a run: LoadGen's threads push at its end, the drivers of all engines take from its head.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <span>
#include <vector>

#include "gptj/progress.h"
#include "gptj/scheduler.h"
#include "gptj/types.h"

namespace gptj {

// One sample on its way through the harness.
struct Request {
  RequestId id = 0;             // given by the queue, ascending in queue order
  std::uintptr_t response = 0;  // by which whoever asked recognises the answer
  std::size_t sample = 0;       // index into the sample set
  std::int32_t prompt_tokens = 0;
  std::int32_t min_new_tokens = 0;
  std::int32_t max_new_tokens = 0;
  std::chrono::steady_clock::time_point issued;  // when whoever asked handed it over
};

class RequestQueue {
 public:
  explicit RequestQueue(Progress& progress) : progress_(progress) {}

  // Appends the requests in the order given, hands out their ids and wakes the drivers.
  void push(std::span<Request> requests);

  // Waits until something is in the queue: true. False once the queue is closed and empty.
  bool wait();

  // Nothing will be pushed any more; what is in the queue can still be taken.
  void close();

  bool empty() const noexcept { return size_.load(std::memory_order_relaxed) == 0; }

  // Most requests that ever waited at once.
  std::size_t peak() const noexcept { return peak_.load(std::memory_order_relaxed); }

  // The right to look at the head and take from it. Held by one driver at a time while its scheduler decides,
  // so that the head stays what the decision was made from; pushing never waits for it.
  class Admission {
   public:
    explicit Admission(RequestQueue& queue) : queue_(queue), lock_(queue.admission_) {}

    // Replaces `window` by the first requests of the queue, at most `limit` of them.
    void peek(std::size_t limit, std::vector<WaitingRequest>& window) const;

    // Moves the first `count` requests to the end of `taken`.
    void take(std::size_t count, std::vector<Request>& taken);

    // The same with all of them.
    void take_all(std::vector<Request>& taken);

   private:
    void take_locked(std::size_t count, std::vector<Request>& taken);

    RequestQueue& queue_;
    std::unique_lock<std::mutex> lock_;
  };

 private:
  Progress& progress_;
  std::mutex admission_;  // taken before mutex_
  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<Request> requests_;
  RequestId next_id_ = 1;
  bool closed_ = false;
  std::atomic<std::size_t> size_{0};
  std::atomic<std::size_t> peak_{0};
};

}  // namespace gptj
