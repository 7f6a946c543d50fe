// GPT-J's forward pass and the beam search behind it, over one packed step, on one stream without a wait.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "cuda/gemm.h"
#include "cuda/kernels/search.h"
#include "cuda/kernels/types.h"
#include "cuda/memory.h"
#include "cuda/step_inputs.h"
#include "cuda/step_profile.h"
#include "cuda/weights.h"
#include "gptj/engine.h"
#include "gptj/types.h"

namespace gptj::cuda {

struct NetworkShape {
  ModelConfig model;
  GenerationConfig generation;
  EngineLimits limits;
  ElementType type = ElementType::kF16;  // of the layers' products and of the KV cache
  std::int32_t table_stride = 0;         // KV blocks that one request may hold
  bool profile = false;                  // time the parts of every step

  std::int32_t max_logit_rows() const;
  // Device memory of the activations, the logits and the search, without the KV cache.
  std::size_t workspace_bytes() const;
  // Device memory of one KV block, all layers.
  std::size_t kv_block_bytes() const;
};

class Network {
 public:
  Network(const NetworkShape& shape, std::unique_ptr<ModelWeights> weights);

  // Chooses the fastest algorithm for every product at every size of step. Before the first step; takes
  // seconds.
  void tune(cudaStream_t stream);

  // Enqueues everything; results [logit items] and their tokens [logit items, max_new_tokens] are on the GPU
  // when the stream has come past it.
  void forward(const StepInputs& inputs, cudaStream_t stream);

  // What the profile says; empty without one.
  std::string profile_text() const;

  const StepResult* results() const { return results_; }
  const std::int32_t* result_tokens() const { return result_tokens_; }

 private:
  // One of the model's products, with what it works on.
  struct Product {
    GemmShape shape;
    GemmOperands operands;
  };

  Product qkv_product(const LayerWeights& weights, std::int64_t rows) const;
  Product mlp_product(const LayerWeights& weights, std::int64_t rows) const;
  Product plain_mlp_product(const LayerWeights& weights, std::int64_t rows) const;
  Product joined_product(const LayerWeights& weights, std::int64_t rows) const;
  Product lm_head_product(std::int64_t rows) const;
  void* activated() const;
  void run(const Product& product, cudaStream_t stream) {
    gemm_.run(product.shape, product.operands, stream);
  }

  void layer(std::int32_t index, const StepInputs& inputs, cudaStream_t stream);
  void mlp(const LayerWeights& weights, const StepInputs& inputs, cudaStream_t stream);
  void clear_activations(cudaStream_t stream);
  void mark(Part part, cudaStream_t stream) {
    if (profile_) profile_->mark(part, stream);
  }
  void attention(std::int32_t index, const StepInputs& inputs, cudaStream_t stream);
  KvLayer cache(std::int32_t index) const;
  void search(const StepInputs& inputs, cudaStream_t stream);

  NetworkShape shape_;
  ModelDims dims_;
  std::unique_ptr<ModelWeights> weights_;
  Gemm gemm_;
  std::optional<StepProfile> profile_;
  bool gelu_is_fused_ = true;  // the library's product ends with GELU in this precision
  DeviceBuffer kv_;
  DeviceBuffer workspace_;
  SearchState state_;

  // Parts of the workspace.
  void* residual_ = nullptr;      // fp16 [rows, hidden]
  void* normed_ = nullptr;        // [rows, hidden]
  void* qkv_ = nullptr;           // fp16 [rows, 3 * hidden]
  void* joined_ = nullptr;        // [rows, hidden + inner]: attention's output, then GELU's
  void* inner_ = nullptr;         // fp16 [rows, inner], where GELU is not fused
  void* final_normed_ = nullptr;  // fp16 [logit rows, hidden]
  float* logits_ = nullptr;       // [logit rows, padded_vocab]
  void* search_workspace_ = nullptr;
  void* sin_cos_ = nullptr;               // float2 [n_positions, rotary_dim / 2]
  std::int32_t* block_tables_ = nullptr;  // [max_requests, table_stride]
  StepResult* results_ = nullptr;
  std::int32_t* result_tokens_ = nullptr;
};

}  // namespace gptj::cuda
