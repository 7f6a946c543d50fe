// Checks the pointwise kernels against references in double, then times them against a large copy's
// bandwidth.
#include "kernels/lab.h"

#include "cuda/check.h"
#include "cuda/kernels/pointwise.h"

namespace {

using namespace gptj::cuda;
using namespace gptj::lab;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// What an fp16 result may differ by from a reference in double: rounding is 2^-12 of the value on average.
constexpr double kHalfLimit = 4e-4;
// What an E4M3 result may differ by from the reference rounded to E4M3: values near the middle of two
// neighbours may go to the other one, a relative step of 2^-4 each, but few do.
constexpr double kFp8Limit = 6e-3;

// `reference` rounded as the kernel's output type rounds it: fp16 is compared with the unrounded one.
std::vector<double> as_stored(const std::vector<double>& reference, ElementType type, float scale) {
  std::vector<double> out(reference);
  if (type == ElementType::kF8E4M3)
    for (double& value : out)
      value =
          static_cast<double>(from_e4m3(to_e4m3(static_cast<float>(value / static_cast<double>(scale))))) *
          scale;
  return out;
}

double limit_of(ElementType type) { return type == ElementType::kF16 ? kHalfLimit : kFp8Limit; }

std::size_t size_of(ElementType type) { return type == ElementType::kF16 ? 2 : 1; }

// Bytes of either type as floats.
std::vector<float> decode(const std::vector<std::uint8_t>& bytes, ElementType type, float scale) {
  if (type == ElementType::kF8E4M3) return from_e4m3(bytes, scale);
  std::vector<__half> halves(bytes.size() / 2);
  std::memcpy(halves.data(), bytes.data(), bytes.size());
  return to_float(halves);
}

const char* name_of(ElementType type) { return type == ElementType::kF16 ? "fp16" : "e4m3"; }

// ---------------------------------------------------------------------------------------------------- embed

void check_embed(Random& random, Checks& checks) {
  for (const int hidden : {64, 72, 512, 1032, 4096, 8192}) {
    const int rows = random.integer(1, 70);
    const int vocab = random.integer(2, 300);
    const int slots = random.integer(1, 20);
    const auto table = to_half(random.normal(static_cast<std::size_t>(vocab) * hidden, 0.0F, 1.0F));
    std::vector<std::int32_t> token(rows), slot(rows), next(static_cast<std::size_t>(slots) * kMaxBeams),
        taken(rows);
    for (auto& value : next) value = random.integer(0, vocab - 1);
    for (int row = 0; row < rows; ++row) {
      slot[row] = random.integer(0, slots - 1);
      const bool decoding = random.chance(0.5);
      token[row] = decoding ? -1 - random.integer(0, kMaxBeams - 1) : random.integer(0, vocab - 1);
      taken[row] = decoding ? next[slot[row] * kMaxBeams - 1 - token[row]] : token[row];
    }
    const int broken = random.integer(0, rows - 1);
    token[broken] = vocab + random.integer(0, 5);
    const DeviceBuffer<__half> table_gpu(table);
    const DeviceBuffer<std::int32_t> token_gpu(token), slot_gpu(slot), next_gpu(next);
    const DeviceBuffer<__half> residual(static_cast<std::size_t>(rows) * hidden);
    Embed work;
    work.dims.hidden = hidden;
    work.dims.vocab = vocab;
    work.rows.rows = rows;
    work.rows.token = token_gpu.data();
    work.rows.slot = slot_gpu.data();
    work.embedding = table_gpu.data();
    work.next_tokens = next_gpu.data();
    work.residual = residual.data();
    embed(work, nullptr);
    check_launch("embed");
    LAB_CHECK_KERNEL();
    const auto out = residual.download();
    bool equal = true;
    for (int row = 0; row < rows; ++row) {
      for (int i = 0; i < hidden; ++i) {
        const __half value = out[static_cast<std::size_t>(row) * hidden + i];
        if (row == broken)
          equal = equal && std::isnan(to_float(value));
        else
          equal =
              equal && to_float(value) == to_float(table[static_cast<std::size_t>(taken[row]) * hidden + i]);
      }
    }
    checks.that(format("embed %d x %d", rows, hidden), equal);
  }
  checks.report("embed");
}

// ----------------------------------------------------------------------------------------------- layer norm

void check_layer_norm(Random& random, Checks& checks) {
  for (const int hidden : {64, 72, 256, 264, 768, 1024, 2048, 2056, 4096, 5120, 8192}) {
    for (const ElementType type : {ElementType::kF16, ElementType::kF8E4M3}) {
      for (const bool indexed : {false, true}) {
        const int rows = random.integer(1, 40);
        const int sources = rows + random.integer(0, 9);
        const float mean = random.chance(0.5) ? 0.0F : random.uniform(-60.0F, 60.0F);
        const float scale = type == ElementType::kF16 ? 1.0F : random.uniform(0.005F, 0.05F);
        auto in = random.normal(static_cast<std::size_t>(sources) * hidden, mean, random.uniform(0.1F, 4.0F));
        const auto weight = to_half(random.normal(hidden, 1.0F, 0.3F));
        const auto bias = to_half(random.normal(hidden, 0.0F, 0.3F));
        std::vector<std::int32_t> index(sources);
        for (int i = 0; i < sources; ++i) index[i] = i;
        if (indexed) random.shuffle(index);
        const int broken = rows > 2 ? random.integer(0, rows - 1) : -1;
        if (broken >= 0)
          in[static_cast<std::size_t>(index[broken]) * hidden + random.integer(0, hidden - 1)] =
              random.chance(0.5) ? kNan : kInfinity;
        const auto in_half = to_half(in);

        const DeviceBuffer<__half> in_gpu(in_half), weight_gpu(weight), bias_gpu(bias);
        const DeviceBuffer<std::int32_t> index_gpu(index);
        const DeviceBuffer<std::uint8_t> out(static_cast<std::size_t>(rows) * hidden * size_of(type));
        LayerNorm work;
        work.rows = rows;
        work.hidden = hidden;
        work.in = in_gpu.data();
        work.row_index = indexed ? index_gpu.data() : nullptr;
        work.weight = weight_gpu.data();
        work.bias = bias_gpu.data();
        work.out = out.data();
        work.out_type = type;
        work.out_scale = scale;
        layer_norm(work, nullptr);
        check_launch("layer_norm");
        LAB_CHECK_KERNEL();

        auto got = decode(out.download(), type, scale);
        std::vector<double> reference(got.size());
        bool broken_is_nan = true;
        for (int row = 0; row < rows; ++row) {
          const __half* x = in_half.data() + static_cast<std::size_t>(index[row]) * hidden;
          const std::size_t at = static_cast<std::size_t>(row) * hidden;
          if (row == broken) {
            for (int i = 0; i < hidden; ++i) {
              broken_is_nan = broken_is_nan && std::isnan(got[at + i]);
              got[at + i] = 0.0F;
            }
            continue;
          }
          double sum = 0.0;
          double squares = 0.0;
          for (int i = 0; i < hidden; ++i) sum += to_float(x[i]);
          sum /= hidden;
          for (int i = 0; i < hidden; ++i) squares += (to_float(x[i]) - sum) * (to_float(x[i]) - sum);
          const double inverse = 1.0 / std::sqrt(squares / hidden + static_cast<double>(work.epsilon));
          for (int i = 0; i < hidden; ++i)
            reference[at + i] = (to_float(x[i]) - sum) * inverse * to_float(weight[i]) + to_float(bias[i]);
        }
        const auto what =
            format("layer_norm %d x %d %s%s", rows, hidden, name_of(type), indexed ? " indexed" : "");
        checks.that(what + ": NaN or infinity in, NaN out", broken_is_nan);
        if (rows > 1 || broken < 0)
          checks.within(what, relative_error(got, as_stored(reference, type, scale)), limit_of(type));
      }
    }
  }
  checks.report("layer_norm");
}

// ---------------------------------------------------------------------------------------- rotate and append

void check_sin_cos(Random& random, Checks& checks) {
  for (const int rotary : {2, 6, 64, 128, 256}) {
    const int positions = random.integer(1, 2200);
    const int pairs = rotary / 2;
    const DeviceBuffer<float> table(static_cast<std::size_t>(positions) * pairs * 2);
    make_sin_cos(table.data(), positions, rotary, nullptr);
    check_launch("make_sin_cos");
    LAB_CHECK_KERNEL();
    const auto got = table.download();
    double worst = 0.0;
    for (int position = 0; position < positions; ++position) {
      for (int pair = 0; pair < pairs; ++pair) {
        // The angle in float is the definition; a power that rounds the other way moves it by one unit.
        const float exponent = static_cast<float>(2 * pair) / static_cast<float>(rotary);
        const float frequency = 1.0F / std::pow(10000.0F, exponent);
        const double angle = static_cast<float>(position) * frequency;
        const std::size_t at = (static_cast<std::size_t>(position) * pairs + pair) * 2;
        const double slack = 1e-6 + 2.4e-7 * angle;
        worst = std::max(worst, std::fabs(got[at] - std::sin(angle)) / slack);
        worst = std::max(worst, std::fabs(got[at + 1] - std::cos(angle)) / slack);
        if (std::isnan(got[at]) || std::isnan(got[at + 1])) worst = kInfinity;
      }
    }
    checks.within(format("sin_cos %d x %d", positions, rotary), worst, 1.0);
  }
  checks.report("make_sin_cos");
}

struct RotateShape {
  int heads, head_dim, rotary;
};

void check_rotate(Random& random, Checks& checks) {
  for (const RotateShape shape : {RotateShape{1, 64, 64},
                                  {3, 64, 6},
                                  {2, 64, 0},
                                  {4, 128, 64},
                                  {5, 128, 126},
                                  {4, 256, 64},
                                  {16, 256, 64},
                                  {2, 256, 256},
                                  {32, 256, 64},
                                  {9, 64, 34}}) {
    for (const ElementType type : {ElementType::kF16, ElementType::kF8E4M3}) {
      const int rows = random.integer(1, 50);
      const int hidden = shape.heads * shape.head_dim;
      const int block_size = 16 * random.integer(1, 4);
      const int blocks = (rows + block_size - 1) / block_size + random.integer(0, 3);
      const int positions = 600;
      const float key_scale = type == ElementType::kF16 ? 1.0F : random.uniform(0.01F, 0.03F);
      const float value_scale = type == ElementType::kF16 ? 1.0F : random.uniform(0.01F, 0.03F);
      auto qkv_float = random.normal(static_cast<std::size_t>(rows) * 3 * hidden, 0.0F, 2.0F);
      const std::size_t broken = 2 * hidden + random.integer(0, hidden - 1);  // a value of row 0
      qkv_float[broken] = random.chance(0.5) ? kNan : kInfinity;
      const auto qkv = to_half(qkv_float);
      std::vector<std::int32_t> cache_rows(static_cast<std::size_t>(blocks) * block_size), position(rows);
      for (std::size_t i = 0; i < cache_rows.size(); ++i) cache_rows[i] = static_cast<std::int32_t>(i);
      random.shuffle(cache_rows);
      for (auto& value : position) value = random.integer(0, positions - 1);
      const std::size_t cache_elements = cache_rows.size() * hidden;

      const DeviceBuffer<__half> qkv_gpu(qkv);
      const DeviceBuffer<std::int32_t> cache_rows_gpu(cache_rows), position_gpu(position);
      const DeviceBuffer<float> table(static_cast<std::size_t>(positions) * shape.rotary);
      make_sin_cos(table.data(), positions, shape.rotary, nullptr);
      const DeviceBuffer<std::uint8_t> keys(cache_elements * size_of(type)),
          values(cache_elements * size_of(type));
      RotateAndAppend work;
      work.dims = {hidden, shape.heads, shape.head_dim, shape.rotary, 0};
      work.rows.rows = rows;
      work.rows.position = position_gpu.data();
      work.rows.cache_row = cache_rows_gpu.data();
      work.qkv = qkv_gpu.data();
      work.cache = {keys.data(), values.data(), type, key_scale, value_scale, block_size};
      work.sin_cos = table.data();
      rotate_and_append(work, nullptr);
      check_launch("rotate_and_append");
      LAB_CHECK_KERNEL();

      const auto got_q = to_float(qkv_gpu.download());
      const auto turns = table.download();
      auto got_k = decode(keys.download(), type, key_scale);
      auto got_v = decode(values.download(), type, value_scale);
      std::vector<double> q(static_cast<std::size_t>(rows) * hidden), k(cache_elements, 0.0),
          v(cache_elements, 0.0);
      std::vector<float> q_out(q.size());
      std::vector<bool> written(cache_elements, false);
      bool rest_untouched = true;
      bool broken_is_kept = false;
      for (int row = 0; row < rows; ++row) {
        const std::size_t from = static_cast<std::size_t>(row) * 3 * hidden;
        const std::size_t block = cache_rows[row] / block_size;
        const std::size_t offset = cache_rows[row] % block_size;
        for (int i = 0; i < hidden; ++i) {
          const int head = i / shape.head_dim;
          const int dim = i % shape.head_dim;
          const std::size_t to = ((block * shape.heads + head) * block_size + offset) * shape.head_dim + dim;
          const auto turned = [&](std::size_t base) {
            const double x = to_float(qkv[from + base + i]);
            if (dim >= shape.rotary) return x;
            const float* turn =
                turns.data() + (static_cast<std::size_t>(position[row]) * (shape.rotary / 2) + dim / 2) * 2;
            const double other = to_float(qkv[from + base + (i ^ 1)]);
            return dim % 2 == 0 ? x * turn[1] - other * turn[0] : x * turn[1] + other * turn[0];
          };
          q[static_cast<std::size_t>(row) * hidden + i] = turned(0);
          q_out[static_cast<std::size_t>(row) * hidden + i] = got_q[from + i];
          k[to] = turned(hidden);
          v[to] = to_float(qkv[from + 2 * hidden + i]);
          written[to] = true;
          if (from + 2 * hidden + i == broken) {
            broken_is_kept = std::isnan(got_v[to]) || std::isinf(got_v[to]);
            v[to] = 0.0;
            got_v[to] = 0.0F;
          }
        }
      }
      for (std::size_t i = 0; i < cache_elements; ++i) {
        if (written[i]) continue;
        rest_untouched = rest_untouched && std::isnan(got_k[i]) && std::isnan(got_v[i]);
        got_k[i] = got_v[i] = 0.0F;
      }
      // K is rounded to fp16 on the way to E4M3.
      if (type == ElementType::kF8E4M3)
        for (double& value : k) value = to_float(to_half(static_cast<float>(value)));
      const auto what = format("rotate %d rows, %d heads of %d, %d rotated, %s", rows, shape.heads,
                               shape.head_dim, shape.rotary, name_of(type));
      checks.within(what + ": Q", relative_error(q_out, q), kHalfLimit);
      checks.within(what + ": K", relative_error(got_k, as_stored(k, type, key_scale)), limit_of(type));
      checks.within(what + ": V", relative_error(got_v, as_stored(v, type, value_scale)), limit_of(type));
      checks.that(what + ": the rest of the cache is untouched", rest_untouched);
      checks.that(what + ": NaN or infinity is kept", broken_is_kept);
    }
  }
  checks.report("rotate_and_append");
}

// ------------------------------------------------------------------------------------------- bias and GELU

void check_bias_gelu(Random& random, Checks& checks) {
  for (const int columns : {8, 64, 264, 2048, 4104, 16384}) {
    for (const ElementType type : {ElementType::kF16, ElementType::kF8E4M3}) {
      const int rows = random.integer(2, 23);
      const std::int64_t stride = columns + 8 * random.integer(0, 5);
      const float scale = type == ElementType::kF16 ? 1.0F : random.uniform(0.01F, 0.05F);
      auto in = random.normal(static_cast<std::size_t>(rows) * columns, 0.0F, 3.0F);
      in[1] = kNan;
      in[2] = kInfinity;
      in[3] = -60000.0F;
      in[4] = 60000.0F;
      const auto in_half = to_half(in);
      const auto bias = to_half(random.normal(columns, 0.0F, 0.5F));
      const DeviceBuffer<__half> in_gpu(in_half), bias_gpu(bias);
      const DeviceBuffer<std::uint8_t> out(static_cast<std::size_t>(rows) * stride * size_of(type));
      BiasGelu work;
      work.rows = rows;
      work.columns = columns;
      work.in = in_gpu.data();
      work.bias = bias_gpu.data();
      work.out = out.data();
      work.out_stride = stride;
      work.out_type = type;
      work.out_scale = scale;
      bias_gelu(work, nullptr);
      check_launch("bias_gelu");
      LAB_CHECK_KERNEL();

      auto got = decode(out.download(), type, scale);
      const auto what = format("bias_gelu %d x %d %s", rows, columns, name_of(type));
      checks.that(what + ": NaN stays NaN", std::isnan(got[1]));
      checks.that(what + ": infinity is not hidden", !std::isfinite(got[2]));
      checks.that(what + ": -60000 gives 0", got[3] == 0.0F);
      const float large =
          type == ElementType::kF16 ? to_float(to_half(60000.0F + to_float(bias[4]))) : 448.0F * scale;
      checks.that(what + ": 60000 stays or saturates", got[4] == large);
      got[1] = got[2] = got[3] = got[4] = 0.0F;
      std::vector<double> reference(got.size(), 0.0);
      bool gap_untouched = true;
      for (int row = 0; row < rows; ++row) {
        for (std::int64_t i = 0; i < stride; ++i) {
          const std::size_t at = static_cast<std::size_t>(row * stride + i);
          if (i >= columns) {
            gap_untouched = gap_untouched && std::isnan(got[at]);
            got[at] = 0.0F;
          } else if (row > 0 || i < 1 || i > 4) {
            const double x =
                static_cast<double>(to_float(in_half[static_cast<std::size_t>(row) * columns + i])) +
                to_float(bias[i]);
            reference[at] = 0.5 * x * (1.0 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
          }
        }
      }
      checks.that(what + ": nothing between the rows is written", gap_untouched);
      checks.within(what, relative_error(got, as_stored(reference, type, scale)), limit_of(type));
    }
  }
  checks.report("bias_gelu");
}

// -------------------------------------------------------------------------------------------- whole tensors

void check_tensors(Random& random, Checks& checks) {
  for (int round = 0; round < 12; ++round) {
    const int count = round < 4 ? random.integer(1, 40) : random.integer(1000, 3000000);
    const int shift = round % 2 == 0 ? 0 : random.integer(1, 7);  // elements off alignment
    const auto all = random.normal(static_cast<std::size_t>(count) + shift, 0.0F, 1.5F);
    const auto halves = to_half(all);
    for (const bool is_float : {false, true}) {
      const auto values = is_float ? all : to_float(halves);
      const DeviceBuffer<float> float_gpu(all);
      const DeviceBuffer<__half> half_gpu(halves);
      const void* data = is_float ? static_cast<const void*>(float_gpu.data() + shift)
                                  : static_cast<const void*>(half_gpu.data() + shift);
      float largest = 0.0F;
      for (int i = 0; i < count; ++i) largest = std::max(largest, std::fabs(values[shift + i]));
      DeviceBuffer<float> result(1);
      result.clear();
      absolute_maximum(data, is_float, count, result.data(), nullptr);
      check_launch("absolute_maximum");
      LAB_CHECK_KERNEL();
      checks.that(format("absolute_maximum of %d", count), result.download()[0] == largest);

      const float scale_value = std::max(largest, 0.01F) / random.uniform(300.0F, 600.0F);
      const DeviceBuffer<float> scale(std::vector<float>{scale_value});
      const DeviceBuffer<std::uint8_t> out(static_cast<std::size_t>(count) + 8);
      quantise(data, is_float, count, scale.data(), out.data() + round % 3, nullptr);
      check_launch("quantise");
      LAB_CHECK_KERNEL();
      const auto got = out.download();
      bool equal = true;
      for (int i = 0; i < count; ++i)
        equal = equal && got[round % 3 + i] == to_e4m3(values[shift + i] / scale_value);
      for (std::size_t i = round % 3 + count; i < got.size(); ++i) equal = equal && got[i] == 0xFF;
      checks.that(format("quantise %d", count), equal);
    }
  }
  // NaN and infinity.
  for (const float special : {kNan, kInfinity, -kInfinity}) {
    auto values = random.normal(1001, 0.0F, 1.0F);
    const int at = random.integer(0, 1000);
    values[at] = special;
    const DeviceBuffer<float> data(values);
    DeviceBuffer<float> result(1), one(std::vector<float>{1.0F});
    const DeviceBuffer<std::uint8_t> out(values.size());
    result.clear();
    absolute_maximum(data.data(), true, 1001, result.data(), nullptr);
    quantise(data.data(), true, 1001, one.data(), out.data(), nullptr);
    LAB_CHECK_KERNEL();
    const float largest = result.download()[0];
    checks.that("absolute_maximum keeps NaN and infinity",
                std::isnan(special) ? std::isnan(largest) : largest == kInfinity);
    checks.that("quantise makes NaN of NaN and infinity", std::isnan(from_e4m3(out.download()[at])));
  }
  checks.report("absolute_maximum, quantise");

  for (int round = 0; round < 4; ++round) {
    const int count = round == 0 ? 13 : random.integer(1000000, 3000000);
    const std::uint64_t seed = random.bits();
    const float amplitude = random.uniform(0.01F, 2.0F);
    const DeviceBuffer<__half> first(count), second(count / 2), other(count);
    fill_random(first.data(), count, seed, amplitude, nullptr);
    fill_random(second.data(), count / 2, seed, amplitude, nullptr);
    fill_random(other.data(), count, seed + 1, amplitude, nullptr);
    check_launch("fill_random");
    LAB_CHECK_KERNEL();
    const auto a = to_float(first.download());
    const auto b = to_float(second.download());
    const auto c = to_float(other.download());
    checks.that("fill_random is a function of seed and index", std::equal(b.begin(), b.end(), a.begin()));
    double mean = 0.0, square = 0.0, neighbour = 0.0, fourth = 0.0, seeds = 0.0, largest = 0.0;
    for (int i = 0; i < count; ++i) {
      const double x = a[i] / amplitude;
      mean += x;
      square += x * x;
      if (i > 0) neighbour += x * a[i - 1] / amplitude;
      if (i > 3) fourth += x * a[i - 4] / amplitude;
      seeds += x * c[i] / amplitude;
      largest = std::max(largest, std::fabs(x));
    }
    checks.that("fill_random stays within the amplitude", largest <= 1.0005 && !std::isnan(mean));
    if (round == 0) continue;
    // Five standard deviations of each estimate.
    const double root = std::sqrt(static_cast<double>(count));
    checks.within("fill_random: mean", std::fabs(mean / count), 5.0 * 0.578 / root);
    checks.within("fill_random: variance", std::fabs(square / count - 1.0 / 3.0), 5.0 * 0.299 / root + 1e-4);
    checks.within("fill_random: neighbours", std::fabs(neighbour / count), 5.0 * 0.334 / root);
    checks.within("fill_random: words", std::fabs(fourth / count), 5.0 * 0.334 / root);
    checks.within("fill_random: seeds", std::fabs(seeds / count), 5.0 * 0.334 / root);
  }
  checks.report("fill_random");
}

// --------------------------------------------------------------------------------------------------- timing

struct RowShape {
  int rows, hidden;
};

void time_all(const CommandLine& options, Random& random) {
  Table table(bandwidth_header());
  const auto time = [&](const std::string& name, double bytes, auto&& make_launch) {
    if (!options.wants(name)) return;
    TimingPlan plan;
    plan.repeats = options.repeats;
    plan.sets = sets_beyond_cache(static_cast<std::size_t>(bytes));
    plan.launches = 10;
    auto launch = make_launch(plan.sets);
    table.row(bandwidth_cells(name, time_kernel(plan, launch), bytes));
  };
  // Noise on the device: `count` halves in each of `sets` buffers.
  const auto noise = [&](int sets, std::size_t count) {
    std::vector<DeviceBuffer<__half>> buffers;
    for (int i = 0; i < sets; ++i) {
      buffers.emplace_back(count);
      fill_random(buffers.back().data(), static_cast<std::int64_t>(count), random.bits(), 2.0F, nullptr);
    }
    return buffers;
  };

  for (const std::size_t megabytes : {44, 400}) {
    const std::size_t half = (megabytes << 20) / 2;
    time(format("copy of %zu MiB in all", megabytes), 2.0 * half, [&](int sets) {
      return [half, from = noise(sets, half / 2), to = noise(sets, half / 2)](int set, cudaStream_t stream) {
        LAB_CHECK(cudaMemcpyAsync(to[set].data(), from[set].data(), half, cudaMemcpyDeviceToDevice, stream));
      };
    });
  }
  for (const RowShape shape : {RowShape{3600, 4096}, {800, 4096}, {3600, 8192}, {3600, 1024}}) {
    for (const ElementType type : {ElementType::kF8E4M3, ElementType::kF16}) {
      const std::size_t count = static_cast<std::size_t>(shape.rows) * shape.hidden;
      time(format("layer_norm %d x %d %s", shape.rows, shape.hidden, name_of(type)),
           count * (2.0 + size_of(type)), [&](int sets) {
             LayerNorm work;
             work.rows = shape.rows;
             work.hidden = shape.hidden;
             work.out_type = type;
             work.out_scale = 0.02F;
             return [work, in = noise(sets, count), out = noise(sets, count),
                     affine = noise(2, shape.hidden)](int set, cudaStream_t stream) mutable {
               work.in = in[set].data();
               work.out = out[set].data();
               work.weight = affine[0].data();
               work.bias = affine[1].data();
               layer_norm(work, stream);
             };
           });
    }
  }
  for (const ElementType type : {ElementType::kF8E4M3, ElementType::kF16}) {
    const int rows = 3600;
    const double row_bytes = 4096 * (2.0 * 2 / 4 + 2.0 * 2 + 2.0 * size_of(type));  // a quarter of Q, K and V
    time(format("rotate_and_append %d x 16 x 256 %s", rows, name_of(type)), rows * row_bytes, [&](int sets) {
      RotateAndAppend work;
      work.dims = {4096, 16, 256, 64, 0};
      work.rows.rows = rows;
      work.cache = {nullptr, nullptr, type, 0.02F, 0.02F, 64};
      std::vector<std::int32_t> cache_row(3648), position(rows);
      for (std::size_t i = 0; i < cache_row.size(); ++i) cache_row[i] = static_cast<std::int32_t>(i);
      for (auto& value : position) value = random.integer(0, 1999);
      DeviceBuffer<float> turns(2000 * 64);
      make_sin_cos(turns.data(), 2000, 64, nullptr);
      return [work, qkv = noise(sets, static_cast<std::size_t>(rows) * 3 * 4096),
              keys = noise(sets, 3648 * 4096), values = noise(sets, 3648 * 4096), turns = std::move(turns),
              cache_row = DeviceBuffer<std::int32_t>(cache_row),
              position = DeviceBuffer<std::int32_t>(position)](int set, cudaStream_t stream) mutable {
        work.rows.cache_row = cache_row.data();
        work.rows.position = position.data();
        work.qkv = qkv[set].data();
        work.cache.keys = keys[set].data();
        work.cache.values = values[set].data();
        work.sin_cos = turns.data();
        rotate_and_append(work, stream);
      };
    });
  }
  for (const ElementType type : {ElementType::kF8E4M3, ElementType::kF16}) {
    const std::size_t count = std::size_t{3600} * 16384;
    time(format("bias_gelu 3600 x 16384 %s", name_of(type)), count * (2.0 + size_of(type)), [&](int sets) {
      BiasGelu work;
      work.rows = 3600;
      work.columns = 16384;
      work.out_stride = 16384;
      work.out_type = type;
      work.out_scale = 0.02F;
      return [work, in = noise(sets, count), out = noise(sets, count), bias = noise(1, 16384)](
                 int set, cudaStream_t stream) mutable {
        work.in = in[set].data();
        work.bias = bias[0].data();
        work.out = out[set].data();
        bias_gelu(work, stream);
      };
    });
  }
  time("embed 3600 x 4096", 3600.0 * 4096 * 4, [&](int sets) {
    Embed work;
    work.dims.hidden = 4096;
    work.dims.vocab = 50400;
    work.rows.rows = 3600;
    std::vector<std::int32_t> token(3600 * static_cast<std::size_t>(sets));
    for (auto& value : token) value = random.integer(0, 50399);
    return [work, from = noise(1, std::size_t{50400} * 4096), to = noise(sets, std::size_t{3600} * 4096),
            token = DeviceBuffer<std::int32_t>(token)](int set, cudaStream_t stream) mutable {
      work.rows.token = token.data() + set * 3600;
      work.embedding = from[0].data();
      work.residual = to[set].data();
      embed(work, stream);
    };
  });
  const std::size_t weights = std::size_t{4096} * 16384;
  time("absolute_maximum 4096 x 16384 fp16", weights * 2.0, [&](int sets) {
    DeviceBuffer<float> result(1);
    result.clear();
    return [in = noise(sets, weights), weights, result = std::move(result)](int set, cudaStream_t stream) {
      absolute_maximum(in[set].data(), false, static_cast<std::int64_t>(weights), result.data(), stream);
    };
  });
  time("quantise 4096 x 16384 fp16", weights * 3.0, [&](int sets) {
    return [in = noise(sets, weights), out = noise(sets, weights / 2), weights,
            scale = DeviceBuffer<float>(std::vector<float>{0.004F})](int set, cudaStream_t stream) {
      quantise(in[set].data(), false, static_cast<std::int64_t>(weights), scale.data(), out[set].data(),
               stream);
    };
  });
  time("fill_random 4096 x 16384", weights * 2.0, [&](int sets) {
    return [out = noise(sets, weights), weights](int set, cudaStream_t stream) {
      fill_random(out[set].data(), static_cast<std::int64_t>(weights), 7, 1.0F, stream);
    };
  });
  table.print();
}

}  // namespace

int main(int argc, char** argv) {
  const CommandLine options(argc, argv);
  print_device();
  Random random(options.seed);
  Checks checks;
  if (options.checks) {
    if (options.wants("embed")) check_embed(random, checks);
    if (options.wants("layer_norm")) check_layer_norm(random, checks);
    if (options.wants("make_sin_cos")) check_sin_cos(random, checks);
    if (options.wants("rotate_and_append")) check_rotate(random, checks);
    if (options.wants("bias_gelu")) check_bias_gelu(random, checks);
    if (options.wants("absolute_maximum quantise fill_random")) check_tensors(random, checks);
    if (!checks.all_good()) return checks.finish();  // a wrong kernel's time is of no interest
  }
  if (options.times) time_all(options, random);
  return options.checks ? checks.finish() : 0;
}
