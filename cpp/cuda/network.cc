#include "cuda/network.h"

#include <algorithm>

#include "cuda/carver.h"
#include "cuda/kernels/pointwise.h"

namespace gptj::cuda {
namespace {

SearchState search_shape(const NetworkShape& shape) {
  SearchState state;
  state.slots = shape.limits.max_requests;
  state.beam_width = shape.limits.beam_width;
  state.max_new_tokens = shape.limits.max_new_tokens;
  state.eos_token = shape.generation.eos_token;
  state.length_penalty = shape.generation.length_penalty;
  state.length_counts_prompt = shape.generation.beam_length == BeamLength::kPromptAndGenerated;
  return state;
}

struct Parts {
  void* residual;
  float* logits;
  void* search_state;
  void* search_workspace;
  void* sin_cos;
  std::int32_t* block_tables;
  StepResult* results;
  std::int32_t* result_tokens;
  std::size_t bytes;
};

Parts carve(const NetworkShape& shape, void* memory) {
  const auto rows = static_cast<std::size_t>(shape.limits.max_tokens_per_step + kSpareRows);
  const auto logit_rows = static_cast<std::size_t>(shape.max_logit_rows() + kSpareRows);
  const auto hidden = static_cast<std::size_t>(shape.model.n_embd);
  const auto requests = static_cast<std::size_t>(shape.limits.max_requests);
  Carver carver(memory);
  Parts parts{};
  parts.residual = carver.take(2 * rows * hidden);
  parts.logits =
      carver.take<float>(sizeof(float) * logit_rows * static_cast<std::size_t>(padded_vocab(shape.model)));
  parts.search_state = carver.take(search_state_bytes(search_shape(shape)));
  parts.search_workspace =
      carver.take(search_workspace_bytes(shape.max_logit_rows(), shape.model.vocab_size));
  parts.sin_cos = carver.take(2 * sizeof(float) * static_cast<std::size_t>(shape.model.n_positions) *
                              static_cast<std::size_t>(shape.model.rotary_dim / 2));
  parts.block_tables = carver.take<std::int32_t>(sizeof(std::int32_t) * requests *
                                                 static_cast<std::size_t>(shape.table_stride));
  parts.results = carver.take<StepResult>(sizeof(StepResult) * requests);
  parts.result_tokens = carver.take<std::int32_t>(sizeof(std::int32_t) * requests *
                                                  static_cast<std::size_t>(shape.limits.max_new_tokens));
  parts.bytes = carver.used();
  return parts;
}

}  // namespace

std::int32_t NetworkShape::max_logit_rows() const {
  return std::min(limits.max_tokens_per_step, limits.max_requests * limits.beam_width);
}

std::size_t NetworkShape::shared_bytes() const { return carve(*this, nullptr).bytes; }

std::size_t NetworkShape::kv_block_bytes() const {
  return 2 * static_cast<std::size_t>(model.n_layer) * static_cast<std::size_t>(model.n_embd) *
         static_cast<std::size_t>(limits.kv_block_size) * element_bytes(type);
}

Network::Network(const NetworkShape& shape, std::unique_ptr<ModelWeights> weights, const LayersSource& source)
    : shape_(shape),
      dims_{.hidden = shape.model.n_embd,
            .heads = shape.model.n_head,
            .head_dim = shape.model.head_dim(),
            .rotary_dim = shape.model.rotary_dim,
            .vocab = shape.model.vocab_size},
      weights_(std::move(weights)),
      kv_(shape.kv_block_bytes() * static_cast<std::size_t>(shape.limits.kv_blocks), "the KV cache"),
      workspace_(carve(shape, nullptr).bytes, "residual stream, logits and search"),
      state_(search_shape(shape)) {
  const Parts parts = carve(shape_, workspace_.as<>());
  residual_ = parts.residual;
  logits_ = parts.logits;
  search_state_view(state_, parts.search_state);
  search_workspace_ = parts.search_workspace;
  sin_cos_ = parts.sin_cos;
  block_tables_ = parts.block_tables;
  results_ = parts.results;
  result_tokens_ = parts.result_tokens;
  if (shape.profile) profile_.emplace();
  make_sin_cos(sin_cos_, shape.model.n_positions, shape.model.rotary_dim, nullptr);
  check_launch("make_sin_cos");
  GPTJ_CUDA_CHECK(cudaMemset(kv_.as<>(), 0, kv_.bytes()));
  // Rows that no step has written are read by whole tiles; they must not be what a former process left.
  GPTJ_CUDA_CHECK(cudaMemset(
      residual_, 0,
      static_cast<std::size_t>(reinterpret_cast<std::byte*>(logits_) - workspace_.as<std::byte>())));
  layers_ = source.make(context());
  GPTJ_CUDA_CHECK(cudaDeviceSynchronize());
}

LayersContext Network::context() {
  return {.shape = shape_,
          .dims = dims_,
          .weights = weights_.get(),
          .kv = kv_.as<std::byte>(),
          .kv_bytes = kv_.bytes(),
          .block_tables = block_tables_,
          .beam_table = state_.beam_table,
          .finished = state_.finished,
          .sin_cos = sin_cos_,
          .residual = residual_,
          .logits = logits_,
          .profile = profile_ ? &*profile_ : nullptr};
}

void Network::search(const StepInputs& inputs, cudaStream_t stream) {
  if (inputs.logit_count == 0) return;
  search_step({.state = state_,
               .logits = logits_,
               .logit_stride = padded_vocab(shape_.model),
               .vocab = shape_.model.vocab_size,
               .items = inputs.logits,
               .item_count = inputs.logit_count,
               .rows = inputs.logit_row_count,
               .workspace = search_workspace_,
               .results = results_,
               .result_tokens = result_tokens_},
              stream);
  check_launch("search_step");
  if (profile_) profile_->mark(Part::kSearch, stream);
}

std::string Network::profile_text() const {
  return profile_ ? profile_->to_text() + "  " + layers_->report() : std::string();
}

void Network::forward(const StepInputs& inputs, cudaStream_t stream) {
  if (profile_) {
    profile_->begin(static_cast<std::size_t>(shape_.limits.max_steps_in_flight), inputs.rows.rows, stream);
  }
  if (inputs.admitted_count > 0) {
    admit(state_, inputs.admitted, inputs.admitted_count, stream);
    check_launch("admit");
    const auto stride = static_cast<std::size_t>(shape_.table_stride);
    const std::int32_t* blocks = inputs.admitted_blocks;
    for (const AdmitItem& item : inputs.admitted_on_host) {
      GPTJ_CUDA_CHECK(cudaMemcpyAsync(block_tables_ + static_cast<std::size_t>(item.slot) * stride, blocks,
                                      stride * sizeof(std::int32_t), cudaMemcpyDeviceToDevice, stream));
      blocks += stride;
    }
  }
  embed({.dims = dims_,
         .rows = inputs.rows,
         .embedding = weights_->embedding(),
         .next_tokens = state_.next_tokens,
         .residual = residual_},
        stream);
  check_launch("embed");
  if (profile_) profile_->mark(Part::kEmbedding, stream);
  layers_->forward(inputs, stream);
  search(inputs, stream);
}

}  // namespace gptj::cuda
