// Attention of the beams of decoding requests over the paged KV cache: bound by the cache's bytes, so each
// row of it is read once for all beams.
//
// One thread block serves one (request, head); its warps take 16-token tiles in turn, each with a ring of
// tiles in shared memory that the copy engine fills, and merge their partial softmaxes at the end. A tile
// never crosses a block of the cache, and within one a head's rows are contiguous: a tile of K is one copy.
//
// Both products have the tile as their A operand and the beams as columns of B, and run in fp16 with float
// sums; E4M3 bytes become halves, exactly, on the way from shared memory to the fragments. Column 2b of B is
// beam b (the odd columns are spare), so that a thread (g, t) of a warp (lane = 4 g + t) holds beam t's
// scores of tokens g and g + 8, beam t's softmax state, and beam t's output: nothing of the softmax but the
// maximum and P itself crosses lanes. Which dimension or token an index of the fragments stands for is ours
// to choose as long as A and B agree; both are chosen so that a thread's share is contiguous.
//
// Generated positions hold one row for each beam. All rows that some beam's history goes through are read,
// and a mask says which beam sees which; rows that no history goes through any longer are not even read.
#include <string>

#include "cuda/check.h"
#include "cuda/kernels/attention.h"
#include "cuda/kernels/attention_output.cuh"
#include "cuda/kernels/decode_tiles.cuh"
#include "cuda/kernels/fp8.cuh"
#include "cuda/kernels/mma.cuh"

namespace gptj::cuda {
namespace {

using namespace decode;

// A warp's queries as B fragments, its softmax state, and its output, of one head.
template <ElementType kType, int kHeadDim>
class WarpState {
 public:
  using Shape = DecodeShape<kType, kHeadDim>;
  static constexpr int kKeySteps = kHeadDim / 16;    // products along the head's dimensions
  static constexpr int kValueTiles = kHeadDim / 16;  // 16 dimensions of the output each

  // `query` is the first beam's; rows of it are `stride` elements apart. Odd columns, and those of beams
  // beyond the width, are 0.
  __device__ WarpState(const __half* query, std::int64_t stride, int beam_width, float score_scale)
      : score_scale_(score_scale), g_((threadIdx.x % 32) / 4), t_(threadIdx.x % 4) {
    const int beam = g_ / 2;
    const bool used = g_ % 2 == 0 && beam < beam_width;
    const __half* row = query + beam * stride;
#pragma unroll
    for (int chunk = 0; chunk < Shape::kKeyChunks; ++chunk)
#pragma unroll
      for (int step = 0; step < Shape::kKeyElements / 4; ++step) {
        const int dim = Shape::kKeyElements * (4 * chunk + t_) + 4 * step;
        query_[chunk * (Shape::kKeyElements / 4) + step] =
            used ? *reinterpret_cast<const uint2*>(row + dim) : make_uint2(0, 0);
      }
#pragma unroll
    for (auto& tile : output_)
#pragma unroll
      for (float& value : tile) value = 0.0F;
  }

  // Takes in one tile in shared memory. `beams(row)` gives the beams that see a token of a masked tile.
  template <typename Beams>
  __device__ void take(const unsigned char* keys, const unsigned char* values, bool masked,
                       const Beams& beams) {
    float score[2];  // beam t, tokens g and g + 8
    scores(keys, score);
    std::uint32_t keep[4] = {~0U, ~0U, ~0U, ~0U};  // of tokens t, t + 8, t + 4, t + 12
    if (masked) {
      // An unseen row's bytes may be anything, also NaN, which a probability of 0 would not hide.
      if (((beams(g_) >> t_) & 1U) == 0) score[0] = kNegativeInfinity;
      if (((beams(g_ + 8) >> t_) & 1U) == 0) score[1] = kNegativeInfinity;
#pragma unroll
      for (int i = 0; i < 4; ++i) keep[i] = beams(t_ + 8 * (i % 2) + 4 * (i / 2)) != 0 ? ~0U : 0U;
    }
    const std::uint32_t probability = softmax(score);
    // B's column g is beam g / 2; index 2t, 2t + 1 of a product's depth are tokens t, t + 8, and 2t + 8, 2t +
    // 9 are tokens t + 4, t + 12.
    const std::uint32_t b0 = __shfl_sync(kAllLanes, probability, 4 * t_ + g_ / 2);
    const std::uint32_t b1 = __shfl_sync(kAllLanes, probability, 4 * (t_ + 4) + g_ / 2);
    add_values(values, keep, b0, b1);
  }

  // Leaves the state for merge(): `partial` is [kMaxBeams, kHeadDim].
  __device__ void leave(float* partial, float* maximum, float* sum) {
#pragma unroll
    for (int lanes = 4; lanes < 32; lanes *= 2) sum_ += __shfl_xor_sync(kAllLanes, sum_, lanes);
    if (g_ == 0) {
      maximum[t_] = maximum_;
      sum[t_] = sum_;
    }
#pragma unroll
    for (int chunk = 0; chunk < Shape::kValueChunks; ++chunk)
#pragma unroll
      for (int pair = 0; pair < Shape::kValueElements / 2; ++pair) {
        const float(&tile)[4] = output_[chunk * (Shape::kValueElements / 2) + pair];
        const int dim = Shape::kValueElements * (g_ + 8 * chunk) + 2 * pair;
        *reinterpret_cast<float2*>(partial + t_ * kHeadDim + dim) = make_float2(tile[0], tile[2]);
      }
  }

 private:
  __device__ void scores(const unsigned char* keys, float (&score)[2]) {
    float sums[2][4] = {};  // two chains of products instead of one
    const unsigned char* row = keys + g_ * Shape::kRowBytes + 16 * t_;
#pragma unroll
    for (int chunk = 0; chunk < Shape::kKeyChunks; ++chunk) {
      const uint4 upper = *reinterpret_cast<const uint4*>(row + 64 * chunk);
      const uint4 lower = *reinterpret_cast<const uint4*>(row + 64 * chunk + 8 * Shape::kRowBytes);
      const std::uint32_t u[4] = {upper.x, upper.y, upper.z, upper.w};
      const std::uint32_t l[4] = {lower.x, lower.y, lower.z, lower.w};
#pragma unroll
      for (int step = 0; step < Shape::kKeyElements / 4; ++step) {
        uint2 halves_u;
        uint2 halves_l;
        if constexpr (kType == ElementType::kF16) {
          halves_u = make_uint2(u[2 * step], u[2 * step + 1]);
          halves_l = make_uint2(l[2 * step], l[2 * step + 1]);
        } else {
          halves_u = e4m3x4_to_half4(u[step]);
          halves_l = e4m3x4_to_half4(l[step]);
        }
        const std::uint32_t a[4] = {halves_u.x, halves_l.x, halves_u.y, halves_l.y};
        const uint2 b = query_[chunk * (Shape::kKeyElements / 4) + step];
        mma_16x8x16(sums[step % 2], a, b.x, b.y);
      }
    }
    score[0] = (sums[0][0] + sums[1][0]) * score_scale_;
    score[1] = (sums[0][2] + sums[1][2]) * score_scale_;
  }

  // Scores, in powers of two, to probabilities relative to the running maximum; two halves.
  __device__ std::uint32_t softmax(const float (&score)[2]) {
    float tile_maximum = fmaxf(score[0], score[1]);
#pragma unroll
    for (int lanes = 4; lanes < 32; lanes *= 2)
      tile_maximum = fmaxf(tile_maximum, __shfl_xor_sync(kAllLanes, tile_maximum, lanes));
    if (__any_sync(kAllLanes, tile_maximum > maximum_ + kMaximumSlack)) {
      const float risen = fmaxf(maximum_, tile_maximum);
      const float factor = risen == kNegativeInfinity ? 1.0F : fast_exp2(maximum_ - risen);
      maximum_ = risen;
      sum_ *= factor;
#pragma unroll
      for (auto& tile : output_) {
        tile[0] *= factor;
        tile[2] *= factor;
      }
    }
    // A beam that has seen nothing so far has only scores of -infinity.
    const float base = maximum_ == kNegativeInfinity ? 0.0F : maximum_;
    const float p0 = fast_exp2(score[0] - base);
    const float p1 = fast_exp2(score[1] - base);
    sum_ += p0 + p1;
    return pack_half2(p0, p1);
  }

  // output += V^T P^T: A's row is a dimension, its depth the tile's tokens.
  __device__ void add_values(const unsigned char* values, const std::uint32_t (&keep)[4], std::uint32_t b0,
                             std::uint32_t b1) {
#pragma unroll
    for (int chunk = 0; chunk < Shape::kValueChunks; ++chunk) {
      std::uint32_t words[4][Shape::kValueWords];  // of tokens t, t + 8, t + 4, t + 12
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int token = t_ + 8 * (i % 2) + 4 * (i / 2);
        const unsigned char* source =
            values + token * Shape::kRowBytes + Shape::kValueBytes * (g_ + 8 * chunk);
        if constexpr (Shape::kValueBytes == 16) {
          const uint4 v = *reinterpret_cast<const uint4*>(source);
          words[i][0] = v.x & keep[i];
          words[i][1] = v.y & keep[i];
          words[i][2] = v.z & keep[i];
          words[i][3] = v.w & keep[i];
        } else {
          const uint2 v = *reinterpret_cast<const uint2*>(source);
          words[i][0] = v.x & keep[i];
          words[i][1] = v.y & keep[i];
        }
      }
      float(*tiles)[4] = output_ + chunk * (Shape::kValueElements / 2);
#pragma unroll
      for (int word = 0; word < Shape::kValueWords; ++word) {
        if constexpr (kType == ElementType::kF16) {
          const std::uint32_t a[4] = {__byte_perm(words[0][word], words[1][word], 0x5410),
                                      __byte_perm(words[0][word], words[1][word], 0x7632),
                                      __byte_perm(words[2][word], words[3][word], 0x5410),
                                      __byte_perm(words[2][word], words[3][word], 0x7632)};
          mma_16x8x16(tiles[word], a, b0, b1);
        } else {
          // Bytes of two tokens side by side, dimension by dimension.
          const uint2 low01 = e4m3x4_to_half4(__byte_perm(words[0][word], words[1][word], 0x5140));
          const uint2 low23 = e4m3x4_to_half4(__byte_perm(words[2][word], words[3][word], 0x5140));
          const std::uint32_t low[4] = {low01.x, low01.y, low23.x, low23.y};
          mma_16x8x16(tiles[2 * word], low, b0, b1);
          const uint2 high01 = e4m3x4_to_half4(__byte_perm(words[0][word], words[1][word], 0x7362));
          const uint2 high23 = e4m3x4_to_half4(__byte_perm(words[2][word], words[3][word], 0x7362));
          const std::uint32_t high[4] = {high01.x, high01.y, high23.x, high23.y};
          mma_16x8x16(tiles[2 * word + 1], high, b0, b1);
        }
      }
    }
  }

  uint2 query_[kKeySteps];
  // Tile c * kValueElements / 2 + j: [0] and [2] are beam t at dimensions kValueElements * (g + 8 c) + 2 j
  // and + 1.
  float output_[kValueTiles][4];
  float maximum_ = kNegativeInfinity;  // the same in all lanes of a beam
  float sum_ = 0.0F;                   // of this lane's tokens
  float score_scale_;
  int g_;
  int t_;
};

// grid (heads, items), kWarps warps. `score_scale` takes a product of Q and stored K to a power of two.
template <ElementType kType, int kHeadDim>
__global__ void __launch_bounds__(32 * DecodeShape<kType, kHeadDim>::kWarps, 2)
    decode_attention_kernel(const __grid_constant__ DecodeAttention work, const float score_scale) {
  using Shape = DecodeShape<kType, kHeadDim>;
  extern __shared__ __align__(128) unsigned char shared[];
  __shared__ DecodeScratch<Shape::kWarps> scratch;

  const DecodeItem item = work.items[blockIdx.y];
  if (work.finished[item.slot] != 0) return;
  const int head = static_cast<int>(blockIdx.x);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const RequestTiles tiles(work, item);
  unsigned char* const own = shared + warp * Shape::kWarpBytes;

  TileRing<kType, kHeadDim> ring(work, tiles, own, scratch.barriers[warp], scratch.beams[warp]);
  for (int stage = 0; stage < kStages; ++stage) {
    ring.look_up(warp + stage * Shape::kWarps);
    ring.start(warp + stage * Shape::kWarps, stage);
  }
  ring.look_up(warp + kStages * Shape::kWarps);

  WarpState<kType, kHeadDim> state(static_cast<const __half*>(work.input.queries) +
                                       item.first_row * work.input.query_stride + head * kHeadDim,
                                   work.input.query_stride, work.beam_width, score_scale);
  int stage = 0;
  std::uint32_t parity = 0;
  for (int tile = warp; tile < tiles.count(); tile += Shape::kWarps) {
    ring.wait(stage, parity);
    state.take(ring.keys(stage), ring.values(stage), !tiles.is_full(tile),
               [&](int row) { return ring.beams(stage, row); });
    __syncwarp();
    ring.start(tile + kStages * Shape::kWarps, stage);
    ring.look_up(tile + (kStages + 1) * Shape::kWarps);
    stage = stage + 1 == kStages ? 0 : stage + 1;
    parity ^= stage == 0 ? 1U : 0U;
  }

  // The ring is empty by now; its first bytes take the warp's part of the result.
  state.leave(reinterpret_cast<float*>(own), scratch.maximum[warp], scratch.sum[warp]);
  __syncthreads();
  for (int four = static_cast<int>(threadIdx.x); four < work.beam_width * (kHeadDim / 4);
       four += static_cast<int>(blockDim.x)) {
    const int beam = four / (kHeadDim / 4);
    const int dim = 4 * (four % (kHeadDim / 4));
    float maximum = kNegativeInfinity;
    for (int w = 0; w < Shape::kWarps; ++w) maximum = fmaxf(maximum, scratch.maximum[w][beam]);
    float4 total = make_float4(0.0F, 0.0F, 0.0F, 0.0F);
    float sum = 0.0F;
    for (int w = 0; w < Shape::kWarps; ++w) {
      if (scratch.maximum[w][beam] == kNegativeInfinity)
        continue;  // a warp without tiles, or with others' rows only
      const float factor = fast_exp2(scratch.maximum[w][beam] - maximum);
      const float4 part =
          *reinterpret_cast<const float4*>(shared + w * Shape::kWarpBytes + 4 * (beam * kHeadDim + dim));
      sum += factor * scratch.sum[w][beam];
      total.x += factor * part.x;
      total.y += factor * part.y;
      total.z += factor * part.z;
      total.w += factor * part.w;
    }
    const float scale = sum > 0.0F ? work.input.cache.value_scale / sum : 0.0F;
    store_four(work.output, item.first_row + beam, head * kHeadDim + dim,
               make_float4(total.x * scale, total.y * scale, total.z * scale, total.w * scale));
  }
}

template <ElementType kType, int kHeadDim>
void launch_decode(const DecodeAttention& work, cudaStream_t stream) {
  using Shape = DecodeShape<kType, kHeadDim>;
  const auto kernel = decode_attention_kernel<kType, kHeadDim>;
  GPTJ_CUDA_CHECK(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Shape::kSharedBytes));
  // Scores in powers of two: softmax with exp2 is the same once log2(e) is multiplied in.
  const float score_scale =
      1.4426950408889634F / sqrtf(static_cast<float>(kHeadDim)) * work.input.cache.key_scale;
  const dim3 grid(static_cast<unsigned>(work.dims.heads), static_cast<unsigned>(work.item_count));
  kernel<<<grid, 32 * Shape::kWarps, Shape::kSharedBytes, stream>>>(work, score_scale);
}

template <ElementType kType>
void launch_decode(const DecodeAttention& work, cudaStream_t stream) {
  switch (work.dims.head_dim) {
    case 64:
      return launch_decode<kType, 64>(work, stream);
    case 128:
      return launch_decode<kType, 128>(work, stream);
    case 256:
      return launch_decode<kType, 256>(work, stream);
    default:
      throw Error(ErrorKind::kUnsupported,
                  "attention has kernels for head dimensions of 64, 128 and 256, not " +
                      std::to_string(work.dims.head_dim));
  }
}

}  // namespace

void decode_attention(const DecodeAttention& work, cudaStream_t stream) {
  if (work.item_count == 0) return;
  if (work.input.cache.type == ElementType::kF16) {
    launch_decode<ElementType::kF16>(work, stream);
  } else {
    launch_decode<ElementType::kF8E4M3>(work, stream);
  }
}

}  // namespace gptj::cuda
