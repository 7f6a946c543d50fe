// Beam search with the exact semantics of Hugging Face generate(num_beams = n, early_stopping = True): the
// host reference that every engine's own beam search must agree with, token for token, on equal logits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "gptj/types.h"

namespace gptj {

// A candidate continuation: beam row, token, and the score of the row plus the token's log-probability.
struct BeamCandidate {
  std::int32_t beam = 0;
  TokenId token = 0;
  float score = 0.0F;
};

// What the engine has to do after a step: row b of the next decode step continues row parents[b] with
// tokens[b].
struct BeamStep {
  bool finished = false;
  std::vector<std::int32_t> parents;  // [beam_width]
  std::vector<TokenId> tokens;        // [beam_width]
};

// The state of one request's search.
class BeamSearch {
 public:
  // `prompt_tokens` counts in the score when config.beam_length is kPromptAndGenerated. min_new_tokens and
  // max_new_tokens are those of `config`.
  BeamSearch(const GenerationConfig& config, std::int32_t prompt_tokens);

  // One step from raw logits, [rows, vocab] with rows = 1 for the first step (the prompt's last position
  // stands for all beams) and beam_width after it. Throws Error(kNumeric) when a logit is NaN or +infinity.
  const BeamStep& step(std::span<const float> logits, std::int32_t vocab_size);

  // The same from 2 * beam_width candidates in descending order of score, as a GPU's own top-k gives them.
  const BeamStep& step(std::span<const BeamCandidate> candidates);

  bool finished() const { return step_.finished; }
  std::int32_t generated_tokens() const { return generated_; }

  // Tokens of the best hypothesis, with the end token when it ended by itself, and its score. Only once
  // finished.
  std::vector<TokenId> best() const;
  double best_score() const;

 private:
  struct Hypothesis {
    std::vector<TokenId> tokens;  // without the end token
    double score = 0.0;
    bool ended = false;
  };

  double hypothesis_score(float log_probability, std::size_t tokens, bool ended) const;
  void keep(Hypothesis hypothesis);
  const Hypothesis& best_hypothesis() const;

  GenerationConfig config_;
  std::int32_t prompt_tokens_ = 0;
  std::int32_t generated_ = 0;
  std::vector<std::vector<TokenId>> beams_;  // [beam_width] tokens so far
  std::vector<float> scores_;                // [beam_width] sums of log-probabilities
  std::vector<Hypothesis> hypotheses_;       // at most beam_width, the finished ones
  BeamStep step_;
};

}  // namespace gptj
