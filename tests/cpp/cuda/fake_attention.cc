// The kernels of attention.h as their comments say; see fake_cuda.h.
#include "cuda/kernels/attention.h"

#include <cmath>
#include <vector>

#include "fake_cuda.h"
#include "fake_elements.h"

namespace gptj::cuda {
namespace {

using testing::element_at;
using testing::fake_cuda;
using testing::half_at;
using testing::put_element;

// Row `row` of the step over the cache rows `seen`.
void attend(const ModelDims& dims, const AttentionInput& input, const AttentionOutput& output, int row,
            const std::vector<std::size_t>& seen) {
  const KvLayer& cache = input.cache;
  const auto head_dim = static_cast<std::size_t>(dims.head_dim);
  const auto block_size = static_cast<std::size_t>(cache.block_size);
  const float scale = cache.key_scale / std::sqrt(static_cast<float>(dims.head_dim));
  std::vector<float> weights(seen.size());
  std::vector<float> sums(head_dim);
  for (std::size_t head = 0; head < static_cast<std::size_t>(dims.heads); ++head) {
    const auto start = [&](std::size_t cache_row) {
      const std::size_t block = cache_row / block_size * static_cast<std::size_t>(dims.heads) + head;
      return (block * block_size + cache_row % block_size) * head_dim;
    };
    const std::size_t query =
        static_cast<std::size_t>(row) * static_cast<std::size_t>(input.query_stride) + head * head_dim;
    float total = 0.0F;
    for (std::size_t i = 0; i < seen.size(); ++i) {
      float product = 0.0F;
      for (std::size_t d = 0; d < head_dim; ++d) {
        product += half_at(input.queries, query + d) * element_at(cache.keys, start(seen[i]) + d, cache.type);
      }
      weights[i] = std::exp(product * scale);
      total += weights[i];
    }
    sums.assign(head_dim, 0.0F);
    for (std::size_t i = 0; i < seen.size(); ++i) {
      for (std::size_t d = 0; d < head_dim; ++d)
        sums[d] += weights[i] * element_at(cache.values, start(seen[i]) + d, cache.type);
    }
    const std::size_t to =
        static_cast<std::size_t>(row) * static_cast<std::size_t>(output.row_stride) + head * head_dim;
    for (std::size_t d = 0; d < head_dim; ++d) {
      put_element(output.data, to + d, sums[d] * cache.value_scale / total / output.scale, output.type);
    }
  }
}

// A request's row `row` behind the block `first_block` of its table.
std::size_t cache_row(const AttentionInput& input, int slot, int first_block, int row) {
  const int size = input.cache.block_size;
  const std::int32_t block = input.tables.blocks[slot * input.tables.stride + first_block + row / size];
  return static_cast<std::size_t>(block * size + row % size);
}

}  // namespace

void prefill_attention(const PrefillAttention& work, cudaStream_t) {
  if (!fake_cuda().launch("prefill_attention")) return;
  for (int index = 0; index < work.item_count; ++index) {
    const ChunkItem& item = work.items[index];
    std::vector<std::size_t> seen;
    for (int position = 0; position < item.first_position + item.count; ++position) {
      seen.push_back(cache_row(work.input, item.slot, 0, position));
      const int row = position - item.first_position;
      if (row >= 0) attend(work.dims, work.input, work.output, item.first_row + row, seen);
    }
  }
}

void decode_attention(const DecodeAttention& work, cudaStream_t) {
  if (!fake_cuda().launch("decode_attention")) return;
  for (int index = 0; index < work.item_count; ++index) {
    const DecodeItem& item = work.items[index];
    if (work.finished[item.slot] != 0) continue;
    const int prompt_blocks =
        (item.prompt_tokens + work.input.cache.block_size - 1) / work.input.cache.block_size;
    std::vector<std::size_t> prompt;
    for (int position = 0; position < item.prompt_tokens; ++position)
      prompt.push_back(cache_row(work.input, item.slot, 0, position));
    for (int beam = 0; beam < work.beam_width; ++beam) {
      std::vector<std::size_t> seen = prompt;
      for (int position = 0; position < item.generated; ++position) {
        const int owner = work.beam_table[(item.slot * work.max_new_tokens + position) * kMaxBeams + beam];
        seen.push_back(cache_row(work.input, item.slot, prompt_blocks, position * work.beam_width + owner));
      }
      attend(work.dims, work.input, work.output, item.first_row + beam, seen);
    }
  }
}

}  // namespace gptj::cuda
