// The second half of a search step: BeamSearch::step() of include/gptj/beam_search.h for every item, on the
// arrays of SearchState. Plus the layout of that state, and its reset.
#include <cmath>
#include <cstddef>

#include "cuda/kernels/row_candidates.cuh"

namespace gptj::cuda {
namespace {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = ~0U;
constexpr int kThreads = 128;
constexpr int kMaxHypotheses = kMaxBeams + 1;
constexpr int kNoToken = -1;

static_assert(kMaxBeams * kMaxCandidates == kWarp, "one lane for each candidate of an item's rows");
static_assert(kMaxBeams == 4, "an entry of the beam table is one 32-bit word");

struct Candidate {
  std::int32_t beam;
  std::int32_t token;
  float score;
};

// Where a kept hypothesis' tokens come from: those of the kept hypothesis `old`, or else (old < 0) those of
// beam `parent` with `last` behind them unless it is kNoToken.
struct Hypothesis {
  double score;
  std::int32_t length;  // without the end token
  std::int32_t ended;
  std::int32_t old;
  std::int32_t parent;
  std::int32_t last;
};

// What one thread decides and the block carries out. In shared memory, because it is indexed at run time.
struct Decision {
  Candidate candidates[kMaxCandidates];
  Hypothesis hypotheses[kMaxHypotheses];
  std::int32_t hypothesis_count;
  std::int32_t parents[kMaxBeams];
  std::int32_t tokens[kMaxBeams];
  float scores[kMaxBeams];
  std::int32_t generated;  // before this step
  std::int32_t finished;
  std::int32_t best;
  std::int32_t skip;  // nothing more to do: the request was over, or a row is not finite
};

// The host's std::pow is exact for these two exponents, those in use; for others the last bit may differ from
// it.
__device__ double power(double length, double exponent) {
  if (exponent == 1.0) return length;
  if (exponent == 0.0) return 1.0;
  return pow(length, exponent);
}

// As BeamSearch::hypothesis_score: in double over prompt and generated tokens, or in float over the generated
// ones and the end token.
__device__ double hypothesis_score(const SearchState& state, int slot, float score, int tokens, bool ended) {
  if (state.length_counts_prompt) {
    const double length = static_cast<double>(state.prompt_tokens[slot]) + static_cast<double>(tokens);
    return static_cast<double>(score) / power(length, static_cast<double>(state.length_penalty));
  }
  const int length = tokens + (ended ? 1 : 0);
  return score / static_cast<float>(power(length, static_cast<double>(state.length_penalty)));
}

// As BeamSearch::keep.
__device__ void keep(const SearchState& state, Decision& decision, const Hypothesis& hypothesis) {
  Hypothesis* kept = decision.hypotheses;
  const int count = decision.hypothesis_count + 1;
  kept[count - 1] = hypothesis;
  decision.hypothesis_count = count;
  if (count <= state.beam_width) return;
  int worst = 0;
  for (int i = 1; i < count; ++i) {
    const bool newest = i + 1 == count;
    const bool equal_goes = newest || !state.length_counts_prompt;
    if (kept[i].score < kept[worst].score || (kept[i].score == kept[worst].score && equal_goes)) worst = i;
  }
  for (int i = worst; i + 1 < count; ++i) kept[i] = kept[i + 1];
  decision.hypothesis_count = count - 1;
}

// As BeamSearch::step, from the sorted candidates; one thread.
__device__ void decide(const SearchState& state, int slot, Decision& decision) {
  const int width = state.beam_width;
  const int generated = decision.generated;
  const bool at_limit = generated + 1 >= state.max_new[slot];
  const bool with_prompt = state.length_counts_prompt;

  int beams = 0;
  for (int rank = 0; rank < 2 * width; ++rank) {
    const Candidate candidate = decision.candidates[rank];
    if (candidate.token == state.eos_token) {
      if (rank < width) {
        const double score = hypothesis_score(state, slot, candidate.score, generated, true);
        keep(state, decision, {score, generated, 1, -1, candidate.beam, kNoToken});
      }
    } else if (beams < width) {
      decision.parents[beams] = candidate.beam;
      decision.tokens[beams] = candidate.token;
      decision.scores[beams] = candidate.score;
      ++beams;
      if (at_limit && !with_prompt && rank < width) {
        const double score = hypothesis_score(state, slot, candidate.score, generated + 1, false);
        keep(state, decision, {score, generated + 1, 0, -1, candidate.beam, candidate.token});
      }
    }
  }

  bool finished = decision.hypothesis_count >= width;
  if (at_limit && !finished && with_prompt) {
    for (int beam = 0; beam < width; ++beam) {
      const double score = hypothesis_score(state, slot, decision.scores[beam], generated + 1, false);
      keep(state, decision, {score, generated + 1, 0, -1, decision.parents[beam], decision.tokens[beam]});
    }
  }
  finished = finished || at_limit;
  decision.finished = finished ? 1 : 0;

  // As BeamSearch::best_hypothesis.
  int best = 0;
  for (int i = 1; i < decision.hypothesis_count; ++i) {
    const double score = decision.hypotheses[i].score;
    const double best_score = decision.hypotheses[best].score;
    if (score > best_score || (with_prompt && score == best_score)) best = i;
  }
  decision.best = best;
}

// Merges the candidates of the item's rows, each sorted, into decision.candidates; one warp, one candidate a
// lane. Returns the first row with an error, or -1.
__device__ int merge_candidates(const RowCandidates* lists, int rows, int wanted, int lane,
                                Decision& decision) {
  const unsigned errors = __ballot_sync(kAllLanes, lane < rows && lists[lane < rows ? lane : 0].error != 0);
  if (errors != 0) return __ffs(static_cast<int>(errors)) - 1;

  const int beam = lane / kMaxCandidates;
  const int place = lane % kMaxCandidates;
  const bool valid = beam < rows && place < wanted;
  const float score = valid ? lists[beam].score[place] : -INFINITY;
  const std::int32_t token = valid ? lists[beam].token[place] : 0;
  // Lanes go by beam, then by place, where a beam's lower tokens come first among equals: of equal scores the
  // lower lane is the better one.
  const unsigned valid_lanes = __ballot_sync(kAllLanes, valid);
  int rank = 0;
#pragma unroll
  for (int other = 0; other < kWarp; ++other) {
    const float other_score = __shfl_sync(kAllLanes, score, other);
    const bool ahead = other_score > score || (other_score == score && other < lane);
    rank += ahead && (valid_lanes >> other & 1U) != 0 ? 1 : 0;
  }
  if (valid && rank < wanted) decision.candidates[rank] = {beam, token, score};
  return -1;
}

// What of the state the decision replaced, and the result; one warp.
__device__ void write_decision(const SearchStep& work, int index, int slot, const Decision& decision,
                               int lane) {
  const SearchState& state = work.state;
  if (lane < state.beam_width) {
    state.scores[slot * kMaxBeams + lane] = decision.scores[lane];
    state.next_tokens[slot * kMaxBeams + lane] = decision.tokens[lane];
  }
  if (lane < decision.hypothesis_count) {
    const int at = slot * kMaxHypotheses + lane;
    state.hypothesis_score[at] = decision.hypotheses[lane].score;
    state.hypothesis_length[at] = decision.hypotheses[lane].length;
    state.hypothesis_ended[at] = decision.hypotheses[lane].ended;
  }
  if (lane != 0) return;
  state.generated[slot] = decision.generated + 1;
  state.finished[slot] = decision.finished;
  state.hypotheses[slot] = decision.hypothesis_count;
  const Hypothesis& best = decision.hypotheses[decision.best];
  const int length = decision.finished != 0 ? best.length + best.ended : 0;
  work.results[index] = {slot, decision.finished, -1, length};
}

// Moves the histories at position `at`: of the kept hypotheses, the beams, the beam table, and the result.
// All of one position is read and written by one thread, so that rows may change places without a copy.
// Hypotheses only move down, and new ones stand behind the older ones: in ascending order, none is
// overwritten before it is read.
__device__ void move_position(const SearchStep& work, int index, int slot, const Decision& decision, int at) {
  const SearchState& state = work.state;
  const std::int64_t stride = state.max_new_tokens;
  std::int32_t* beams = state.tokens + slot * kMaxBeams * stride + at;
  std::int32_t* kept = state.hypothesis_tokens + slot * kMaxHypotheses * stride + at;
  std::uint8_t* table = state.beam_table + (slot * stride + at) * kMaxBeams;
  const bool newest = at == decision.generated;

  for (int i = 0; i < decision.hypothesis_count; ++i) {
    const Hypothesis& hypothesis = decision.hypotheses[i];
    if (hypothesis.old == i || at >= hypothesis.length) continue;
    if (hypothesis.old >= 0)
      kept[i * stride] = kept[hypothesis.old * stride];
    else
      kept[i * stride] = newest ? hypothesis.last : beams[hypothesis.parent * stride];
  }
  if (decision.finished != 0) {
    std::int32_t* result = work.result_tokens + index * stride;
    const Hypothesis& best = decision.hypotheses[decision.best];
    if (at < best.length) result[at] = kept[decision.best * stride];
    if (newest && best.ended != 0) result[best.length] = state.eos_token;
  }

  // The position that the next decode step writes is every beam's own.
  std::int32_t tokens[kMaxBeams];
  std::uint32_t owners = 0x03020100U;
  const std::uint32_t old_owners = newest ? owners : *reinterpret_cast<const std::uint32_t*>(table);
#pragma unroll
  for (int beam = 0; beam < kMaxBeams; ++beam) {
    if (beam >= state.beam_width) continue;
    const int parent = newest ? beam : decision.parents[beam];
    tokens[beam] = newest ? decision.tokens[beam] : beams[parent * stride];
    owners &= ~(0xFFU << (8 * beam));
    owners |= (old_owners >> (8 * parent) & 0xFFU) << (8 * beam);
  }
#pragma unroll
  for (int beam = 0; beam < kMaxBeams; ++beam)
    if (beam < state.beam_width) beams[beam * stride] = tokens[beam];
  *reinterpret_cast<std::uint32_t*>(table) = owners;
}

// Grid: one block an item. The first warp decides, all threads move.
__global__ void __launch_bounds__(kThreads) beam_step_kernel(SearchStep work, const RowCandidates* lists) {
  __shared__ Decision decision;
  const int index = static_cast<int>(blockIdx.x);
  const int thread = static_cast<int>(threadIdx.x);
  const LogitItem item = work.items[index];
  const int slot = item.slot;
  const SearchState& state = work.state;

  if (thread < kWarp) {
    const bool over = state.finished[slot] != 0;
    const int count = state.hypotheses[slot];
    if (thread < count) {
      const int at = slot * kMaxHypotheses + thread;
      decision.hypotheses[thread] = {state.hypothesis_score[at],
                                     state.hypothesis_length[at],
                                     state.hypothesis_ended[at],
                                     thread,
                                     0,
                                     kNoToken};
    }
    int error_row = -1;
    if (!over)
      error_row = merge_candidates(lists + item.first_row, item.rows, 2 * state.beam_width, thread, decision);
    const bool skip = over || error_row >= 0;
    if (thread == 0) {
      decision.hypothesis_count = count;
      decision.generated = state.generated[slot];
      decision.skip = skip ? 1 : 0;
      if (skip) {
        state.finished[slot] = 1;
        work.results[index] = {slot, 2, error_row, 0};
      }
    }
    __syncwarp();
    if (!skip) {
      if (thread == 0) decide(state, slot, decision);
      __syncwarp();
      write_decision(work, index, slot, decision, thread);
    }
  }
  __syncthreads();
  if (decision.skip != 0) return;
  for (int at = thread; at <= decision.generated; at += kThreads)
    move_position(work, index, slot, decision, at);
}

__global__ void admit_kernel(SearchState state, const AdmitItem* items, int item_count) {
  const int index = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (index >= item_count) return;
  const AdmitItem item = items[index];
  const int slot = item.slot;
  state.prompt_tokens[slot] = item.prompt_tokens;
  state.min_new[slot] = item.min_new_tokens;
  state.max_new[slot] = item.max_new_tokens;
  state.generated[slot] = 0;
  state.finished[slot] = 0;
  state.hypotheses[slot] = 0;
  for (int beam = 0; beam < kMaxBeams; ++beam) {
    state.scores[slot * kMaxBeams + beam] = 0.0F;
    state.next_tokens[slot * kMaxBeams + beam] = state.eos_token;
  }
}

// Hands out consecutive arrays, each on a 256-byte boundary. With `memory` null it only counts.
class Layout {
 public:
  explicit Layout(void* memory) : memory_(static_cast<std::byte*>(memory)) {}

  template <typename T>
  void place(T*& pointer, std::size_t count) {
    if (memory_ != nullptr) pointer = reinterpret_cast<T*>(memory_ + bytes_);
    bytes_ += (count * sizeof(T) + 255) / 256 * 256;
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::byte* memory_;
  std::size_t bytes_ = 0;
};

std::size_t lay_out(SearchState& state, void* memory) {
  const auto slots = static_cast<std::size_t>(state.slots);
  const auto longest = static_cast<std::size_t>(state.max_new_tokens);
  Layout layout(memory);
  layout.place(state.prompt_tokens, slots);
  layout.place(state.min_new, slots);
  layout.place(state.max_new, slots);
  layout.place(state.generated, slots);
  layout.place(state.finished, slots);
  layout.place(state.scores, slots * kMaxBeams);
  layout.place(state.next_tokens, slots * kMaxBeams);
  layout.place(state.tokens, slots * kMaxBeams * longest);
  layout.place(state.beam_table, slots * kMaxBeams * longest);
  layout.place(state.hypotheses, slots);
  layout.place(state.hypothesis_score, slots * kMaxHypotheses);
  layout.place(state.hypothesis_length, slots * kMaxHypotheses);
  layout.place(state.hypothesis_ended, slots * kMaxHypotheses);
  layout.place(state.hypothesis_tokens, slots * kMaxHypotheses * longest);
  return layout.bytes();
}

}  // namespace

std::size_t search_state_bytes(const SearchState& shape) {
  SearchState counted = shape;
  return lay_out(counted, nullptr);
}

void search_state_view(SearchState& state, void* memory) { lay_out(state, memory); }

void admit(const SearchState& state, const AdmitItem* items, int item_count, cudaStream_t stream) {
  if (item_count == 0) return;
  const auto blocks = static_cast<unsigned>((item_count + kThreads - 1) / kThreads);
  admit_kernel<<<blocks, kThreads, 0, stream>>>(state, items, item_count);
}

std::size_t search_workspace_bytes(int rows, int /*vocab*/) {
  return static_cast<std::size_t>(rows) * sizeof(RowCandidates);
}

void search_step(const SearchStep& work, cudaStream_t stream) {
  if (work.item_count == 0) return;
  auto* lists = static_cast<RowCandidates*>(work.workspace);
  row_candidates(work, lists, stream);
  beam_step_kernel<<<static_cast<unsigned>(work.item_count), kThreads, 0, stream>>>(work, lists);
}

}  // namespace gptj::cuda
