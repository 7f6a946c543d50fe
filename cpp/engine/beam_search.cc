#include "gptj/beam_search.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "engine/candidates.h"
#include "gptj/error.h"

namespace gptj {

BeamSearch::BeamSearch(const GenerationConfig& config, std::int32_t prompt_tokens)
    : config_(config), prompt_tokens_(prompt_tokens) {
  const auto width = static_cast<std::size_t>(config.beam_width);
  beams_.resize(width);
  scores_.assign(width, 0.0F);
  step_.parents.assign(width, 0);
  step_.tokens.assign(width, config.eos_token);
  hypotheses_.reserve(width + 1);
}

const BeamStep& BeamSearch::step(std::span<const float> logits, std::int32_t vocab_size) {
  const std::size_t rows = generated_ == 0 ? 1 : beams_.size();
  if (vocab_size <= 2 * config_.beam_width || logits.size() != rows * static_cast<std::size_t>(vocab_size)) {
    throw Error(ErrorKind::kInvalidArgument, "beam search got " + std::to_string(logits.size()) +
                                                 " logits for " + std::to_string(rows) + " rows of " +
                                                 std::to_string(vocab_size) + " tokens");
  }
  CandidateQuery query;
  query.logits = logits;
  query.vocab_size = vocab_size;
  query.scores = std::span<const float>(scores_).first(rows);
  query.count = 2 * config_.beam_width;
  query.banned = generated_ < config_.min_new_tokens ? config_.eos_token : -1;
  std::vector<BeamCandidate> candidates;
  best_candidates(query, candidates);
  return step(candidates);
}

const BeamStep& BeamSearch::step(std::span<const BeamCandidate> candidates) {
  const auto width = static_cast<std::size_t>(config_.beam_width);
  if (step_.finished) throw Error(ErrorKind::kInternal, "a finished beam search was asked for another step");
  if (candidates.size() < 2 * width) {
    throw Error(ErrorKind::kInvalidArgument, "beam search needs " + std::to_string(2 * width) +
                                                 " candidates, got " + std::to_string(candidates.size()));
  }
  const bool at_limit = generated_ + 1 >= config_.max_new_tokens;
  const bool with_prompt = config_.beam_length == BeamLength::kPromptAndGenerated;

  // Candidates that end become hypotheses if they are among the best `width`; the best `width` of the others
  // go on. With kGenerated, reaching the limit ends a candidate just as the end token does.
  std::vector<std::vector<TokenId>> beams;
  std::vector<float> scores;
  step_.parents.clear();
  step_.tokens.clear();
  for (std::size_t rank = 0; rank < 2 * width; ++rank) {
    const BeamCandidate& candidate = candidates[rank];
    const auto& prefix = beams_[static_cast<std::size_t>(candidate.beam)];
    if (candidate.token == config_.eos_token) {
      if (rank < width) keep({prefix, hypothesis_score(candidate.score, prefix.size(), true), true});
    } else if (scores.size() < width) {
      beams.push_back(prefix);
      beams.back().push_back(candidate.token);
      scores.push_back(candidate.score);
      step_.parents.push_back(candidate.beam);
      step_.tokens.push_back(candidate.token);
      if (at_limit && !with_prompt && rank < width) {
        keep({beams.back(), hypothesis_score(candidate.score, beams.back().size(), false), false});
      }
    }
    // Until 4.35 a step ends as soon as its beams are full; what ranks behind cannot be among the best
    // `width` anyway.
  }
  beams_ = std::move(beams);
  scores_ = std::move(scores);
  ++generated_;

  step_.finished = hypotheses_.size() >= width;  // early_stopping = True
  if (at_limit && !step_.finished && with_prompt) {
    for (std::size_t beam = 0; beam < beams_.size(); ++beam) {
      keep({beams_[beam], hypothesis_score(scores_[beam], beams_[beam].size(), false), false});
    }
  }
  step_.finished = step_.finished || at_limit;
  return step_;
}

// `tokens` counts the generated tokens without an end token. Until 4.35 the end token does not count as
// length and the division is done in double; since 4.36 it counts and the division is done in float.
double BeamSearch::hypothesis_score(float log_probability, std::size_t tokens, bool ended) const {
  if (config_.beam_length == BeamLength::kPromptAndGenerated) {
    const double length = static_cast<double>(prompt_tokens_) + static_cast<double>(tokens);
    return static_cast<double>(log_probability) /
           std::pow(length, static_cast<double>(config_.length_penalty));
  }
  const float length = static_cast<float>(tokens + (ended ? 1 : 0));
  return log_probability / std::pow(length, config_.length_penalty);
}

// Keeps the best `beam_width`. transformers until 4.35 pops the last of equal scores as the best one;
// since 4.36 the first one stays in front. best() follows.
void BeamSearch::keep(Hypothesis hypothesis) {
  const auto width = static_cast<std::size_t>(config_.beam_width);
  hypotheses_.push_back(std::move(hypothesis));
  if (hypotheses_.size() <= width) return;
  const bool with_prompt = config_.beam_length == BeamLength::kPromptAndGenerated;
  auto worst = hypotheses_.begin();
  for (auto it = hypotheses_.begin() + 1; it != hypotheses_.end(); ++it) {
    const bool newest = it + 1 == hypotheses_.end();
    // Of equal scores a newcomer goes first; among the older ones, the oldest (until 4.35) or the youngest.
    if (it->score < worst->score || (it->score == worst->score && (newest || !with_prompt))) worst = it;
  }
  hypotheses_.erase(worst);
}

const BeamSearch::Hypothesis& BeamSearch::best_hypothesis() const {
  if (!step_.finished)
    throw Error(ErrorKind::kInternal, "an unfinished beam search was asked for its result");
  const bool with_prompt = config_.beam_length == BeamLength::kPromptAndGenerated;
  const Hypothesis* best = &hypotheses_.front();
  for (const Hypothesis& hypothesis : hypotheses_) {
    if (hypothesis.score > best->score || (with_prompt && hypothesis.score == best->score))
      best = &hypothesis;
  }
  return *best;
}

std::vector<TokenId> BeamSearch::best() const {
  const Hypothesis& best = best_hypothesis();
  std::vector<TokenId> tokens = best.tokens;
  if (best.ended) tokens.push_back(config_.eos_token);
  return tokens;
}

double BeamSearch::best_score() const { return best_hypothesis().score; }

}  // namespace gptj
