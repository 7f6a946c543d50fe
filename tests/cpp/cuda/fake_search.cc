// The kernels of search.h by the host's beam search; see fake_cuda.h. Where nothing computes, the answer to a
// request is 0, 1, 2, ..., as long as it may be.
#include <algorithm>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "cuda/kernels/search.h"
#include "fake_cuda.h"
#include "gptj/beam_search.h"
#include "gptj/error.h"

namespace gptj::cuda {
namespace {

using testing::fake_cuda;

// The searches of all engines, by the memory of their state and the slot.
std::mutex mutex;
std::map<std::pair<const void*, std::int32_t>, BeamSearch> searches;

// Hands out consecutive arrays; without memory it only counts.
std::size_t lay_out(SearchState& state, void* memory) {
  std::size_t used = 0;
  const auto place = [&]<typename T>(T*& array, std::size_t count) {
    if (memory != nullptr) array = reinterpret_cast<T*>(static_cast<std::byte*>(memory) + used);
    used += (count * sizeof(T) + 15) / 16 * 16;
  };
  const auto slots = static_cast<std::size_t>(state.slots);
  const std::size_t texts = slots * kMaxBeams * static_cast<std::size_t>(state.max_new_tokens);
  place(state.max_new, slots);
  place(state.generated, slots);
  place(state.finished, slots);
  place(state.next_tokens, slots * kMaxBeams);
  place(state.tokens, texts);
  place(state.beam_table, texts);
  return used;
}

StepResult count_tokens(const SearchState& state, std::int32_t slot, std::int32_t* answer) {
  const std::int32_t generated = ++state.generated[slot];
  state.finished[slot] = generated == state.max_new[slot] ? 1 : 0;
  const std::int32_t length = state.finished[slot] != 0 ? generated : 0;
  for (std::int32_t i = 0; i < length; ++i) answer[i] = i;
  return {.slot = slot, .finished = state.finished[slot], .error_row = -1, .length = length};
}

// Histories follow their parents, and the beam table with them.
void move_beams(const SearchState& state, std::int32_t slot, const BeamStep& step) {
  const auto stride = static_cast<std::size_t>(state.max_new_tokens);
  const auto at = static_cast<std::size_t>(state.generated[slot]);
  std::int32_t* tokens = state.tokens + static_cast<std::size_t>(slot) * kMaxBeams * stride;
  std::uint8_t* table = state.beam_table + static_cast<std::size_t>(slot) * kMaxBeams * stride;
  const std::vector<std::int32_t> old_tokens(tokens, tokens + kMaxBeams * stride);
  const std::vector<std::uint8_t> old_table(table, table + kMaxBeams * stride);
  for (std::size_t beam = 0; beam < step.parents.size(); ++beam) {
    const auto parent = static_cast<std::size_t>(step.parents[beam]);
    for (std::size_t position = 0; position < at; ++position) {
      tokens[beam * stride + position] = old_tokens[parent * stride + position];
      table[position * kMaxBeams + beam] = old_table[position * kMaxBeams + parent];
    }
    tokens[beam * stride + at] = step.tokens[beam];
    table[at * kMaxBeams + beam] = static_cast<std::uint8_t>(beam);
    state.next_tokens[static_cast<std::size_t>(slot) * kMaxBeams + beam] = step.tokens[beam];
  }
}

StepResult search(const SearchStep& work, const LogitItem& item, std::int32_t* answer) {
  const SearchState& state = work.state;
  std::vector<float> logits;
  for (std::int32_t row = item.first_row; row < item.first_row + item.rows; ++row) {
    const float* first = work.logits + row * work.logit_stride;
    logits.insert(logits.end(), first, first + work.vocab);
  }
  BeamSearch& beams = searches.at({state.max_new, item.slot});
  try {
    const BeamStep& step = beams.step(logits, work.vocab);
    move_beams(state, item.slot, step);
  } catch (const Error&) {  // NaN or infinity
    state.finished[item.slot] = 1;
    return {.slot = item.slot, .finished = 2, .error_row = item.rows - 1, .length = 0};
  }
  ++state.generated[item.slot];
  if (!beams.finished()) return {.slot = item.slot, .finished = 0, .error_row = -1, .length = 0};
  state.finished[item.slot] = 1;
  const std::vector<TokenId> best = beams.best();
  std::ranges::copy(best, answer);
  return {
      .slot = item.slot, .finished = 1, .error_row = -1, .length = static_cast<std::int32_t>(best.size())};
}

}  // namespace

std::size_t search_state_bytes(const SearchState& shape) {
  SearchState counted = shape;
  return lay_out(counted, nullptr);
}

void search_state_view(SearchState& state, void* memory) { lay_out(state, memory); }

std::size_t search_workspace_bytes(int, int) { return 1; }

void admit(const SearchState& state, const AdmitItem* items, int item_count, cudaStream_t) {
  (void)fake_cuda().launch("admit");
  const std::lock_guard lock(mutex);
  for (int i = 0; i < item_count; ++i) {
    const AdmitItem& item = items[i];
    state.max_new[item.slot] = item.max_new_tokens;
    state.generated[item.slot] = 0;
    state.finished[item.slot] = 0;
    GenerationConfig config;
    config.beam_width = state.beam_width;
    config.min_new_tokens = item.min_new_tokens;
    config.max_new_tokens = item.max_new_tokens;
    config.length_penalty = state.length_penalty;
    config.beam_length =
        state.length_counts_prompt ? BeamLength::kPromptAndGenerated : BeamLength::kGenerated;
    config.eos_token = state.eos_token;
    searches.insert_or_assign({state.max_new, item.slot}, BeamSearch(config, item.prompt_tokens));
  }
}

void search_step(const SearchStep& work, cudaStream_t) {
  const bool computes = fake_cuda().launch("search_step");
  const std::lock_guard lock(mutex);
  for (int i = 0; i < work.item_count; ++i) {
    const LogitItem& item = work.items[i];
    std::int32_t* answer = work.result_tokens + static_cast<std::ptrdiff_t>(i) * work.state.max_new_tokens;
    if (work.state.finished[item.slot] != 0) {
      work.results[i] = {.slot = item.slot, .finished = 2, .error_row = -1, .length = 0};
    } else if (fake_cuda().logits_are_nan) {
      work.state.finished[item.slot] = 1;
      work.results[i] = {.slot = item.slot, .finished = 2, .error_row = item.rows - 1, .length = 0};
    } else {
      work.results[i] = computes ? search(work, item, answer) : count_tokens(work.state, item.slot, answer);
    }
  }
}

}  // namespace gptj::cuda
