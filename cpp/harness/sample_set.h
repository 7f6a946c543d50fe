// The tokenised samples of one run, as flat arrays: what LoadGen's sample library hands out by index.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "gptj/types.h"

namespace gptj {

// How many tokens may be generated for one sample.
struct NewTokenRange {
  std::int32_t min = 0;
  std::int32_t max = 0;
};

class SampleSet {
 public:
  // Prompt i is tokens[offsets[i]] up to, but not with, tokens[offsets[i + 1]]. `min_new_tokens` and
  // `max_new_tokens` are empty, or hold one value for each sample. Throws Error(kInvalidArgument).
  SampleSet(std::vector<TokenId> tokens, std::vector<std::uint64_t> offsets,
            std::vector<std::int32_t> min_new_tokens, std::vector<std::int32_t> max_new_tokens);

  std::size_t size() const { return offsets_.size() - 1; }
  std::span<const TokenId> prompt(std::size_t sample) const;

  // The sample's own range where it has one, else that of `generation`.
  NewTokenRange new_tokens(std::size_t sample, const GenerationConfig& generation) const;

 private:
  std::vector<TokenId> tokens_;
  std::vector<std::uint64_t> offsets_;        // [size + 1]
  std::vector<std::int32_t> min_new_tokens_;  // [size] or empty
  std::vector<std::int32_t> max_new_tokens_;  // [size] or empty
};

}  // namespace gptj
