// Whether rounding alone can explain an answer. Beam search is a chain of comparisons, and engines whose
// arithmetic depends on the size of a step may decide those that are close either way; one that is decided
// otherwise changes the rest of the answer, so neither its tokens nor its score say whether it is right.
//
// The criterion: with every log-probability off from the reference's by at most `slack`, by whatever amount
// at whatever place, is there a beam search that gives exactly this answer? Two candidates may then change
// places only where their scores are as close as the slacks of those tokens that they do not share, added up;
// a token's slack cancels where both have it. Everything that is not that close has to go as the reference
// goes: which candidates stay, which end, when the search is over, which hypothesis wins.
//
// The search tries the likeliest decisions first, and only those that keep the answer alive; and small slacks
// before `slack` itself, since what they explain it explains too, and ways multiply with it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine_jobs.h"
#include "gptj/types.h"
#include "reference_gptj.h"

namespace gptj::testing {

// What rounding may do to the answers of an engine whose arithmetic depends on what shares a step.
struct Rounding {
  ModelConfig model;
  std::shared_ptr<const SyntheticModel> weights;
  Arithmetic arithmetic;  // the reference's
  double slack = 0.0;     // of a log-probability
};

class NearTies {
 public:
  using Tokens = std::vector<TokenId>;

  NearTies(ReferenceGptJ& reference, const GenerationConfig& generation)
      : reference_(reference), generation_(generation) {}

  bool explain(const Job& job, const Tokens& answer, double slack) {
    job_ = &job;
    answer_ = &answer;
    for (const double part : {0.125, 0.25, 0.5, 1.0}) {
      slack_ = part * slack;
      visited_ = 0;
      deepest_ = 0;
      seen_.clear();
      State start;
      start.beams.resize(1);
      if (leads_to_answer(start)) return true;
    }
    return false;
  }

  // For people, behind an explain() that said no: how far the answer was followed, and what it scores.
  std::string why_not() const {
    if (visited_ >= kMostStates) return "undecided after " + std::to_string(visited_) + " states";
    return "followed for " + std::to_string(deepest_) + " of " + std::to_string(answer_->size()) +
           " tokens in " + std::to_string(visited_) + " states";
  }

  // Sum of log-probabilities over length, as beam search ranks hypotheses.
  double score(const Job& job, const Tokens& answer) {
    Beam beam;
    for (const TokenId token : answer) {
      beam.sum += log_probabilities(job, beam.tokens)[static_cast<std::size_t>(token)];
      beam.tokens.push_back(token);
    }
    const bool ended = !answer.empty() && answer.back() == generation_.eos_token;
    if (ended) beam.tokens.pop_back();
    return beam.sum / length(job, beam.tokens.size(), ended);
  }

 private:
  static constexpr std::size_t kMostStates = 3000;

  struct Beam {
    Tokens tokens;  // generated; of a hypothesis without the end token
    double sum = 0.0;
    bool ended = false;

    auto operator<=>(const Beam&) const = default;
  };
  struct State {
    std::vector<Beam> beams;       // one in front of the first step, as all are the same
    std::vector<Beam> hypotheses;  // finished

    auto operator<=>(const State&) const = default;
  };
  struct Candidate {
    std::size_t beam = 0;
    TokenId token = 0;
    double sum = 0.0;
  };
  // A way the step may go: the best `width` of all candidates, and the best `width` of those that do not end.
  struct Choice {
    std::vector<std::size_t> best;
    std::vector<std::size_t> going_on;
    double loss = 0.0;  // how far it is from the reference's own choice
  };

  std::size_t width() const { return static_cast<std::size_t>(generation_.beam_width); }

  double length(const Job& job, std::size_t tokens, bool ended) const {
    const bool with_prompt = generation_.beam_length == BeamLength::kPromptAndGenerated;
    const double counted = static_cast<double>(tokens) +
                           (with_prompt ? static_cast<double>(job.prompt.size()) : (ended ? 1.0 : 0.0));
    return std::pow(counted, static_cast<double>(generation_.length_penalty));
  }

  std::vector<double> log_probabilities(const Job& job, const Tokens& generated) {
    Tokens text = job.prompt;
    text.insert(text.end(), generated.begin(), generated.end());
    std::vector<double> out = reference_.logits(text);
    const double largest = *std::ranges::max_element(out);
    double total = 0.0;
    for (const double logit : out) total += std::exp(logit - largest);
    for (double& logit : out) logit -= largest + std::log(total);
    return out;
  }

  bool is_end(const Candidate& candidate) const { return candidate.token == generation_.eos_token; }

  // Every candidate that may be among the best `width` of those that go on, best first, with all that end.
  std::vector<Candidate> candidates_of(const State& state) {
    std::vector<Candidate> all;
    const auto step = static_cast<std::int32_t>(state.beams.front().tokens.size());
    for (std::size_t b = 0; b < state.beams.size(); ++b) {
      const Beam& beam = state.beams[b];
      const std::vector<double> logs = log_probabilities(*job_, beam.tokens);
      for (std::size_t token = 0; token < logs.size(); ++token) {
        const auto id = static_cast<TokenId>(token);
        if (id == generation_.eos_token && step < job_->min_new_tokens) continue;
        all.push_back({b, id, beam.sum + logs[token]});
      }
    }
    std::ranges::sort(all, std::ranges::greater(), &Candidate::sum);
    return all;
  }

  // Tokens that two texts do not share, those of both counted.
  static double apart(const Tokens& a, const Tokens& b) {
    const auto [in_a, in_b] = std::ranges::mismatch(a, b);
    return static_cast<double>((a.end() - in_a) + (b.end() - in_b));
  }

  double slack_between(const State& state, const Candidate& a, const Candidate& b) const {
    return slack_ * (apart(state.beams[a.beam].tokens, state.beams[b.beam].tokens) + 2.0);
  }

  // Whether `a` may rank in front of `b`.
  bool may_lead(const State& state, const Candidate& a, const Candidate& b) const {
    return a.sum >= b.sum - slack_between(state, a, b);
  }

  // Sets of `count` out of `pool` (indices into `all`, best first) of which each may lead all others of the
  // pool; `visit(set, loss)`.
  template <typename Visit>
  void for_each_best(const State& state, const std::vector<Candidate>& all,
                     const std::vector<std::size_t>& pool, std::size_t count, const Visit& visit) const {
    // Who may be in: fewer than `count` surely lead it. Who must: fewer than `count` others may lead it.
    std::vector<std::size_t> open, sure;
    for (std::size_t i = 0; i < pool.size(); ++i) {
      const Candidate& one = all[pool[i]];
      std::size_t leaders = 0;
      std::size_t rivals = 0;
      for (std::size_t j = 0; j < pool.size() && leaders < count; ++j) {
        const Candidate& other = all[pool[j]];
        if (i == j) continue;
        if (!may_lead(state, one, other)) ++leaders;
        if (may_lead(state, other, one)) ++rivals;
      }
      if (leaders >= count) {
        // Further down the list nothing comes back into reach once the score alone is too far away.
        if (one.sum < all[pool[count - 1]].sum - 2.0 * slack_ * (most_apart(state) + 1.0)) break;
        continue;
      }
      (rivals < count ? sure : open).push_back(pool[i]);
    }
    std::vector<std::size_t> chosen;
    const std::size_t wanted = count - std::min(count, sure.size());
    const auto pick = [&](const auto& self, std::size_t from) -> void {
      if (chosen.size() == wanted) {
        std::vector<std::size_t> set = sure;
        set.insert(set.end(), chosen.begin(), chosen.end());
        double loss = 0.0;
        for (const std::size_t out : open) {
          if (std::ranges::find(chosen, out) != chosen.end()) continue;
          for (const std::size_t in : set) {
            if (!may_lead(state, all[in], all[out])) return;
            loss += std::max(0.0, all[out].sum - all[in].sum);
          }
        }
        visit(set, loss);
        return;
      }
      for (std::size_t i = from; i + (wanted - chosen.size()) <= open.size(); ++i) {
        chosen.push_back(open[i]);
        self(self, i + 1);
        chosen.pop_back();
      }
    };
    pick(pick, 0);
  }

  static double most_apart(const State& state) {
    double most = 0.0;
    for (const Beam& a : state.beams) {
      for (const Beam& b : state.beams) most = std::max(most, apart(a.tokens, b.tokens));
    }
    return most;
  }

  std::vector<Choice> choices_of(const State& state, const std::vector<Candidate>& all) const {
    std::vector<std::size_t> everyone(all.size());
    for (std::size_t i = 0; i < all.size(); ++i) everyone[i] = i;
    std::vector<Choice> choices;
    for_each_best(state, all, everyone, width(), [&](const std::vector<std::size_t>& best, double loss) {
      std::vector<std::size_t> staying, rest;
      for (std::size_t i = 0; i < all.size(); ++i) {
        if (is_end(all[i])) continue;
        (std::ranges::find(best, i) != best.end() ? staying : rest).push_back(i);
      }
      const std::size_t missing = width() - staying.size();
      if (missing == 0) {
        choices.push_back({best, staying, loss});
        return;
      }
      for_each_best(state, all, rest, missing, [&](const std::vector<std::size_t>& more, double more_loss) {
        std::vector<std::size_t> going_on = staying;
        going_on.insert(going_on.end(), more.begin(), more.end());
        choices.push_back({best, std::move(going_on), loss + more_loss});
      });
    });
    std::ranges::stable_sort(choices, {}, &Choice::loss);
    return choices;
  }

  bool is_answer(const Beam& hypothesis) const {
    const bool ended = answer_->back() == generation_.eos_token;
    return hypothesis.ended == ended && hypothesis.tokens.size() + (ended ? 1 : 0) == answer_->size() &&
           std::ranges::equal(hypothesis.tokens,
                              std::span(*answer_).first(answer_->size() - (ended ? 1 : 0)));
  }

  // How much hypothesis `a` may gain on `b`: as slack_between, where sums are divided by lengths.
  double hypothesis_slack(const Beam& a, const Beam& b) const {
    const auto common = static_cast<double>(std::ranges::mismatch(a.tokens, b.tokens).in1 - a.tokens.begin());
    const double of_a = static_cast<double>(a.tokens.size() + (a.ended ? 1 : 0));
    const double of_b = static_cast<double>(b.tokens.size() + (b.ended ? 1 : 0));
    const double a_length = length(*job_, a.tokens.size(), a.ended);
    const double b_length = length(*job_, b.tokens.size(), b.ended);
    return slack_ * (common * std::abs(1.0 / a_length - 1.0 / b_length) + (of_a - common) / a_length +
                     (of_b - common) / b_length);
  }

  bool may_beat(const Beam& a, const Beam& b) const {
    return a.sum / length(*job_, a.tokens.size(), a.ended) >=
           b.sum / length(*job_, b.tokens.size(), b.ended) - hypothesis_slack(a, b);
  }

  // Whether the answer can still win: as a hypothesis that none surely beats, or in a beam.
  bool is_alive(const State& state) {
    for (const Beam& hypothesis : state.hypotheses) {
      if (!is_answer(hypothesis)) continue;
      return std::ranges::all_of(state.hypotheses,
                                 [&](const Beam& other) { return may_beat(hypothesis, other); });
    }
    for (const Beam& beam : state.beams) {
      if (beam.tokens.size() >= answer_->size()) continue;
      if (std::ranges::equal(beam.tokens, std::span(*answer_).first(beam.tokens.size()))) {
        deepest_ = std::max(deepest_, beam.tokens.size());
        return true;
      }
    }
    return false;
  }

  bool has_answer(const State& state) const {
    return std::ranges::any_of(state.hypotheses, [&](const Beam& one) { return is_answer(one); });
  }

  // The state behind a step, and whether the search is over.
  std::pair<State, bool> follow(const State& state, const std::vector<Candidate>& all,
                                const Choice& choice) const {
    State next;
    next.hypotheses = state.hypotheses;
    const auto extended = [&](const Candidate& candidate) {
      Beam beam = state.beams[candidate.beam];
      beam.sum = candidate.sum;
      if (is_end(candidate))
        beam.ended = true;
      else
        beam.tokens.push_back(candidate.token);
      return beam;
    };
    const bool at_limit =
        static_cast<std::int32_t>(state.beams.front().tokens.size()) + 1 >= job_->max_new_tokens;
    const bool with_prompt = generation_.beam_length == BeamLength::kPromptAndGenerated;
    for (const std::size_t i : choice.going_on) next.beams.push_back(extended(all[i]));
    for (const std::size_t i : choice.best) {
      if (is_end(all[i]) || (at_limit && !with_prompt)) next.hypotheses.push_back(extended(all[i]));
    }
    bool over = next.hypotheses.size() >= width();
    if (at_limit && !over && with_prompt) {
      next.hypotheses.insert(next.hypotheses.end(), next.beams.begin(), next.beams.end());
    }
    std::ranges::sort(next.beams);
    std::ranges::sort(next.hypotheses);
    return {std::move(next), over || at_limit};
  }

  bool leads_to_answer(const State& state) {
    if (visited_ >= kMostStates || !seen_.insert(state).second) return false;
    ++visited_;
    const std::vector<Candidate> all = candidates_of(state);
    for (const Choice& choice : choices_of(state, all)) {
      const auto [next, over] = follow(state, all, choice);
      if (!is_alive(next)) continue;
      if (over ? has_answer(next) : leads_to_answer(next)) return true;
    }
    return false;
  }

  ReferenceGptJ& reference_;
  GenerationConfig generation_;
  const Job* job_ = nullptr;
  const Tokens* answer_ = nullptr;
  double slack_ = 0.0;
  std::size_t visited_ = 0;
  std::size_t deepest_ = 0;
  std::set<State> seen_;
};

}  // namespace gptj::testing
