// Prefill attention with warpgroup products: two groups of warps with 64 query rows each, and a third one
// that keeps the tiles of K and V coming. K and V of tile j are units 2 j and 2 j + 1 of a ring of four
// slots; the computing groups take them at their own pace, so that one's softmax runs beside the other's
// products.
#pragma once

#include "cuda/kernels/prefill_tiles.cuh"

namespace gptj::cuda::prefill {

constexpr int kSlots = 4;
constexpr int kComputeGroups = 2;

template <typename Shape>
struct WgmmaPlan {
  static constexpr int kThreads = (kComputeGroups + 1) * kGroupThreads;
  static constexpr int kRows = kComputeGroups * kGroupRows;
  // Of 512 registers a thread position has: the loader needs few.
  static constexpr int kComputeRegisters = 224;
  static constexpr int kLoaderRegisters = 56;

  // In shared memory: queries of the groups, slots, raw tiles, barriers, groups of tokens.
  static constexpr int kSlotsAt = kComputeGroups * Shape::kTileBytes;
  static constexpr int kRawAt = kSlotsAt + kSlots * Shape::kTileBytes;
  static constexpr int kBarriersAt = kRawAt + 2 * Shape::kRawBytes;
  static constexpr int kGroupsAt = kBarriersAt + (2 * kSlots + 2 * kGroupThreads / 32) * 8;
  static constexpr int kSharedBytes = 1024 + kGroupsAt;  // and what the table of groups takes
};

#ifdef GPTJ_HAS_WGMMA

__device__ __forceinline__ void sync_group(int group) {
  asm volatile("bar.sync %0, %1;" ::"r"(group + 1), "n"(kGroupThreads) : "memory");
}

// The slots' barriers: full ones that the loader's warps arrive at, empty ones that the computing warps
// arrive at. And those of the loader's warps, one for each raw tile, which wait for the copy engine.
struct SlotBarriers {
  std::uint32_t address;

  __device__ std::uint32_t full(int slot) const { return address + 8 * slot; }
  __device__ std::uint32_t empty(int slot) const { return address + 8 * (kSlots + slot); }
  __device__ std::uint32_t raw(int tile, int warp) const {
    return address + 8 * (2 * kSlots + 2 * warp + tile);
  }
  __device__ void init() const {
    for (int warp = 0; warp < kGroupThreads / 32; ++warp)
      for (int tile = 0; tile < 2; ++tile) barrier_init(raw(tile, warp), 1);
    for (int slot = 0; slot < kSlots; ++slot) {
      barrier_init(full(slot), kGroupThreads / 32);
      barrier_init(empty(slot), kComputeGroups * kGroupThreads / 32);
    }
    barrier_init_fence();
  }
  // For a warp, once all of its lanes are done.
  __device__ static void arrive(std::uint32_t barrier) {
    __syncwarp();
    if (threadIdx.x % 32 == 0)
      asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
  }
  __device__ void wait_full(int unit) const { barrier_wait(full(unit % kSlots), unit / kSlots % 2); }
  __device__ bool is_empty(int unit) const {
    int done;
    asm volatile(
        "{\n.reg .pred done;\nmbarrier.test_wait.parity.shared::cta.b64 done, [%1], %2;\n"
        "selp.b32 %0, 1, 0, done;\n}\n"
        : "=r"(done)
        : "r"(empty(unit % kSlots)), "r"((unit / kSlots + 1) % 2)
        : "memory");
    return __all_sync(kAllLanes, done) != 0;
  }
  __device__ void wait_empty(int unit) const { barrier_wait(empty(unit % kSlots), (unit / kSlots + 1) % 2); }
};

// The loader group's part: fills the slots with units 0..units - 1.
template <typename Shape>
__device__ void load_units(const PrefillAttention& work, const TileLoader<Shape>& loader,
                           const SlotBarriers& barriers, int units, unsigned char* slots,
                           unsigned char* raw) {
  const auto cache = [&](int unit) {
    return static_cast<const unsigned char*>(unit % 2 == 0 ? work.input.cache.keys : work.input.cache.values);
  };
  const auto slot = [&](int unit) { return slots + unit % kSlots * Shape::kTileBytes; };
  if constexpr (Shape::kFp8) {
    const int warp = static_cast<int>(threadIdx.x) % kGroupThreads / 32;
    const auto raw_tile = [&](int unit) { return raw + unit % 2 * Shape::kRawBytes; };
    const auto begin = [&](int unit) {
      loader.copy_raw_bulk(unit / 2, cache(unit), raw_tile(unit), barriers.raw(unit % 2, warp));
    };
    begin(0);
    begin(1);
    for (int unit = 0; unit < units; ++unit) {
      barrier_wait(barriers.raw(unit % 2, warp), unit / 2 % 2);
      barriers.wait_empty(unit);
      loader.convert(unit / 2, raw_tile(unit), slot(unit));
      fence_shared_for_wgmma();
      SlotBarriers::arrive(barriers.full(unit % kSlots));
      if (unit + 2 < units) begin(unit + 2);
    }
  } else {
    int arrived = 0;
    const auto announce = [&](int end) {
      fence_shared_for_wgmma();
      for (; arrived < end; ++arrived) SlotBarriers::arrive(barriers.full(arrived % kSlots));
    };
    for (int unit = 0; unit < units; ++unit) {
      if (!barriers.is_empty(unit)) {
        // Nothing to do but to wait: for the units under way first, which may be what the others wait for.
        copy_async_wait<0>();
        announce(unit);
        barriers.wait_empty(unit);
      }
      loader.copy(unit / 2, cache(unit), slot(unit));
      copy_async_commit();
      copy_async_wait<2>();
      if (unit >= 2) announce(unit - 1);
    }
    copy_async_wait<0>();
    announce(units);
  }
}

// scores [64, kTileKeys] = Q K^T of a group
template <typename Shape, int kHeadDim>
__device__ __forceinline__ void start_scores(float (&sums)[kTileKeys / 8][4], std::uint64_t queries,
                                             std::uint64_t keys) {
  wgmma_fence();
#pragma unroll
  for (int step = 0; step < kHeadDim / 16; ++step) {
    const int at = step / 4 * kPanelBytes + 32 * (step % 4);
    wgmma_shared(sums, wgmma_advance(queries, at), wgmma_advance(keys, at), step > 0);
  }
  wgmma_commit();
}

// sums [64, kHeadDim] += P V of a group
template <typename Shape, int kHeadDim>
__device__ __forceinline__ void start_output(float (&sums)[kHeadDim / 8][4],
                                             const std::uint32_t (&p)[kTileKeys / 16][4],
                                             std::uint64_t values) {
  wgmma_fence();
#pragma unroll
  for (int step = 0; step < kTileKeys / 16; ++step)
    wgmma_registers<kHeadDim>(sums, p[step], wgmma_advance(values, 16 * step * kPanelRowBytes));
  wgmma_commit();
}

// A computing group's part: rows from `first_row` of the chunk.
template <typename Shape, int kHeadDim>
__device__ void compute_rows(const PrefillAttention& work, const ChunkItem& item, float score_scale,
                             int first_row, int tiles, int group, const SlotBarriers& barriers,
                             unsigned char* queries, unsigned char* slots) {
  const int thread = static_cast<int>(threadIdx.x) % kGroupThreads;
  const int warp_row = first_row + thread / 32 * 16;
  load_queries<kHeadDim>(work, item, first_row, queries, thread);
  copy_async_wait<0>();
  fence_shared_for_wgmma();
  sync_group(group);

  const std::uint64_t query_operand = wgmma_operand(shared_address(queries), 16, 8 * kPanelRowBytes);
  const std::uint64_t key_operand = wgmma_operand(shared_address(slots), 16, 8 * kPanelRowBytes);
  const std::uint64_t value_operand = wgmma_operand(shared_address(slots), kPanelBytes, 8 * kPanelRowBytes);
  // Tiles that only the other group's rows see, or that only rows beyond the chunk would see, pass by.
  const int last_row = min(first_row + kGroupRows, item.count) - 1;
  const int own_tiles = last_row < first_row ? 0 : (item.first_position + last_row) / kTileKeys + 1;
  const int position = item.first_position + warp_row + thread % 32 / 4;  // of row g; row g + 8 is 8 further

  RowSoftmax<kHeadDim> softmax;
  float output[kHeadDim / 8][4] = {};
  float score[kTileKeys / 8][4];
  std::uint32_t p[kTileKeys / 16][4];
  const auto begin_scores = [&](int tile) {
    barriers.wait_full(2 * tile);
    start_scores<Shape, kHeadDim>(score, query_operand,
                                  wgmma_advance(key_operand, 2 * tile % kSlots * Shape::kTileBytes));
  };
  const auto begin_output = [&](int tile) {
    barriers.wait_full(2 * tile + 1);
    start_output<Shape, kHeadDim>(output, p,
                                  wgmma_advance(value_operand, (2 * tile + 1) % kSlots * Shape::kTileBytes));
  };
  const auto weigh = [&](int tile) {
    SlotBarriers::arrive(barriers.empty(2 * tile % kSlots));
    const int last_key[2] = {position - tile * kTileKeys, position + 8 - tile * kTileKeys};
    softmax.weigh(score, last_key, score_scale);
  };
  if (own_tiles > 0) {
    begin_scores(0);
    wgmma_wait<0>();
    weigh(0);
    pack_probabilities(score, p);
    // The softmax of a tile runs beside P V of the one before.
    for (int tile = 0; tile + 1 < own_tiles; ++tile) {
      begin_scores(tile + 1);
      begin_output(tile);
      wgmma_wait<1>();
      weigh(tile + 1);
      wgmma_wait<0>();
      SlotBarriers::arrive(barriers.empty((2 * tile + 1) % kSlots));
      softmax.rescale(output);
      pack_probabilities(score, p);
    }
    begin_output(own_tiles - 1);
    wgmma_wait<0>();
    SlotBarriers::arrive(barriers.empty((2 * own_tiles - 1) % kSlots));
  }
  for (int unit = 2 * own_tiles; unit < 2 * tiles; ++unit) {
    barriers.wait_full(unit);
    SlotBarriers::arrive(barriers.empty(unit % kSlots));
  }
  sync_group(group);  // the group's queries have been read: their place takes the results
  finish_rows<kHeadDim>(work, item, warp_row, softmax, output, queries + thread / 32 * 16 * 2 * kHeadDim);
}

#endif

// grid (heads, items, query tiles of the longest chunk)
template <ElementType kType, int kHeadDim>
__global__ void __launch_bounds__(WgmmaPlan<PrefillShape<kType, kHeadDim>>::kThreads, 1)
    prefill_wgmma_kernel(const __grid_constant__ PrefillAttention work, const float score_scale) {
#ifdef GPTJ_HAS_WGMMA
  using Shape = PrefillShape<kType, kHeadDim>;
  using Plan = WgmmaPlan<Shape>;
  extern __shared__ unsigned char unaligned[];
  unsigned char* const shared = unaligned + (1024 - shared_address(unaligned) % 1024) % 1024;
  const ChunkItem item = work.items[blockIdx.y];
  // The last rows see the most keys: begin with them.
  const int first_row = static_cast<int>(gridDim.z - 1 - blockIdx.z) * Plan::kRows;
  if (first_row >= item.count) return;
  const int tokens = item.first_position + min(item.count, first_row + Plan::kRows);
  const int tiles = (tokens + kTileKeys - 1) / kTileKeys;
  const SlotBarriers barriers{shared_address(shared) + Plan::kBarriersAt};
  if (threadIdx.x == 0) barriers.init();
  __syncthreads();
  // The same in all lanes, which the compiler sees by the shuffle.
  const int group = __shfl_sync(kAllLanes, static_cast<int>(threadIdx.x) / kGroupThreads, 0);
  if (group == kComputeGroups) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Plan::kLoaderRegisters));
    const int thread = static_cast<int>(threadIdx.x) % kGroupThreads;
    std::int32_t* const groups = reinterpret_cast<std::int32_t*>(shared + Plan::kGroupsAt);
    find_groups(work, item, tokens, groups, thread, kGroupThreads);
    sync_group(group);
    const TileLoader<Shape> loader(groups, tokens, thread);
    load_units<Shape>(work, loader, barriers, 2 * tiles, shared + Plan::kSlotsAt, shared + Plan::kRawAt);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Plan::kComputeRegisters));
    compute_rows<Shape, kHeadDim>(work, item, score_scale, first_row + group * kGroupRows, tiles, group,
                                  barriers, shared + group * Shape::kTileBytes, shared + Plan::kSlotsAt);
  }
#endif
}

}  // namespace gptj::cuda::prefill
