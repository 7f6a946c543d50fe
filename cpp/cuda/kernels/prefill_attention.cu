// Attention of prompt chunks: bound by arithmetic. A group of four warps takes 64 query rows of one head and
// walks over the keys in tiles of 64, with an online softmax. K and V always come from the paged cache, so
// that neither the chunks' sizes nor their order change a result; an FP8 cache becomes halves on the way into
// shared memory.
//
// Two kernels: one for Hopper, with warpgroup products and a group of warps that does nothing but load
// (prefill_wgmma.cuh), and the one here with mma.sync, from sm_80, which takes the steps one after the other.
#include <algorithm>
#include <string>

#include "cuda/check.h"
#include "cuda/kernels/prefill_tiles.cuh"
#include "cuda/kernels/prefill_wgmma.cuh"

namespace gptj::cuda {
namespace {

using namespace prefill;

// The two products of a warp's 16 query rows. Sums lie as C fragments: [i][0], [i][1] are row g at columns 8
// i + 2 t and + 1, [i][2], [i][3] the same of row g + 8.
template <int kHeadDim>
struct MmaProducts {
  // scores [16, kTileKeys] = Q K^T
  __device__ static void scores(float (&sums)[kTileKeys / 8][4], const unsigned char* queries,
                                const unsigned char* keys) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int warp = static_cast<int>(threadIdx.x) / 32;
    for (auto& sum : sums)
      for (float& value : sum) value = 0.0F;
    const int query_row = 16 * warp + lane % 8 + 8 * (lane / 8 % 2);
    const int key_row = lane % 8 + 8 * (lane / 16);
#pragma unroll
    for (int step = 0; step < kHeadDim / 16; ++step) {
      const int panel = step / 4;
      std::uint32_t a[4];
      load_matrix_x4(
          a, shared_address(queries) + panel * kPanelBytes + swizzled(query_row, 2 * (step % 4) + lane / 16));
#pragma unroll
      for (int pair = 0; pair < kTileKeys / 16; ++pair) {
        std::uint32_t b[4];
        load_matrix_x4(b, shared_address(keys) + panel * kPanelBytes +
                              swizzled(16 * pair + key_row, 2 * (step % 4) + lane / 8 % 2));
        mma_16x8x16(sums[2 * pair], a, b[0], b[1]);
        mma_16x8x16(sums[2 * pair + 1], a, b[2], b[3]);
      }
    }
  }

  // sums [16, kHeadDim] += P V
  __device__ static void output(float (&sums)[kHeadDim / 8][4], const std::uint32_t (&p)[kTileKeys / 16][4],
                                const unsigned char* values) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int token = lane % 8 + 8 * (lane / 8 % 2);
#pragma unroll
    for (int step = 0; step < kTileKeys / 16; ++step)
#pragma unroll
      for (int pair = 0; pair < kHeadDim / 16; ++pair) {
        std::uint32_t b[4];
        load_matrix_x4_transposed(b, shared_address(values) + pair / 4 * kPanelBytes +
                                         swizzled(16 * step + token, 2 * (pair % 4) + lane / 16));
        mma_16x8x16(sums[2 * pair], p[step], b[0], b[1]);
        mma_16x8x16(sums[2 * pair + 1], p[step], b[2], b[3]);
      }
  }
};

template <typename Shape>
struct MmaPlan {
  // In shared memory: queries, K, V, raw tiles, groups of tokens.
  static constexpr int kGroupsAt = 3 * Shape::kTileBytes + 2 * Shape::kRawBytes;
  static constexpr int kSharedBytes = kGroupsAt;  // and what the table of groups takes
};

// grid (heads, items, query tiles of the longest chunk)
template <ElementType kType, int kHeadDim>
__global__ void __launch_bounds__(kGroupThreads, 1)
    prefill_mma_kernel(const __grid_constant__ PrefillAttention work, const float score_scale) {
  using Shape = PrefillShape<kType, kHeadDim>;
  using Products = MmaProducts<kHeadDim>;
  extern __shared__ __align__(128) unsigned char shared[];
  const ChunkItem item = work.items[blockIdx.y];
  // The last rows see the most keys: begin with them.
  const int first_row = static_cast<int>(gridDim.z - 1 - blockIdx.z) * kGroupRows;
  if (first_row >= item.count) return;
  const int tokens = item.first_position + min(item.count, first_row + kGroupRows);
  const int tiles = (tokens + kTileKeys - 1) / kTileKeys;
  const int thread = static_cast<int>(threadIdx.x);
  unsigned char* const queries = shared;
  unsigned char* const keys = queries + Shape::kTileBytes;
  unsigned char* const values = keys + Shape::kTileBytes;
  unsigned char* const raw_keys = values + Shape::kTileBytes;
  unsigned char* const raw_values = raw_keys + Shape::kRawBytes;
  std::int32_t* const groups = reinterpret_cast<std::int32_t*>(shared + MmaPlan<Shape>::kGroupsAt);
  load_queries<kHeadDim>(work, item, first_row, queries, thread);
  find_groups(work, item, tokens, groups, thread, kGroupThreads);
  __syncthreads();

  const TileLoader<Shape> loader(groups, tokens, thread);
  const auto copy = [&](int tile, const void* cache, unsigned char* destination) {
    if (tile < tiles) loader.copy(tile, static_cast<const unsigned char*>(cache), destination);
    copy_async_commit();
  };
  copy(0, work.input.cache.keys, Shape::kFp8 ? raw_keys : keys);
  copy(0, work.input.cache.values, Shape::kFp8 ? raw_values : values);
  const int warp_row = first_row + thread / 32 * 16;
  const int position = item.first_position + warp_row + thread % 32 / 4;  // of row g; row g + 8 is 8 further
  RowSoftmax<kHeadDim> softmax;
  float output[kHeadDim / 8][4] = {};
  for (int tile = 0; tile < tiles; ++tile) {
    float score[kTileKeys / 8][4];
    std::uint32_t p[kTileKeys / 16][4];
    copy_async_wait<1>();
    __syncthreads();  // K has arrived
    if constexpr (Shape::kFp8) {
      loader.convert(tile, raw_keys, keys);
      __syncthreads();
      copy(tile + 1, work.input.cache.keys, raw_keys);
    }
    Products::scores(score, queries, keys);
    __syncthreads();  // nobody reads K any more
    if constexpr (!Shape::kFp8) copy(tile + 1, work.input.cache.keys, keys);
    const int last_key[2] = {position - tile * kTileKeys, position + 8 - tile * kTileKeys};
    softmax.weigh(score, last_key, score_scale);
    softmax.rescale(output);
    pack_probabilities(score, p);
    copy_async_wait<1>();
    __syncthreads();  // V has arrived
    if constexpr (Shape::kFp8) {
      loader.convert(tile, raw_values, values);
      __syncthreads();
      copy(tile + 1, work.input.cache.values, raw_values);
    }
    Products::output(output, p, values);
    __syncthreads();  // nobody reads V any more
    if constexpr (!Shape::kFp8) copy(tile + 1, work.input.cache.values, values);
  }
  finish_rows<kHeadDim>(work, item, warp_row, softmax, output, queries + thread / 32 * 16 * 2 * kHeadDim);
}

// Bytes that a thread block of this GPU may have.
int shared_memory_limit() {
  int device = 0;
  int bytes = 0;
  GPTJ_CUDA_CHECK(cudaGetDevice(&device));
  GPTJ_CUDA_CHECK(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  return bytes;
}

// Launches a kernel for tiles of `rows` query rows whose shared memory ends with the table of groups.
void launch(void (*kernel)(PrefillAttention, float), int rows, int threads, int shared_bytes,
            const PrefillAttention& work, cudaStream_t stream) {
  // Behind the operands, a word for each group of tokens that a request's table has room for. The table has
  // room for generated tokens too; where that is more than fits, the prompts alone still do.
  const int room = shared_memory_limit() - shared_bytes;
  const int groups = std::min((work.input.tables.stride * work.input.cache.block_size + kTileKeys - 1) /
                                  kTileKeys * (kTileKeys / kGroupTokens),
                              room / 4);
  if (groups * kGroupTokens < work.longest_chunk)
    throw Error(
        ErrorKind::kUnsupported,
        "prefill attention of head dimension " + std::to_string(work.dims.head_dim) + " needs " +
            std::to_string(shared_bytes) + " bytes of shared memory in a thread block and 4 for every " +
            std::to_string(kGroupTokens) + " tokens; this GPU has " + std::to_string(room + shared_bytes));
  const int bytes = shared_bytes + 4 * groups;
  GPTJ_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  // Scores in powers of two: softmax with exp2 is the same once log2(e) is multiplied in.
  const float score_scale =
      1.4426950408889634F / sqrtf(static_cast<float>(work.dims.head_dim)) * work.input.cache.key_scale;
  const dim3 grid(static_cast<unsigned>(work.dims.heads), static_cast<unsigned>(work.item_count),
                  static_cast<unsigned>((work.longest_chunk + rows - 1) / rows));
  kernel<<<grid, threads, bytes, stream>>>(work, score_scale);
}

// Whether the code chosen for this GPU has the wgmma kernel: a build for anything but sm_90a leaves it empty.
template <ElementType kType, int kHeadDim>
bool has_wgmma_kernel() {
  constexpr int kLeastRegisters = 64;  // an empty kernel has far fewer, the real one far more
  cudaFuncAttributes attributes{};
  GPTJ_CUDA_CHECK(cudaFuncGetAttributes(&attributes, prefill_wgmma_kernel<kType, kHeadDim>));
  return attributes.numRegs >= kLeastRegisters;
}

template <ElementType kType, int kHeadDim>
void launch_prefill(const PrefillAttention& work, cudaStream_t stream) {
  using Shape = PrefillShape<kType, kHeadDim>;
  static const bool wgmma = has_wgmma_kernel<kType, kHeadDim>();
  if (wgmma) {
    using Plan = WgmmaPlan<Shape>;
    launch(prefill_wgmma_kernel<kType, kHeadDim>, Plan::kRows, Plan::kThreads, Plan::kSharedBytes, work,
           stream);
  } else {
    launch(prefill_mma_kernel<kType, kHeadDim>, kGroupRows, kGroupThreads, MmaPlan<Shape>::kSharedBytes, work,
           stream);
  }
}

template <ElementType kType>
void launch_prefill(const PrefillAttention& work, cudaStream_t stream) {
  switch (work.dims.head_dim) {
    case 64:
      return launch_prefill<kType, 64>(work, stream);
    case 128:
      return launch_prefill<kType, 128>(work, stream);
    case 256:
      return launch_prefill<kType, 256>(work, stream);
    default:
      throw Error(ErrorKind::kUnsupported,
                  "attention has kernels for head dimensions of 64, 128 and 256, not " +
                      std::to_string(work.dims.head_dim));
  }
}

}  // namespace

void prefill_attention(const PrefillAttention& work, cudaStream_t stream) {
  if (work.item_count == 0 || work.longest_chunk == 0) return;
  if (work.input.cache.type == ElementType::kF16) {
    launch_prefill<ElementType::kF16>(work, stream);
  } else {
    launch_prefill<ElementType::kF8E4M3>(work, stream);
  }
}

}  // namespace gptj::cuda
