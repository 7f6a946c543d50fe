// The first half of a search step: log-softmax and the best candidates of each logits row.
//
// The row is read once. Behind that read every thread knows the largest of its own logits, and the k-th
// largest of those is a lower bound of the row's k-th largest logit. Only threads whose largest reaches that
// bound, some k of them, can hold a candidate; their share of the row, k / kThreads of it, is read again.
// Both halves of the comparison are made on the final score, so that logits which the rounding of the score
// makes equal are ordered by their token, as the host orders them.
#include <climits>
#include <cmath>

#include "cuda/kernels/row_candidates.cuh"

namespace gptj::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kWarp = 32;
constexpr int kWarps = kThreads / kWarp;
constexpr int kLoads = 4;  // 16-byte loads in flight per thread
// One more than there are candidates: the end token may be banned, and then one of the largest does not
// count.
constexpr int kBound = kMaxCandidates + 1;
constexpr unsigned kAllLanes = ~0U;
static_assert(kWarp + kWarps * kBound <= kThreads, "one thread for each value that the bound is chosen from");
static_assert(kWarps * kMaxCandidates <= kThreads, "one thread for each candidate of the warps");

struct Candidate {
  float score;
  std::int32_t token;
};

__device__ __forceinline__ bool better(const Candidate& a, const Candidate& b) {
  return a.score > b.score || (a.score == b.score && a.token < b.token);
}

// Four logits from token 4 * vector on; what lies outside the vocabulary reads as -infinity, which neither
// the sum nor the maximum notices.
__device__ __forceinline__ float4 load_logits(const float* row, int vector, int vocab) {
  if (4 * vector + 4 <= vocab) return reinterpret_cast<const float4*>(row)[vector];
  const auto at = [&](int token) { return token < vocab ? row[token] : -INFINITY; };
  return make_float4(at(4 * vector), at(4 * vector + 1), at(4 * vector + 2), at(4 * vector + 3));
}

// Running maximum and sum of exp(x - maximum). NaN and +infinity end up in the sum as NaN.
struct LogSum {
  float maximum = -INFINITY;
  float sum = 0.0F;

  // exp(-infinity - -infinity) would be NaN where the sum of nothing, 0, is meant.
  __device__ float base() const { return maximum == -INFINITY ? 0.0F : maximum; }

  __device__ void add(const float4 (&batch)[kLoads]) {
    float largest = maximum;
#pragma unroll
    for (int i = 0; i < kLoads; ++i)
      largest = fmaxf(largest, fmaxf(fmaxf(batch[i].x, batch[i].y), fmaxf(batch[i].z, batch[i].w)));
    if (largest > maximum) {
      sum *= expf(maximum - largest);
      maximum = largest;
    }
    const float from = base();
#pragma unroll
    for (int i = 0; i < kLoads; ++i)
      sum += (expf(batch[i].x - from) + expf(batch[i].y - from)) +
             (expf(batch[i].z - from) + expf(batch[i].w - from));
  }

  __device__ void merge(const LogSum& other) {
    const float largest = fmaxf(maximum, other.maximum);
    const float from = largest == -INFINITY ? 0.0F : largest;
    sum = sum * expf(maximum - from) + other.sum * expf(other.maximum - from);
    maximum = largest;
  }
};

struct Shared {
  float warp_maximum[kWarps];
  float warp_sum[kWarps];
  float maximum;
  float log_sum;
  float largest[kWarps * kBound];  // the kBound largest of each warp's thread maxima
  float bound;                     // the k-th largest of those
  int found;
  Candidate candidates[kWarps * kMaxCandidates];
};

// Leaves the sum over all lanes in each of them.
__device__ __forceinline__ void merge_lanes(LogSum& value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    LogSum other;
    other.maximum = __shfl_xor_sync(kAllLanes, value.maximum, distance);
    other.sum = __shfl_xor_sync(kAllLanes, value.sum, distance);
    value.merge(other);
  }
}

// Sorts one value per lane, largest in lane 0: a bitonic network.
__device__ __forceinline__ float sort_descending(float value, int lane) {
#pragma unroll
  for (int size = 2; size <= kWarp; size *= 2) {
#pragma unroll
    for (int distance = size / 2; distance > 0; distance /= 2) {
      const float other = __shfl_xor_sync(kAllLanes, value, distance);
      const bool first_of_pair = (lane & distance) == 0;
      const bool descending = (lane & size) == 0;
      value = first_of_pair == descending ? fmaxf(value, other) : fminf(value, other);
    }
  }
  return value;
}

// A warp's best candidates, one a lane, best in lane 0; lanes that hold none hold something that is worse
// than any.
class WarpList {
 public:
  __device__ WarpList(int lane, int room) : lane_(lane), room_(room) {}

  // `candidate` is the same in all lanes.
  __device__ void insert(const Candidate& candidate) {
    const int rank = __popc(__ballot_sync(kAllLanes, better(held_, candidate)));
    if (rank >= room_) return;
    const float score = __shfl_up_sync(kAllLanes, held_.score, 1);
    const std::int32_t token = __shfl_up_sync(kAllLanes, held_.token, 1);
    if (lane_ > rank) held_ = {score, token};
    if (lane_ == rank) held_ = candidate;
    if (lane_ >= room_) held_ = kNone;
  }

  // The worst one that there is room for, in all lanes.
  __device__ Candidate last() const {
    return {__shfl_sync(kAllLanes, held_.score, room_ - 1), __shfl_sync(kAllLanes, held_.token, room_ - 1)};
  }
  __device__ const Candidate& held() const { return held_; }
  __device__ bool holds() const { return held_.token != INT_MAX; }

 private:
  static constexpr Candidate kNone{-INFINITY, INT_MAX};
  Candidate held_ = kNone;
  int lane_;
  int room_;
};

// Grid: (kMaxBeams, items). The row's score, ((x - maximum) - log_sum) + score of the beam, is computed in
// this order everywhere, as on the host; it does not fall as x grows.
__global__ void __launch_bounds__(kThreads) row_candidates_kernel(SearchStep work, RowCandidates* lists) {
  const LogitItem item = work.items[blockIdx.y];
  const int beam = static_cast<int>(blockIdx.x);
  if (beam >= item.rows || work.state.finished[item.slot] != 0) return;

  __shared__ Shared shared;
  const int row_index = item.first_row + beam;
  const float* row = work.logits + row_index * work.logit_stride;
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp;
  const int warp = thread / kWarp;
  const int vectors = (work.vocab + 3) / 4;
  const int wanted = 2 * work.state.beam_width;
  if (thread == 0) shared.found = 0;

  // Thread t reads vectors t, t + kThreads, t + 2 kThreads, ...
  LogSum mine;
  for (int first = thread; first < vectors; first += kThreads * kLoads) {
    float4 batch[kLoads];
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int vector = first + i * kThreads;
      batch[i] = vector < vectors ? load_logits(row, vector, work.vocab)
                                  : make_float4(-INFINITY, -INFINITY, -INFINITY, -INFINITY);
    }
    mine.add(batch);
  }
  const float my_largest = mine.maximum;

  merge_lanes(mine);
  const float sorted = sort_descending(my_largest, lane);
  if (lane == 0) {
    shared.warp_maximum[warp] = mine.maximum;
    shared.warp_sum[warp] = mine.sum;
  }
  if (lane < kBound) shared.largest[warp * kBound + lane] = sorted;
  __syncthreads();

  // The first warp finishes the sum, those behind it find the bound: the rank of each value among all of
  // them, by counting. Where fewer threads than `wanted` + 1 hold logits at all, the bound is -infinity and
  // every logit goes on.
  const int value_index = thread - kWarp;
  if (warp == 0) {
    LogSum all;
    if (lane < kWarps) all = {shared.warp_maximum[lane], shared.warp_sum[lane]};
    merge_lanes(all);
    if (lane == 0) {
      shared.maximum = all.maximum;
      // In double, to round to the nearest float as the host's logf all but always does.
      shared.log_sum = static_cast<float>(log(static_cast<double>(all.sum)));
    }
  } else if (value_index < kWarps * kBound) {
    const float value = shared.largest[value_index];
    int rank = 0;
    for (int i = 0; i < kWarps * kBound; ++i) {
      const float other = shared.largest[i];
      rank += other > value || (other == value && i < value_index) ? 1 : 0;
    }
    if (rank == wanted) shared.bound = value;
  }
  __syncthreads();
  const float maximum = shared.maximum;
  const float log_sum = shared.log_sum;
  if (!isfinite(log_sum)) {
    if (thread == 0) lists[row_index].error = 1;
    return;
  }
  const float beam_score = work.state.scores[item.slot * kMaxBeams + beam];
  const auto score_of = [&](float logit) { return ((logit - maximum) - log_sum) + beam_score; };
  const float bound = score_of(shared.bound);

  const bool banned = work.state.generated[item.slot] < work.state.min_new[item.slot];
  const int banned_token = banned ? work.state.eos_token : -1;
  WarpList best(lane, wanted);
  unsigned owners = __ballot_sync(kAllLanes, score_of(my_largest) >= bound);
  while (owners != 0) {
    const int owner = warp * kWarp + __ffs(static_cast<int>(owners)) - 1;
    owners &= owners - 1;
    // The warp shares the owner's vectors out to its lanes.
    for (int first = owner; first < vectors; first += kWarp * kThreads) {
      const int vector = first + lane * kThreads;
      float4 logits = make_float4(-INFINITY, -INFINITY, -INFINITY, -INFINITY);
      if (vector < vectors) logits = load_logits(row, vector, work.vocab);
      const float four[4] = {logits.x, logits.y, logits.z, logits.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const Candidate offer{score_of(four[i]), 4 * vector + i};
        const Candidate last = best.last();  // by all lanes, so not behind a condition
        const bool allowed = offer.token < work.vocab && offer.token != banned_token;
        // What the list has no room for is dropped here, all lanes at once: in a row of many equal logits
        // that is nearly everything.
        const bool valid = allowed && offer.score >= bound && better(offer, last);
        unsigned offers = __ballot_sync(kAllLanes, valid);
        while (offers != 0) {
          const int from = __ffs(static_cast<int>(offers)) - 1;
          offers &= offers - 1;
          best.insert({__shfl_sync(kAllLanes, offer.score, from), __shfl_sync(kAllLanes, offer.token, from)});
        }
      }
    }
  }
  const unsigned held = __ballot_sync(kAllLanes, best.holds());
  int place = 0;
  if (lane == 0) place = atomicAdd(&shared.found, __popc(held));
  place = __shfl_sync(kAllLanes, place, 0) + lane;
  if (best.holds()) shared.candidates[place] = best.held();
  __syncthreads();

  const int found = shared.found;  // at least `wanted`: the vocabulary has more tokens than that
  if (thread < found) {
    const Candidate candidate = shared.candidates[thread];
    int rank = 0;
    for (int i = 0; i < found; ++i) rank += better(shared.candidates[i], candidate) ? 1 : 0;
    if (rank < wanted) {
      lists[row_index].score[rank] = candidate.score;
      lists[row_index].token[rank] = candidate.token;
    }
  }
  if (thread == 0) {
    lists[row_index].error = 0;
    lists[row_index].maximum = maximum;
    lists[row_index].log_sum = log_sum;
  }
}

}  // namespace

void row_candidates(const SearchStep& work, RowCandidates* lists, cudaStream_t stream) {
  if (work.item_count == 0) return;
  const dim3 grid(static_cast<unsigned>(work.state.beam_width), static_cast<unsigned>(work.item_count));
  row_candidates_kernel<<<grid, kThreads, 0, stream>>>(work, lists);
}

}  // namespace gptj::cuda
