#include "cpu/network.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "cpu/kernels.h"
#include "engine/read_tensor.h"
#include "engine/vector_math.h"

namespace gptj::cpu {
namespace {

template <typename Element>
constexpr ComputeType kCompute = std::is_same_v<Element, float> ? ComputeType::kF32 : ComputeType::kBf16;

void put(float* to, float value) { *to = value; }
void put(std::uint16_t* to, float value) { *to = to_bf16(value); }

struct Layer {
  std::vector<float> norm_weight;  // [n_embd]
  std::vector<float> norm_bias;    // [n_embd]
  Linear qkv;                      // [n_embd] -> [3 * n_embd], float
  Linear attention_out;            // added to the residual
  Linear mlp_in;                   // GELU
  Linear mlp_out;                  // added to the residual
};

// Angles of the rotary embedding, computed in float as the reference does: position * 10000^(-2 i /
// rotary_dim).
struct RotaryTable {
  RotaryTable(std::int32_t positions, std::int32_t rotary_dim) : pairs(rotary_dim / 2) {
    cosine.resize(static_cast<std::size_t>(positions) * static_cast<std::size_t>(pairs));
    sine.resize(cosine.size());
    for (std::int32_t pair = 0; pair < pairs; ++pair) {
      const float exponent = static_cast<float>(2 * pair) / static_cast<float>(rotary_dim);
      const float frequency = 1.0F / std::pow(10000.0F, exponent);
      for (std::int32_t position = 0; position < positions; ++position) {
        const float angle = static_cast<float>(position) * frequency;
        const std::size_t at = static_cast<std::size_t>(position) * static_cast<std::size_t>(pairs) +
                               static_cast<std::size_t>(pair);
        cosine[at] = std::cos(angle);
        sine[at] = std::sin(angle);
      }
    }
  }

  // Rotates interleaved pairs of one head in place.
  void rotate(float* head, std::int32_t position) const {
    const std::size_t row = static_cast<std::size_t>(position) * static_cast<std::size_t>(pairs);
    for (std::int32_t pair = 0; pair < pairs; ++pair) {
      const float c = cosine[row + static_cast<std::size_t>(pair)];
      const float s = sine[row + static_cast<std::size_t>(pair)];
      const float even = head[2 * pair];
      const float odd = head[2 * pair + 1];
      head[2 * pair] = even * c - odd * s;
      head[2 * pair + 1] = odd * c + even * s;
    }
  }

  std::int32_t pairs = 0;
  std::vector<float> cosine;  // [positions, pairs]
  std::vector<float> sine;    // [positions, pairs]
};

// Element: what products take and the cache holds, float or std::uint16_t for bfloat16. The residual stream,
// softmax and normalisation are always float.
template <typename Element>
class GptJ final : public Network {
 public:
  GptJ(const ModelConfig& model, const WeightStore& weights, const NetworkOptions& options);

  std::span<const float> forward(const Batch& batch, KvCache& cache) override;

 private:
  // One thread's working memory for attention.
  struct Scratch {
    std::vector<KvTile<Element>> tiles;
    std::vector<float> scores;  // [8, 16 * tiles]
  };

  void embed(const Batch& batch);
  // Shows a matrix without gaps to whoever calibrates, which is done in float only.
  void show(std::int32_t layer, Activation activation, const Element* data, std::int32_t rows,
            std::int32_t columns) const {
    if constexpr (std::is_same_v<Element, float>) {
      if (observer_ != nullptr) observer_->observe(layer, activation, {data, rows, columns, columns});
    }
  }
  void show_keys_and_values(std::int32_t layer, std::int32_t rows) const;
  void normalise(const float* x, std::int32_t rows, const std::vector<float>& weight,
                 const std::vector<float>& bias, Element* out) const;
  void rotate_and_cache(const Batch& batch, KvCache& cache, std::int32_t layer);
  void attend(const Batch& batch, KvCache& cache, std::int32_t layer);
  void attend_group(const QueryGroup& group, KvCache& cache, std::int32_t layer, std::int32_t head,
                    Scratch& scratch);
  void fill_visibility(const QueryGroup& group, std::int32_t prompt_tiles, std::int32_t tiles,
                       float* scores) const;
  static void run_kernel(const Kernels& kernels, const AttentionTask<Element>& task) {
    if constexpr (std::is_same_v<Element, float>) {
      kernels.attend_f32(task);
    } else {
      kernels.attend_bf16(task);
    }
  }

  std::size_t width() const { return static_cast<std::size_t>(model_.n_embd); }

  ModelConfig model_;
  std::int32_t beam_width_;
  ActivationObserver* observer_;
  const Kernels& kernels_ = best_kernels();
  RotaryTable rotary_;
  std::vector<float> embedding_;  // [vocab, n_embd]
  std::vector<Layer> layers_;
  std::vector<float> final_norm_weight_;
  std::vector<float> final_norm_bias_;
  std::vector<Linear> head_;  // exactly one; a vector only because it is made after the layers

  // Working memory, as long as the largest batch.
  std::vector<float> residual_;      // [rows, n_embd]
  std::vector<Element> normalised_;  // [rows, n_embd]
  std::vector<float> qkv_;           // [rows, 3 * n_embd]
  std::vector<Element> attended_;    // [rows, n_embd]
  std::vector<Element> inner_;       // [rows, n_inner]
  std::vector<float> picked_;        // [logit rows, n_embd]
  std::vector<float> logits_;        // [logit rows, vocab]
  std::vector<Scratch> scratch_;     // one for each thread
};

std::vector<float> concatenate(std::vector<float> a, const std::vector<float>& b,
                               const std::vector<float>& c) {
  a.insert(a.end(), b.begin(), b.end());
  a.insert(a.end(), c.begin(), c.end());
  return a;
}

template <typename Element>
GptJ<Element>::GptJ(const ModelConfig& model, const WeightStore& weights, const NetworkOptions& options)
    : model_(model),
      beam_width_(options.beam_width),
      observer_(options.observer),
      rotary_(model.n_positions, model.rotary_dim) {
  constexpr ComputeType kType = kCompute<Element>;
  const std::int64_t embd = model.n_embd;
  const std::int64_t inner = model.n_inner;
  const std::int64_t vocab = model.vocab_size;
  const auto linear = [&](std::int32_t in, std::int32_t out, bool f32_output, After after,
                          const std::vector<float>& weight, const std::vector<float>& bias) {
    return Linear({in, out, kType, f32_output, after}, weight, bias);
  };

  embedding_ = read_tensor(weights, "transformer.wte.weight", {vocab, embd});
  layers_.reserve(static_cast<std::size_t>(model.n_layer));
  for (std::int32_t index = 0; index < model.n_layer; ++index) {
    const std::string prefix = "transformer.h." + std::to_string(index) + ".";
    const auto tensor = [&](const std::string& name, std::initializer_list<std::int64_t> shape) {
      return read_tensor(weights, prefix + name, shape);
    };
    const auto qkv =
        concatenate(tensor("attn.q_proj.weight", {embd, embd}), tensor("attn.k_proj.weight", {embd, embd}),
                    tensor("attn.v_proj.weight", {embd, embd}));
    layers_.push_back(Layer{
        .norm_weight = tensor("ln_1.weight", {embd}),
        .norm_bias = tensor("ln_1.bias", {embd}),
        .qkv = linear(model.n_embd, 3 * model.n_embd, true, After::kNothing, qkv, {}),
        .attention_out = linear(model.n_embd, model.n_embd, true, After::kAdd,
                                tensor("attn.out_proj.weight", {embd, embd}), {}),
        .mlp_in = linear(model.n_embd, model.n_inner, kType == ComputeType::kF32, After::kGelu,
                         tensor("mlp.fc_in.weight", {inner, embd}), tensor("mlp.fc_in.bias", {inner})),
        .mlp_out = linear(model.n_inner, model.n_embd, true, After::kAdd,
                          tensor("mlp.fc_out.weight", {embd, inner}), tensor("mlp.fc_out.bias", {embd})),
    });
  }
  final_norm_weight_ = read_tensor(weights, "transformer.ln_f.weight", {embd});
  final_norm_bias_ = read_tensor(weights, "transformer.ln_f.bias", {embd});
  head_.push_back(linear(model.n_embd, model.vocab_size, true, After::kNothing,
                         read_tensor(weights, "lm_head.weight", {vocab, embd}),
                         read_tensor(weights, "lm_head.bias", {vocab})));

  const auto rows = static_cast<std::size_t>(padded_rows(options.max_rows));
  const auto logit_rows = static_cast<std::size_t>(padded_rows(options.max_logit_rows));
  residual_.resize(rows * width());
  normalised_.resize(std::max(rows, logit_rows) * width());
  qkv_.resize(rows * 3 * width());
  attended_.resize(rows * width());
  inner_.resize(rows * static_cast<std::size_t>(inner));
  picked_.resize(logit_rows * width());
  logits_.resize(logit_rows * static_cast<std::size_t>(vocab));
  scratch_.resize(static_cast<std::size_t>(omp_get_max_threads()));
  const auto tiles = static_cast<std::size_t>(options.max_cache_rows / kRowsPerTile + 1);
  for (Scratch& scratch : scratch_) {
    scratch.tiles.resize(tiles);
    scratch.scores.resize(kQueriesPerTask * tiles * kRowsPerTile);
  }
}

template <typename Element>
std::span<const float> GptJ<Element>::forward(const Batch& batch, KvCache& cache) {
  const std::int32_t rows = batch.rows();
  embed(batch);
  for (std::int32_t index = 0; index < model_.n_layer; ++index) {
    Layer& layer = layers_[static_cast<std::size_t>(index)];
    normalise(residual_.data(), rows, layer.norm_weight, layer.norm_bias, normalised_.data());
    show(index, Activation::kNormed, normalised_.data(), rows, model_.n_embd);
    layer.qkv.run(normalised_.data(), qkv_.data(), rows);
    rotate_and_cache(batch, cache, index);
    show_keys_and_values(index, rows);
    attend(batch, cache, index);
    show(index, Activation::kJoined, attended_.data(), rows, model_.n_embd);
    // Attention and MLP both read the normalised input and both add to the residual.
    layer.attention_out.run(attended_.data(), residual_.data(), rows);
    layer.mlp_in.run(normalised_.data(), inner_.data(), rows);
    show(index, Activation::kJoined, inner_.data(), rows, model_.n_inner);
    layer.mlp_out.run(inner_.data(), residual_.data(), rows);
  }

  const auto wanted = static_cast<std::int32_t>(batch.logit_rows.size());
  if (wanted == 0) return {};
  for (std::int32_t i = 0; i < wanted; ++i) {
    const float* from =
        residual_.data() + static_cast<std::size_t>(batch.logit_rows[static_cast<std::size_t>(i)]) * width();
    std::copy_n(from, width(), picked_.data() + static_cast<std::size_t>(i) * width());
  }
  normalise(picked_.data(), wanted, final_norm_weight_, final_norm_bias_, normalised_.data());
  head_.front().run(normalised_.data(), logits_.data(), wanted);
  return std::span<const float>(logits_).first(static_cast<std::size_t>(wanted) *
                                               static_cast<std::size_t>(model_.vocab_size));
}

template <typename Element>
void GptJ<Element>::embed(const Batch& batch) {
  for (std::size_t row = 0; row < batch.tokens.size(); ++row) {
    std::copy_n(embedding_.data() + static_cast<std::size_t>(batch.tokens[row]) * width(), width(),
                residual_.data() + row * width());
  }
}

template <typename Element>
void GptJ<Element>::normalise(const float* x, std::int32_t rows, const std::vector<float>& weight,
                              const std::vector<float>& bias, Element* out) const {
#pragma omp parallel for schedule(static)
  for (std::int32_t row = 0; row < rows; ++row) {
    const std::size_t at = static_cast<std::size_t>(row) * width();
    if constexpr (std::is_same_v<Element, float>) {
      kernels_.layer_norm_f32(x + at, weight.data(), bias.data(), model_.layer_norm_epsilon, model_.n_embd,
                              out + at);
    } else {
      kernels_.layer_norm_bf16(x + at, weight.data(), bias.data(), model_.layer_norm_epsilon, model_.n_embd,
                               out + at);
    }
  }
}

template <typename Element>
void GptJ<Element>::rotate_and_cache(const Batch& batch, KvCache& cache, std::int32_t layer) {
  const std::int32_t head_dim = model_.head_dim();
  const std::int32_t rows = batch.rows();
#pragma omp parallel for schedule(static)
  for (std::int32_t row = 0; row < rows; ++row) {
    const auto index = static_cast<std::size_t>(row);
    float* query = qkv_.data() + index * 3 * width();
    float* key = query + width();
    const float* value = key + width();
    const CacheRow where = batch.cache_rows[index];
    const std::int32_t tile = where.offset / kRowsPerTile;
    const std::int32_t lane = where.offset % kRowsPerTile;
    for (std::int32_t head = 0; head < model_.n_head; ++head) {
      const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(head) * head_dim;
      rotary_.rotate(query + start, batch.positions[index]);
      rotary_.rotate(key + start, batch.positions[index]);
      Element* keys = cache.keys<Element>(layer, where.block, head) +
                      static_cast<std::ptrdiff_t>(tile) * head_dim * kRowsPerTile + lane;
      Element* values = cache.values<Element>(layer, where.block, head) +
                        static_cast<std::ptrdiff_t>(where.offset) * head_dim;
      for (std::int32_t d = 0; d < head_dim; ++d) {
        put(keys + static_cast<std::ptrdiff_t>(d) * kRowsPerTile, key[start + d]);
        put(values + d, value[start + d]);
      }
    }
  }
}

// Behind rotate_and_cache(), which turns keys in place.
template <typename Element>
void GptJ<Element>::show_keys_and_values(std::int32_t layer, std::int32_t rows) const {
  if (observer_ == nullptr) return;
  const auto stride = static_cast<std::int64_t>(3 * width());
  const float* keys = qkv_.data() + width();
  observer_->observe(layer, Activation::kKeys, {keys, rows, model_.n_embd, stride});
  observer_->observe(layer, Activation::kValues, {keys + width(), rows, model_.n_embd, stride});
}

template <typename Element>
void GptJ<Element>::attend(const Batch& batch, KvCache& cache, std::int32_t layer) {
  const auto tasks = static_cast<std::int64_t>(batch.groups.size()) * model_.n_head;
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t task = 0; task < tasks; ++task) {
    const QueryGroup& group = batch.groups[static_cast<std::size_t>(task / model_.n_head)];
    attend_group(group, cache, layer, static_cast<std::int32_t>(task % model_.n_head),
                 scratch_[static_cast<std::size_t>(omp_get_thread_num())]);
  }
}

template <typename Element>
void GptJ<Element>::attend_group(const QueryGroup& group, KvCache& cache, std::int32_t layer,
                                 std::int32_t head, Scratch& scratch) {
  const std::int32_t head_dim = model_.head_dim();
  const std::int32_t block_size = cache.shape().block_size;
  const std::int32_t tiles_per_block = block_size / kRowsPerTile;
  const auto tiles_for = [](std::int32_t rows) { return (rows + kRowsPerTile - 1) / kRowsPerTile; };
  const std::int32_t last_visible = group.visible_prompt + (group.causal ? group.count - 1 : 0);
  const std::int32_t prompt_tiles = tiles_for(last_visible);
  const std::int32_t suffix_tiles = tiles_for(group.generated * beam_width_);

  std::int32_t tiles = 0;
  const auto add_tiles = [&](std::int32_t first_block, std::int32_t count) {
    for (std::int32_t tile = 0; tile < count; ++tile) {
      const std::int32_t block = group.blocks[static_cast<std::size_t>(first_block + tile / tiles_per_block)];
      const std::ptrdiff_t in_block =
          static_cast<std::ptrdiff_t>(tile % tiles_per_block) * kRowsPerTile * head_dim;
      scratch.tiles[static_cast<std::size_t>(tiles++)] = {
          cache.keys<Element>(layer, block, head) + in_block,
          cache.values<Element>(layer, block, head) + in_block};
    }
  };
  add_tiles(0, prompt_tiles);
  add_tiles(group.prompt_blocks, suffix_tiles);
  fill_visibility(group, prompt_tiles, tiles, scratch.scores.data());

  AttentionTask<Element> task;
  task.queries = group.count;
  task.head_dim = head_dim;
  task.scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
  task.tiles = scratch.tiles.data();
  task.tile_count = tiles;
  task.scores = scratch.scores.data();
  for (std::int32_t q = 0; q < group.count; ++q) {
    const auto row = static_cast<std::size_t>(group.first_row + q);
    const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(head) * head_dim;
    task.query[q] = qkv_.data() + row * 3 * width() + start;
    task.out[q] = attended_.data() + row * width() + start;
  }
  run_kernel(kernels_, task);
}

// scores: [group.count, 16 * tiles]
template <typename Element>
void GptJ<Element>::fill_visibility(const QueryGroup& group, std::int32_t prompt_tiles, std::int32_t tiles,
                                    float* scores) const {
  constexpr float kHidden = -std::numeric_limits<float>::infinity();
  const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(tiles) * kRowsPerTile;
  for (std::int32_t q = 0; q < group.count; ++q) {
    float* row = scores + q * stride;
    const std::int32_t visible = group.visible_prompt + (group.causal ? q : 0);
    std::fill(row, row + visible, 0.0F);
    std::fill(row + visible, row + stride, kHidden);
    float* suffix = row + static_cast<std::ptrdiff_t>(prompt_tiles) * kRowsPerTile;
    for (std::int32_t t = 0; t < group.generated; ++t) {
      suffix[t * beam_width_ + group.table[static_cast<std::size_t>(q)][static_cast<std::size_t>(t)]] = 0.0F;
    }
  }
}

}  // namespace

std::unique_ptr<Network> make_network(const ModelConfig& model, const WeightStore& weights,
                                      const NetworkOptions& options) {
  if (options.compute == ComputeType::kBf16)
    return std::make_unique<GptJ<std::uint16_t>>(model, weights, options);
  return std::make_unique<GptJ<float>>(model, weights, options);
}

}  // namespace gptj::cpu
