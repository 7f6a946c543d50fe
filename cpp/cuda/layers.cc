#include "cuda/layers.h"

#include "cuda/check.h"
#include "cuda/kernels/pointwise.h"

namespace gptj::cuda {

KvLayer LayersContext::cache(std::int32_t layer) const {
  const ActivationScales& scales = weights->layer(layer).scales;
  const std::size_t one = kv_bytes / (2 * static_cast<std::size_t>(shape.model.n_layer));
  std::byte* keys = kv + 2 * static_cast<std::size_t>(layer) * one;
  return {.keys = keys,
          .values = keys + one,
          .type = shape.type,
          .key_scale = scales.keys,
          .value_scale = scales.values,
          .block_size = shape.limits.kv_block_size};
}

void normalise(const LayersContext& context, std::int32_t layer, const Rows& rows, cudaStream_t stream) {
  const LayerWeights& weights = context.weights->layer(layer);
  layer_norm({.rows = static_cast<int>(rows.count),
              .hidden = context.dims.hidden,
              .in = rows.in,
              .weight = weights.norm_weight,
              .bias = weights.norm_bias,
              .epsilon = context.shape.model.layer_norm_epsilon,
              .out = rows.out,
              .out_type = context.shape.type,
              .out_scale = weights.scales.normed},
             stream);
  check_launch("layer_norm");
  context.mark(Part::kNorm, stream);
}

void normalise_last(const LayersContext& context, const std::int32_t* row_index, const Rows& rows,
                    cudaStream_t stream) {
  layer_norm({.rows = static_cast<int>(rows.count),
              .hidden = context.dims.hidden,
              .in = rows.in,
              .row_index = row_index,
              .weight = context.weights->final_norm_weight(),
              .bias = context.weights->final_norm_bias(),
              .epsilon = context.shape.model.layer_norm_epsilon,
              .out = rows.out},
             stream);
  check_launch("layer_norm");
  context.mark(Part::kNorm, stream);
}

std::int64_t joined_stride(const LayersContext& context) {
  return static_cast<std::int64_t>(context.dims.hidden) + context.shape.model.n_inner;
}

void* gelu_part(const LayersContext& context, void* joined) {
  return static_cast<std::byte*>(joined) +
         static_cast<std::size_t>(context.dims.hidden) * element_bytes(context.shape.type);
}

void activate(const LayersContext& context, std::int32_t layer, const Rows& rows, cudaStream_t stream) {
  const LayerWeights& weights = context.weights->layer(layer);
  bias_gelu({.rows = static_cast<int>(rows.count),
             .columns = context.shape.model.n_inner,
             .in = rows.in,
             .bias = weights.fc_in_bias,
             .out = gelu_part(context, rows.out),
             .out_stride = joined_stride(context),
             .out_type = context.shape.type,
             .out_scale = weights.scales.joined},
            stream);
  check_launch("bias_gelu");
}

void attention(const LayersContext& context, std::int32_t layer, const StepInputs& inputs,
               const AttentionRows& rows, cudaStream_t stream) {
  const KvLayer cache = context.cache(layer);
  rotate_and_append({.dims = context.dims,
                     .rows = inputs.rows,
                     .qkv = rows.qkv,
                     .cache = cache,
                     .sin_cos = context.sin_cos},
                    stream);
  check_launch("rotate_and_append");
  context.mark(Part::kRotary, stream);

  const AttentionInput input{
      .queries = rows.qkv,
      .query_stride = 3 * static_cast<std::int64_t>(context.dims.hidden),
      .cache = cache,
      .tables = {.blocks = context.block_tables, .stride = context.shape.table_stride}};
  const AttentionOutput output{.data = rows.joined,
                               .row_stride = joined_stride(context),
                               .type = context.shape.type,
                               .scale = context.weights->layer(layer).scales.joined};
  if (inputs.decoding_count > 0) {
    decode_attention({.dims = context.dims,
                      .input = input,
                      .output = output,
                      .items = inputs.decoding,
                      .item_count = inputs.decoding_count,
                      .beam_width = context.shape.limits.beam_width,
                      .beam_table = context.beam_table,
                      .max_new_tokens = context.shape.limits.max_new_tokens,
                      .finished = context.finished},
                     stream);
    check_launch("decode_attention");
    context.mark(Part::kDecodeAttention, stream);
  }
  if (inputs.chunk_count > 0) {
    prefill_attention({.dims = context.dims,
                       .input = input,
                       .output = output,
                       .items = inputs.chunks,
                       .item_count = inputs.chunk_count,
                       .longest_chunk = inputs.longest_chunk},
                      stream);
    check_launch("prefill_attention");
    context.mark(Part::kPrefillAttention, stream);
  }
}

}  // namespace gptj::cuda
