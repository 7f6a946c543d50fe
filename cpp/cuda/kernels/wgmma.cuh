// Hopper's warpgroup products: 64 rows of A by 64 to 256 columns of B from shared memory, 16 deep, fp16 with
// float sums, run by 4 neighbouring warps together and asynchronously: sums and register operands belong to
// the hardware from wgmma_fence() to wgmma_wait(). A warp has 16 of the rows, and its sums lie as those of
// m16n8k16 products (mma.cuh) side by side.
//
// Operands in shared memory are panels of rows of 128 bytes, 1024-byte aligned, in which the 16-byte piece c
// of row r is stored at piece c ^ (r % 8) (the 128-byte swizzle).
#pragma once

#include <cstdint>

namespace gptj::cuda {

// wgmma is in the instruction set of sm_90a only, not of sm_90.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define GPTJ_HAS_WGMMA 1
#endif

// Describes an operand that begins at `address`. Groups of 8 rows are `row_group_bytes` apart; where the
// operand is wider than a panel (only when transposed here), panels are `panel_bytes` apart.
__device__ __forceinline__ std::uint64_t wgmma_operand(std::uint32_t address, std::uint32_t panel_bytes,
                                                       std::uint32_t row_group_bytes) {
  constexpr std::uint64_t kSwizzle128 = std::uint64_t{1} << 62;
  return kSwizzle128 | (static_cast<std::uint64_t>(row_group_bytes >> 4) << 32) |
         (static_cast<std::uint64_t>(panel_bytes >> 4) << 16) | ((address & 0x3FFFFU) >> 4);
}

// The same operand `bytes` further on: addresses stay below 2^18, so the sum does not leave its field.
__device__ __forceinline__ std::uint64_t wgmma_advance(std::uint64_t operand, int bytes) {
  return operand + static_cast<std::uint64_t>(bytes >> 4);
}

#ifdef GPTJ_HAS_WGMMA

__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int kPending>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// Operands of an asm statement: the 32 sums of 8 neighbouring products, and the text that names operands n..
// to n + 31.
#define GPTJ_SUMS_4(d, i) "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])
#define GPTJ_SUMS_32(d, i)                                                                \
  GPTJ_SUMS_4(d, i), GPTJ_SUMS_4(d, i + 1), GPTJ_SUMS_4(d, i + 2), GPTJ_SUMS_4(d, i + 3), \
      GPTJ_SUMS_4(d, i + 4), GPTJ_SUMS_4(d, i + 5), GPTJ_SUMS_4(d, i + 6), GPTJ_SUMS_4(d, i + 7)
#define GPTJ_OPERANDS_0                                                    \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define GPTJ_OPERANDS_32                                                             \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define GPTJ_OPERANDS_64                                                             \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define GPTJ_OPERANDS_96                                                                         \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"

// d = a b^T, or d += a b^T: A [64, 16] and B [64, 16] in shared memory, depth contiguous.
__device__ __forceinline__ void wgmma_shared(float (*d)[4], std::uint64_t a, std::uint64_t b,
                                             bool accumulate) {
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, %34, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {" GPTJ_OPERANDS_0
      "}, %32, %33, add, 1, 1, 0, 0;\n}\n"
      : GPTJ_SUMS_32(d, 0)
      : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)));
}

// d += a b: A [64, 16] in registers, as fragments of mma.cuh; B [16, kColumns] in shared memory, columns
// contiguous.
template <int kColumns>
__device__ __forceinline__ void wgmma_registers(float (*d)[4], const std::uint32_t (&a)[4], std::uint64_t b) {
  static_assert(kColumns == 64 || kColumns == 128 || kColumns == 256);
  if constexpr (kColumns == 64) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {" GPTJ_OPERANDS_0
                 "}, {%32, %33, %34, %35}, %36, 1, 1, 1, 1;\n"
                 : GPTJ_SUMS_32(d, 0)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
  } else if constexpr (kColumns == 128) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {" GPTJ_OPERANDS_0 ", " GPTJ_OPERANDS_32
                 "}, {%64, %65, %66, %67}, %68, 1, 1, 1, 1;\n"
                 : GPTJ_SUMS_32(d, 0), GPTJ_SUMS_32(d, 8)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
  } else {
    asm volatile("wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16 {" GPTJ_OPERANDS_0 ", " GPTJ_OPERANDS_32
                 ", " GPTJ_OPERANDS_64 ", " GPTJ_OPERANDS_96
                 "}, {%128, %129, %130, %131}, %132, 1, 1, 1, 1;\n"
                 : GPTJ_SUMS_32(d, 0), GPTJ_SUMS_32(d, 8), GPTJ_SUMS_32(d, 16), GPTJ_SUMS_32(d, 24)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
  }
}

#undef GPTJ_SUMS_4
#undef GPTJ_SUMS_32
#undef GPTJ_OPERANDS_0
#undef GPTJ_OPERANDS_32
#undef GPTJ_OPERANDS_64
#undef GPTJ_OPERANDS_96

#endif

// Makes this thread's ordinary writes to shared memory visible to wgmma, once a barrier follows.
__device__ __forceinline__ void fence_shared_for_wgmma() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

}  // namespace gptj::cuda
