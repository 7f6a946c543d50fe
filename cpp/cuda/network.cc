#include "cuda/network.h"

#include <algorithm>

#include "cuda/kernels/attention.h"
#include "cuda/kernels/pointwise.h"
#include "gptj/error.h"

namespace gptj::cuda {
namespace {

constexpr std::size_t kAlignment = 256;
// Products may read whole tiles: rows behind the last one are there, whatever they hold.
constexpr std::int64_t kSpareRows = 128;

std::size_t element_bytes(ElementType type) { return type == ElementType::kF16 ? 2 : 1; }

// Hands out parts of one allocation, or only counts them.
class Carver {
 public:
  explicit Carver(void* memory) : memory_(static_cast<std::byte*>(memory)) {}

  template <typename T = void>
  T* take(std::size_t bytes) {
    std::byte* part = memory_ == nullptr ? nullptr : memory_ + used_;
    used_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return reinterpret_cast<T*>(part);
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* memory_;
  std::size_t used_ = 0;
};

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
  void* normed;
  void* qkv;
  void* joined;
  void* inner;
  void* final_normed;
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
  const auto inner = static_cast<std::size_t>(shape.model.n_inner);
  const auto requests = static_cast<std::size_t>(shape.limits.max_requests);
  const std::size_t element = element_bytes(shape.type);
  Carver carver(memory);
  Parts parts{};
  parts.residual = carver.take(2 * rows * hidden);
  parts.normed = carver.take(element * rows * hidden);
  parts.qkv = carver.take(2 * rows * 3 * hidden);
  parts.joined = carver.take(element * rows * (hidden + inner));
  parts.inner = carver.take(2 * rows * inner);
  parts.final_normed = carver.take(2 * logit_rows * hidden);
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

std::size_t NetworkShape::workspace_bytes() const {
  return carve(*this, nullptr).bytes + Gemm::workspace_bytes();
}

std::size_t NetworkShape::kv_block_bytes() const {
  return 2 * static_cast<std::size_t>(model.n_layer) * static_cast<std::size_t>(model.n_embd) *
         static_cast<std::size_t>(limits.kv_block_size) * element_bytes(type);
}

Network::Network(const NetworkShape& shape, std::unique_ptr<ModelWeights> weights)
    : shape_(shape),
      dims_{.hidden = shape.model.n_embd,
            .heads = shape.model.n_head,
            .head_dim = shape.model.head_dim(),
            .rotary_dim = shape.model.rotary_dim,
            .vocab = shape.model.vocab_size},
      weights_(std::move(weights)),
      kv_(shape.kv_block_bytes() * static_cast<std::size_t>(shape.limits.kv_blocks), "the KV cache"),
      workspace_(carve(shape, nullptr).bytes, "activations and logits"),
      state_(search_shape(shape)) {
  const Parts parts = carve(shape_, workspace_.as<>());
  residual_ = parts.residual;
  normed_ = parts.normed;
  qkv_ = parts.qkv;
  joined_ = parts.joined;
  inner_ = parts.inner;
  final_normed_ = parts.final_normed;
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
  clear_activations(nullptr);
  gelu_is_fused_ = gemm_.supports(mlp_product(weights_->layer(0), 1).shape, shape.limits.max_tokens_per_step);
  GPTJ_CUDA_CHECK(cudaDeviceSynchronize());
}

// Rows that no step has written are read by whole tiles; they must not be what a former process left.
void Network::clear_activations(cudaStream_t stream) {
  const auto bytes = reinterpret_cast<std::byte*>(logits_) - workspace_.as<std::byte>();
  GPTJ_CUDA_CHECK(cudaMemsetAsync(workspace_.as<>(), 0, static_cast<std::size_t>(bytes), stream));
}

void* Network::activated() const {
  return static_cast<std::byte*>(joined_) +
         static_cast<std::size_t>(dims_.hidden) * element_bytes(shape_.type);
}

Network::Product Network::qkv_product(const LayerWeights& weights, std::int64_t rows) const {
  return {{.n = 3 * static_cast<std::int64_t>(dims_.hidden), .k = dims_.hidden, .input = shape_.type},
          {.m = rows,
           .activations = normed_,
           .weights = weights.qkv,
           .out = qkv_,
           .activation_scale = weights.normed_scale,
           .weight_scale = weights.qkv_scale}};
}

Network::Product Network::plain_mlp_product(const LayerWeights& weights, std::int64_t rows) const {
  return {{.n = shape_.model.n_inner, .k = dims_.hidden, .input = shape_.type},
          {.m = rows,
           .activations = normed_,
           .weights = weights.fc_in,
           .out = inner_,
           .activation_scale = weights.normed_scale,
           .weight_scale = weights.fc_in_scale}};
}

Network::Product Network::mlp_product(const LayerWeights& weights, std::int64_t rows) const {
  Product product = plain_mlp_product(weights, rows);
  product.shape.output = shape_.type == ElementType::kF8E4M3 ? OutputType::kF8E4M3 : OutputType::kF16;
  product.shape.epilogue = Epilogue::kBiasGelu;
  product.shape.output_stride = dims_.hidden + shape_.model.n_inner;
  product.operands.bias = weights.fc_in_bias;
  product.operands.out = activated();
  product.operands.output_scale_inverse = weights.activation_joined_inverse;
  return product;
}

Network::Product Network::joined_product(const LayerWeights& weights, std::int64_t rows) const {
  return {{.n = dims_.hidden,
           .k = dims_.hidden + shape_.model.n_inner,
           .input = shape_.type,
           .epilogue = Epilogue::kBias,
           .accumulate = true},
          {.m = rows,
           .activations = joined_,
           .weights = weights.joined,
           .bias = weights.joined_bias,
           .out = residual_,
           .activation_scale = weights.activation_joined_scale,
           .weight_scale = weights.joined_scale}};
}

Network::Product Network::lm_head_product(std::int64_t rows) const {
  return {{.n = padded_vocab(shape_.model),
           .k = dims_.hidden,
           .output = OutputType::kF32,
           .epilogue = Epilogue::kBias},
          {.m = rows,
           .activations = final_normed_,
           .weights = weights_->lm_head(),
           .bias = weights_->lm_head_bias(),
           .out = logits_}};
}

void Network::tune(cudaStream_t stream) {
  const LayerWeights& weights = weights_->layer(0);
  const auto tune_one = [&](const Product& product) { gemm_.tune(product.shape, product.operands, stream); };
  const auto next = [](std::int64_t bucket, std::int64_t most) {
    return std::min(Gemm::bucket_of(bucket + 1), most);
  };
  const std::int64_t rows = shape_.limits.max_tokens_per_step;
  for (std::int64_t m = std::min(Gemm::bucket_of(1), rows);; m = next(m, rows)) {
    tune_one(qkv_product(weights, m));
    tune_one(gelu_is_fused_ ? mlp_product(weights, m) : plain_mlp_product(weights, m));
    tune_one(joined_product(weights, m));
    if (m == rows) break;
  }
  const std::int64_t logit_rows = shape_.max_logit_rows();
  for (std::int64_t m = std::min(Gemm::bucket_of(1), logit_rows);; m = next(m, logit_rows)) {
    tune_one(lm_head_product(m));
    if (m == logit_rows) break;
  }
  clear_activations(stream);
}

KvLayer Network::cache(std::int32_t index) const {
  const ActivationScales& scales = weights_->layer(index).scales;
  const std::size_t one = kv_.bytes() / (2 * static_cast<std::size_t>(shape_.model.n_layer));
  std::byte* keys = kv_.as<std::byte>() + 2 * static_cast<std::size_t>(index) * one;
  return {.keys = keys,
          .values = keys + one,
          .type = shape_.type,
          .key_scale = scales.keys,
          .value_scale = scales.values,
          .block_size = shape_.limits.kv_block_size};
}

void Network::attention(std::int32_t index, const StepInputs& inputs, cudaStream_t stream) {
  const std::int64_t joined = dims_.hidden + shape_.model.n_inner;
  const AttentionInput input{.queries = qkv_,
                             .query_stride = 3 * static_cast<std::int64_t>(dims_.hidden),
                             .cache = cache(index),
                             .tables = {.blocks = block_tables_, .stride = shape_.table_stride}};
  const AttentionOutput output{.data = joined_,
                               .row_stride = joined,
                               .type = shape_.type,
                               .scale = weights_->layer(index).scales.joined};
  if (inputs.decoding_count > 0) {
    decode_attention({.dims = dims_,
                      .input = input,
                      .output = output,
                      .items = inputs.decoding,
                      .item_count = inputs.decoding_count,
                      .beam_width = shape_.limits.beam_width,
                      .beam_table = state_.beam_table,
                      .max_new_tokens = shape_.limits.max_new_tokens,
                      .finished = state_.finished},
                     stream);
    check_launch("decode_attention");
    mark(Part::kDecodeAttention, stream);
  }
  if (inputs.chunk_count > 0) {
    prefill_attention({.dims = dims_,
                       .input = input,
                       .output = output,
                       .items = inputs.chunks,
                       .item_count = inputs.chunk_count,
                       .longest_chunk = inputs.longest_chunk},
                      stream);
    check_launch("prefill_attention");
    mark(Part::kPrefillAttention, stream);
  }
}

void Network::mlp(const LayerWeights& weights, const StepInputs& inputs, cudaStream_t stream) {
  if (gelu_is_fused_) {
    run(mlp_product(weights, inputs.rows.rows), stream);
    return;
  }
  run(plain_mlp_product(weights, inputs.rows.rows), stream);
  bias_gelu({.rows = inputs.rows.rows,
             .columns = shape_.model.n_inner,
             .in = inner_,
             .bias = weights.fc_in_bias,
             .out = activated(),
             .out_stride = dims_.hidden + shape_.model.n_inner,
             .out_type = shape_.type,
             .out_scale = weights.scales.joined},
            stream);
  check_launch("bias_gelu");
}

// x += attention(norm(x)) W_o + gelu(norm(x) W_in + b_in) W_out + b_out, with both projections back in one
// product.
void Network::layer(std::int32_t index, const StepInputs& inputs, cudaStream_t stream) {
  const LayerWeights& weights = weights_->layer(index);
  layer_norm({.rows = inputs.rows.rows,
              .hidden = dims_.hidden,
              .in = residual_,
              .weight = weights.norm_weight,
              .bias = weights.norm_bias,
              .epsilon = shape_.model.layer_norm_epsilon,
              .out = normed_,
              .out_type = shape_.type,
              .out_scale = weights.scales.normed},
             stream);
  check_launch("layer_norm");
  mark(Part::kNorm, stream);
  run(qkv_product(weights, inputs.rows.rows), stream);
  mark(Part::kQkvProduct, stream);
  rotate_and_append(
      {.dims = dims_, .rows = inputs.rows, .qkv = qkv_, .cache = cache(index), .sin_cos = sin_cos_}, stream);
  check_launch("rotate_and_append");
  mark(Part::kRotary, stream);
  attention(index, inputs, stream);
  mlp(weights, inputs, stream);
  mark(Part::kMlpProduct, stream);
  run(joined_product(weights, inputs.rows.rows), stream);
  mark(Part::kJoinedProduct, stream);
}

void Network::search(const StepInputs& inputs, cudaStream_t stream) {
  if (inputs.logit_count == 0) return;
  layer_norm({.rows = inputs.logit_row_count,
              .hidden = dims_.hidden,
              .in = residual_,
              .row_index = inputs.logit_rows,
              .weight = weights_->final_norm_weight(),
              .bias = weights_->final_norm_bias(),
              .epsilon = shape_.model.layer_norm_epsilon,
              .out = final_normed_},
             stream);
  check_launch("layer_norm");
  mark(Part::kNorm, stream);
  run(lm_head_product(inputs.logit_row_count), stream);
  mark(Part::kLmHead, stream);
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
  mark(Part::kSearch, stream);
}

std::string Network::profile_text() const {
  if (!profile_) return {};
  return profile_->to_text() + "  products without a tuned algorithm: " + std::to_string(gemm_.untuned()) +
         "\n";
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
  mark(Part::kEmbedding, stream);
  for (std::int32_t index = 0; index < shape_.model.n_layer; ++index) layer(index, inputs, stream);
  search(inputs, stream);
}

}  // namespace gptj::cuda
