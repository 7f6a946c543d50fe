// Checks the attention kernels against a reference in double, then times them at the shapes of the workload.
// From the repository's root:
//   nvcc -std=c++20 -O3 -gencode=arch=compute_90a,code=sm_90a -Icpp -Icpp/include -cudart static
//     -o build/attention_lab benches/kernels/attention_lab.cu cpp/cuda/kernels/{decode,prefill}_attention.cu
// Built with -gencode=arch=compute_80,code=compute_80 instead, it takes the code of older GPUs on any GPU.
#include "attention_scene.h"

namespace gptj::cuda {
namespace {

using namespace attention_lab;
using lab::format;

constexpr double kHalfLimit = 1e-3;      // relative error with an FP16 cache and output
constexpr double kFp8CacheLimit = 2e-3;  // with an FP8 cache: the reference reads the same dequantised cache
constexpr double kHalfUlpLimit = 1.02;   // FP8 output: error over half an ulp of the reference

// A row and head whose output is compared.
struct Probe {
  int row = 0;
  int head = 0;
  std::vector<std::size_t> visible;  // byte offsets of the cache rows it sees
  std::vector<double> expected;
};

// Runs `launch` with FP16 and with FP8 output and compares the probes; rows not in `written` must stay
// poisoned.
struct Comparison {
  HostCache& cache;
  std::string name;
  int rows = 0;
  std::vector<char> written{};
  std::vector<Probe> probes{};
};

void compare(lab::Checks& checks, Random& random, Comparison& work,
             const std::function<void(const AttentionInput&, const AttentionOutput&)>& launch) {
  const Shape& shape = work.cache.shape;
  const int width = shape.heads * shape.head_dim;
  const std::int64_t query_stride = width + 8 * random.integer(0, 40);
  const std::int64_t out_stride = width + 16 * random.integer(0, 9);
  const std::vector<__half> queries =
      lab::to_half(random.normal(static_cast<std::size_t>(work.rows) * query_stride, 0.0F, 1.5F));
  const DeviceBuffer<__half> device_queries(queries);
  const DeviceCache device = to_device(work.cache);
  parallel_for(static_cast<int>(work.probes.size()), [&](int i) {
    Probe& probe = work.probes[i];
    probe.expected = reference(
        work.cache, queries.data() + probe.row * query_stride + probe.head * shape.head_dim, probe.visible);
  });
  for (const ElementType type : {ElementType::kF16, ElementType::kF8E4M3}) {
    AttentionOutput output;
    output.type = type;
    output.row_stride = out_stride;
    output.scale = type == ElementType::kF16 ? 1.0F : random.uniform(0.0005F, 0.002F);
    DeviceBuffer<std::uint8_t> bytes(static_cast<std::size_t>(work.rows) * out_stride * element_bytes(type));
    output.data = bytes.data();
    launch(input_of(work.cache, device, device_queries.data(), query_stride), output);
    LAB_CHECK_KERNEL();
    const std::vector<std::uint8_t> result = bytes.download();
    std::vector<double> out;
    std::vector<double> expected;
    double ulps = 0.0;
    for (const Probe& probe : work.probes) {
      double largest = 0.0;
      for (const double value : probe.expected) largest = std::max(largest, std::abs(value));
      for (int dim = 0; dim < shape.head_dim; ++dim) {
        const std::size_t at = probe.row * out_stride + probe.head * shape.head_dim + dim;
        double value;
        if (type == ElementType::kF16) {
          __half half;
          std::memcpy(&half, &result[2 * at], 2);
          value = lab::to_float(half);
        } else {
          value = lab::from_e4m3(result[at]);
          const double stored = std::clamp(probe.expected[dim] / output.scale, -448.0, 448.0);
          // Half the distance between neighbours of `stored`: 2^-4 of its power of two, and not below 2^-10.
          // The reference may itself lie next to a midpoint: what an FP16 output may be off by widens the
          // limit.
          const double power = std::exp2(std::floor(std::log2(std::max(std::abs(stored), 1.0 / 64))));
          const double half_ulp = std::max(power / 16, 1.0 / 1024);
          const double slack = kHalfLimit * largest / output.scale;
          const double error = std::abs(value - stored) - slack;
          ulps = std::isfinite(error) ? std::max(ulps, error / half_ulp)
                                      : std::numeric_limits<double>::infinity();
          value *= output.scale;
        }
        out.push_back(value);
        expected.push_back(type == ElementType::kF16 ? probe.expected[dim]
                                                     : std::clamp(probe.expected[dim], -448.0 * output.scale,
                                                                  448.0 * output.scale));
      }
    }
    const double error = lab::relative_error(out, expected);
    if (type == ElementType::kF16) {
      checks.within(work.name, error, shape.type == ElementType::kF16 ? kHalfLimit : kFp8CacheLimit);
    } else {
      checks.that(format("%s, fp8 output: half ulps %.3f, error %.3e", work.name.c_str(), ulps, error),
                  ulps <= kHalfUlpLimit && error <= 3e-2);
    }
    bool untouched = true;
    for (int row = 0; row < work.rows; ++row)
      for (std::int64_t column = work.written[row] != 0 ? width : 0; column < out_stride; ++column)
        for (std::size_t byte = 0; byte < element_bytes(type); ++byte)
          untouched =
              untouched && result[(row * out_stride + column) * element_bytes(type) + byte] == kPoison;
    checks.that(work.name + ": wrote beyond its rows", untouched);
  }
}

void check_decode(lab::Checks& checks, Random& random, const Shape& shape) {
  std::vector<Request> requests;
  for (const int prompt : {1, 15, 16, 17, 63, 64, 65, 950, 1919, random.integer(2, 400)}) {
    Request request;
    request.prompt_tokens = prompt;
    const int lengths[] = {1, 2, 4, 5, 16, 64, 127, random.integer(1, 127)};
    request.generated = lengths[random.integer(0, 7)];
    request.finished = random.chance(0.15);
    request.beams = random_histories(random, request.generated, shape.beam_width, random.uniform(0.0F, 1.0F));
    requests.push_back(std::move(request));
  }
  HostCache cache = make_cache(random, shape, std::move(requests));
  std::vector<int> order(cache.requests.size());
  std::iota(order.begin(), order.end(), 0);
  random.shuffle(order);
  std::vector<DecodeItem> items;
  Comparison work{cache, format("decode %s dim %d block %d width %d", name_of(shape.type), shape.head_dim,
                                shape.block_size, shape.beam_width)};
  for (const int slot : order) {
    const Request& request = cache.requests[slot];
    const int gap = random.integer(0, 2);
    work.rows += gap;
    work.written.resize(static_cast<std::size_t>(work.rows), 0);
    items.push_back({slot, work.rows, request.prompt_tokens, request.generated});
    for (int beam = 0; beam < shape.beam_width; ++beam, ++work.rows) {
      work.written.push_back(request.finished ? 0 : 1);
      if (request.finished) continue;
      for (int head = 0; head < shape.heads; ++head) {
        Probe probe{work.rows, head, {}, {}};
        for (int token = 0; token < request.prompt_tokens; ++token)
          probe.visible.push_back(cache.prompt_row(request, head, token));
        for (int position = 0; position < request.generated; ++position)
          probe.visible.push_back(
              cache.suffix_row(request, head, position, request.beams[position * kMaxBeams + beam]));
        work.probes.push_back(std::move(probe));
      }
    }
  }
  const DeviceBuffer<DecodeItem> device_items(items);
  std::vector<std::uint8_t> tables;
  std::vector<std::int32_t> finished;
  for (const Request& request : cache.requests) {
    tables.insert(tables.end(), request.beams.begin(), request.beams.end());
    finished.push_back(request.finished ? 1 : 0);
  }
  const DeviceBuffer<std::uint8_t> device_tables(tables);
  const DeviceBuffer<std::int32_t> device_finished(finished);
  compare(checks, random, work, [&](const AttentionInput& input, const AttentionOutput& output) {
    DecodeAttention decode{dims_of(shape), input, output};
    decode.items = device_items.data();
    decode.item_count = static_cast<int>(items.size());
    decode.beam_width = shape.beam_width;
    decode.beam_table = device_tables.data();
    decode.max_new_tokens = kMaxNewTokens;
    decode.finished = device_finished.data();
    decode_attention(decode, nullptr);
  });
}

void check_prefill(lab::Checks& checks, Random& random, const Shape& shape) {
  struct Chunk {
    int first_position;
    int count;
  };
  std::vector<Chunk> chunks = {{0, 1},
                               {0, 15},
                               {0, 16},
                               {0, 17},
                               {0, 63},
                               {0, 64},
                               {0, 65},
                               {0, 950},
                               {0, 1919},
                               {1, 1},
                               {64, 64},
                               {13, 200},
                               {300, 650},
                               {949, 1},
                               {127, 129},
                               {1790, 129},
                               {random.integer(1, 500), random.integer(1, 500)}};
  random.shuffle(chunks);
  chunks.resize(9);
  std::vector<Request> requests;
  for (const Chunk& chunk : chunks) {
    Request request;
    request.prompt_tokens = chunk.first_position + chunk.count;
    requests.push_back(std::move(request));
  }
  HostCache cache = make_cache(random, shape, std::move(requests));
  Comparison work{
      cache, format("prefill %s dim %d block %d", name_of(shape.type), shape.head_dim, shape.block_size)};
  std::vector<ChunkItem> items;
  int longest = 0;
  for (std::size_t slot = 0; slot < chunks.size(); ++slot) {
    const Chunk& chunk = chunks[slot];
    work.rows += random.integer(0, 2);
    work.written.resize(static_cast<std::size_t>(work.rows), 0);
    items.push_back({static_cast<std::int32_t>(slot), work.rows, chunk.count, chunk.first_position});
    longest = std::max(longest, chunk.count);
    for (int i = 0; i < chunk.count; ++i) {
      // Every row of a short chunk; of a long one both ends, the rows around tiles' edges now and then, and
      // some others.
      const bool edge = i < 2 || i + 2 > chunk.count || (i % 64 >= 62 && random.chance(0.2));
      if (chunk.count > 70 && !edge && !random.chance(30.0 / chunk.count)) continue;
      for (int head = 0; head < shape.heads; ++head) {
        Probe probe{work.rows + i, head, {}, {}};
        for (int token = 0; token <= chunk.first_position + i; ++token)
          probe.visible.push_back(cache.prompt_row(cache.requests[slot], head, token));
        work.probes.push_back(std::move(probe));
      }
    }
    work.rows += chunk.count;
    work.written.resize(static_cast<std::size_t>(work.rows), 1);
  }
  const DeviceBuffer<ChunkItem> device_items(items);
  compare(checks, random, work, [&](const AttentionInput& input, const AttentionOutput& output) {
    PrefillAttention prefill{dims_of(shape), input, output};
    prefill.items = device_items.data();
    prefill.item_count = static_cast<int>(items.size());
    prefill.longest_chunk = longest;
    prefill_attention(prefill, nullptr);
  });
}

// Random bytes without the NaN of E4M3 and without the large exponents of fp16.
__global__ void fill_cache(std::uint32_t* words, std::size_t count, std::uint32_t seed, std::uint32_t mask) {
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += stride) {
    std::uint32_t x = static_cast<std::uint32_t>(i) * 0x9E3779B1U ^ seed;
    x = (x ^ (x >> 16)) * 0x85EBCA6BU;
    x = (x ^ (x >> 13)) * 0xC2B2AE35U;
    words[i] = (x ^ (x >> 16)) & mask;
  }
}

// Caches of several layers for the timings, with block tables in random order.
struct TimedCache {
  Shape shape;
  std::size_t layer_bytes = 0;
  int layers = 0;
  int stride = 0;
  DeviceBuffer<std::uint8_t> memory;  // [layers, 2, layer_bytes]
  DeviceBuffer<std::int32_t> tables;

  TimedCache(Random& random, const Shape& s, const std::vector<int>& blocks, int layer_count)
      : shape(s), layers(layer_count) {
    int total = 0;
    for (const int count : blocks) {
      total += count;
      stride = std::max(stride, count);
    }
    std::vector<std::int32_t> order(static_cast<std::size_t>(total));
    std::iota(order.begin(), order.end(), 0);
    random.shuffle(order);
    std::vector<std::int32_t> table(blocks.size() * stride, -1);
    std::size_t next = 0;
    for (std::size_t slot = 0; slot < blocks.size(); ++slot)
      for (int i = 0; i < blocks[slot]; ++i) table[slot * stride + i] = order[next++];
    tables = DeviceBuffer<std::int32_t>(table);
    layer_bytes = static_cast<std::size_t>(total) * shape.heads * shape.block_size * shape.head_dim *
                  element_bytes(shape.type);
    memory = DeviceBuffer<std::uint8_t>(2 * layers * layer_bytes);
    // Exponents of E4M3 up to 2^3, of fp16 up to 2^1.
    const std::uint32_t mask = shape.type == ElementType::kF8E4M3 ? 0xD7D7D7D7U : 0xBFFFBFFFU;
    fill_cache<<<1024, 256>>>(reinterpret_cast<std::uint32_t*>(memory.data()), memory.bytes() / 4,
                              static_cast<std::uint32_t>(random.bits()), mask);
    LAB_CHECK_KERNEL();
  }

  AttentionInput input(int layer, const __half* queries) const {
    AttentionInput input;
    input.queries = queries;
    input.query_stride = 3 * shape.heads * shape.head_dim;
    input.cache.keys = memory.data() + 2 * layer * layer_bytes;
    input.cache.values = memory.data() + (2 * layer + 1) * layer_bytes;
    input.cache.type = shape.type;
    input.cache.key_scale = 0.3F;
    input.cache.value_scale = 0.3F;
    input.cache.block_size = shape.block_size;
    input.tables.blocks = tables.data();
    input.tables.stride = stride;
    return input;
  }
};

// Prompt lengths like the workload's: 46..1919, mean about 950.
int workload_length(Random& random) {
  return std::clamp(static_cast<int>(random.normal(1, 950.0F, 430.0F)[0]), 46, 1919);
}

std::vector<__half> random_queries(Random& random, const Shape& shape, int rows) {
  return lab::to_half(
      random.normal(static_cast<std::size_t>(rows) * 3 * shape.heads * shape.head_dim, 0.0F, 1.0F));
}

struct DecodeTiming {
  Shape shape;
  int requests = 0;
  bool longest_first = true;
};

void time_decode(lab::Table& table, Random& random, const lab::CommandLine& command,
                 const DecodeTiming& plan) {
  const Shape& shape = plan.shape;
  std::vector<DecodeItem> items;
  std::vector<int> blocks;
  std::vector<std::uint8_t> beams;
  double rows = 0.0;  // of the cache that must be read
  for (int slot = 0; slot < plan.requests; ++slot) {
    Request request;
    request.prompt_tokens = workload_length(random);
    request.generated = random.integer(1, 90);
    request.beams = random_histories(random, request.generated, shape.beam_width, 0.3);
    rows += request.prompt_tokens;
    for (int position = 0; position < request.generated; ++position)
      for (int beam = 0; beam < shape.beam_width; ++beam)
        rows += is_live(request, position, beam, shape.beam_width) ? 1 : 0;
    items.push_back({slot, slot * shape.beam_width, request.prompt_tokens, request.generated});
    beams.insert(beams.end(), request.beams.begin(), request.beams.end());
    blocks.push_back((request.prompt_tokens + shape.block_size - 1) / shape.block_size +
                     (request.generated * shape.beam_width + shape.block_size - 1) / shape.block_size);
  }
  if (plan.longest_first)
    std::sort(items.begin(), items.end(), [](const DecodeItem& a, const DecodeItem& b) {
      return a.prompt_tokens + a.generated > b.prompt_tokens + b.generated;
    });
  const double row_bytes = 2.0 * shape.heads * shape.head_dim * element_bytes(shape.type);
  const int layers = std::max(2, lab::sets_beyond_cache(static_cast<std::size_t>(rows * row_bytes), 28));
  const TimedCache cache(random, shape, blocks, layers);
  const DeviceBuffer<DecodeItem> device_items(items);
  const DeviceBuffer<std::uint8_t> device_beams(beams);
  const DeviceBuffer<std::int32_t> finished(std::vector<std::int32_t>(items.size(), 0));
  const int step_rows = plan.requests * shape.beam_width;
  const DeviceBuffer<__half> queries(random_queries(random, shape, step_rows));
  const DeviceBuffer<std::uint8_t> out(static_cast<std::size_t>(step_rows) * shape.heads * shape.head_dim);
  const lab::TimingPlan timing{5, command.repeats, layers, 4};
  const lab::Timing result = lab::time_kernel(timing, [&](int layer, cudaStream_t stream) {
    DecodeAttention decode{dims_of(shape), cache.input(layer, queries.data()), {}};
    decode.output.data = out.data();
    decode.output.row_stride = shape.heads * shape.head_dim;
    decode.output.type = ElementType::kF8E4M3;
    decode.output.scale = 0.01F;
    decode.items = device_items.data();
    decode.item_count = plan.requests;
    decode.beam_width = shape.beam_width;
    decode.beam_table = device_beams.data();
    decode.max_new_tokens = kMaxNewTokens;
    decode.finished = finished.data();
    decode_attention(decode, stream);
  });
  table.row(lab::bandwidth_cells(
      format("decode %s, %d requests, dim %d, block %d, %s", name_of(shape.type), plan.requests,
             shape.head_dim, shape.block_size, plan.longest_first ? "longest first" : "any order"),
      result, rows * row_bytes));
}

void time_prefill(lab::Table& table, Random& random, const lab::CommandLine& command, const Shape& shape,
                  const std::string& what, const std::vector<ChunkItem>& chunks) {
  std::vector<ChunkItem> items;
  std::vector<int> blocks;
  int rows = 0;
  int longest = 0;
  double scores = 0.0;  // visible pairs of query and key
  for (ChunkItem chunk : chunks) {
    chunk.slot = static_cast<std::int32_t>(items.size());
    chunk.first_row = rows;
    rows += chunk.count;
    longest = std::max(longest, chunk.count);
    scores += static_cast<double>(chunk.count) * (chunk.first_position + (chunk.count + 1) / 2.0);
    items.push_back(chunk);
    blocks.push_back((chunk.first_position + chunk.count + shape.block_size - 1) / shape.block_size);
  }
  const TimedCache cache(random, shape, blocks, 8);
  const DeviceBuffer<ChunkItem> device_items(items);
  const DeviceBuffer<__half> queries(random_queries(random, shape, rows));
  const DeviceBuffer<std::uint8_t> out(static_cast<std::size_t>(rows) * shape.heads * shape.head_dim);
  // A long warm-up: after the idle time of the set-up the clock takes its time to rise.
  const lab::TimingPlan timing{2000, command.repeats, cache.layers, 4};
  const lab::Timing result = lab::time_kernel(timing, [&](int layer, cudaStream_t stream) {
    PrefillAttention prefill{dims_of(shape), cache.input(layer, queries.data()), {}};
    prefill.output.data = out.data();
    prefill.output.row_stride = shape.heads * shape.head_dim;
    prefill.output.type = ElementType::kF8E4M3;
    prefill.output.scale = 0.01F;
    prefill.items = device_items.data();
    prefill.item_count = static_cast<int>(items.size());
    prefill.longest_chunk = longest;
    prefill_attention(prefill, stream);
  });
  const double operations = 4.0 * shape.heads * shape.head_dim * scores;
  table.row({format("prefill %s, dim %d, %s", name_of(shape.type), shape.head_dim, what.c_str()),
             format("%.1f", result.median_ms * 1e3), format("%.1f", result.fastest_ms * 1e3),
             format("%.2f", operations / 1e9),
             format("%.0f", operations / (result.median_ms * 1e-3) / 1e12)});
}

void run_checks(lab::Checks& checks, Random& random, const lab::CommandLine& command) {
  for (const ElementType type : {ElementType::kF8E4M3, ElementType::kF16})
    for (const int head_dim : {64, 128, 256}) {
      Shape shape;
      shape.type = type;
      shape.head_dim = head_dim;
      if (command.wants("decode")) {
        for (const int block_size : {16, 32, 64})
          for (int width = 1; width <= kMaxBeams; ++width) {
            shape.block_size = block_size;
            shape.beam_width = width;
            check_decode(checks, random, shape);
          }
        checks.report(format("decode %s dim %d", name_of(type), head_dim).c_str());
      }
      if (command.wants("prefill")) {
        for (const int block_size : {16, 32, 64, 64}) {
          shape.block_size = block_size;
          check_prefill(checks, random, shape);
        }
        checks.report(format("prefill %s dim %d", name_of(type), head_dim).c_str());
      }
    }
}

void run_timings(Random& random, const lab::CommandLine& command) {
  const ElementType fp8 = ElementType::kF8E4M3;
  const ElementType fp16 = ElementType::kF16;
  if (command.wants("decode")) {
    lab::Table table(lab::bandwidth_header());
    for (const DecodeTiming& plan : std::vector<DecodeTiming>{{{fp8, 16, 256, 64}, 200, true},
                                                              {{fp8, 16, 256, 64}, 200, false},
                                                              {{fp8, 16, 256, 16}, 200, true},
                                                              {{fp8, 16, 256, 64}, 400, true},
                                                              {{fp8, 16, 256, 64}, 64, true},
                                                              {{fp8, 16, 256, 64}, 16, true},
                                                              {{fp8, 16, 256, 64}, 1, true},
                                                              {{fp8, 32, 128, 64}, 200, true},
                                                              {{fp8, 64, 64, 64}, 200, true},
                                                              {{fp16, 16, 256, 64}, 200, true},
                                                              {{fp16, 16, 256, 64}, 64, true}})
      time_decode(table, random, command, plan);
    table.print();
  }
  if (command.wants("prefill")) {
    lab::Table table({"kernel", "median us", "fastest us", "GFLOP", "TFLOP/s"});
    const std::vector<ChunkItem> typical = {{0, 0, 950, 0}, {0, 0, 950, 0}, {0, 0, 950, 0}};
    time_prefill(table, random, command, {fp8, 16, 256, 64}, "3 x 950", typical);
    time_prefill(table, random, command, {fp8, 16, 256, 16}, "3 x 950, blocks of 16", typical);
    time_prefill(table, random, command, {fp8, 16, 256, 64}, "1919 + 700 + 231",
                 {{0, 0, 231, 0}, {0, 0, 1919, 0}, {0, 0, 700, 0}});
    time_prefill(table, random, command, {fp8, 16, 256, 64}, "6 x 512",
                 std::vector<ChunkItem>(6, {0, 0, 512, 0}));
    time_prefill(table, random, command, {fp8, 16, 256, 64}, "2 x 1919",
                 std::vector<ChunkItem>(2, {0, 0, 1919, 0}));
    time_prefill(table, random, command, {fp8, 16, 256, 64}, "chunk of 512 behind 1024", {{0, 0, 512, 1024}});
    time_prefill(table, random, command, {fp8, 32, 128, 64}, "3 x 950", typical);
    time_prefill(table, random, command, {fp16, 16, 256, 64}, "3 x 950", typical);
    table.print();
  }
}

}  // namespace
}  // namespace gptj::cuda

int main(int argc, char** argv) {
  using namespace gptj;
  const lab::CommandLine command(argc, argv);
  lab::Random random(command.seed);
  lab::print_device();
  lab::Checks checks;
  if (command.checks) {
    cuda::run_checks(checks, random, command);
    if (checks.finish() != 0) return 1;
  }
  if (command.times) cuda::run_timings(random, command);
  return 0;
}
