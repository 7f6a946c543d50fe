// What decode attention reads (decode_attention.cu says how it works): a request's cache rows cut into tiles
// of 16 tokens, and the ring of tiles that each warp keeps filled.
#pragma once

#include <cstdint>

#include "cuda/kernels/async_copy.cuh"
#include "cuda/kernels/attention.h"

namespace gptj::cuda::decode {

constexpr int kTileTokens = 16;
constexpr int kStages = 3;  // tiles in a warp's ring
constexpr unsigned kAllLanes = 0xFFFFFFFFU;
constexpr float kNegativeInfinity = -INFINITY;
// The running maximum is left behind by up to this many powers of two before the sums are rescaled: P stays
// below 2^8, far from the end of fp16, and most tiles rescale nothing.
constexpr float kMaximumSlack = 8.0F;

template <ElementType kType, int kHeadDim>
struct DecodeShape {
  static constexpr int kElementBytes = kType == ElementType::kF16 ? 2 : 1;
  static constexpr int kRowBytes = kHeadDim * kElementBytes;
  static constexpr int kTileBytes = kTileTokens * kRowBytes;
  static constexpr int kStageBytes = 2 * kTileBytes;  // K, then V
  static constexpr int kWarpBytes = kStages * kStageBytes;
  // Two thread blocks on a multiprocessor of 227 KB: one streams while the other begins or ends.
  static constexpr int kWarps = kWarpBytes > 24 * 1024 ? 2 : 4;
  static constexpr int kSharedBytes = kWarps * kWarpBytes;

  // K: a thread reads 16 bytes of every 64 of a row.
  static constexpr int kKeyElements = 16 / kElementBytes;
  static constexpr int kKeyChunks = kRowBytes / 64;
  // V: a thread reads up to 16 bytes of every eight times as many.
  static constexpr int kValueBytes = kRowBytes / 8 < 16 ? kRowBytes / 8 : 16;
  static constexpr int kValueElements = kValueBytes / kElementBytes;
  static constexpr int kValueChunks = kRowBytes / (8 * kValueBytes);
  static constexpr int kValueWords = kValueBytes / 4;
};

// What the warps leave for the merge, and what a warp knows of the tiles in its ring.
template <int kWarps>
struct DecodeScratch {
  std::uint64_t barriers[kWarps][kStages];
  std::uint8_t beams[kWarps][kStages][kTileTokens];  // bit b: beam b sees this token; of masked tiles only
  float maximum[kWarps][kMaxBeams];
  float sum[kWarps][kMaxBeams];
};

// The rows of one request and head in the cache, cut into tiles: those of the prompt, then those of the
// suffix.
class RequestTiles {
 public:
  __device__ RequestTiles(const DecodeAttention& work, const DecodeItem& item)
      : blocks_(work.input.tables.blocks + static_cast<std::int64_t>(item.slot) * work.input.tables.stride),
        beam_table_(reinterpret_cast<const std::uint32_t*>(work.beam_table) +
                    static_cast<std::int64_t>(item.slot) * work.max_new_tokens),
        block_size_(work.input.cache.block_size),
        beam_width_(work.beam_width),
        prompt_tokens_(item.prompt_tokens),
        suffix_rows_(item.generated * work.beam_width),
        prompt_tiles_((item.prompt_tokens + kTileTokens - 1) / kTileTokens) {}

  __device__ int count() const { return prompt_tiles_ + (suffix_rows_ + kTileTokens - 1) / kTileTokens; }
  __device__ bool is_prompt(int tile) const { return tile < prompt_tiles_; }
  // Whether every beam sees every token of the tile.
  __device__ bool is_full(int tile) const { return (tile + 1) * kTileTokens <= prompt_tokens_; }
  __device__ int prompt_rows(int tile) const { return min(kTileTokens, prompt_tokens_ - tile * kTileTokens); }

  __device__ int block(int tile) const {
    const int prompt_blocks = (prompt_tokens_ + block_size_ - 1) / block_size_;
    const int base = is_prompt(tile) ? 0 : prompt_blocks;
    return __ldg(blocks_ + base + first_row(tile) / block_size_);
  }
  __device__ int offset(int tile) const { return first_row(tile) % block_size_; }

  // Bit b: beam b sees row `row` of the tile.
  __device__ std::uint32_t beams(int tile, int row) const {
    if (is_prompt(tile)) return row < prompt_rows(tile) ? 0xFU : 0U;
    const int suffix_row = first_row(tile) + row;
    if (suffix_row >= suffix_rows_) return 0;
    const std::uint32_t position = static_cast<std::uint32_t>(suffix_row / beam_width_);
    const std::uint32_t holder = static_cast<std::uint32_t>(suffix_row) - position * beam_width_;
    const std::uint32_t history = __ldg(beam_table_ + position);
    std::uint32_t bits = 0;
#pragma unroll
    for (int beam = 0; beam < kMaxBeams; ++beam)
      if (beam < beam_width_ && ((history >> (8 * beam)) & 0xFFU) == holder) bits |= 1U << beam;
    return bits;
  }

 private:
  // The tile's first row among the prompt's or the suffix's rows.
  __device__ int first_row(int tile) const {
    return (is_prompt(tile) ? tile : tile - prompt_tiles_) * kTileTokens;
  }

  const std::int32_t* blocks_;
  const std::uint32_t* beam_table_;
  int block_size_;
  int beam_width_;
  int prompt_tokens_;
  int suffix_rows_;
  int prompt_tiles_;
};

// A warp's ring of tiles. All lanes call every function.
template <ElementType kType, int kHeadDim>
class TileRing {
 public:
  using Shape = DecodeShape<kType, kHeadDim>;

  __device__ TileRing(const DecodeAttention& work, const RequestTiles& tiles, unsigned char* stages,
                      std::uint64_t* barriers, std::uint8_t (*beams)[kTileTokens])
      : tiles_(tiles),
        keys_(static_cast<const unsigned char*>(work.input.cache.keys)),
        values_(static_cast<const unsigned char*>(work.input.cache.values)),
        block_size_(work.input.cache.block_size),
        heads_(work.dims.heads),
        stages_(stages),
        barriers_(shared_address(barriers)),
        beams_(beams),
        lane_(static_cast<int>(threadIdx.x) % 32) {
#if __CUDA_ARCH__ >= 900
    if (lane_ == 0) {
      for (int stage = 0; stage < kStages; ++stage) barrier_init(barrier(stage), 1);
      barrier_init_fence();
    }
    __syncwarp();
#endif
  }

  // Where `tile` will come from: read ahead of its start(), which would otherwise wait for the table.
  __device__ void look_up(int tile) {
    if (tile < tiles_.count()) next_block_ = tiles_.block(tile);
  }

  // Begins to copy the tile that was looked up last. Past the last tile there is nothing to copy, but
  // cp.async counts groups, so it must still be called.
  __device__ void start(int tile, int stage) {
    if (tile < tiles_.count()) {
      const std::int64_t row =
          (static_cast<std::int64_t>(next_block_) * heads_ + static_cast<int>(blockIdx.x)) * block_size_ +
          tiles_.offset(tile);
      const unsigned char* keys = keys_ + row * Shape::kRowBytes;
      const unsigned char* values = values_ + row * Shape::kRowBytes;
      std::uint32_t seen = 0xFFFFU;
      if (!tiles_.is_full(tile)) {
        const std::uint32_t beams = lane_ < kTileTokens ? tiles_.beams(tile, lane_) : 0U;
        if (lane_ < kTileTokens) beams_[stage][lane_] = static_cast<std::uint8_t>(beams);
        seen = __ballot_sync(kAllLanes, beams != 0);
      }
      copy(keys, values, stage, tiles_.is_prompt(tile), seen);
    }
#if __CUDA_ARCH__ < 900
    copy_async_commit();
#endif
  }

  __device__ void wait(int stage, std::uint32_t parity) {
#if __CUDA_ARCH__ >= 900
    barrier_wait(barrier(stage), parity);
#else
    copy_async_wait<kStages - 1>();
    __syncwarp();
#endif
  }

  __device__ const unsigned char* keys(int stage) const { return stages_ + stage * Shape::kStageBytes; }
  __device__ const unsigned char* values(int stage) const { return keys(stage) + Shape::kTileBytes; }
  __device__ std::uint32_t beams(int stage, int row) const { return beams_[stage][row]; }

 private:
  // `seen` has a bit for each row of the tile that must arrive; of a prompt's tile these are its first rows.
  __device__ void copy(const unsigned char* keys, const unsigned char* values, int stage, bool contiguous,
                       std::uint32_t seen) {
    const std::uint32_t destination = shared_address(stages_) + stage * Shape::kStageBytes;
#if __CUDA_ARCH__ >= 900
    const std::uint32_t bytes = __popc(seen) * Shape::kRowBytes;
    if (lane_ == 0) {
      barrier_expect(barrier(stage), 2 * bytes);
      if (contiguous) {
        copy_bulk(destination, keys, bytes, barrier(stage));
        copy_bulk(destination + Shape::kTileBytes, values, bytes, barrier(stage));
      }
    }
    __syncwarp();
    if (!contiguous && ((seen >> lane_) & 1U) != 0) {
      const int row = lane_ * Shape::kRowBytes;
      copy_bulk(destination + row, keys + row, Shape::kRowBytes, barrier(stage));
      copy_bulk(destination + Shape::kTileBytes + row, values + row, Shape::kRowBytes, barrier(stage));
    }
#else
    (void)contiguous;
#pragma unroll 4
    for (int at = 16 * lane_; at < Shape::kTileBytes; at += 16 * 32) {
      if (((seen >> (at / Shape::kRowBytes)) & 1U) == 0) continue;
      copy_async_16(destination + at, keys + at);
      copy_async_16(destination + Shape::kTileBytes + at, values + at);
    }
#endif
  }

  __device__ std::uint32_t barrier(int stage) const { return barriers_ + 8 * stage; }

  const RequestTiles& tiles_;
  const unsigned char* keys_;
  const unsigned char* values_;
  int block_size_;
  int heads_;
  unsigned char* stages_;
  std::uint32_t barriers_;
  std::uint8_t (*beams_)[kTileTokens];
  int lane_;
  int next_block_ = 0;
};

}  // namespace gptj::cuda::decode
