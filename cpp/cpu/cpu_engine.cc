#include "cpu/cpu_engine.h"

#include <omp.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "cpu/batch.h"
#include "cpu/cpu_features.h"
#include "cpu/kernels.h"
#include "cpu/kv_cache.h"
#include "cpu/network.h"
#include "engine/step_check.h"
#include "gptj/beam_search.h"
#include "gptj/error.h"

namespace gptj {
namespace {

using cpu::Batch;
using cpu::CacheRow;
using cpu::KvCache;
using cpu::QueryGroup;

[[noreturn]] void refuse(ErrorKind kind, const std::string& message) { throw Error(kind, message); }

struct Request {
  RequestId id = 0;
  std::vector<TokenId> prompt;
  std::int32_t prefilled = 0;
  std::vector<std::int32_t> blocks;  // those of the prompt, then those of the generated tokens
  std::int32_t prompt_blocks = 0;
  BeamSearch search;
  std::vector<std::vector<std::uint8_t>> table;  // [beam][generated position] slot, see QueryGroup
  std::vector<TokenId> next_tokens;              // [beam] what each beam feeds in the next decode step

  bool decoding() const { return prefilled == static_cast<std::int32_t>(prompt.size()); }
};

// Whose logits the next rows of the batch's logits are.
struct LogitOwner {
  Request* request = nullptr;
  std::int32_t rows = 0;
};

class CpuEngine final : public Engine {
 public:
  CpuEngine(const EngineOptions& options, const ModelConfig& model, const GenerationConfig& generation,
            const WeightStore& weights, cpu::ActivationObserver* observer);

  const std::string& name() const override { return name_; }
  const EngineLimits& limits() const override { return limits_; }
  void enqueue(const StepWork& work) override;
  void collect(StepOutcome& outcome) override;

 private:
  void check(const StepWork& work) const;
  void admit(const NewRequest& request);
  void add_chunk(Request& request, std::int32_t count);
  void add_decode_rows(Request& request);
  CacheRow prompt_row(const Request& request, std::int32_t position) const;
  CacheRow suffix_row(const Request& request, std::int32_t row) const;
  void search_all(std::span<const float> logits, StepOutcome& outcome);
  void advance(Request& request, std::span<const float> logits) const;

  EngineLimits limits_;
  ModelConfig model_;
  GenerationConfig generation_;
  std::int32_t threads_;
  std::string name_;
  std::unique_ptr<cpu::Network> network_;
  std::unique_ptr<KvCache> cache_;
  std::unordered_map<RequestId, std::unique_ptr<Request>> requests_;
  std::vector<RequestId> order_;  // of admission: the batch's rows do not depend on hashing

  // The step that was enqueued and not collected.
  bool pending_ = false;
  bool failed_ = false;  // a step threw: half of the requests may have advanced
  Batch batch_;
  std::vector<LogitOwner> owners_;
  std::int32_t step_prompt_tokens_ = 0;
  std::int32_t step_decode_rows_ = 0;
  std::uint64_t steps_ = 0;
};

void check_shape(const ModelConfig& model) {
  if (model.n_head < 1 || model.n_embd % model.n_head != 0 || model.head_dim() % cpu::kRowsPerTile != 0) {
    refuse(ErrorKind::kUnsupported, "the CPU engine needs heads of a multiple of 16 dimensions; n_embd " +
                                        std::to_string(model.n_embd) + " over n_head " +
                                        std::to_string(model.n_head) + " gives none");
  }
  if (model.rotary_dim < 2 || model.rotary_dim % 2 != 0 || model.rotary_dim > model.head_dim()) {
    refuse(ErrorKind::kModel, "rotary_dim is " + std::to_string(model.rotary_dim) +
                                  "; it must be even, and at most the head size " +
                                  std::to_string(model.head_dim()));
  }
}

cpu::ComputeType compute_type(const std::string& precision) {
  if (precision == "f32") return cpu::ComputeType::kF32;
  if (precision != "bf16") {
    refuse(ErrorKind::kUnsupported, "the CPU engine computes in f32 or bf16, not in `" + precision + "`");
  }
  if (!cpu_supports("bf16")) {
    refuse(ErrorKind::kUnsupported, "this processor has no AVX512_BF16; use precision f32");
  }
  return cpu::ComputeType::kBf16;
}

CpuEngine::CpuEngine(const EngineOptions& options, const ModelConfig& model,
                     const GenerationConfig& generation, const WeightStore& weights,
                     cpu::ActivationObserver* observer)
    : limits_(limits_for(options, model, generation)),
      model_(model),
      generation_(generation),
      threads_(options.threads > 0 ? options.threads : omp_get_num_procs()),
      name_("cpu (" + options.precision + ")") {
  check_shape(model);
  if (options.kv_block_size % cpu::kRowsPerTile != 0) {
    refuse(ErrorKind::kInvalidArgument, "kv_block_size is " + std::to_string(options.kv_block_size) +
                                            "; the CPU engine needs a multiple of 16");
  }
  if (generation.beam_width > cpu::kQueriesPerTask) {
    refuse(ErrorKind::kUnsupported, "beam_width is " + std::to_string(generation.beam_width) +
                                        "; the CPU engine takes at most " +
                                        std::to_string(cpu::kQueriesPerTask));
  }
  if (observer != nullptr && options.precision != "f32") {
    refuse(ErrorKind::kInvalidArgument,
           "activations are observed in f32, not in `" + options.precision + "`");
  }
  omp_set_num_threads(threads_);
  cpu::NetworkOptions network;
  network.compute = compute_type(options.precision);
  network.max_rows = limits_.max_tokens_per_step;
  network.max_logit_rows = std::min(limits_.max_tokens_per_step, limits_.max_requests * limits_.beam_width);
  network.max_cache_rows =
      kv_blocks_for(limits_, limits_.max_prompt_tokens, limits_.max_new_tokens) * limits_.kv_block_size;
  network.beam_width = limits_.beam_width;
  network.observer = observer;
  network_ = make_network(model, weights, network);
  cache_ = std::make_unique<KvCache>(cpu::KvCacheShape{
      .layers = model.n_layer,
      .heads = model.n_head,
      .head_dim = model.head_dim(),
      .blocks = limits_.kv_blocks,
      .block_size = limits_.kv_block_size,
      .element_bytes = network.compute == cpu::ComputeType::kF32 ? sizeof(float) : sizeof(std::uint16_t),
  });
}

// Checks the whole work before anything changes.
void CpuEngine::check(const StepWork& work) const {
  const auto invalid = [](const std::string& message) { refuse(ErrorKind::kInvalidArgument, message); };
  if (failed_) invalid("used after a step had failed; an engine can then only be destroyed");
  if (pending_) invalid("a step was enqueued before the last one was collected");
  HeldWork held;
  held.requests = requests_.size();
  held.free_blocks = cache_->free_blocks();
  for (const auto& [id, request] : requests_) held.decoding += request->decoding() ? 1 : 0;
  held.open_tokens = [this](RequestId id) -> std::optional<std::int32_t> {
    const auto found = requests_.find(id);
    if (found == requests_.end()) return std::nullopt;
    return static_cast<std::int32_t>(found->second->prompt.size()) - found->second->prefilled;
  };
  check_step(work, limits_, held);
}

void CpuEngine::enqueue(const StepWork& work) {
  check(work);
  pending_ = true;
  batch_.clear();
  owners_.clear();
  step_prompt_tokens_ = 0;
  step_decode_rows_ = 0;
  // Decode rows first: a request whose prompt becomes complete in this step decodes from the next one on.
  if (work.decode) {
    for (const RequestId id : order_) {
      Request& request = *requests_.at(id);
      if (request.decoding()) add_decode_rows(request);
    }
  }
  for (const NewRequest& request : work.admitted) admit(request);
  for (const PromptChunk& chunk : work.chunks) add_chunk(*requests_.at(chunk.id), chunk.count);
}

void CpuEngine::admit(const NewRequest& request) {
  const auto tokens = static_cast<std::int32_t>(request.prompt.size());
  GenerationConfig generation = generation_;
  generation.min_new_tokens = request.min_new_tokens;
  generation.max_new_tokens = request.max_new_tokens;
  auto admitted = std::make_unique<Request>(Request{
      .id = request.id,
      .prompt = {request.prompt.begin(), request.prompt.end()},
      .prefilled = 0,
      .blocks = cache_->take(kv_blocks_for(limits_, tokens, request.max_new_tokens)),
      .prompt_blocks = (tokens + limits_.kv_block_size - 1) / limits_.kv_block_size,
      .search = BeamSearch(generation, tokens),
      .table = std::vector<std::vector<std::uint8_t>>(static_cast<std::size_t>(limits_.beam_width)),
      .next_tokens = {},
  });
  requests_.emplace(request.id, std::move(admitted));
  order_.push_back(request.id);
}

CacheRow CpuEngine::prompt_row(const Request& request, std::int32_t position) const {
  const std::int32_t size = limits_.kv_block_size;
  return {request.blocks[static_cast<std::size_t>(position / size)], position % size};
}

CacheRow CpuEngine::suffix_row(const Request& request, std::int32_t row) const {
  const std::int32_t size = limits_.kv_block_size;
  return {request.blocks[static_cast<std::size_t>(request.prompt_blocks + row / size)], row % size};
}

void CpuEngine::add_chunk(Request& request, std::int32_t count) {
  for (std::int32_t done = 0; done < count;) {
    const std::int32_t queries = std::min(count - done, cpu::kQueriesPerTask);
    QueryGroup group;
    group.first_row = batch_.rows();
    group.count = queries;
    group.blocks = request.blocks;
    group.prompt_blocks = request.prompt_blocks;
    group.visible_prompt = request.prefilled + 1;
    group.causal = true;
    batch_.groups.push_back(group);
    for (std::int32_t i = 0; i < queries; ++i) {
      const std::int32_t position = request.prefilled++;
      batch_.tokens.push_back(request.prompt[static_cast<std::size_t>(position)]);
      batch_.positions.push_back(position);
      batch_.cache_rows.push_back(prompt_row(request, position));
    }
    done += queries;
  }
  step_prompt_tokens_ += count;
  if (request.decoding()) {
    batch_.logit_rows.push_back(batch_.rows() - 1);
    owners_.push_back({&request, 1});
  }
}

void CpuEngine::add_decode_rows(Request& request) {
  const std::int32_t width = limits_.beam_width;
  const auto prompt = static_cast<std::int32_t>(request.prompt.size());
  const std::int32_t t = request.search.generated_tokens() - 1;  // generated positions in the cache so far
  QueryGroup group;
  group.first_row = batch_.rows();
  group.count = width;
  group.blocks = request.blocks;
  group.prompt_blocks = request.prompt_blocks;
  group.visible_prompt = prompt;
  group.causal = false;
  group.generated = t + 1;
  for (std::int32_t beam = 0; beam < width; ++beam) {
    request.table[static_cast<std::size_t>(beam)].push_back(static_cast<std::uint8_t>(beam));
    batch_.logit_rows.push_back(batch_.rows());
    batch_.tokens.push_back(request.next_tokens[static_cast<std::size_t>(beam)]);
    batch_.positions.push_back(prompt + t);
    batch_.cache_rows.push_back(suffix_row(request, t * width + beam));
  }
  group.table = request.table;
  batch_.groups.push_back(group);
  owners_.push_back({&request, width});
  step_decode_rows_ += width;
}

void CpuEngine::collect(StepOutcome& outcome) {
  if (!pending_) refuse(ErrorKind::kInvalidArgument, "no step was enqueued");
  pending_ = false;
  failed_ = true;  // until the step is through
  ++steps_;
  outcome.finished.clear();
  outcome.prompt_tokens = step_prompt_tokens_;
  outcome.decode_rows = step_decode_rows_;
  if (batch_.rows() > 0) {
    // The setting belongs to the calling thread, which is not the one that created the engine.
    omp_set_num_threads(threads_);
    search_all(network_->forward(batch_, *cache_), outcome);
  }
  outcome.kv_blocks_used = cache_->used_blocks();
  failed_ = false;
}

void CpuEngine::search_all(std::span<const float> logits, StepOutcome& outcome) {
  const auto vocab = static_cast<std::size_t>(model_.vocab_size);
  std::vector<std::size_t> first_row(owners_.size(), 0);
  for (std::size_t i = 1; i < owners_.size(); ++i) {
    first_row[i] = first_row[i - 1] + static_cast<std::size_t>(owners_[i - 1].rows);
  }
  std::exception_ptr failure;  // none may leave the parallel region
#pragma omp parallel for schedule(dynamic)
  for (std::size_t i = 0; i < owners_.size(); ++i) {
    try {
      advance(*owners_[i].request,
              logits.subspan(first_row[i] * vocab, static_cast<std::size_t>(owners_[i].rows) * vocab));
    } catch (...) {
#pragma omp critical
      if (!failure) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);

  for (const LogitOwner& owner : owners_) {
    if (!owner.request->search.finished()) continue;
    const RequestId id = owner.request->id;
    outcome.finished.push_back({id, owner.request->search.best()});
    cache_->give_back(owner.request->blocks);
    requests_.erase(id);
    order_.erase(std::find(order_.begin(), order_.end(), id));
  }
}

// logits: [1 or beam_width, vocab]
void CpuEngine::advance(Request& request, std::span<const float> logits) const {
  const BeamStep* step = nullptr;
  try {
    step = &request.search.step(logits, model_.vocab_size);
  } catch (const Error& error) {
    throw Error(error.kind(), name_ + ", step " + std::to_string(steps_) + ", request " +
                                  std::to_string(request.id) + ": " + error.what());
  }
  if (step->finished) return;
  request.next_tokens = step->tokens;
  std::vector<std::vector<std::uint8_t>> table;
  table.reserve(request.table.size());
  for (const std::int32_t parent : step->parents)
    table.push_back(request.table[static_cast<std::size_t>(parent)]);
  request.table = std::move(table);
}

}  // namespace

std::unique_ptr<Engine> create_cpu_engine(const EngineOptions& options, const ModelConfig& model,
                                          const GenerationConfig& generation, const WeightStore& weights,
                                          cpu::ActivationObserver* observer) {
  return std::make_unique<CpuEngine>(options, model, generation, weights, observer);
}

}  // namespace gptj
