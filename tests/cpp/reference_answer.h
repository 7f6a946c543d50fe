// The whole generation on the reference's logits: no cache, no table of beams, no pieces of prompts.
#pragma once

#include <vector>

#include "engine_jobs.h"
#include "gptj/beam_search.h"
#include "reference_gptj.h"

namespace gptj::testing {

inline std::vector<TokenId> reference_answer(ReferenceGptJ& reference, GenerationConfig generation,
                                             const Job& job) {
  generation.min_new_tokens = job.min_new_tokens;
  generation.max_new_tokens = job.max_new_tokens;
  BeamSearch search(generation, static_cast<std::int32_t>(job.prompt.size()));
  std::vector<std::vector<TokenId>> beams{job.prompt};
  while (!search.finished()) {
    std::vector<float> logits;
    for (const auto& beam : beams) {
      for (const double logit : reference.logits(beam)) logits.push_back(static_cast<float>(logit));
    }
    const auto vocab = static_cast<std::int32_t>(logits.size() / beams.size());
    const BeamStep& step = search.step(logits, vocab);
    std::vector<std::vector<TokenId>> next;
    for (std::size_t row = 0; row < step.parents.size(); ++row) {
      next.push_back(beams[static_cast<std::size_t>(step.parents[row])]);
      next.back().push_back(step.tokens[row]);
    }
    beams = std::move(next);
  }
  return search.best();
}

}  // namespace gptj::testing
