#include "engine/fake_engine.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gptj/error.h"

namespace gptj {
namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::kInvalidArgument, "fake engine: " + message);
}

// SplitMix64: small, fast, and the same everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }

 private:
  std::uint64_t state_;
};

// FNV-1a over the tokens.
std::uint64_t hash_prompt(std::span<const TokenId> prompt) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const TokenId token : prompt) hash = (hash ^ static_cast<std::uint32_t>(token)) * 0x100000001b3U;
  return hash;
}

enum class FaultKind { kNone, kThrow, kNan };

struct Fault {
  FaultKind kind = FaultKind::kNone;
  std::uint64_t step = 0;  // counted from 1
};

Fault parse_fault(std::string_view text) {
  if (text.empty()) return {};
  const std::size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  const std::string_view number = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  Fault fault;
  if (name == "throw") fault.kind = FaultKind::kThrow;
  if (name == "nan") fault.kind = FaultKind::kNan;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), fault.step);
  if (fault.kind == FaultKind::kNone || error != std::errc() || end != number.data() + number.size() ||
      fault.step == 0) {
    refuse("unknown fault `" + std::string(text) + "`; it is empty, throw:N or nan:N with N from 1");
  }
  return fault;
}

class FakeEngine final : public Engine {
 public:
  FakeEngine(const EngineOptions& options, const ModelConfig& model, const GenerationConfig& generation)
      : limits_(limits_for(options, model, generation)),
        eos_token_(generation.eos_token),
        seed_(options.fake_seed),
        step_time_(options.fake_step_us),
        fault_(parse_fault(options.fake_fault)) {
    if (options.fake_step_us < 0) refuse("fake_step_us is " + std::to_string(options.fake_step_us));
    if (options.fake_max_steps_in_flight < 1) {
      refuse("fake_max_steps_in_flight is " + std::to_string(options.fake_max_steps_in_flight) +
             "; it must be at least 1");
    }
    limits_.max_steps_in_flight = options.fake_max_steps_in_flight;
  }

  const std::string& name() const override { return name_; }
  const EngineLimits& limits() const override { return limits_; }

  void enqueue(const StepWork& work) override {
    check_alive();
    check(work);
    for (const NewRequest& request : work.admitted) admit(request);

    Step step;
    if (work.decode) {
      for (auto& [id, request] : requests_) {
        if (request.given == request.prompt_tokens) step.tokens_for.push_back(id);
      }
      step.decode_rows = static_cast<std::int32_t>(step.tokens_for.size()) * limits_.beam_width;
    }
    for (const PromptChunk& chunk : work.chunks) {
      Held& request = requests_.at(chunk.id);
      request.given += chunk.count;
      step.prompt_tokens += chunk.count;
      if (request.given == request.prompt_tokens) step.tokens_for.push_back(chunk.id);
    }
    step.number = ++steps_enqueued_;
    // As a device would: one step after the other, the first one as soon as it was asked for.
    busy_until_ = std::max(busy_until_, Clock::now()) + step_time_;
    step.ready = busy_until_;
    steps_.push_back(std::move(step));
  }

  void collect(StepOutcome& outcome) override {
    check_alive();
    if (steps_.empty()) refuse("collect() without an uncollected step");
    const Step step = std::move(steps_.front());
    steps_.pop_front();
    if (step_time_.count() > 0) std::this_thread::sleep_until(step.ready);
    show_fault(step);

    outcome.finished.clear();
    outcome.prompt_tokens = step.prompt_tokens;
    outcome.decode_rows = step.decode_rows;
    for (const RequestId id : step.tokens_for) {
      const auto found = requests_.find(id);
      if (found == requests_.end()) continue;  // an earlier step finished it: masked
      Held& request = found->second;
      if (++request.generated < static_cast<std::int32_t>(request.answer.size())) continue;
      outcome.finished.push_back(FinishedRequest{.id = id, .tokens = std::move(request.answer)});
      kv_blocks_used_ -= request.kv_blocks;
      requests_.erase(found);
    }
    outcome.kv_blocks_used = kv_blocks_used_;
  }

 private:
  // A request between its first chunk and its last token.
  struct Held {
    std::int32_t prompt_tokens = 0;
    std::int32_t given = 0;      // prompt tokens enqueued
    std::int32_t generated = 0;  // tokens in collected steps
    std::int32_t kv_blocks = 0;
    std::vector<TokenId> answer;
  };

  struct Step {
    std::uint64_t number = 0;
    std::vector<RequestId> tokens_for;  // requests that get a token
    std::int32_t prompt_tokens = 0;
    std::int32_t decode_rows = 0;
    Clock::time_point ready;
  };

  void check_alive() const {
    if (broken_) refuse("used after a step had failed; an engine can then only be destroyed");
  }

  // Throws before anything is changed.
  void check(const StepWork& work) const {
    if (static_cast<std::int32_t>(steps_.size()) >= limits_.max_steps_in_flight) {
      refuse("more than " + std::to_string(limits_.max_steps_in_flight) + " uncollected steps");
    }
    std::unordered_map<RequestId, std::int32_t> fresh;  // id -> prompt tokens
    std::int64_t blocks = kv_blocks_used_;
    for (const NewRequest& request : work.admitted) {
      check(request);
      const auto tokens = static_cast<std::int32_t>(request.prompt.size());
      if (requests_.contains(request.id) || !fresh.emplace(request.id, tokens).second) {
        refuse("request " + std::to_string(request.id) + " admitted twice");
      }
      blocks += kv_blocks_for(limits_, tokens, request.max_new_tokens);
    }
    if (requests_.size() + fresh.size() > static_cast<std::size_t>(limits_.max_requests)) {
      refuse("more than " + std::to_string(limits_.max_requests) + " requests");
    }
    if (blocks > limits_.kv_blocks) {
      refuse(std::to_string(blocks) + " KV blocks asked for, of " + std::to_string(limits_.kv_blocks));
    }
    check_tokens(work, fresh);
  }

  void check(const NewRequest& request) const {
    const auto tokens = static_cast<std::int64_t>(request.prompt.size());
    const std::string who = "request " + std::to_string(request.id);
    if (tokens < 1 || tokens > limits_.max_prompt_tokens) {
      refuse(who + " has " + std::to_string(tokens) + " prompt tokens, outside 1.." +
             std::to_string(limits_.max_prompt_tokens));
    }
    if (request.max_new_tokens < 1 || request.max_new_tokens > limits_.max_new_tokens ||
        request.min_new_tokens < 0 || request.min_new_tokens > request.max_new_tokens) {
      refuse(who + " asks for " + std::to_string(request.min_new_tokens) + ".." +
             std::to_string(request.max_new_tokens) + " new tokens, outside 0.." +
             std::to_string(limits_.max_new_tokens));
    }
    for (const TokenId token : request.prompt) {
      if (token < 0 || token >= limits_.vocab_size) {
        refuse(who + " has token " + std::to_string(token) + ", outside the vocabulary of " +
               std::to_string(limits_.vocab_size));
      }
    }
  }

  void check_tokens(const StepWork& work, const std::unordered_map<RequestId, std::int32_t>& fresh) const {
    std::int64_t tokens = 0;
    std::size_t first_chunks = 0;
    std::unordered_map<RequestId, bool> seen;
    for (const PromptChunk& chunk : work.chunks) {
      const std::string who = "the chunk of request " + std::to_string(chunk.id);
      if (!seen.emplace(chunk.id, true).second) refuse(who + " is its second in one step");
      std::int32_t outstanding = 0;
      if (const auto held = requests_.find(chunk.id); held != requests_.end()) {
        outstanding = held->second.prompt_tokens - held->second.given;
      } else if (const auto admitted = fresh.find(chunk.id); admitted != fresh.end()) {
        outstanding = admitted->second;
        ++first_chunks;
      } else {
        refuse(who + " is of a request that was never admitted, or is finished");
      }
      if (chunk.count < 1 || chunk.count > outstanding) {
        refuse(who + " has " + std::to_string(chunk.count) + " tokens, outside 1.." +
               std::to_string(outstanding));
      }
      tokens += chunk.count;
    }
    if (first_chunks != fresh.size()) refuse("a request was admitted without a chunk");
    if (work.decode) {
      for (const auto& [id, request] : requests_) {
        if (request.given == request.prompt_tokens) tokens += limits_.beam_width;
      }
    }
    if (tokens < 1) refuse("a step without work");
    if (tokens > limits_.max_tokens_per_step) {
      refuse(std::to_string(tokens) + " tokens in one step, of " +
             std::to_string(limits_.max_tokens_per_step));
    }
  }

  void admit(const NewRequest& request) {
    Held held;
    held.prompt_tokens = static_cast<std::int32_t>(request.prompt.size());
    held.kv_blocks = kv_blocks_for(limits_, held.prompt_tokens, request.max_new_tokens);
    held.answer = answer(request);
    kv_blocks_used_ += held.kv_blocks;
    requests_.emplace(request.id, std::move(held));
  }

  // Up to max tokens; one that is shorter than max ends with the end token behind at least min others, as a
  // natural end does.
  std::vector<TokenId> answer(const NewRequest& request) const {
    Random random(hash_prompt(request.prompt) ^ seed_);
    const std::int32_t least = std::min(request.min_new_tokens + 1, request.max_new_tokens);
    const auto span = static_cast<std::uint64_t>(request.max_new_tokens - least + 1);
    const auto length = static_cast<std::size_t>(least) + random.next() % span;
    std::vector<TokenId> tokens(length);
    for (TokenId& token : tokens) {
      token = static_cast<TokenId>(random.next() % static_cast<std::uint64_t>(limits_.vocab_size));
      if (token == eos_token_) token = (token + 1) % limits_.vocab_size;
    }
    if (length < static_cast<std::size_t>(request.max_new_tokens)) tokens.back() = eos_token_;
    return tokens;
  }

  void show_fault(const Step& step) {
    if (fault_.kind == FaultKind::kNone || fault_.step != step.number) return;
    broken_ = true;
    const std::string where = " in step " + std::to_string(step.number);
    if (fault_.kind == FaultKind::kNan) {
      throw Error(ErrorKind::kNumeric, "fake engine: the logits are NaN" + where + ", as its fault asks");
    }
    throw Error(ErrorKind::kInternal, "fake engine: failed" + where + ", as its fault asks");
  }

  std::string name_ = "fake";
  EngineLimits limits_;
  TokenId eos_token_;
  std::uint64_t seed_;
  std::chrono::microseconds step_time_;
  Fault fault_;
  std::map<RequestId, Held> requests_;
  std::deque<Step> steps_;  // uncollected
  std::uint64_t steps_enqueued_ = 0;
  std::int32_t kv_blocks_used_ = 0;
  Clock::time_point busy_until_{};
  bool broken_ = false;
};

}  // namespace

std::unique_ptr<Engine> create_fake_engine(const EngineOptions& options, const ModelConfig& model,
                                           const GenerationConfig& generation) {
  return std::make_unique<FakeEngine>(options, model, generation);
}

}  // namespace gptj
