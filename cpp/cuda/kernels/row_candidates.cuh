// What passes between the two halves of a search step: each logits row's own best candidates.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cuda/kernels/search.h"
#include "cuda/kernels/types.h"

namespace gptj::cuda {

// The best 2 * beam_width continuations of one row, best first; of equal scores the lower token comes first.
// `score` is the sum of log-probabilities with the token's own included.
struct RowCandidates {
  float score[kMaxCandidates];
  std::int32_t token[kMaxCandidates];
  // Not 0: the row has NaN, +infinity, or nothing but -infinity, and no candidates.
  std::int32_t error;
  float maximum;  // largest logit
  float log_sum;  // log of the sum of exp(logit - maximum)
  std::int32_t unused;
};

// Fills lists[first_row + beam] for every row of every item whose request is not over.
void row_candidates(const SearchStep& work, RowCandidates* lists, cudaStream_t stream);

}  // namespace gptj::cuda
