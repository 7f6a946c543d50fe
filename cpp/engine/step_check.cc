#include "engine/step_check.h"

#include <string>
#include <unordered_map>
#include <unordered_set>

#include "gptj/error.h"

namespace gptj {
namespace {

[[noreturn]] void invalid(const std::string& message) { throw Error(ErrorKind::kInvalidArgument, message); }

std::string name_of(RequestId id) { return "request " + std::to_string(id); }

void check_request(const NewRequest& request, const EngineLimits& limits) {
  const std::string who = name_of(request.id);
  const auto tokens = static_cast<std::int64_t>(request.prompt.size());
  if (tokens < 1 || tokens > limits.max_prompt_tokens) {
    invalid(who + " has a prompt of " + std::to_string(tokens) + " tokens; 1 to " +
            std::to_string(limits.max_prompt_tokens) + " are possible");
  }
  if (request.max_new_tokens < 1 || request.max_new_tokens > limits.max_new_tokens ||
      request.min_new_tokens < 0 || request.min_new_tokens > request.max_new_tokens) {
    invalid(who + " wants " + std::to_string(request.min_new_tokens) + " to " +
            std::to_string(request.max_new_tokens) + " new tokens; at most " +
            std::to_string(limits.max_new_tokens) + " are possible");
  }
  for (const TokenId token : request.prompt) {
    if (token < 0 || token >= limits.vocab_size) {
      invalid(who + " has token " + std::to_string(token) + " in its prompt; the vocabulary has " +
              std::to_string(limits.vocab_size));
    }
  }
}

}  // namespace

void check_step(const StepWork& work, const EngineLimits& limits, const HeldWork& held) {
  std::unordered_map<RequestId, std::int32_t> fresh;  // prompt tokens of new requests
  std::int64_t blocks = 0;
  for (const NewRequest& request : work.admitted) {
    if (held.open_tokens(request.id) || fresh.contains(request.id)) {
      invalid(name_of(request.id) + " is there already");
    }
    check_request(request, limits);
    const auto tokens = static_cast<std::int32_t>(request.prompt.size());
    fresh.emplace(request.id, tokens);
    blocks += kv_blocks_for(limits, tokens, request.max_new_tokens);
  }
  if (blocks > held.free_blocks) {
    invalid("the step needs " + std::to_string(blocks) + " more KV blocks, " +
            std::to_string(held.free_blocks) + " are free");
  }
  if (static_cast<std::int64_t>(held.requests + fresh.size()) > limits.max_requests) {
    invalid("the step would hold " + std::to_string(held.requests + fresh.size()) +
            " requests; the limit is " + std::to_string(limits.max_requests));
  }

  std::int64_t tokens = work.decode ? static_cast<std::int64_t>(held.decoding) * limits.beam_width : 0;
  std::unordered_set<RequestId> chunked;
  for (const PromptChunk& chunk : work.chunks) {
    const std::string who = name_of(chunk.id);
    if (!chunked.insert(chunk.id).second) invalid(who + " has two chunks in one step");
    const auto found = fresh.find(chunk.id);
    const std::optional<std::int32_t> open =
        found != fresh.end() ? std::optional(found->second) : held.open_tokens(chunk.id);
    if (!open) invalid(who + " has a chunk but was never admitted");
    if (chunk.count < 1 || chunk.count > *open) {
      invalid(who + " has a chunk of " + std::to_string(chunk.count) + " tokens; " + std::to_string(*open) +
              " of its prompt are left");
    }
    tokens += chunk.count;
  }
  for (const auto& [id, prompt] : fresh) {
    if (!chunked.contains(id)) invalid(name_of(id) + " was admitted without a chunk");
  }
  if (tokens > limits.max_tokens_per_step) {
    invalid("the step has " + std::to_string(tokens) + " tokens; the limit is " +
            std::to_string(limits.max_tokens_per_step));
  }
}

}  // namespace gptj
