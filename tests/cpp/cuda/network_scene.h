// cuda::Network by itself: requests of random lengths, read in pieces of random sizes while others decode,
// their KV blocks scattered over the pool. Gives the logits of every step with the texts that they are for.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "cuda/check.h"
#include "cuda/cublas_layers.h"
#include "cuda/network.h"
#include "cuda/step_inputs.h"
#include "synthetic_model.h"

namespace gptj::testing {

struct SceneShape {
  ModelConfig model;
  GenerationConfig generation;
  cuda::ElementType type = cuda::ElementType::kF16;
  std::int32_t kv_block_size = 16;
  std::int32_t requests = 5;
  std::int32_t tokens_per_step = 96;
  std::int32_t longest_prompt = 120;
  std::int32_t admitted_per_step = 1;
};

class NetworkScene {
 public:
  // What a row of logits follows, and the logits.
  struct Row {
    std::vector<TokenId> text;
    std::vector<float> logits;
  };

  static cuda::NetworkShape network_shape(const SceneShape& shape) {
    cuda::NetworkShape network;
    network.model = shape.model;
    network.generation = shape.generation;
    network.type = shape.type;
    EngineLimits& limits = network.limits;
    limits.max_requests = shape.requests;
    limits.max_tokens_per_step = shape.tokens_per_step;
    limits.kv_block_size = shape.kv_block_size;
    limits.max_prompt_tokens = shape.longest_prompt;
    limits.max_new_tokens = shape.generation.max_new_tokens;
    limits.beam_width = shape.generation.beam_width;
    limits.vocab_size = shape.model.vocab_size;
    limits.max_steps_in_flight = 1;
    network.table_stride = kv_blocks_for(limits, limits.max_prompt_tokens, limits.max_new_tokens);
    limits.kv_blocks = network.table_stride * shape.requests + 3;
    return network;
  }

  NetworkScene(const SceneShape& shape, const SyntheticModel& weights, std::mt19937& random,
               const cuda::LayersSource& source = cuda::CublasLayersSource())
      : model_(shape.model),
        random_(random),
        network_shape_(network_shape(shape)),
        admitted_per_step_(shape.admitted_per_step) {
    const EngineLimits& limits = network_shape_.limits;
    auto loaded = std::make_unique<cuda::ModelWeights>(
        shape.model, weights, cuda::WeightOptions{.type = shape.type}, stream_.get());
    network_ = std::make_unique<cuda::Network>(network_shape_, std::move(loaded), source);
    network_->tune(stream_.get());
    upload_ = std::make_unique<cuda::StepUpload>(cuda::StepUpload::bytes_for(
        limits.max_tokens_per_step, limits.max_requests, network_shape_.table_stride));

    std::vector<std::int32_t> blocks(static_cast<std::size_t>(limits.kv_blocks));
    for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i] = static_cast<std::int32_t>(i);
    std::ranges::shuffle(blocks, random_);
    for (std::int32_t slot = 0; slot < shape.requests; ++slot) add_request(slot, blocks);
  }

  bool is_done() const { return std::ranges::all_of(requests_, &Request::finished); }

  // One step: what is complete decodes, or once in a while waits; what is not reads on; some more are
  // admitted.
  std::vector<Row> step() {
    plan_.clear();
    std::vector<Row> rows;
    spare_ = network_shape_.limits.max_tokens_per_step;
    if (draw(0, 4) > 0) {
      for (Request& request : requests_) {
        if (request.is_complete() && !request.finished) decode(request, rows);
      }
    }
    std::int32_t may_admit = admitted_per_step_;
    for (Request& request : requests_) {
      if (request.is_complete() || (request.read == 0 && may_admit == 0)) continue;
      if (request.read == 0) --may_admit;
      read_on(request, rows);
    }
    if (plan_.rows() > 0) run(rows);
    return rows;
  }

 private:
  struct Request {
    std::int32_t slot = 0;
    std::vector<TokenId> prompt;
    std::vector<std::int32_t> blocks;
    std::int32_t prompt_blocks = 0;
    std::int32_t chunk = 0;      // most tokens that it reads in a step
    std::int32_t read = 0;       // prompt tokens so far
    std::int32_t generated = 0;  // tokens of each beam
    bool finished = false;

    std::int32_t prompt_tokens() const { return static_cast<std::int32_t>(prompt.size()); }
    bool is_complete() const { return read == prompt_tokens(); }
  };

  std::int32_t draw(std::int32_t least, std::int32_t most) {
    return std::uniform_int_distribution<std::int32_t>(least, most)(random_);
  }

  void add_request(std::int32_t slot, std::vector<std::int32_t>& free) {
    const EngineLimits& limits = network_shape_.limits;
    Request request;
    request.slot = slot;
    // One is as long as can be, one is a single token.
    const std::int32_t tokens =
        slot == 0 ? limits.max_prompt_tokens : (slot == 1 ? 1 : draw(2, limits.max_prompt_tokens));
    for (std::int32_t i = 0; i < tokens; ++i) request.prompt.push_back(draw(0, model_.vocab_size - 1));
    request.chunk = slot % 2 == 0 ? draw(1, 9) : draw(10, limits.max_prompt_tokens);
    const auto count = static_cast<std::ptrdiff_t>(kv_blocks_for(limits, tokens, limits.max_new_tokens));
    request.blocks.assign(free.end() - count, free.end());
    free.resize(free.size() - static_cast<std::size_t>(count));
    request.prompt_blocks = (tokens + limits.kv_block_size - 1) / limits.kv_block_size;
    requests_.push_back(std::move(request));
  }

  std::int32_t cache_row(const Request& request, std::int32_t first_block, std::int32_t row) const {
    const std::int32_t size = network_shape_.limits.kv_block_size;
    return request.blocks[static_cast<std::size_t>(first_block + row / size)] * size + row % size;
  }

  void add_row(const Request& request, std::int32_t token, std::int32_t position, std::int32_t cache_row) {
    plan_.token.push_back(token);
    plan_.slot.push_back(request.slot);
    plan_.position.push_back(position);
    plan_.cache_row.push_back(cache_row);
    --spare_;
  }

  void add_logits(Request& request, std::int32_t first_row, std::int32_t rows) {
    const auto first = static_cast<std::int32_t>(plan_.logit_rows.size());
    plan_.logits.push_back({.slot = request.slot, .first_row = first, .rows = rows});
    for (std::int32_t i = 0; i < rows; ++i) plan_.logit_rows.push_back(first_row + i);
    ++request.generated;
  }

  void decode(Request& request, std::vector<Row>& rows) {
    const std::int32_t width = network_shape_.limits.beam_width;
    const std::int32_t before = request.generated - 1;  // generated positions in the cache
    const std::int32_t first_row = plan_.rows();
    for (std::int32_t beam = 0; beam < width; ++beam) {
      Row row{.text = request.prompt, .logits = {}};
      const std::vector<TokenId> tokens = beam_tokens(request, beam);
      row.text.insert(row.text.end(), tokens.begin(), tokens.end());
      rows.push_back(std::move(row));
      add_row(request, -1 - beam, request.prompt_tokens() + before,
              cache_row(request, request.prompt_blocks, before * width + beam));
    }
    plan_.decoding.push_back({.slot = request.slot,
                              .first_row = first_row,
                              .prompt_tokens = request.prompt_tokens(),
                              .generated = before + 1});
    add_logits(request, first_row, width);
  }

  void read_on(Request& request, std::vector<Row>& rows) {
    const std::int32_t count = std::min({request.prompt_tokens() - request.read, request.chunk, spare_});
    if (count < 1) return;
    if (request.read == 0) {
      plan_.admitted.push_back({.slot = request.slot,
                                .prompt_tokens = request.prompt_tokens(),
                                .min_new_tokens = network_shape_.generation.min_new_tokens,
                                .max_new_tokens = network_shape_.generation.max_new_tokens});
      plan_.admitted_blocks.insert(plan_.admitted_blocks.end(), request.blocks.begin(), request.blocks.end());
      plan_.admitted_blocks.resize(
          plan_.admitted.size() * static_cast<std::size_t>(network_shape_.table_stride), 0);
    }
    plan_.chunks.push_back(
        {.slot = request.slot, .first_row = plan_.rows(), .count = count, .first_position = request.read});
    for (std::int32_t i = 0; i < count; ++i, ++request.read) {
      add_row(request, request.prompt[static_cast<std::size_t>(request.read)], request.read,
              cache_row(request, 0, request.read));
    }
    if (request.is_complete()) {
      rows.push_back({.text = request.prompt, .logits = {}});
      add_logits(request, plan_.rows() - 1, 1);
    }
  }

  template <typename T>
  static std::vector<T> from_gpu(const T* data, std::size_t count) {
    std::vector<T> out(count);
    GPTJ_CUDA_CHECK(cudaMemcpy(out.data(), data, count * sizeof(T), cudaMemcpyDeviceToHost));
    return out;
  }

  // What a beam has generated so far, as the search on the GPU has it.
  std::vector<TokenId> beam_tokens(const Request& request, std::int32_t beam) const {
    const cuda::SearchState& state = network_->search_state();
    const auto row = static_cast<std::ptrdiff_t>(request.slot) * cuda::kMaxBeams + beam;
    return from_gpu(state.tokens + row * state.max_new_tokens, static_cast<std::size_t>(request.generated));
  }

  // Nothing of an earlier step may pass for a result of this one. The bytes are NaN as float.
  template <typename T>
  static void poison(const T* data, std::size_t count) {
    GPTJ_CUDA_CHECK(cudaMemset(const_cast<T*>(data), 0xFF, count * sizeof(T)));
  }

  void run(std::vector<Row>& rows) {
    const auto vocab = static_cast<std::size_t>(model_.vocab_size);
    const auto stride = static_cast<std::size_t>(cuda::padded_vocab(model_));
    const std::size_t items = plan_.logits.size();
    poison(network_->logits(), static_cast<std::size_t>(network_shape_.max_logit_rows()) * stride);
    poison(network_->results(), static_cast<std::size_t>(network_shape_.limits.max_requests));
    GPTJ_CUDA_CHECK(cudaDeviceSynchronize());
    const cuda::StepInputs inputs = upload_->upload(plan_, stream_.get());
    network_->forward(inputs, stream_.get());
    GPTJ_CUDA_CHECK(cudaStreamSynchronize(stream_.get()));
    ASSERT_EQ(plan_.logit_rows.size(), rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      rows[i].logits = from_gpu(network_->logits() + i * stride, vocab);
    }
    const std::vector<cuda::StepResult> results = from_gpu(network_->results(), items);
    for (std::size_t i = 0; i < items; ++i) {
      ASSERT_EQ(results[i].slot, plan_.logits[i].slot);
      ASSERT_EQ(results[i].error_row, -1) << "slot " << results[i].slot;
      Request& request = requests_[static_cast<std::size_t>(results[i].slot)];
      request.finished = results[i].finished == 1;
      ASSERT_TRUE(request.finished || request.generated < network_shape_.limits.max_new_tokens)
          << "slot " << request.slot << " goes on beyond its last token";
    }
  }

  ModelConfig model_;
  std::mt19937& random_;
  cuda::NetworkShape network_shape_;
  std::int32_t admitted_per_step_;
  cuda::Stream stream_;
  std::unique_ptr<cuda::Network> network_;
  std::unique_ptr<cuda::StepUpload> upload_;
  std::vector<Request> requests_;
  cuda::StepPlan plan_;
  std::int32_t spare_ = 0;  // rows that the step still has room for
};

}  // namespace gptj::testing
