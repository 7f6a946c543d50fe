#include "harness/completion_thread.h"

#include <iterator>

namespace gptj {

CompletionThread::CompletionThread(AnswerSink& sink, FirstFailure& failure, Progress& progress)
    : sink_(sink), failure_(failure), progress_(progress), thread_([this] { run(); }) {}

CompletionThread::~CompletionThread() { finish(); }

void CompletionThread::push(std::vector<Answer>& answers) {
  if (answers.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    if (pending_.empty()) {
      pending_.swap(answers);
    } else {
      pending_.insert(pending_.end(), std::make_move_iterator(answers.begin()),
                      std::make_move_iterator(answers.end()));
    }
  }
  answers.clear();
  arrived_.notify_one();
}

void CompletionThread::finish() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  arrived_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void CompletionThread::run() noexcept {
  std::vector<Answer> batch;
  for (;;) {
    batch.clear();
    {
      std::unique_lock lock(mutex_);
      arrived_.wait(lock, [this] { return !pending_.empty() || closed_; });
      if (pending_.empty()) return;
      batch.swap(pending_);
    }
    const Clock::time_point answered = Clock::now();  // LoadGen takes its own time as soon as it is called
    std::uint64_t tokens = 0;
    for (const Answer& answer : batch) tokens += answer.tokens.size();
    try {
      sink_.answer(batch);
    } catch (...) {
      failure_.capture(std::current_exception());
    }
    last_answer_ = Clock::now();
    record_latencies(batch, answered);
    progress_.tokens_generated.fetch_add(tokens, std::memory_order_relaxed);
    progress_.samples_completed.fetch_add(batch.size(), std::memory_order_relaxed);
  }
}

void CompletionThread::record_latencies(std::span<const Answer> batch, Clock::time_point answered) noexcept {
  try {
    for (const Answer& answer : batch) {
      const auto latency = std::chrono::duration_cast<std::chrono::nanoseconds>(answered - answer.issued);
      latencies_.push_back(static_cast<std::uint64_t>(latency.count()));
    }
  } catch (...) {
    failure_.capture(std::current_exception());
  }
}

}  // namespace gptj
