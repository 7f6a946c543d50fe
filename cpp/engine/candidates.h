// From logits to the candidates of a beam search step.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gptj/beam_search.h"
#include "gptj/types.h"

namespace gptj {

struct CandidateQuery {
  std::span<const float> logits;  // [rows, vocab]
  std::int32_t vocab_size = 0;
  std::span<const float> scores;  // [rows] sum of log-probabilities of each row so far
  std::int32_t count = 0;         // how many candidates
  TokenId banned = -1;            // a token that may not be chosen, or -1
};

// The `count` best continuations over all rows, best first; of equal ones the lower row, then the lower
// token, comes first. Log-probabilities are taken before the ban, as transformers' logits processors do in
// beam search. Throws Error(kNumeric) when a row has a NaN or +infinity, or nothing but -infinity.
void best_candidates(const CandidateQuery& query, std::vector<BeamCandidate>& out);

}  // namespace gptj
