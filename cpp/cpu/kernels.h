// The CPU engine's own kernels: what lies between the matrix products. One table of functions for each
// instruction set; the best one that the processor has is chosen when an engine is created.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gptj::cpu {

// Keys of 16 consecutive cache rows are stored side by side, so that one vector holds one dimension of 16
// keys.
inline constexpr int kRowsPerTile = 16;
// Queries that share one pass over the keys.
inline constexpr int kQueriesPerTask = 8;

// A run of cache rows that lie in one KV block, for one layer and one head.
// keys:   [rows / 16, head_dim, 16]
// values: [rows, head_dim]
template <typename Element>
struct KvTile {
  const Element* keys = nullptr;
  const Element* values = nullptr;
};

// Attention of up to kQueriesPerTask queries of one request and one head over tiles of 16 rows.
// Element: float, or std::uint16_t for bfloat16.
template <typename Element>
struct AttentionTask {
  std::int32_t queries = 0;
  std::int32_t head_dim = 0;  // a multiple of 16
  float scale = 0.0F;         // 1 / sqrt(head_dim)
  const KvTile<Element>* tiles = nullptr;
  std::ptrdiff_t tile_count = 0;
  const float* query[kQueriesPerTask] = {};  // [head_dim] each
  Element* out[kQueriesPerTask] = {};        // [head_dim] each
  // [queries, 16 * tiles]: 0 for a row that the query sees, -infinity for one that it does not. Holds the
  // probabilities afterwards.
  float* scores = nullptr;
};

struct Kernels {
  void (*attend_f32)(const AttentionTask<float>& task) = nullptr;
  void (*attend_bf16)(const AttentionTask<std::uint16_t>& task) = nullptr;
  // out[i] = (x[i] - mean) / sqrt(variance + epsilon) * weight[i] + bias[i]; width is a multiple of 16
  void (*layer_norm_f32)(const float* x, const float* weight, const float* bias, float epsilon,
                         std::int32_t width, float* out) = nullptr;
  void (*layer_norm_bf16)(const float* x, const float* weight, const float* bias, float epsilon,
                          std::int32_t width, std::uint16_t* out) = nullptr;
  const char* name = "";
};

// For the processor that this runs on.
const Kernels& best_kernels();

// One for each file that is compiled for its instruction set. Calling a table's functions on a processor
// without that set ends the process.
extern const Kernels kKernelsBaseline;
extern const Kernels kKernelsAvx2;
extern const Kernels kKernelsAvx512;

}  // namespace gptj::cpu
