// Counters that the harness writes and a Rust ticker reads. Nothing on the timed path calls back into Rust for them.
#pragma once

#include <atomic>
#include <cstdint>

namespace gptj {

struct Progress {
  std::atomic<std::uint64_t> samples_issued{0};
  std::atomic<std::uint64_t> samples_completed{0};
  std::atomic<std::uint64_t> tokens_generated{0};
  std::atomic<std::uint64_t> prompt_tokens{0};
  std::atomic<std::uint64_t> steps{0};
  std::atomic<std::uint32_t> waiting{0};         // in the queue
  std::atomic<std::uint32_t> running{0};         // in all engines
  std::atomic<std::uint32_t> kv_blocks_used{0};  // in all engines, after the last step
  std::atomic<bool> stop_requested{false};       // set by Rust: finish what is outstanding, empty, and return
};

}  // namespace gptj
