#include "harness/sample_set.h"

#include <limits>
#include <string>
#include <utility>

#include "gptj/error.h"

namespace gptj {
namespace {

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorKind::kInvalidArgument, message); }

void check_offsets(std::span<const std::uint64_t> offsets, std::size_t tokens) {
  if (offsets.size() < 2) refuse("the sample set is empty: a run needs at least one sample");
  if (offsets.front() != 0) {
    refuse("the first sample must start at token 0, not at " + std::to_string(offsets.front()));
  }
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
    if (offsets[i + 1] <= offsets[i]) refuse("sample " + std::to_string(i) + " has no tokens");
    if (offsets[i + 1] - offsets[i] > static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max())) {
      refuse("sample " + std::to_string(i) + " has more tokens than 32 bits count");
    }
  }
  if (offsets.back() != tokens) {
    refuse("the samples end at token " + std::to_string(offsets.back()) + ", but " + std::to_string(tokens) +
           " tokens were given");
  }
}

void check_count(const char* name, std::size_t values, std::size_t samples) {
  if (values != 0 && values != samples) {
    refuse(std::string(name) + " has " + std::to_string(values) + " values for " + std::to_string(samples) +
           " samples; give one for each, or none");
  }
}

}  // namespace

SampleSet::SampleSet(std::vector<TokenId> tokens, std::vector<std::uint64_t> offsets,
                     std::vector<std::int32_t> min_new_tokens, std::vector<std::int32_t> max_new_tokens)
    : tokens_(std::move(tokens)),
      offsets_(std::move(offsets)),
      min_new_tokens_(std::move(min_new_tokens)),
      max_new_tokens_(std::move(max_new_tokens)) {
  check_offsets(offsets_, tokens_.size());
  check_count("min_new_tokens", min_new_tokens_.size(), size());
  check_count("max_new_tokens", max_new_tokens_.size(), size());
}

std::span<const TokenId> SampleSet::prompt(std::size_t sample) const {
  return std::span(tokens_).subspan(offsets_[sample], offsets_[sample + 1] - offsets_[sample]);
}

NewTokenRange SampleSet::new_tokens(std::size_t sample, const GenerationConfig& generation) const {
  return NewTokenRange{
      .min = min_new_tokens_.empty() ? generation.min_new_tokens : min_new_tokens_[sample],
      .max = max_new_tokens_.empty() ? generation.max_new_tokens : max_new_tokens_[sample],
  };
}

}  // namespace gptj
