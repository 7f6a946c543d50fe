// GPT-J as its definition reads, in double precision and without a thought for speed: what engines are
// compared with. It shares no code with any of them. An Arithmetic makes it round where an engine rounds.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "arithmetic.h"
#include "gptj/types.h"
#include "synthetic_model.h"

namespace gptj::testing {

class ReferenceGptJ {
 public:
  using Row = std::vector<double>;
  // Is shown the rows of a layer that 8-bit engines quantise: "normed", "joined", "keys" (rotated), "values".
  using Watcher = std::function<void(std::int32_t layer, std::string_view name, const Row& row)>;

  ReferenceGptJ(const ModelConfig& config, const SyntheticModel& weights, const Arithmetic& arithmetic = {})
      : config_(config),
        arithmetic_(arithmetic),
        width_(static_cast<std::size_t>(config.n_embd)),
        random_(arithmetic.noise_seed) {
    const NumberFormat vocabulary = arithmetic.vocabulary;
    embedding_ = rounded(weights.floats("transformer.wte.weight"), vocabulary);
    head_ = {.weight = rounded(weights.floats("lm_head.weight"), vocabulary),
             .bias = weights.floats("lm_head.bias")};
    final_norm_ = norm(weights, "transformer.ln_f");
    for (std::int32_t layer = 0; layer < config.n_layer; ++layer) {
      layers_.push_back(make_layer(weights, "transformer.h." + std::to_string(layer) + "."));
    }
  }

  // Every token that is read from now on is shown; one that was read behind the same others is not read
  // again.
  void watch(Watcher watcher) { watcher_ = std::move(watcher); }

  // [vocab] logits behind the last of `tokens`, of which there is one at least.
  const std::vector<double>& logits(const std::vector<TokenId>& tokens) {
    Position* position = &start_;
    for (const TokenId token : tokens) position = follow(*position, token);
    if (position->logits.empty()) {
      const Row last = normalise(position->out, final_norm_, Stored{.format = arithmetic_.vocabulary});
      position->logits = apply(head_, last);
    }
    return position->logits;
  }

 private:
  struct Norm {
    std::vector<float> weight;
    std::vector<float> bias;
  };
  struct Linear {
    std::vector<float> weight;  // [out, in]
    std::vector<float> bias;    // [out], or empty
  };
  struct Layer {
    Norm norm;
    Linear query, key, value, attention_out, mlp_in, mlp_out;
  };

  // A token behind others: all that later ones see of it. One node of the tree of all texts asked for.
  struct Position {
    const Position* before = nullptr;  // null in front of the first token
    std::size_t index = 0;
    std::vector<Row> keys;    // [layer]
    std::vector<Row> values;  // [layer]
    Row out;                  // behind the last layer
    Row logits;               // empty until they are asked for
    std::map<TokenId, std::unique_ptr<Position>> next;
  };

  // Rounded to what a number of that format is times a scale, which stands for `range`.
  static std::vector<float> rounded(const std::vector<float>& values, NumberFormat format, double range) {
    std::vector<float> out;
    out.reserve(values.size());
    const Stored stored{.format = format, .range = range};
    for (const float value : values) {
      // E4M3 is made of fp16.
      const double from = format == NumberFormat::kE4M3 ? round_to(value, NumberFormat::kF16) : value;
      out.push_back(static_cast<float>(stored(from)));
    }
    return out;
  }

  static std::vector<float> rounded(const std::vector<float>& values, NumberFormat format) {
    return rounded(values, format, 448.0);
  }

  static double range_of(const std::vector<float>& values) {
    double largest = 0.0;
    for (const float value : values) largest = std::max(largest, std::abs(static_cast<double>(value)));
    return round_to(largest, NumberFormat::kF16);
  }

  Norm norm(const SyntheticModel& weights, const std::string& name) const {
    return {rounded(weights.floats(name + ".weight"), arithmetic_.residual),
            rounded(weights.floats(name + ".bias"), arithmetic_.residual)};
  }

  // Matrices that an engine multiplies with at once share a scale.
  Layer make_layer(const SyntheticModel& weights, const std::string& prefix) const {
    const auto floats = [&](const std::string& name) -> const std::vector<float>& {
      return weights.floats(prefix + name);
    };
    const auto linear = [&](const std::string& name, double range, bool with_bias) {
      Linear linear{.weight = rounded(floats(name + ".weight"), arithmetic_.matrix, range), .bias = {}};
      if (with_bias) linear.bias = rounded(floats(name + ".bias"), arithmetic_.residual);
      return linear;
    };
    const double qkv =
        std::max({range_of(floats("attn.q_proj.weight")), range_of(floats("attn.k_proj.weight")),
                  range_of(floats("attn.v_proj.weight"))});
    const double back =
        std::max(range_of(floats("attn.out_proj.weight")), range_of(floats("mlp.fc_out.weight")));
    return {.norm = norm(weights, prefix + "ln_1"),
            .query = linear("attn.q_proj", qkv, false),
            .key = linear("attn.k_proj", qkv, false),
            .value = linear("attn.v_proj", qkv, false),
            .attention_out = linear("attn.out_proj", back, false),
            .mlp_in = linear("mlp.fc_in", range_of(floats("mlp.fc_in.weight")), true),
            .mlp_out = linear("mlp.fc_out", back, true)};
  }

  Position* follow(Position& before, TokenId token) {
    std::unique_ptr<Position>& place = before.next[token];
    if (place) return place.get();
    place = std::make_unique<Position>();
    place->before = &before;
    place->index = before.before == nullptr ? 0 : before.index + 1;
    const float* row = embedding_.data() + static_cast<std::size_t>(token) * width_;
    place->out.assign(row, row + width_);
    for (const Layer& layer : layers_) block(*place, layer);
    return place.get();
  }

  Row normalise(const Row& x, const Norm& norm, const Stored& stored) const {
    double mean = 0.0;
    for (const double value : x) mean += value;
    mean /= static_cast<double>(x.size());
    double variance = 0.0;
    for (const double value : x) variance += (value - mean) * (value - mean);
    variance /= static_cast<double>(x.size());
    Row out(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      out[i] = stored((x[i] - mean) / std::sqrt(variance + static_cast<double>(config_.layer_norm_epsilon)) *
                          static_cast<double>(norm.weight[i]) +
                      static_cast<double>(norm.bias[i]));
    }
    return out;
  }

  Row apply(const Linear& linear, const Row& x) {
    Row out(linear.weight.size() / x.size());
    std::normal_distribution<double> normal;
    for (std::size_t o = 0; o < out.size(); ++o) {
      const float* row = linear.weight.data() + o * x.size();
      double sums[4] = {};  // every width is a multiple of four; one sum alone waits for itself
      for (std::size_t i = 0; i < x.size(); i += 4) {
        for (std::size_t lane = 0; lane < 4; ++lane)
          sums[lane] += static_cast<double>(row[i + lane]) * x[i + lane];
      }
      out[o] = sums[0] + sums[1] + sums[2] + sums[3];
      if (arithmetic_.noise > 0.0) {
        double squares = 0.0;
        for (std::size_t i = 0; i < x.size(); ++i) squares += row[i] * x[i] * row[i] * x[i];
        out[o] += arithmetic_.noise * std::sqrt(squares) * normal(random_);
      }
      if (!linear.bias.empty()) out[o] += static_cast<double>(linear.bias[o]);
    }
    return out;
  }

  static void round_all(Row& x, NumberFormat format) {
    if (format == NumberFormat::kExact) return;
    for (double& value : x) value = round_to(value, format);
  }

  // Turns neighbouring pairs of the leading rotary_dim dimensions of each head.
  void rotate(Row& x, std::size_t position) const {
    const auto head_dim = static_cast<std::size_t>(config_.head_dim());
    const auto turned = static_cast<std::size_t>(config_.rotary_dim);
    for (std::size_t start = 0; start < x.size(); start += head_dim) {
      for (std::size_t i = 0; i < turned; i += 2) {
        const double angle = static_cast<double>(position) *
                             std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(turned));
        const double even = x[start + i];
        const double odd = x[start + i + 1];
        x[start + i] = even * std::cos(angle) - odd * std::sin(angle);
        x[start + i + 1] = odd * std::cos(angle) + even * std::sin(angle);
      }
    }
  }

  // Over `position` itself and all before it.
  Row attend(const Row& query, const Position& position, std::size_t layer) const {
    const auto head_dim = static_cast<std::size_t>(config_.head_dim());
    Row out(query.size(), 0.0);
    for (std::size_t start = 0; start < query.size(); start += head_dim) {
      Row weights;
      double total = 0.0;
      for (const Position* seen = &position; seen->before != nullptr; seen = seen->before) {
        double product = 0.0;
        for (std::size_t d = start; d < start + head_dim; ++d) product += query[d] * seen->keys[layer][d];
        weights.push_back(std::exp(product / std::sqrt(static_cast<double>(head_dim))));
        total += weights.back();
      }
      auto weight = weights.begin();
      for (const Position* seen = &position; seen->before != nullptr; seen = seen->before) {
        const double share = *weight++ / total;
        for (std::size_t d = start; d < start + head_dim; ++d) out[d] += share * seen->values[layer][d];
      }
    }
    return out;
  }

  void show(std::size_t layer, std::string_view name, const Row& row) const {
    if (watcher_) watcher_(static_cast<std::int32_t>(layer), name, row);
  }

  void block(Position& position, const Layer& layer) {
    const std::size_t index = position.keys.size();
    const Row normed = normalise(position.out, layer.norm, arithmetic_.normed);
    Row query = apply(layer.query, normed);
    Row key = apply(layer.key, normed);
    Row value = apply(layer.value, normed);
    for (Row* row : {&query, &key, &value}) round_all(*row, arithmetic_.residual);
    rotate(query, position.index);
    rotate(key, position.index);
    for (Row* row : {&query, &key}) round_all(*row, arithmetic_.residual);
    for (double& element : key) element = arithmetic_.keys(element);
    for (double& element : value) element = arithmetic_.values(element);
    show(index, "normed", normed);
    show(index, "keys", key);
    show(index, "values", value);
    position.keys.push_back(std::move(key));
    position.values.push_back(std::move(value));

    Row attended = attend(query, position, index);
    for (double& element : attended) element = arithmetic_.joined(element);
    Row inner = apply(layer.mlp_in, normed);
    for (double& element : inner) {
      constexpr double kRootTwoOverPi = 0.79788456080286535588;
      element *= 0.5 * (1.0 + std::tanh(kRootTwoOverPi * (element + 0.044715 * element * element * element)));
      element = arithmetic_.joined(element);
    }
    show(index, "joined", attended);
    show(index, "joined", inner);
    const Row back = apply(layer.attention_out, attended);
    const Row outer = apply(layer.mlp_out, inner);
    for (std::size_t i = 0; i < width_; ++i) position.out[i] += back[i] + outer[i];
    round_all(position.out, arithmetic_.residual);
  }

  ModelConfig config_;
  Arithmetic arithmetic_;
  Watcher watcher_;
  std::size_t width_;
  std::mt19937 random_;  // of the noise
  std::vector<float> embedding_;
  Linear head_;
  Norm final_norm_;
  std::vector<Layer> layers_;
  Position start_;
};

}  // namespace gptj::testing
