// What the attention lab checks against: a paged KV cache on the host, poisoned wherever nothing visible
// lies, its copy on the device, and attention in double.
#pragma once

#include <atomic>
#include <functional>
#include <numeric>
#include <thread>

#include "cuda/kernels/attention.h"
#include "lab.h"

namespace gptj::cuda::attention_lab {

using lab::DeviceBuffer;
using lab::Random;

constexpr std::uint8_t kPoison = 0xFF;  // what DeviceBuffer fills memory with
constexpr int kMaxNewTokens = 128;

inline const char* name_of(ElementType type) { return type == ElementType::kF16 ? "fp16" : "fp8"; }

inline void parallel_for(int count, const std::function<void(int)>& body) {
  std::atomic<int> next{0};
  std::vector<std::thread> threads;
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  for (unsigned i = 0; i < cores; ++i)
    threads.emplace_back([&] {
      for (int index = next++; index < count; index = next++) body(index);
    });
  for (std::thread& thread : threads) thread.join();
}

struct Shape {
  ElementType type = ElementType::kF16;
  int heads = 2;
  int head_dim = 256;
  int block_size = 64;
  int beam_width = 4;
};

// A request's place in the cache: its own blocks, in random order, with more of them than it needs.
struct Request {
  int prompt_tokens = 0;  // in the cache
  int generated = 0;
  bool finished = false;
  std::vector<std::int32_t> blocks;
  std::vector<std::uint8_t> beams;  // [kMaxNewTokens, kMaxBeams]
};

// A paged cache on the host in the bytes of the device, poisoned wherever nothing visible lies.
struct HostCache {
  Shape shape;
  float key_scale = 1.0F;
  float value_scale = 1.0F;
  int stride = 0;  // of the block table
  std::vector<Request> requests;
  std::vector<std::uint8_t> keys;  // [blocks, heads, block_size, head_dim]
  std::vector<std::uint8_t> values;

  std::size_t row_bytes() const {
    return static_cast<std::size_t>(shape.head_dim) * element_bytes(shape.type);
  }
  std::size_t row_at(const Request& request, int head, int block_index, int offset) const {
    const std::size_t block = static_cast<std::size_t>(request.blocks[block_index]);
    return ((block * shape.heads + head) * shape.block_size + offset) * row_bytes();
  }
  std::size_t prompt_row(const Request& request, int head, int token) const {
    return row_at(request, head, token / shape.block_size, token % shape.block_size);
  }
  std::size_t suffix_row(const Request& request, int head, int position, int beam) const {
    const int prompt_blocks = (request.prompt_tokens + shape.block_size - 1) / shape.block_size;
    const int row = position * shape.beam_width + beam;
    return row_at(request, head, prompt_blocks + row / shape.block_size, row % shape.block_size);
  }
  double read(const std::vector<std::uint8_t>& bytes, std::size_t row, int dim, float scale) const {
    if (shape.type == ElementType::kF8E4M3)
      return static_cast<double>(lab::from_e4m3(bytes[row + dim])) * scale;
    __half value;
    std::memcpy(&value, &bytes[row + 2 * dim], 2);
    return static_cast<double>(lab::to_float(value)) * scale;
  }
};

// Histories of beams that choose random parents now and then; entries that mean nothing are poison.
inline std::vector<std::uint8_t> random_histories(Random& random, int generated, int width, double change) {
  std::vector<std::uint8_t> table(static_cast<std::size_t>(kMaxNewTokens) * kMaxBeams, kPoison);
  for (int position = 0; position < generated; ++position) {
    const std::vector<std::uint8_t> before = table;
    for (int beam = 0; beam < width; ++beam) {
      const int parent = random.chance(change) ? random.integer(0, width - 1) : beam;
      for (int p = 0; p < position; ++p) table[p * kMaxBeams + beam] = before[p * kMaxBeams + parent];
      table[position * kMaxBeams + beam] = static_cast<std::uint8_t>(beam);
    }
  }
  return table;
}

inline bool is_live(const Request& request, int position, int row_beam, int width) {
  for (int beam = 0; beam < width; ++beam)
    if (request.beams[position * kMaxBeams + beam] == row_beam) return true;
  return false;
}

inline void give_blocks(Random& random, HostCache& cache) {
  const Shape& shape = cache.shape;
  int total = 3;  // blocks that nobody owns
  for (Request& request : cache.requests) {
    const int count = (request.prompt_tokens + shape.block_size - 1) / shape.block_size +
                      (request.generated * shape.beam_width + shape.block_size - 1) / shape.block_size + 1;
    request.blocks.resize(static_cast<std::size_t>(count));
    cache.stride = std::max(cache.stride, count + 1);
    total += count;
  }
  std::vector<std::int32_t> blocks(static_cast<std::size_t>(total));
  std::iota(blocks.begin(), blocks.end(), 0);
  random.shuffle(blocks);
  std::size_t next = 0;
  for (Request& request : cache.requests)
    for (std::int32_t& block : request.blocks) block = blocks[next++];
  const std::size_t bytes =
      static_cast<std::size_t>(total) * shape.heads * shape.block_size * cache.row_bytes();
  cache.keys.assign(bytes, kPoison);
  cache.values.assign(bytes, kPoison);
}

inline void fill_row(Random& random, HostCache& cache, std::size_t row) {
  for (auto* bytes : {&cache.keys, &cache.values}) {
    const std::vector<float> values =
        random.normal(static_cast<std::size_t>(cache.shape.head_dim), 0.0F, 1.0F);
    const float scale = bytes == &cache.keys ? cache.key_scale : cache.value_scale;
    for (int dim = 0; dim < cache.shape.head_dim; ++dim) {
      if (cache.shape.type == ElementType::kF8E4M3) {
        (*bytes)[row + dim] = lab::to_e4m3(values[dim] / scale);
      } else {
        const __half half = lab::to_half(values[dim] / scale);
        std::memcpy(&(*bytes)[row + 2 * dim], &half, 2);
      }
    }
  }
}

inline HostCache make_cache(Random& random, const Shape& shape, std::vector<Request> requests) {
  HostCache cache;
  cache.shape = shape;
  cache.requests = std::move(requests);
  const bool fp8 = shape.type == ElementType::kF8E4M3;
  cache.key_scale = fp8 ? random.uniform(0.01F, 0.05F) : 1.0F;
  cache.value_scale = fp8 ? random.uniform(0.01F, 0.05F) : 1.0F;
  give_blocks(random, cache);
  for (const Request& request : cache.requests)
    for (int head = 0; head < shape.heads; ++head) {
      for (int token = 0; token < request.prompt_tokens; ++token)
        fill_row(random, cache, cache.prompt_row(request, head, token));
      for (int position = 0; position < request.generated; ++position)
        for (int beam = 0; beam < shape.beam_width; ++beam)
          if (is_live(request, position, beam, shape.beam_width))
            fill_row(random, cache, cache.suffix_row(request, head, position, beam));
    }
  return cache;
}

struct DeviceCache {
  DeviceBuffer<std::uint8_t> keys;
  DeviceBuffer<std::uint8_t> values;
  DeviceBuffer<std::int32_t> tables;
  DeviceBuffer<std::uint8_t> beams;
  DeviceBuffer<std::int32_t> finished;
};

inline DeviceCache to_device(const HostCache& cache) {
  std::vector<std::int32_t> tables(cache.requests.size() * cache.stride, 1 << 30);
  std::vector<std::uint8_t> beams;
  std::vector<std::int32_t> finished;
  for (std::size_t slot = 0; slot < cache.requests.size(); ++slot) {
    const Request& request = cache.requests[slot];
    std::copy(request.blocks.begin(), request.blocks.end(), tables.begin() + slot * cache.stride);
    beams.insert(beams.end(), request.beams.begin(), request.beams.end());
    finished.push_back(request.finished ? 1 : 0);
  }
  return {DeviceBuffer<std::uint8_t>(cache.keys), DeviceBuffer<std::uint8_t>(cache.values),
          DeviceBuffer<std::int32_t>(tables), DeviceBuffer<std::uint8_t>(beams),
          DeviceBuffer<std::int32_t>(finished)};
}

inline AttentionInput input_of(const HostCache& cache, const DeviceCache& device, const __half* queries,
                               std::int64_t query_stride) {
  AttentionInput input;
  input.queries = queries;
  input.query_stride = query_stride;
  input.cache.keys = device.keys.data();
  input.cache.values = device.values.data();
  input.cache.type = cache.shape.type;
  input.cache.key_scale = cache.key_scale;
  input.cache.value_scale = cache.value_scale;
  input.cache.block_size = cache.shape.block_size;
  input.tables.blocks = device.tables.data();
  input.tables.stride = cache.stride;
  return input;
}

inline ModelDims dims_of(const Shape& shape) {
  ModelDims dims;
  dims.heads = shape.heads;
  dims.head_dim = shape.head_dim;
  dims.hidden = shape.heads * shape.head_dim;
  return dims;
}

// Softmax attention of one query over cache rows (byte offsets into keys and values), in double.
inline std::vector<double> reference(const HostCache& cache, const __half* query,
                                     const std::vector<std::size_t>& rows) {
  const int head_dim = cache.shape.head_dim;
  std::vector<double> scores;
  for (const std::size_t row : rows) {
    double score = 0.0;
    for (int dim = 0; dim < head_dim; ++dim)
      score +=
          static_cast<double>(lab::to_float(query[dim])) * cache.read(cache.keys, row, dim, cache.key_scale);
    scores.push_back(score / std::sqrt(static_cast<double>(head_dim)));
  }
  const double maximum = *std::max_element(scores.begin(), scores.end());
  std::vector<double> out(static_cast<std::size_t>(head_dim));
  double sum = 0.0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const double p = std::exp(scores[i] - maximum);
    sum += p;
    for (int dim = 0; dim < head_dim; ++dim)
      out[dim] += p * cache.read(cache.values, rows[i], dim, cache.value_scale);
  }
  for (double& value : out) value /= sum;
  return out;
}

}  // namespace gptj::cuda::attention_lab
