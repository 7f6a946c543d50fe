// GPT-J's weights on one GPU, in the form that the products take.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cuda/kernels/types.h"
#include "cuda/memory.h"
#include "gptj/types.h"
#include "gptj/weights.h"

namespace gptj::cuda {

// What a stored E4M3 element stands for is element * scale. One scale for each tensor; those of activations
// are static.
struct ActivationScales {
  float normed = 1.0F;  // output of the layer norm: input of Q, K, V and of the MLP
  float joined = 1.0F;  // output of attention and of GELU: input of both projections back
  float keys = 1.0F;
  float values = 1.0F;
};

struct LayerWeights {
  const void* norm_weight = nullptr;  // fp16 [hidden]
  const void* norm_bias = nullptr;    // fp16 [hidden]
  const void* qkv = nullptr;          // [3 * hidden, hidden]: Q, K, V
  const void* fc_in = nullptr;        // [inner, hidden]
  const void* fc_in_bias = nullptr;   // fp16 [inner]
  const void* joined = nullptr;  // [hidden, hidden + inner]: attention's projection, then the MLP's, along k
  const void* joined_bias = nullptr;  // fp16 [hidden]
  ActivationScales scales;
  // On the GPU, as the products read them: scales of the three matrices, then `normed`, `joined` and 1 /
  // `joined`.
  const float* qkv_scale = nullptr;
  const float* fc_in_scale = nullptr;
  const float* joined_scale = nullptr;
  const float* normed_scale = nullptr;
  const float* activation_joined_scale = nullptr;
  const float* activation_joined_inverse = nullptr;
};

struct WeightOptions {
  ElementType type = ElementType::kF16;  // of the layers' matrices; embedding and LM head stay fp16
  std::uint64_t synthetic_seed = 0;      // not 0: weights are drawn on the GPU, the store is not read
};

class ModelWeights {
 public:
  // Reads, converts and quantises on `stream`, and waits for it. Throws Error(kModel) naming a tensor that is
  // missing or wrong, Error(kOutOfMemory).
  ModelWeights(const ModelConfig& model, const WeightStore& store, const WeightOptions& options,
               cudaStream_t stream);

  // Device memory that the weights of this shape take.
  static std::size_t bytes(const ModelConfig& model, ElementType type);

  const LayerWeights& layer(std::int32_t index) const { return layers_[static_cast<std::size_t>(index)]; }
  const void* embedding() const { return embedding_; }            // fp16 [vocab, hidden]
  const void* final_norm_weight() const { return norm_weight_; }  // fp16 [hidden]
  const void* final_norm_bias() const { return norm_bias_; }      // fp16 [hidden]
  const void* lm_head() const { return lm_head_; }                // fp16 [padded_vocab, hidden]
  const void* lm_head_bias() const { return lm_head_bias_; }      // float [padded_vocab]

 private:
  friend class WeightLoader;

  DeviceBuffer memory_;
  std::vector<LayerWeights> layers_;
  const void* embedding_ = nullptr;
  const void* norm_weight_ = nullptr;
  const void* norm_bias_ = nullptr;
  const void* lm_head_ = nullptr;
  const void* lm_head_bias_ = nullptr;
};

// Rows of the LM head, a multiple of 64: the rows behind the vocabulary are zero, their logits are never
// looked at.
constexpr std::int64_t padded_vocab(const ModelConfig& model) { return (model.vocab_size + 63) / 64 * 64; }

}  // namespace gptj::cuda
