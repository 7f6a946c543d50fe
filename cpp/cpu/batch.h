// One step's work in the form that the network computes it: a packed matrix of token rows, without padding.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cpu/kv_cache.h"
#include "gptj/types.h"

namespace gptj::cpu {

// Up to eight rows that attend to the cache rows of one request together.
struct QueryGroup {
  std::int32_t first_row = 0;  // in the batch
  std::int32_t count = 0;
  std::span<const std::int32_t>
      blocks;                      // the request's: those of the prompt, then those of the generated tokens
  std::int32_t prompt_blocks = 0;  // how many of `blocks` hold the prompt
  // Prompt positions that the first row sees; the further rows see one more each if `causal`, else the same.
  std::int32_t visible_prompt = 0;
  bool causal = false;
  // Decoding rows, row b being beam b: generated position t of beam b was written by slot table[b][t], which
  // is cache row t * beam_width + slot behind the prompt's blocks. Empty for prompt rows.
  std::span<const std::vector<std::uint8_t>> table;
  std::int32_t generated = 0;  // generated positions in the cache, this step's included
};

struct Batch {
  std::vector<TokenId> tokens;           // [rows]
  std::vector<std::int32_t> positions;   // [rows]
  std::vector<CacheRow> cache_rows;      // [rows] where each row's key and value go
  std::vector<QueryGroup> groups;        // cover every row once
  std::vector<std::int32_t> logit_rows;  // rows whose logits are wanted, in order

  std::int32_t rows() const { return static_cast<std::int32_t>(tokens.size()); }
  void clear() {
    tokens.clear();
    positions.clear();
    cache_rows.clear();
    groups.clear();
    logit_rows.clear();
  }
};

}  // namespace gptj::cpu
