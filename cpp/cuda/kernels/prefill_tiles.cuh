// What the two prefill kernels share (prefill_attention.cu says how they work): 64 query rows for a group of
// four warps, keys and values in tiles of 64 tokens, both as halves in shared memory.
#pragma once

#include "cuda/kernels/async_copy.cuh"
#include "cuda/kernels/attention.h"
#include "cuda/kernels/fp8.cuh"
#include "cuda/kernels/mma.cuh"
#include "cuda/kernels/wgmma.cuh"

namespace gptj::cuda::prefill {

constexpr int kTileKeys = 64;
constexpr int kGroupTokens = 16;  // blocks of the cache are multiples of this
constexpr int kGroupRows = 64;    // query rows of a group of warps
constexpr int kGroupThreads = 128;
constexpr unsigned kAllLanes = 0xFFFFFFFFU;
constexpr float kNegativeInfinity = -INFINITY;
// As in decode attention: the sums are rescaled only when the maximum has risen by more powers of two than
// this.
constexpr float kMaximumSlack = 8.0F;

// Operands lie in panels of 64 columns of halves: 64 rows of 128 bytes, swizzled (wgmma.cuh).
constexpr int kPanelColumns = 64;
constexpr int kPanelRowBytes = 128;
constexpr int kPanelBytes = 64 * kPanelRowBytes;

__device__ __forceinline__ int swizzled(int row, int piece) {
  return row * kPanelRowBytes + ((piece ^ (row % 8)) * 16);
}

template <ElementType kType, int kHeadDim>
struct PrefillShape {
  static constexpr bool kFp8 = kType == ElementType::kF8E4M3;
  static constexpr int kPanels = kHeadDim / kPanelColumns;
  static constexpr int kTileBytes = kPanels * kPanelBytes;  // of K, of V, and of a group's queries
  static constexpr int kCacheRowBytes = kHeadDim * (kFp8 ? 1 : 2);
  static constexpr int kRawBytes = kFp8 ? kTileKeys * kCacheRowBytes : 0;  // a tile of the cache as it is
};

// Fills `groups` with the cache row that each group of 16 visible tokens begins at, and rounds it up to whole
// tiles with the first. A group lies within one block of the cache.
__device__ inline void find_groups(const PrefillAttention& work, const ChunkItem& item, int tokens,
                                   std::int32_t* groups, int thread, int threads) {
  const std::int32_t* const blocks =
      work.input.tables.blocks + static_cast<std::int64_t>(item.slot) * work.input.tables.stride;
  const int block_size = work.input.cache.block_size;
  const int count = (tokens + kTileKeys - 1) / kTileKeys * (kTileKeys / kGroupTokens);
  for (int group = thread; group < count; group += threads) {
    const int token = group * kGroupTokens < tokens ? group * kGroupTokens : 0;
    const int block = __ldg(blocks + token / block_size);
    groups[group] =
        (block * work.dims.heads + static_cast<int>(blockIdx.x)) * block_size + token % block_size;
  }
}

// The cache rows of one request and head, for a group of four warps to copy into shared memory in tiles of 64
// tokens: as halves, swizzled, or from an FP8 cache as raw tiles first, rows of kCacheRowBytes one after the
// other, which are then converted. Warp w has the 16 tokens from 16 w in both, so that it waits for nobody
// but itself in between.
template <typename Shape>
class TileLoader {
 public:
  // `groups` as find_groups() leaves it; `thread` in [0, kGroupThreads).
  __device__ TileLoader(const std::int32_t* groups, int tokens, int thread)
      : groups_(groups), tokens_(tokens), warp_(thread / 32), lane_(thread % 32) {}

  // Begins to copy a tile to `destination`: raw from an FP8 cache, swizzled from an FP16 cache. Rows beyond
  // the visible ones become zeros: their bytes in the cache may be anything, also NaN.
  __device__ void copy(int tile, const unsigned char* cache, unsigned char* destination) const {
    constexpr int kPieces = Shape::kCacheRowBytes / 16;  // of a row
    constexpr int kTurnRows = 32 / kPieces;
    const int piece = lane_ % kPieces;
    const std::uint32_t target = shared_address(destination);
    const unsigned char* source =
        group_in(tile, cache) + lane_ / kPieces * Shape::kCacheRowBytes + 16 * piece;
    const int rows = visible_rows(tile);
#pragma unroll
    for (int turn = 0; turn < kGroupTokens / kTurnRows; ++turn) {
      const int group_row = turn * kTurnRows + lane_ / kPieces;
      const int row = kGroupTokens * warp_ + group_row;
      const int place = Shape::kFp8 ? row * Shape::kCacheRowBytes + 16 * piece
                                    : piece / 8 * kPanelBytes + swizzled(row, piece % 8);
      copy_async_16(target + place, source + turn * kTurnRows * Shape::kCacheRowBytes, group_row < rows);
    }
  }

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  // The same of an FP8 cache with the copy engine. The warp's own `barrier` waits for the bytes. What lies
  // beyond the visible rows is left as it is.
  __device__ void copy_raw_bulk(int tile, const unsigned char* cache, unsigned char* raw,
                                std::uint32_t barrier) const {
    if (lane_ != 0) return;
    const int bytes = visible_rows(tile) * Shape::kCacheRowBytes;
    barrier_expect(barrier, bytes);
    if (bytes > 0)
      copy_bulk(shared_address(raw) + kGroupTokens * warp_ * Shape::kCacheRowBytes, group_in(tile, cache),
                bytes, barrier);
  }
#endif

  // Converts the warp's part of a raw tile, with zeros for rows beyond the visible ones.
  __device__ void convert(int tile, const unsigned char* raw, unsigned char* destination) const {
    // Neighbouring lanes take neighbouring 8 bytes and write neighbouring pieces of 16: no bank is met twice.
    constexpr int kPieces = Shape::kCacheRowBytes / 8;
    constexpr int kTurnRows = 32 / kPieces;
    constexpr int kTurns = kGroupTokens / kTurnRows;
    constexpr int kBatch = kTurns < 8 ? kTurns : 8;  // loads under way at once
    const int piece = lane_ % kPieces;
    const unsigned char* const source = raw + kGroupTokens * warp_ * Shape::kCacheRowBytes + 8 * lane_;
    unsigned char* const panel = destination + piece / 8 * kPanelBytes;
    const int rows = visible_rows(tile);
#pragma unroll
    for (int first = 0; first < kTurns; first += kBatch) {
      uint2 bytes[kBatch];
#pragma unroll
      for (int i = 0; i < kBatch; ++i)
        bytes[i] = *reinterpret_cast<const uint2*>(source + (first + i) * 32 * 8);
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int group_row = (first + i) * kTurnRows + lane_ / kPieces;
        const bool visible = group_row < rows;
        const uint2 low = e4m3x4_to_half4(visible ? bytes[i].x : 0U);
        const uint2 high = e4m3x4_to_half4(visible ? bytes[i].y : 0U);
        *reinterpret_cast<uint4*>(panel + swizzled(kGroupTokens * warp_ + group_row, piece % 8)) =
            make_uint4(low.x, low.y, high.x, high.y);
      }
    }
  }

 private:
  // Of the warp's 16 tokens in a tile: where they begin, and how many of them are visible.
  __device__ const unsigned char* group_in(int tile, const unsigned char* cache) const {
    const std::int64_t row = groups_[tile * (kTileKeys / kGroupTokens) + warp_];
    return cache + row * Shape::kCacheRowBytes;
  }
  __device__ int visible_rows(int tile) const {
    return max(0, min(kGroupTokens, tokens_ - tile * kTileKeys - kGroupTokens * warp_));
  }

  const std::int32_t* groups_;
  int tokens_;
  int warp_;
  int lane_;
};

// The softmax of a thread's two query rows, g and g + 8 of its warp's.
template <int kHeadDim>
struct RowSoftmax {
  float maximum[2] = {kNegativeInfinity,
                      kNegativeInfinity};  // in powers of two, the same in a row's four lanes
  float sum[2] = {0.0F, 0.0F};             // of this lane's keys
  float factor[2] = {1.0F, 1.0F};          // what earlier output is to be multiplied by
  bool risen = false;                      // whether it is, the same in all lanes

  // Scores to probabilities, in place, relative to the running maximum. Key k is visible to row r when
  // k <= last_key[r], counted from the tile's first; every row sees the first tile's first key, so no maximum
  // stays at -infinity.
  __device__ __forceinline__ void weigh(float (&score)[kTileKeys / 8][4], const int (&last_key)[2],
                                        float scale) {
    const int column = 2 * (static_cast<int>(threadIdx.x) % 4);
    if (min(last_key[0], last_key[1]) < kTileKeys - 1) {
#pragma unroll
      for (int i = 0; i < kTileKeys / 8; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          if (8 * i + column + j % 2 > last_key[j / 2]) score[i][j] = kNegativeInfinity;
    }
    float tile_maximum[2] = {kNegativeInfinity, kNegativeInfinity};
#pragma unroll
    for (int i = 0; i < kTileKeys / 8; ++i) {
      tile_maximum[0] = fmaxf(tile_maximum[0], fmaxf(score[i][0], score[i][1]));
      tile_maximum[1] = fmaxf(tile_maximum[1], fmaxf(score[i][2], score[i][3]));
    }
    bool own_risen = false;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      tile_maximum[r] = fmaxf(tile_maximum[r], __shfl_xor_sync(kAllLanes, tile_maximum[r], 1));
      tile_maximum[r] = scale * fmaxf(tile_maximum[r], __shfl_xor_sync(kAllLanes, tile_maximum[r], 2));
      own_risen = own_risen || tile_maximum[r] > maximum[r] + kMaximumSlack;
    }
    risen = __any_sync(kAllLanes, own_risen);
    if (risen) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const float next = fmaxf(maximum[r], tile_maximum[r]);
        factor[r] = fast_exp2(maximum[r] - next);
        maximum[r] = next;
        sum[r] *= factor[r];
      }
    }
#pragma unroll
    for (int i = 0; i < kTileKeys / 8; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) score[i][j] = fast_exp2(fmaf(score[i][j], scale, -maximum[j / 2]));
      sum[0] += score[i][0] + score[i][1];
      sum[1] += score[i][2] + score[i][3];
    }
  }

  // Behind weigh(): the output so far, relative to the maximum it left.
  __device__ __forceinline__ void rescale(float (&output)[kHeadDim / 8][4]) const {
    if (!risen) return;
#pragma unroll
    for (auto& tile : output) {
      tile[0] *= factor[0];
      tile[1] *= factor[0];
      tile[2] *= factor[1];
      tile[3] *= factor[1];
    }
  }
};

// Probabilities, which lie as sums do, as A fragments.
__device__ __forceinline__ void pack_probabilities(const float (&score)[kTileKeys / 8][4],
                                                   std::uint32_t (&p)[kTileKeys / 16][4]) {
#pragma unroll
  for (int i = 0; i < kTileKeys / 8; ++i) {
    p[i / 2][2 * (i % 2)] = pack_half2(score[i][0], score[i][1]);
    p[i / 2][2 * (i % 2) + 1] = pack_half2(score[i][2], score[i][3]);
  }
}

// Begins to copy a group's queries, rows from `first_row` of the chunk, as an operand; zeros for rows beyond
// the chunk.
template <int kHeadDim>
__device__ void load_queries(const PrefillAttention& work, const ChunkItem& item, int first_row,
                             unsigned char* queries, int thread) {
  constexpr int kPieces = kHeadDim / 8;
  const __half* source = static_cast<const __half*>(work.input.queries) + blockIdx.x * kHeadDim;
#pragma unroll 4
  for (int index = thread; index < kGroupRows * kPieces; index += kGroupThreads) {
    const int row = index / kPieces;
    const int piece = index % kPieces;
    const bool valid = first_row + row < item.count;
    const std::int64_t global_row = item.first_row + (valid ? first_row + row : 0);
    copy_async_16(shared_address(queries) + piece / 8 * kPanelBytes + swizzled(row, piece % 8),
                  source + global_row * work.input.query_stride + 8 * piece, valid);
  }
  copy_async_commit();
}

// Writes the first `rows` of a warp's 16 rows, by way of shared memory, so that lanes store neighbouring
// pieces of 16 bytes. `staged` is the warp's own, of 16 rows.
template <int kHeadDim, int kElementBytes>
__device__ void store_rows(const AttentionOutput& target, std::int64_t first_row, int rows,
                           const float (&output)[kHeadDim / 8][4], const float (&scale)[2],
                           unsigned char* staged) {
  constexpr int kRowBytes = kHeadDim * kElementBytes;
  constexpr int kPieces = kRowBytes / 16;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  // Pieces are swizzled, for rows to lie in different banks.
  const auto place = [](int row, int byte) {
    return row * kRowBytes + ((byte / 16) ^ (row % (kPieces < 8 ? kPieces : 8))) * 16 + byte % 16;
  };
#pragma unroll
  for (int r = 0; r < 2; ++r)
#pragma unroll
    for (int i = 0; i < kHeadDim / 8; ++i) {
      const float a = output[i][2 * r] * scale[r];
      const float b = output[i][2 * r + 1] * scale[r];
      unsigned char* pair = staged + place(lane / 4 + 8 * r, (8 * i + 2 * (lane % 4)) * kElementBytes);
      if constexpr (kElementBytes == 2) {
        *reinterpret_cast<std::uint32_t*>(pair) = pack_half2(a, b);
      } else {
        *reinterpret_cast<std::uint16_t*>(pair) = to_e4m3x2(a, b);
      }
    }
  __syncwarp();
  unsigned char* const global = static_cast<unsigned char*>(target.data) +
                                (first_row * target.row_stride + blockIdx.x * kHeadDim) * kElementBytes;
  for (int index = lane; index < rows * kPieces; index += 32) {
    const int row = index / kPieces;
    const int offset = index % kPieces * 16;
    *reinterpret_cast<uint4*>(global + row * target.row_stride * kElementBytes + offset) =
        *reinterpret_cast<const uint4*>(staged + place(row, offset));
  }
}

// A warp's last step: divides its sums and writes them. Every operand in `staged` has been read.
template <int kHeadDim>
__device__ void finish_rows(const PrefillAttention& work, const ChunkItem& item, int first_row,
                            const RowSoftmax<kHeadDim>& softmax, const float (&output)[kHeadDim / 8][4],
                            unsigned char* staged) {
  float scale[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float sum = softmax.sum[r];
    sum += __shfl_xor_sync(kAllLanes, sum, 1);
    sum += __shfl_xor_sync(kAllLanes, sum, 2);
    scale[r] = work.input.cache.value_scale / sum;
  }
  const int rows = min(16, item.count - first_row);
  if (work.output.type == ElementType::kF16) {
    store_rows<kHeadDim, 2>(work.output, item.first_row + first_row, rows, output, scale, staged);
  } else {
    scale[0] /= work.output.scale;
    scale[1] /= work.output.scale;
    store_rows<kHeadDim, 1>(work.output, item.first_row + first_row, rows, output, scale, staged);
  }
}

}  // namespace gptj::cuda::prefill
