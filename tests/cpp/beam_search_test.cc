// The beam search against Hugging Face generate(): golden results of two releases, and its refusals.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "gptj/beam_search.h"
#include "gptj/error.h"

namespace gptj::testing {
namespace {

// One line of tests/fixtures/beam_search/*.txt; see make_beam_golden.py.
struct GoldenCase {
  std::uint64_t seed = 0;
  std::int32_t vocab = 0;
  std::int64_t boost = 0;  // of the end token's logit, in units of 2^-15
  std::int32_t prompt = 0;
  GenerationConfig generation;
  double score = 0.0;
  std::vector<TokenId> tokens;
};

std::vector<GoldenCase> read_cases(const std::string& name, BeamLength beam_length) {
  const std::string path = std::string(GPTJ_FIXTURES_DIR) + "/beam_search/" + name;
  std::ifstream file(path);
  EXPECT_TRUE(file.is_open()) << path;
  std::vector<GoldenCase> cases;
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with("#")) continue;
    std::istringstream words(line);
    GoldenCase golden;
    std::size_t count = 0;
    GenerationConfig& generation = golden.generation;
    generation.beam_length = beam_length;
    words >> golden.seed >> golden.vocab >> generation.eos_token >> golden.boost >> golden.prompt >>
        generation.min_new_tokens >> generation.max_new_tokens >> generation.beam_width >>
        generation.length_penalty >> golden.score >> count;
    golden.tokens.resize(count);
    for (TokenId& token : golden.tokens) words >> token;
    EXPECT_TRUE(words) << path << ": " << line;
    cases.push_back(std::move(golden));
  }
  return cases;
}

std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}

// The hash that stands for a language model, as in make_beam_golden.py.
void append_logits(const GoldenCase& golden, const std::vector<TokenId>& generated,
                   std::vector<float>& logits) {
  std::uint64_t history = mix(golden.seed);
  for (const TokenId token : generated) history = mix(history + static_cast<std::uint64_t>(token) + 1);
  for (TokenId token = 0; token < golden.vocab; ++token) {
    const std::uint64_t step = static_cast<std::uint64_t>(token + 1) * 0x9e3779b97f4a7c15U;
    std::int64_t units = static_cast<std::int64_t>(mix(step + history) >> 46) - (1 << 17);
    if (token == golden.generation.eos_token) units += golden.boost;
    logits.push_back(static_cast<float>(units) * 0x1p-15F);
  }
}

BeamSearch replay(const GoldenCase& golden) {
  BeamSearch search(golden.generation, golden.prompt);
  std::vector<std::vector<TokenId>> beams(1);
  std::vector<float> logits;
  while (!search.finished()) {
    logits.clear();
    for (const auto& beam : beams) append_logits(golden, beam, logits);
    const BeamStep& step = search.step(logits, golden.vocab);
    std::vector<std::vector<TokenId>> next;
    for (std::size_t row = 0; row < step.parents.size(); ++row) {
      next.push_back(beams.at(static_cast<std::size_t>(step.parents[row])));
      next.back().push_back(step.tokens[row]);
    }
    beams = std::move(next);
  }
  return search;
}

void expect_golden(const std::vector<GoldenCase>& cases) {
  ASSERT_GE(cases.size(), 200U);
  std::size_t ended = 0;
  for (const GoldenCase& golden : cases) {
    const BeamSearch search = replay(golden);
    const auto& generation = golden.generation;
    EXPECT_EQ(search.best(), golden.tokens) << "seed " << golden.seed;
    EXPECT_NEAR(search.best_score(), golden.score, 1e-5 * (1.0 + std::abs(golden.score)))
        << "seed " << golden.seed;
    ended += golden.tokens.back() == generation.eos_token ? 1 : 0;
  }
  // The cases must show both ends of a search.
  EXPECT_GE(ended, 50U);
  EXPECT_LE(ended, cases.size() - 50U);
}

TEST(BeamSearch, GivesTheTokensOfTheReleasesThatCountThePrompt) {
  expect_golden(read_cases("prompt_and_generated.txt", BeamLength::kPromptAndGenerated));
}

TEST(BeamSearch, GivesTheTokensOfTheReleasesThatCountGeneratedTokens) {
  expect_golden(read_cases("generated.txt", BeamLength::kGenerated));
}

// Otherwise the two tests above would show less than they say.
TEST(BeamSearch, TheTwoLengthsDifferInTheGoldenCases) {
  std::size_t different = 0;
  for (GoldenCase golden : read_cases("generated.txt", BeamLength::kGenerated)) {
    golden.generation.beam_length = BeamLength::kPromptAndGenerated;
    if (replay(golden).best() != golden.tokens) ++different;
  }
  EXPECT_GE(different, 10U);
}

GenerationConfig small_generation() {
  GenerationConfig generation;
  generation.beam_width = 2;
  generation.min_new_tokens = 0;
  generation.max_new_tokens = 3;
  generation.eos_token = 5;
  return generation;
}

ErrorKind kind_of(const auto& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.kind();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorKind::kInternal;
}

TEST(BeamSearch, RefusesLogitsThatAreNoNumbers) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const std::size_t place : {0U, 15U, 16U, 36U}) {  // in the vectors and in the rest behind them
      BeamSearch search(small_generation(), 4);
      std::vector<float> logits(37, 0.5F);
      logits[place] = bad;
      EXPECT_EQ(kind_of([&] { search.step(logits, 37); }), ErrorKind::kNumeric) << bad << " at " << place;
    }
  }
  BeamSearch search(small_generation(), 4);
  const std::vector<float> hopeless(37, -std::numeric_limits<float>::infinity());
  EXPECT_EQ(kind_of([&] { search.step(hopeless, 37); }), ErrorKind::kNumeric);
}

TEST(BeamSearch, NamesTheLogitThatIsNoNumber) {
  BeamSearch search(small_generation(), 4);
  std::vector<float> logits(40, 0.0F);
  search.step(logits, 40);
  logits.resize(80);
  logits[40 + 33] = std::numeric_limits<float>::quiet_NaN();
  try {
    search.step(logits, 40);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("token 33 in beam row 1 "), std::string::npos) << error.what();
  }
}

TEST(BeamSearch, TakesMinusInfinityAsImpossible) {
  BeamSearch search(small_generation(), 4);
  std::vector<float> logits(32, -std::numeric_limits<float>::infinity());
  for (const std::size_t token : {3U, 8U, 9U, 20U, 21U}) logits[token] = static_cast<float>(token);
  EXPECT_EQ(search.step(logits, 32).tokens, (std::vector<TokenId>{21, 20}));
}

TEST(BeamSearch, RefusesWhatDoesNotFit) {
  BeamSearch search(small_generation(), 4);
  const std::vector<float> logits(4 * 40, 0.0F);
  // The first step is one row, and a vocabulary must hold more tokens than there are candidates.
  EXPECT_EQ(kind_of([&] { search.step(logits, 40); }), ErrorKind::kInvalidArgument);
  EXPECT_EQ(kind_of([&] { search.step(std::span(logits).first(4), 4); }), ErrorKind::kInvalidArgument);
  const std::vector<BeamCandidate> few(3);
  EXPECT_EQ(kind_of([&] { search.step(few); }), ErrorKind::kInvalidArgument);
  EXPECT_EQ(kind_of([&] { search.best(); }), ErrorKind::kInternal);
}

// Candidates from elsewhere, with scores that can be followed by hand: beams of width 2, end token 5.
TEST(BeamSearch, FollowsGivenCandidates) {
  BeamSearch search(small_generation(), 4);
  const std::vector<BeamCandidate> first{{0, 5, -1.0F}, {0, 7, -1.5F}, {0, 8, -2.0F}, {0, 9, -3.0F}};
  const BeamStep& step = search.step(first);
  EXPECT_FALSE(step.finished);
  EXPECT_EQ(step.tokens, (std::vector<TokenId>{7, 8}));
  // An end token behind the best `beam_width` candidates is dropped: one hypothesis, not two.
  const std::vector<BeamCandidate> second{{1, 3, -2.1F}, {0, 4, -2.2F}, {0, 5, -2.3F}, {0, 6, -2.4F}};
  EXPECT_FALSE(search.step(second).finished);
  EXPECT_EQ(step.parents, (std::vector<std::int32_t>{1, 0}));
  EXPECT_EQ(step.tokens, (std::vector<TokenId>{3, 4}));
  // Ends by its second hypothesis: -2.4 / (4 + 2) = -0.4 loses to -1.0 / 4 = -0.25.
  const std::vector<BeamCandidate> third{{0, 5, -2.4F}, {1, 2, -2.5F}, {1, 1, -2.6F}, {0, 1, -2.7F}};
  EXPECT_TRUE(search.step(third).finished);
  EXPECT_EQ(search.best(), (std::vector<TokenId>{5}));
  EXPECT_DOUBLE_EQ(search.best_score(), -0.25);
  EXPECT_EQ(search.generated_tokens(), 3);
  EXPECT_EQ(kind_of([&] { search.step(third); }), ErrorKind::kInternal);
}

}  // namespace
}  // namespace gptj::testing
