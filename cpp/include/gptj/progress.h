// Counters that the harness writes and a Rust ticker reads. Nothing on the timed path calls back into Rust
// for them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

namespace gptj {

struct Progress {
  std::atomic<std::uint64_t> samples_issued{0};
  std::atomic<std::uint64_t> samples_completed{0};
  std::atomic<std::uint64_t> tokens_generated{0};
  std::atomic<std::uint64_t> prompt_tokens{0};
  std::atomic<std::uint64_t> steps{0};
  std::atomic<std::uint32_t> waiting{0};                       // in the queue
  std::atomic<std::uint32_t> running{0};                       // in all engines
  std::atomic<std::uint32_t> kv_blocks_used{0};                // in all engines, after the last step
  std::atomic<std::chrono::steady_clock::rep> first_query{0};  // on the steady clock; 0: none came yet
  // Set by Rust, through a shared reference: finish what is outstanding, empty, and return.
  mutable std::atomic<bool> stop_requested{false};

  // Set as soon as something failed. In the Server scenario LoadGen goes on issuing until its schedule ends,
  // and every sample is then answered empty; whoever watches need not wait for that.
  std::atomic<bool> failed{false};
  std::string
      failure;  // "kind: message"; written once, before `failed` is set, and only read after it was seen
};

}  // namespace gptj
