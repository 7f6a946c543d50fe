// What the kernels of the GPU engines share: element types, shapes, and the arrays that describe a step. All
// pointers are device pointers unless a comment says otherwise. No function here synchronises; each launches
// on the stream it is given, and the caller checks the launch with check_launch() of cuda/check.h.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace gptj::cuda {

// What activations are stored in between kernels and in the KV cache. With kF8E4M3 a stored value x stands
// for x * scale.
enum class ElementType : std::uint8_t { kF16, kF8E4M3 };

constexpr std::size_t element_bytes(ElementType type) { return type == ElementType::kF16 ? 2 : 1; }

// Beams that the kernels have room for. Arrays indexed by beam always have this many entries, whatever the
// width.
inline constexpr int kMaxBeams = 4;
// Candidates of a beam search step: 2 * kMaxBeams.
inline constexpr int kMaxCandidates = 8;

struct ModelDims {
  int hidden = 0;  // n_embd = heads * head_dim
  int heads = 0;
  int head_dim = 0;    // 64, 128 or 256
  int rotary_dim = 0;  // leading dimensions of each head that are rotated, in interleaved pairs
  int vocab = 0;
};

// The rows of a step, packed without padding: decode rows first (beam_width neighbouring rows for each
// decoding request), then the prompt chunks.
struct StepRows {
  int rows = 0;
  const std::int32_t* token =
      nullptr;  // [rows] the token; -1 - beam for a decode row, whose token the search chose
  const std::int32_t* slot = nullptr;      // [rows] request slot
  const std::int32_t* position = nullptr;  // [rows] position in the sequence, for the rotary embedding
  const std::int32_t* cache_row =
      nullptr;  // [rows] block * block_size + offset: where the row's K and V are stored
};

// The KV cache of one layer: K and V each [blocks, heads, block_size, head_dim].
struct KvLayer {
  void* keys = nullptr;
  void* values = nullptr;
  ElementType type = ElementType::kF16;
  float key_scale = 1.0F;
  float value_scale = 1.0F;
  int block_size = 0;  // tokens in a block: a multiple of 16
};

// Which blocks a request holds: those of its prompt first, ceil(prompt_tokens / block_size) of them, then
// those of its generated tokens. Generated position s of beam row b ("suffix row" s * beam_width + b) is in
// block prompt_blocks + (s * beam_width + b) / block_size at offset (s * beam_width + b) % block_size.
struct BlockTables {
  const std::int32_t* blocks = nullptr;  // [slots, stride]
  int stride = 0;
};

// One decoding request: its beam_width rows begin at first_row. `generated` counts the generated positions
// whose K and V are in the cache by the time attention runs, this step's included.
struct DecodeItem {
  std::int32_t slot = 0;
  std::int32_t first_row = 0;
  std::int32_t prompt_tokens = 0;
  std::int32_t generated = 0;
};

// Consecutive prompt tokens of one request: `count` rows from first_row, at positions from first_position.
// The query at position p sees the request's prompt rows 0..p, all of which are in the cache by then.
struct ChunkItem {
  std::int32_t slot = 0;
  std::int32_t first_row = 0;
  std::int32_t count = 0;
  std::int32_t first_position = 0;
};

}  // namespace gptj::cuda
