// GPT-J as its definition reads, in double precision, without a cache and without a thought for speed: what
// engines are compared with. It shares no code with any of them.
#pragma once

#include <cmath>
#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "gptj/types.h"
#include "synthetic_model.h"

namespace gptj::testing {

class ReferenceGptJ {
 public:
  using Row = std::vector<double>;
  // Is shown the rows of a layer that 8-bit engines quantise: "normed", "joined", "keys" (rotated), "values".
  using Watcher = std::function<void(std::int32_t layer, std::string_view name, const Row& row)>;

  ReferenceGptJ(const ModelConfig& config, const SyntheticModel& weights, Watcher watcher = {})
      : config_(config),
        weights_(weights),
        watcher_(std::move(watcher)),
        width_(static_cast<std::size_t>(config.n_embd)) {}

  // [vocab] logits behind the last of `tokens`. Asked for again, it remembers.
  const std::vector<double>& logits(const std::vector<TokenId>& tokens) {
    const auto known = known_.find(tokens);
    if (known != known_.end()) return known->second;
    return known_.emplace(tokens, compute(tokens)).first->second;
  }

 private:
  using Rows = std::vector<Row>;

  void show(std::int32_t layer, std::string_view name, const Row& row) const {
    if (watcher_) watcher_(layer, name, row);
  }

  Row compute(const std::vector<TokenId>& tokens) const {
    const auto& embedding = weights_.floats("transformer.wte.weight");
    Rows x;
    for (const TokenId token : tokens) {
      const auto* row = embedding.data() + static_cast<std::size_t>(token) * width_;
      x.emplace_back(row, row + width_);
    }
    for (std::int32_t layer = 0; layer < config_.n_layer; ++layer) block(x, layer);
    const Row last = normalise(x.back(), "transformer.ln_f");
    return linear(last, "lm_head", true);
  }

  Row normalise(const Row& x, const std::string& name) const {
    double mean = 0.0;
    for (const double value : x) mean += value;
    mean /= static_cast<double>(x.size());
    double variance = 0.0;
    for (const double value : x) variance += (value - mean) * (value - mean);
    variance /= static_cast<double>(x.size());
    const auto& weight = weights_.floats(name + ".weight");
    const auto& bias = weights_.floats(name + ".bias");
    Row out(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      out[i] = (x[i] - mean) / std::sqrt(variance + static_cast<double>(config_.layer_norm_epsilon)) *
                   static_cast<double>(weight[i]) +
               static_cast<double>(bias[i]);
    }
    return out;
  }

  Row linear(const Row& x, const std::string& name, bool with_bias) const {
    const auto& weight = weights_.floats(name + ".weight");
    Row out(weight.size() / x.size());
    for (std::size_t o = 0; o < out.size(); ++o) {
      const float* row = weight.data() + o * x.size();
      double sums[4] = {};  // every width is a multiple of four; one sum alone waits for itself
      for (std::size_t i = 0; i < x.size(); i += 4) {
        for (std::size_t lane = 0; lane < 4; ++lane)
          sums[lane] += static_cast<double>(row[i + lane]) * x[i + lane];
      }
      out[o] = sums[0] + sums[1] + sums[2] + sums[3];
      if (with_bias) out[o] += static_cast<double>(weights_.floats(name + ".bias")[o]);
    }
    return out;
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

  Row attend(const Row& query, const Rows& keys, const Rows& values, std::size_t visible) const {
    const auto head_dim = static_cast<std::size_t>(config_.head_dim());
    Row out(query.size(), 0.0);
    for (std::size_t start = 0; start < query.size(); start += head_dim) {
      Row weights(visible);
      double total = 0.0;
      for (std::size_t row = 0; row < visible; ++row) {
        double product = 0.0;
        for (std::size_t d = start; d < start + head_dim; ++d) product += query[d] * keys[row][d];
        weights[row] = std::exp(product / std::sqrt(static_cast<double>(head_dim)));
        total += weights[row];
      }
      for (std::size_t row = 0; row < visible; ++row) {
        for (std::size_t d = start; d < start + head_dim; ++d)
          out[d] += weights[row] / total * values[row][d];
      }
    }
    return out;
  }

  void block(Rows& x, std::int32_t layer) const {
    const std::string prefix = "transformer.h." + std::to_string(layer) + ".";
    Rows normalised, queries, keys, values;
    for (std::size_t position = 0; position < x.size(); ++position) {
      normalised.push_back(normalise(x[position], prefix + "ln_1"));
      queries.push_back(linear(normalised.back(), prefix + "attn.q_proj", false));
      keys.push_back(linear(normalised.back(), prefix + "attn.k_proj", false));
      values.push_back(linear(normalised.back(), prefix + "attn.v_proj", false));
      rotate(queries.back(), position);
      rotate(keys.back(), position);
      show(layer, "normed", normalised.back());
      show(layer, "keys", keys.back());
      show(layer, "values", values.back());
    }
    for (std::size_t position = 0; position < x.size(); ++position) {
      const Row mixed = attend(queries[position], keys, values, position + 1);
      const Row attended = linear(mixed, prefix + "attn.out_proj", false);
      Row inner = linear(normalised[position], prefix + "mlp.fc_in", true);
      for (double& value : inner) {
        constexpr double kRootTwoOverPi = 0.79788456080286535588;
        value *= 0.5 * (1.0 + std::tanh(kRootTwoOverPi * (value + 0.044715 * value * value * value)));
      }
      show(layer, "joined", mixed);
      show(layer, "joined", inner);
      const Row outer = linear(inner, prefix + "mlp.fc_out", true);
      for (std::size_t i = 0; i < width_; ++i) x[position][i] += attended[i] + outer[i];
    }
  }

  ModelConfig config_;
  const SyntheticModel& weights_;
  Watcher watcher_;
  std::size_t width_;
  std::map<std::vector<TokenId>, Row> known_;
};

}  // namespace gptj::testing
