#include "engine/candidates.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "engine/vector_math.h"
#include "gptj/error.h"

namespace gptj {
namespace {

struct LogNormaliser {
  float max = 0.0F;
  float log_sum = 0.0F;  // log of the sum of exp(x - max)
};

LogNormaliser normalise(std::span<const float> row) {
  const std::size_t whole = row.size() / kLanes * kLanes;
  float largest = -std::numeric_limits<float>::infinity();
  if (whole > 0) {
    Float16 lanes = load(row.data());
    for (std::size_t i = kLanes; i < whole; i += kLanes) lanes = max(lanes, load(row.data() + i));
    largest = max(lanes);
  }
  for (std::size_t i = whole; i < row.size(); ++i) largest = std::max(largest, row[i]);

  Float16 lanes{};
  for (std::size_t i = 0; i < whole; i += kLanes) lanes += exp_nonpositive(load(row.data() + i) - largest);
  float total = sum(lanes);
  for (std::size_t i = whole; i < row.size(); ++i) total += std::exp(row[i] - largest);
  return {largest, std::log(total)};
}

[[noreturn]] void throw_not_finite(std::span<const float> row, std::size_t row_index) {
  for (std::size_t token = 0; token < row.size(); ++token) {
    if (std::isnan(row[token]) || row[token] == std::numeric_limits<float>::infinity()) {
      throw Error(ErrorKind::kNumeric, "the logit of token " + std::to_string(token) + " in beam row " +
                                           std::to_string(row_index) + " is " + std::to_string(row[token]));
    }
  }
  throw Error(ErrorKind::kNumeric,
              "every logit of beam row " + std::to_string(row_index) + " is -infinity: no token can follow");
}

// Keeps `out` sorted, best first, at most `count` long; an equal candidate that came earlier stays in front.
void insert(std::vector<BeamCandidate>& out, std::size_t count, const BeamCandidate& candidate) {
  const auto behind = std::upper_bound(out.begin(), out.end(), candidate,
                                       [](const auto& a, const auto& b) { return a.score > b.score; });
  out.insert(behind, candidate);
  if (out.size() > count) out.pop_back();
}

}  // namespace

void best_candidates(const CandidateQuery& query, std::vector<BeamCandidate>& out) {
  const auto vocab = static_cast<std::size_t>(query.vocab_size);
  const auto count = static_cast<std::size_t>(query.count);
  out.clear();
  for (std::size_t r = 0; r < query.scores.size(); ++r) {
    const auto row = query.logits.subspan(r * vocab, vocab);
    const auto [largest, log_sum] = normalise(row);
    if (!std::isfinite(log_sum)) throw_not_finite(row, r);
    // A logit must exceed this to enter; compared before the exact score is computed, with slack for
    // rounding.
    const auto consider = [&](std::size_t token) {
      const float score = ((row[token] - largest) - log_sum) + query.scores[r];
      if (out.size() == count && !(score > out.back().score)) return;
      if (static_cast<TokenId>(token) == query.banned) return;
      insert(out, count, {static_cast<std::int32_t>(r), static_cast<TokenId>(token), score});
    };
    for (std::size_t token = 0; token < vocab; ++token) consider(token);
  }
}

}  // namespace gptj
