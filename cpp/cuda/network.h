// A step of GPT-J on one GPU: embedding, the layers, and the beam search behind them, on one stream without a
// wait. Owns the KV cache and what the steps share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "cuda/kernels/search.h"
#include "cuda/layers.h"
#include "cuda/memory.h"
#include "cuda/network_shape.h"
#include "cuda/step_inputs.h"
#include "cuda/step_profile.h"
#include "cuda/weights.h"
#include "gptj/engine.h"

namespace gptj::cuda {

class Network {
 public:
  Network(const NetworkShape& shape, std::unique_ptr<ModelWeights> weights, const LayersSource& source);

  // Before the first step; takes seconds.
  void tune(cudaStream_t stream) { layers_->tune(stream); }

  // Enqueues everything; results [logit items] and their tokens [logit items, max_new_tokens] are on the GPU
  // when the stream has come past it.
  void forward(const StepInputs& inputs, cudaStream_t stream);

  // What the profile says; empty without one.
  std::string profile_text() const;
  // Leaves the steps so far, which must be over, out of it.
  void forget_profile() {
    if (profile_) *profile_ = StepProfile();
  }

  // float [logit rows, padded_vocab], of the last step.
  const float* logits() const { return logits_; }
  const SearchState& search_state() const { return state_; }
  const StepResult* results() const { return results_; }
  const std::int32_t* result_tokens() const { return result_tokens_; }

 private:
  LayersContext context();
  void search(const StepInputs& inputs, cudaStream_t stream);

  NetworkShape shape_;
  ModelDims dims_;
  std::unique_ptr<ModelWeights> weights_;
  std::optional<StepProfile> profile_;
  DeviceBuffer kv_;
  DeviceBuffer workspace_;
  SearchState state_;

  // Parts of the workspace.
  void* residual_ = nullptr;  // fp16 [rows, hidden]
  float* logits_ = nullptr;   // [logit rows, padded_vocab]
  void* search_workspace_ = nullptr;
  void* sin_cos_ = nullptr;               // float2 [n_positions, rotary_dim / 2]
  std::int32_t* block_tables_ = nullptr;  // [max_requests, table_stride]
  StepResult* results_ = nullptr;
  std::int32_t* result_tokens_ = nullptr;

  std::unique_ptr<Layers> layers_;  // last: they work on all of the above
};

}  // namespace gptj::cuda
