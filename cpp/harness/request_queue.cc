#include "harness/request_queue.h"

#include <algorithm>

namespace gptj {

void RequestQueue::push(std::span<Request> requests) {
  {
    const std::lock_guard lock(mutex_);
    for (Request& request : requests) request.id = next_id_++;
    requests_.insert(requests_.end(), requests.begin(), requests.end());
    size_.store(requests_.size(), std::memory_order_relaxed);
    peak_.store(std::max(peak_.load(std::memory_order_relaxed), requests_.size()), std::memory_order_relaxed);
    progress_.waiting.store(static_cast<std::uint32_t>(requests_.size()), std::memory_order_relaxed);
  }
  arrived_.notify_all();
}

bool RequestQueue::wait() {
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [this] { return !requests_.empty() || closed_; });
  return !requests_.empty();
}

void RequestQueue::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  arrived_.notify_all();
}

void RequestQueue::Admission::peek(std::size_t limit, std::vector<WaitingRequest>& window) const {
  window.clear();
  const std::lock_guard lock(queue_.mutex_);
  const std::size_t count = std::min(limit, queue_.requests_.size());
  for (std::size_t i = 0; i < count; ++i) {
    const Request& request = queue_.requests_[i];
    window.push_back(WaitingRequest{
        .id = request.id, .prompt_tokens = request.prompt_tokens, .max_new_tokens = request.max_new_tokens});
  }
}

void RequestQueue::Admission::take(std::size_t count, std::vector<Request>& taken) {
  const std::lock_guard lock(queue_.mutex_);
  take_locked(std::min(count, queue_.requests_.size()), taken);
}

void RequestQueue::Admission::take_all(std::vector<Request>& taken) {
  const std::lock_guard lock(queue_.mutex_);
  take_locked(queue_.requests_.size(), taken);
}

void RequestQueue::Admission::take_locked(std::size_t count, std::vector<Request>& taken) {
  std::deque<Request>& requests = queue_.requests_;
  const auto end = requests.begin() + static_cast<std::ptrdiff_t>(count);
  taken.insert(taken.end(), requests.begin(), end);
  requests.erase(requests.begin(), end);
  queue_.size_.store(requests.size(), std::memory_order_relaxed);
  queue_.progress_.waiting.store(static_cast<std::uint32_t>(requests.size()), std::memory_order_relaxed);
}

}  // namespace gptj
