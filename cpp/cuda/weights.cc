#include "cuda/weights.h"

#include <cuda_fp16.h>

#include <cmath>
#include <cstring>
#include <string>

#include "cuda/carver.h"
#include "cuda/kernels/pointwise.h"
#include "engine/read_tensor.h"
#include "gptj/error.h"

namespace gptj::cuda {
namespace {

constexpr float kLargestE4M3 = 448.0F;
// Ranges that activations get when nothing was calibrated. E4M3 keeps its precision over fifteen binades, so
// a range that is generous costs little; one that is too small saturates.
constexpr float kNormedRange = 64.0F;
constexpr float kJoinedRange = 112.0F;
constexpr float kKeyRange = 64.0F;
constexpr float kValueRange = 32.0F;
// [layers, 4]: the ranges of a calibration, in the order of ActivationScales. docs/calibration.md says how
// they are measured; src/model/calibration.rs puts them into the store.
constexpr const char* kCalibratedRanges = "fp8.activation_ranges";
// cuBLASLt reads each scale by itself, and may read it with a wide load.
constexpr int kScaleStride = 64;
constexpr int kScalesPerLayer = 6 * kScaleStride;

// The scale of a tensor whose magnitudes are at most `range`: the largest of them becomes the largest of
// E4M3, without a margin. A tensor of zeros has the scale 1.
float scale_of(float range) { return range > 0.0F ? range / kLargestE4M3 : 1.0F; }

std::size_t product(std::int64_t a, std::int64_t b) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
}

}  // namespace

std::size_t ModelWeights::bytes(const ModelConfig& model, ElementType type) {
  const auto hidden = static_cast<std::size_t>(model.n_embd);
  const auto inner = static_cast<std::size_t>(model.n_inner);
  const std::size_t element = element_bytes(type);
  const std::size_t layer = aligned(3 * hidden * hidden * element) + aligned(inner * hidden * element) +
                            aligned(hidden * (hidden + inner) * element) + 3 * aligned(2 * hidden) +
                            aligned(2 * inner) + aligned(kScalesPerLayer * sizeof(float));
  const std::size_t padded = product(padded_vocab(model), model.n_embd);
  return static_cast<std::size_t>(model.n_layer) * layer +
         aligned(2 * product(model.vocab_size, model.n_embd)) + 2 * aligned(2 * hidden) +
         aligned(2 * padded) + aligned(static_cast<std::size_t>(padded_vocab(model)) * sizeof(float));
}

// Fills a ModelWeights, one tensor after the other.
class WeightLoader {
 public:
  WeightLoader(ModelWeights& weights, const ModelConfig& model, const WeightStore& store,
               const WeightOptions& options, cudaStream_t stream)
      : weights_(weights),
        model_(model),
        store_(store),
        options_(options),
        stream_(stream),
        next_(weights.memory_.as<std::byte>()),
        maximum_(sizeof(float), "a scale") {
    const std::size_t hidden = static_cast<std::size_t>(model.n_embd);
    const std::size_t largest =
        std::max(3 * hidden, hidden + static_cast<std::size_t>(model.n_inner)) * hidden;
    if (options.type == ElementType::kF8E4M3)
      staging_ = DeviceBuffer(largest * 2, "weights before their quantisation");
  }

  void load() {
    const std::int64_t hidden = model_.n_embd;
    const std::int64_t vocab = model_.vocab_size;
    weights_.embedding_ = half_matrix({.name = "transformer.wte.weight", .rows = vocab, .columns = hidden});
    for (std::int32_t layer = 0; layer < model_.n_layer; ++layer)
      weights_.layers_.push_back(load_layer(layer));
    weights_.norm_weight_ = half_vector("transformer.ln_f.weight", hidden, 1.0F);
    weights_.norm_bias_ = half_vector("transformer.ln_f.bias", hidden, 0.0F);
    weights_.lm_head_ = half_matrix(
        {.name = "lm_head.weight", .rows = vocab, .columns = hidden, .padded_rows = padded_vocab(model_)});
    std::vector<float> bias = vector("lm_head.bias", vocab, 0.0F);
    bias.resize(static_cast<std::size_t>(padded_vocab(model_)), 0.0F);
    weights_.lm_head_bias_ = upload(bias.data(), bias.size() * sizeof(float));
    GPTJ_CUDA_CHECK(cudaStreamSynchronize(stream_));
  }

 private:
  struct Matrix {
    std::string name;
    std::int64_t rows = 0;
    std::int64_t columns = 0;
    std::int64_t padded_rows = 0;  // 0: rows
  };

  void* take(std::size_t bytes) {
    void* memory = next_;
    next_ += aligned(bytes);
    return memory;
  }

  // The source is pageable: the call returns when it may be changed again.
  void* upload(const void* data, std::size_t bytes) {
    void* memory = take(bytes);
    copy(memory, data, bytes);
    return memory;
  }

  void copy(void* to, const void* data, std::size_t bytes) {
    GPTJ_CUDA_CHECK(cudaMemcpyAsync(to, data, bytes, cudaMemcpyHostToDevice, stream_));
  }

  static std::vector<__half> to_half(const std::vector<float>& values) {
    std::vector<__half> halves(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) halves[i] = __float2half_rn(values[i]);
    return halves;
  }

  std::vector<float> vector(const std::string& name, std::int64_t count, float synthetic) {
    if (options_.synthetic_seed != 0) return std::vector<float>(static_cast<std::size_t>(count), synthetic);
    return read_tensor(store_, name, {count});
  }

  void* half_vector(const std::string& name, std::int64_t count, float synthetic) {
    const std::vector<__half> halves = to_half(vector(name, count, synthetic));
    return upload(halves.data(), halves.size() * sizeof(__half));
  }

  // Standard deviation 1 / sqrt(columns): activations keep their size from layer to layer.
  void draw(void* to, std::int64_t rows, std::int64_t columns) {
    const float amplitude = std::sqrt(3.0F / static_cast<float>(columns));
    fill_random(to, rows * columns, options_.synthetic_seed * 1000003U + ++drawn_, amplitude, stream_);
    check_launch("fill_random");
  }

  void fill_half(void* to, const Matrix& matrix) {
    const std::size_t count = product(matrix.rows, matrix.columns);
    if (options_.synthetic_seed != 0) {
      draw(to, matrix.rows, matrix.columns);
      return;
    }
    const std::vector<__half> halves =
        to_half(read_tensor(store_, matrix.name, {matrix.rows, matrix.columns}));
    copy(to, halves.data(), count * sizeof(__half));
  }

  void* half_matrix(const Matrix& matrix) {
    const std::int64_t rows = matrix.padded_rows != 0 ? matrix.padded_rows : matrix.rows;
    const std::size_t bytes = 2 * product(rows, matrix.columns);
    void* memory = take(bytes);
    GPTJ_CUDA_CHECK(cudaMemsetAsync(memory, 0, bytes, stream_));
    fill_half(memory, matrix);
    return memory;
  }

  // A matrix of a layer, of several tensors below each other; quantised where that is asked for.
  const void* layer_matrix(const std::vector<Matrix>& parts, float* scale) {
    std::size_t count = 0;
    for (const Matrix& part : parts) count += product(part.rows, part.columns);
    void* memory = take(count * element_bytes(options_.type));
    void* halves = options_.type == ElementType::kF16 ? memory : staging_.as<>();
    auto* to = static_cast<__half*>(halves);
    for (const Matrix& part : parts) {
      fill_half(to, part);
      to += product(part.rows, part.columns);
    }
    quantise_into(memory, halves, count, scale);
    return memory;
  }

  // The two projections back, side by side: [hidden, hidden | inner].
  const void* joined_matrix(const std::string& prefix, float* scale) {
    const std::int64_t hidden = model_.n_embd;
    const std::int64_t inner = model_.n_inner;
    const std::size_t count = product(hidden, hidden + inner);
    void* memory = take(count * element_bytes(options_.type));
    void* halves = options_.type == ElementType::kF16 ? memory : staging_.as<>();
    if (options_.synthetic_seed != 0) {
      draw(halves, hidden, hidden + inner);
    } else {
      const auto attention = to_half(read_tensor(store_, prefix + "attn.out_proj.weight", {hidden, hidden}));
      const auto mlp = to_half(read_tensor(store_, prefix + "mlp.fc_out.weight", {hidden, inner}));
      std::vector<__half> joined(count);
      for (std::int64_t row = 0; row < hidden; ++row) {
        __half* to = joined.data() + product(row, hidden + inner);
        std::memcpy(to, attention.data() + product(row, hidden), product(hidden, 2));
        std::memcpy(to + hidden, mlp.data() + product(row, inner), product(inner, 2));
      }
      copy(halves, joined.data(), count * sizeof(__half));
    }
    quantise_into(memory, halves, count, scale);
    return memory;
  }

  void quantise_into(void* memory, const void* halves, std::size_t count, float* scale) {
    if (options_.type == ElementType::kF16) return;
    float* maximum = maximum_.as<float>();
    GPTJ_CUDA_CHECK(cudaMemsetAsync(maximum, 0, sizeof(float), stream_));
    absolute_maximum(halves, false, static_cast<std::int64_t>(count), maximum, stream_);
    check_launch("absolute_maximum");
    float found = 0.0F;
    GPTJ_CUDA_CHECK(cudaMemcpyAsync(&found, maximum, sizeof found, cudaMemcpyDeviceToHost, stream_));
    GPTJ_CUDA_CHECK(cudaStreamSynchronize(stream_));
    if (!std::isfinite(found)) throw Error(ErrorKind::kModel, "the weights hold NaN or infinity in fp16");
    const float each = scale_of(found);
    copy(scale, &each, sizeof each);
    quantise(halves, false, static_cast<std::int64_t>(count), scale, memory, stream_);
    check_launch("quantise");
  }

  ActivationScales scales(std::int32_t layer) {
    ActivationScales scales;
    if (options_.type == ElementType::kF16) return scales;
    float ranges[] = {kNormedRange, kJoinedRange, kKeyRange, kValueRange};
    if (store_.find(kCalibratedRanges) != nullptr) {
      const std::vector<float> calibrated = read_tensor(store_, kCalibratedRanges, {model_.n_layer, 4});
      std::memcpy(ranges, calibrated.data() + 4 * layer, sizeof ranges);
    }
    for (const float range : ranges) {
      if (std::isfinite(range) && range >= 0.0F) continue;
      throw Error(ErrorKind::kModel, std::string("tensor `") + kCalibratedRanges + "` has " +
                                         std::to_string(range) + " for layer " + std::to_string(layer) +
                                         ", which is no range");
    }
    scales.normed = scale_of(ranges[0]);
    scales.joined = scale_of(ranges[1]);
    scales.keys = scale_of(ranges[2]);
    scales.values = scale_of(ranges[3]);
    return scales;
  }

  LayerWeights load_layer(std::int32_t index) {
    const std::string prefix = "transformer.h." + std::to_string(index) + ".";
    const std::int64_t hidden = model_.n_embd;
    const std::int64_t inner = model_.n_inner;
    LayerWeights layer;
    layer.scales = scales(index);
    auto* on_gpu = static_cast<float*>(take(kScalesPerLayer * sizeof(float)));
    std::vector<float> constants(3 * kScaleStride, 0.0F);
    constants[0] = layer.scales.normed;
    constants[kScaleStride] = layer.scales.joined;
    constants[2 * kScaleStride] = 1.0F / layer.scales.joined;
    copy(on_gpu + 3 * kScaleStride, constants.data(), constants.size() * sizeof(float));
    layer.qkv_scale = on_gpu;
    layer.fc_in_scale = on_gpu + kScaleStride;
    layer.joined_scale = on_gpu + 2 * kScaleStride;
    layer.normed_scale = on_gpu + 3 * kScaleStride;
    layer.activation_joined_scale = on_gpu + 4 * kScaleStride;
    layer.activation_joined_inverse = on_gpu + 5 * kScaleStride;

    layer.norm_weight = half_vector(prefix + "ln_1.weight", hidden, 1.0F);
    layer.norm_bias = half_vector(prefix + "ln_1.bias", hidden, 0.0F);
    layer.qkv = layer_matrix({{prefix + "attn.q_proj.weight", hidden, hidden, 0},
                              {prefix + "attn.k_proj.weight", hidden, hidden, 0},
                              {prefix + "attn.v_proj.weight", hidden, hidden, 0}},
                             on_gpu);
    layer.fc_in = layer_matrix({{prefix + "mlp.fc_in.weight", inner, hidden, 0}}, on_gpu + kScaleStride);
    layer.fc_in_bias = half_vector(prefix + "mlp.fc_in.bias", inner, 0.0F);
    layer.joined = joined_matrix(prefix, on_gpu + 2 * kScaleStride);
    layer.joined_bias = half_vector(prefix + "mlp.fc_out.bias", hidden, 0.0F);
    return layer;
  }

  ModelWeights& weights_;
  const ModelConfig& model_;
  const WeightStore& store_;
  const WeightOptions& options_;
  cudaStream_t stream_;
  std::byte* next_;
  DeviceBuffer maximum_;  // one float
  DeviceBuffer staging_;  // fp16, the largest matrix
  std::uint64_t drawn_ = 0;
};

ModelWeights::ModelWeights(const ModelConfig& model, const WeightStore& store, const WeightOptions& options,
                           cudaStream_t stream)
    : memory_(bytes(model, options.type), "the weights") {
  WeightLoader(*this, model, store, options, stream).load();
}

}  // namespace gptj::cuda
