// Hands answers to whoever asked, off the engines' threads: LoadGen copies and logs inside its callback, and
// an engine must not wait for that.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "gptj/progress.h"
#include "gptj/types.h"
#include "harness/first_failure.h"

namespace gptj {

struct Answer {
  std::uintptr_t response = 0;
  std::chrono::steady_clock::time_point issued;  // when whoever asked handed the sample over
  std::vector<TokenId> tokens;  // empty when the run failed or was stopped before the sample was done
};

// Where answers go. Called by one thread.
class AnswerSink {
 public:
  virtual ~AnswerSink() = default;
  virtual void answer(std::span<const Answer> answers) = 0;
};

class CompletionThread {
 public:
  using Clock = std::chrono::steady_clock;

  CompletionThread(AnswerSink& sink, FirstFailure& failure, Progress& progress);
  ~CompletionThread();
  CompletionThread(const CompletionThread&) = delete;
  CompletionThread& operator=(const CompletionThread&) = delete;

  // Moves all answers out of `answers`. What arrives while the sink is busy goes to it as one batch.
  void push(std::vector<Answer>& answers);

  // Delivers what was pushed and ends the thread.
  void finish();

  // When the sink had the last answer. Only after finish().
  Clock::time_point last_answer() const { return last_answer_; }

  // Nanoseconds from the issue of each sample to the moment the sink was given its answer, in the order of
  // the answers. Only after finish(), and once.
  std::vector<std::uint64_t> take_latencies() { return std::move(latencies_); }

 private:
  void run() noexcept;
  void record_latencies(std::span<const Answer> batch, Clock::time_point answered) noexcept;

  AnswerSink& sink_;
  FirstFailure& failure_;
  Progress& progress_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<Answer> pending_;
  bool closed_ = false;
  Clock::time_point last_answer_{};
  std::vector<std::uint64_t> latencies_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace gptj
