#include "cuda/gpu_engine.h"

#include <algorithm>
#include <cstdio>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cuda/device.h"
#include "cuda/memory_plan.h"
#include "cuda/network.h"
#include "engine/step_check.h"
#include "gptj/error.h"

namespace gptj::cuda {
namespace {

// The host prepares the next step while the GPU computes the last one.
constexpr std::int32_t kStepsInFlight = 2;

// A request between its admission and the collection of its last step.
struct Request {
  RequestId id = 0;
  std::int32_t slot = 0;
  std::vector<TokenId> prompt;  // freed once it was given to the GPU
  std::int32_t prompt_tokens = 0;
  std::int32_t prefilled = 0;
  std::int32_t max_new_tokens = 0;
  std::int32_t searched = 0;         // steps of its beam search that are enqueued
  std::vector<std::int32_t> blocks;  // of the prompt, then of the generated tokens
  std::int32_t prompt_blocks = 0;

  bool decoding() const { return prefilled == prompt_tokens; }
  // The search ends with its last token at the latest, whether or not the host knows yet.
  bool is_exhausted() const { return searched >= max_new_tokens; }
};

// A step that was enqueued and not collected.
struct Pending {
  std::size_t buffer = 0;
  std::vector<RequestId> owners;   // of the logit items
  std::vector<RequestId> reading;  // whose prompts go on in a later step
  std::int32_t prompt_tokens = 0;
  std::int32_t decode_rows = 0;
  std::uint64_t number = 0;
};

// Where the results of a step come back to, and what its upload is packed into.
struct StepBuffer {
  StepBuffer(std::size_t upload_bytes, std::size_t requests, std::size_t max_new_tokens)
      : upload(upload_bytes),
        results(requests * sizeof(StepResult), "results"),
        tokens(requests * max_new_tokens * sizeof(std::int32_t), "tokens") {}

  StepUpload upload;
  PinnedBuffer results;
  PinnedBuffer tokens;
  Event done;
};

class GpuEngine final : public Engine {
 public:
  GpuEngine(const EngineOptions& options, const ModelConfig& model, const GenerationConfig& generation,
            const WeightStore& weights, const MakeLayersSource& make_source);
  ~GpuEngine() override {
    (void)cudaSetDevice(device_);
    if (!network_) return;
    const std::string profile = network_->profile_text();
    if (!profile.empty()) std::fprintf(stderr, "GPU %d: %s", device_, profile.c_str());
  }

  const std::string& name() const override { return name_; }
  const EngineLimits& limits() const override { return limits_; }
  void enqueue(const StepWork& work) override;
  void collect(StepOutcome& outcome) override;

 private:
  void check(const StepWork& work) const;
  void load(const NetworkShape& shape, const WeightStore& weights, const EngineOptions& options,
            const LayersSource& source);
  void warm_up();
  void build_step(const StepWork& work);
  void launch_step();
  void read_step(const Pending& step, StepOutcome& outcome);
  void admit_request(const NewRequest& request);
  void add_decode_rows(Request& request);
  void add_chunk(Request& request, std::int32_t count);
  void add_logits(Request& request, std::int32_t first_row, std::int32_t rows);
  std::int32_t cache_row(const Request& request, std::int32_t first_block, std::int32_t row) const;
  void finish(RequestId id, const StepResult& result, const std::int32_t* tokens, StepOutcome& outcome);
  std::string to_text(const Pending& step) const;
  [[noreturn]] void rethrow(const Pending& step, const Error& error) const;

  std::int32_t device_;
  EngineLimits limits_;
  ModelConfig model_;
  std::string name_;
  std::int32_t table_stride_ = 0;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<Network> network_;
  std::vector<std::unique_ptr<StepBuffer>> buffers_;

  std::unordered_map<RequestId, Request> requests_;
  std::vector<RequestId> order_;  // of admission
  std::vector<std::int32_t> free_slots_;
  std::vector<std::int32_t> free_blocks_;

  StepPlan plan_;
  Pending building_;
  std::deque<Pending> pending_;
  std::uint64_t steps_ = 0;
  bool is_warm_ = false;  // the trial before the run is over
  bool failed_ = false;
};

GpuEngine::GpuEngine(const EngineOptions& options, const ModelConfig& model,
                     const GenerationConfig& generation, const WeightStore& weights,
                     const MakeLayersSource& make_source)
    : device_(options.device), model_(model) {
  NetworkShape shape = network_shape(options, model, generation);
  table_stride_ = shape.table_stride;
  const std::unique_ptr<LayersSource> source = make_source(options, shape);
  const MemoryPlan plan = plan_memory(shape, {.device = device_,
                                              .fraction = options.memory_fraction,
                                              .layers_bytes = source->workspace_bytes(shape)});
  limits_ = shape.limits;
  name_ = source->name() + " (" + (shape.type == ElementType::kF16 ? "fp16" : "fp8") + ", " +
          device_name(device_) + ")";
  if (options.verbose) {
    std::fprintf(stderr, "GPU %d: %s\n", device_, plan.to_text().c_str());
  }

  for (std::int32_t slot = limits_.max_requests; slot-- > 0;) free_slots_.push_back(slot);
  for (std::int32_t block = limits_.kv_blocks; block-- > 0;) free_blocks_.push_back(block);
  try {
    load(shape, weights, options, *source);
    warm_up();
  } catch (const Error& error) {
    std::string message = "GPU " + std::to_string(device_) + ": " + error.what();
    // The plan fitted: the memory has gone since, or is in pieces.
    if (error.kind() == ErrorKind::kOutOfMemory) {
      message += ". Planned: " + plan.to_text() +
                 ". Stop what else uses this GPU, or set a smaller gpu_memory_fraction";
    }
    throw Error(error.kind(), message);
  }
}

void GpuEngine::load(const NetworkShape& shape, const WeightStore& weights, const EngineOptions& options,
                     const LayersSource& source) {
  stream_ = std::make_unique<Stream>();
  auto loaded = std::make_unique<ModelWeights>(
      model_, weights, WeightOptions{.type = shape.type, .synthetic_seed = options.synthetic_seed},
      stream_->get());
  network_ = std::make_unique<Network>(shape, std::move(loaded), source);
  network_->tune(stream_->get());
  const std::size_t upload =
      StepUpload::bytes_for(limits_.max_tokens_per_step, limits_.max_requests, table_stride_);
  for (std::int32_t i = 0; i < kStepsInFlight; ++i) {
    buffers_.push_back(std::make_unique<StepBuffer>(upload, static_cast<std::size_t>(limits_.max_requests),
                                                    static_cast<std::size_t>(limits_.max_new_tokens)));
  }
}

// A kernel is loaded when it is launched for the first time, which takes memory and milliseconds. One request
// of one token launches every kernel of a step here: what goes wrong then, and a model that gives NaN, goes
// wrong before the run.
void GpuEngine::warm_up() {
  const TokenId token = 0;
  const std::int32_t most = std::min(2, limits_.max_new_tokens);  // from the prompt, then from decode rows
  const NewRequest request{
      .id = 0, .prompt = std::span(&token, 1), .min_new_tokens = 0, .max_new_tokens = most};
  const PromptChunk chunk{.id = 0, .count = 1};
  StepOutcome outcome;
  enqueue({.admitted = std::span(&request, 1), .chunks = std::span(&chunk, 1), .decode = true});
  collect(outcome);
  if (outcome.finished.empty()) {
    enqueue({.admitted = {}, .chunks = {}, .decode = true});
    collect(outcome);
  }
  if (!requests_.empty()) throw Error(ErrorKind::kInternal, "the trial request was not finished in time");
  network_->forget_profile();
  steps_ = 0;
  is_warm_ = true;
}

void GpuEngine::check(const StepWork& work) const {
  const auto invalid = [](const std::string& message) { throw Error(ErrorKind::kInvalidArgument, message); };
  if (failed_) invalid("used after a step had failed; an engine can then only be destroyed");
  if (pending_.size() >= static_cast<std::size_t>(kStepsInFlight)) {
    invalid("a step was enqueued while " + std::to_string(kStepsInFlight) + " were not collected");
  }
  HeldWork held;
  held.requests = requests_.size();
  held.free_blocks = static_cast<std::int32_t>(free_blocks_.size());
  for (const auto& [id, request] : requests_) held.decoding += request.decoding() ? 1 : 0;
  held.open_tokens = [this](RequestId id) -> std::optional<std::int32_t> {
    const auto found = requests_.find(id);
    if (found == requests_.end()) return std::nullopt;
    return found->second.prompt_tokens - found->second.prefilled;
  };
  check_step(work, limits_, held);
}

void GpuEngine::enqueue(const StepWork& work) {
  check(work);
  failed_ = true;  // until everything is enqueued: half a step cannot be taken back
  building_ = Pending{};
  building_.number = ++steps_;
  building_.buffer = static_cast<std::size_t>(steps_ % kStepsInFlight);
  try {
    build_step(work);
    launch_step();
  } catch (const Error& error) {
    rethrow(building_, error);
  }
  pending_.push_back(std::move(building_));
  failed_ = false;
}

void GpuEngine::build_step(const StepWork& work) {
  plan_.clear();
  // Decode rows first: a request whose prompt becomes complete in this step decodes from the next one on.
  if (work.decode) {
    for (const RequestId id : order_) {
      Request& request = requests_.at(id);
      if (request.decoding() && !request.is_exhausted()) add_decode_rows(request);
    }
  }
  // The longest first: short ones fill the gaps at the end of the kernel.
  const auto cached = [this](const DecodeItem& item) {
    return item.prompt_tokens + item.generated * limits_.beam_width;
  };
  std::ranges::sort(plan_.decoding, std::ranges::greater(), cached);
  for (const NewRequest& request : work.admitted) admit_request(request);
  for (const PromptChunk& chunk : work.chunks) add_chunk(requests_.at(chunk.id), chunk.count);
}

void GpuEngine::launch_step() {
  GPTJ_CUDA_CHECK(cudaSetDevice(device_));
  StepBuffer& buffer = *buffers_[building_.buffer];
  if (plan_.rows() > 0) {
    const StepInputs inputs = buffer.upload.upload(plan_, stream_->get());
    network_->forward(inputs, stream_->get());
    if (inputs.logit_count > 0) {
      const auto count = static_cast<std::size_t>(inputs.logit_count);
      GPTJ_CUDA_CHECK(cudaMemcpyAsync(buffer.results.as<>(), network_->results(), count * sizeof(StepResult),
                                      cudaMemcpyDeviceToHost, stream_->get()));
      GPTJ_CUDA_CHECK(
          cudaMemcpyAsync(buffer.tokens.as<>(), network_->result_tokens(),
                          count * static_cast<std::size_t>(limits_.max_new_tokens) * sizeof(std::int32_t),
                          cudaMemcpyDeviceToHost, stream_->get()));
    }
  }
  GPTJ_CUDA_CHECK(cudaEventRecord(buffer.done.get(), stream_->get()));
}

void GpuEngine::admit_request(const NewRequest& incoming) {
  Request request;
  request.id = incoming.id;
  request.slot = free_slots_.back();
  free_slots_.pop_back();
  request.prompt.assign(incoming.prompt.begin(), incoming.prompt.end());
  request.prompt_tokens = static_cast<std::int32_t>(incoming.prompt.size());
  request.max_new_tokens = incoming.max_new_tokens;
  const std::int32_t size = limits_.kv_block_size;
  request.prompt_blocks = (request.prompt_tokens + size - 1) / size;
  const auto count =
      static_cast<std::ptrdiff_t>(kv_blocks_for(limits_, request.prompt_tokens, request.max_new_tokens));
  request.blocks.assign(free_blocks_.end() - count, free_blocks_.end());
  free_blocks_.resize(free_blocks_.size() - static_cast<std::size_t>(count));

  plan_.admitted.push_back({.slot = request.slot,
                            .prompt_tokens = request.prompt_tokens,
                            .min_new_tokens = incoming.min_new_tokens,
                            .max_new_tokens = incoming.max_new_tokens});
  plan_.admitted_blocks.insert(plan_.admitted_blocks.end(), request.blocks.begin(), request.blocks.end());
  plan_.admitted_blocks.resize(plan_.admitted.size() * static_cast<std::size_t>(table_stride_), 0);
  order_.push_back(request.id);
  requests_.emplace(request.id, std::move(request));
}

std::int32_t GpuEngine::cache_row(const Request& request, std::int32_t first_block, std::int32_t row) const {
  const std::int32_t size = limits_.kv_block_size;
  return request.blocks[static_cast<std::size_t>(first_block + row / size)] * size + row % size;
}

void GpuEngine::add_decode_rows(Request& request) {
  const std::int32_t width = limits_.beam_width;
  const std::int32_t generated = request.searched - 1;  // generated positions in the cache before this step
  const std::int32_t first_row = plan_.rows();
  for (std::int32_t beam = 0; beam < width; ++beam) {
    plan_.token.push_back(-1 - beam);
    plan_.slot.push_back(request.slot);
    plan_.position.push_back(request.prompt_tokens + generated);
    plan_.cache_row.push_back(cache_row(request, request.prompt_blocks, generated * width + beam));
  }
  plan_.decoding.push_back({.slot = request.slot,
                            .first_row = first_row,
                            .prompt_tokens = request.prompt_tokens,
                            .generated = generated + 1});
  add_logits(request, first_row, width);
  building_.decode_rows += width;
}

void GpuEngine::add_chunk(Request& request, std::int32_t count) {
  const std::int32_t first_row = plan_.rows();
  plan_.chunks.push_back(
      {.slot = request.slot, .first_row = first_row, .count = count, .first_position = request.prefilled});
  for (std::int32_t i = 0; i < count; ++i) {
    const std::int32_t position = request.prefilled + i;
    plan_.token.push_back(request.prompt[static_cast<std::size_t>(position)]);
    plan_.slot.push_back(request.slot);
    plan_.position.push_back(position);
    plan_.cache_row.push_back(cache_row(request, 0, position));
  }
  request.prefilled += count;
  building_.prompt_tokens += count;
  if (request.decoding()) {
    request.prompt = {};
    add_logits(request, plan_.rows() - 1, 1);
  } else {
    building_.reading.push_back(request.id);
  }
}

void GpuEngine::add_logits(Request& request, std::int32_t first_row, std::int32_t rows) {
  const auto first = static_cast<std::int32_t>(plan_.logit_rows.size());
  plan_.logits.push_back({.slot = request.slot, .first_row = first, .rows = rows});
  for (std::int32_t i = 0; i < rows; ++i) plan_.logit_rows.push_back(first_row + i);
  building_.owners.push_back(request.id);
  ++request.searched;
}

void GpuEngine::collect(StepOutcome& outcome) {
  if (failed_)
    throw Error(ErrorKind::kInvalidArgument,
                "used after a step had failed; an engine can then only be destroyed");
  if (pending_.empty()) throw Error(ErrorKind::kInvalidArgument, "no step was enqueued");
  const Pending step = std::move(pending_.front());
  pending_.pop_front();
  failed_ = true;  // until the step is through
  try {
    read_step(step, outcome);
  } catch (const Error& error) {
    rethrow(step, error);
  }
  failed_ = false;
}

void GpuEngine::read_step(const Pending& step, StepOutcome& outcome) {
  GPTJ_CUDA_CHECK(cudaSetDevice(device_));
  outcome.finished.clear();
  outcome.prompt_tokens = step.prompt_tokens;
  outcome.decode_rows = step.decode_rows;
  const StepBuffer& buffer = *buffers_[step.buffer];
  gptj::cuda::check(cudaEventSynchronize(buffer.done.get()),
                    "one of its kernels (CUDA_LAUNCH_BLOCKING=1 in the environment makes it known)");
  for (std::size_t i = 0; i < step.owners.size(); ++i) {
    const StepResult& result = buffer.results.as<StepResult>()[i];
    if (result.error_row >= 0) {
      throw Error(ErrorKind::kNumeric, "NaN or infinity among the logits of request " +
                                           std::to_string(step.owners[i]) + ", beam row " +
                                           std::to_string(result.error_row) +
                                           "; the weights are damaged, or too large for what is computed "
                                           "in: fp8 may need a calibration, or fp16 instead");
    }
    if (result.finished == 1) {
      finish(step.owners[i], result,
             buffer.tokens.as<std::int32_t>() + i * static_cast<std::size_t>(limits_.max_new_tokens),
             outcome);
    }
  }
  outcome.kv_blocks_used = limits_.kv_blocks - static_cast<std::int32_t>(free_blocks_.size());
}

// A step that is already enqueued may still write the request's rows; whatever is given the blocks next is
// enqueued behind it on the same stream.
void GpuEngine::finish(RequestId id, const StepResult& result, const std::int32_t* tokens,
                       StepOutcome& outcome) {
  const auto found = requests_.find(id);
  if (found == requests_.end()) throw Error(ErrorKind::kInternal, "a request finished twice");
  Request& request = found->second;
  outcome.finished.push_back({.id = id, .tokens = {tokens, tokens + result.length}});
  free_slots_.push_back(request.slot);
  free_blocks_.insert(free_blocks_.end(), request.blocks.begin(), request.blocks.end());
  order_.erase(std::ranges::find(order_, id));
  requests_.erase(found);
}

// `step 12 on GPU 0 (requests 3, 4, 5 and 29 more)`
std::string GpuEngine::to_text(const Pending& step) const {
  constexpr std::size_t kNamed = 8;
  const std::string number = "step " + std::to_string(step.number);
  if (!is_warm_) return "trial " + number;
  std::vector<RequestId> requests = step.owners;
  requests.insert(requests.end(), step.reading.begin(), step.reading.end());
  std::string text = number + " on GPU " + std::to_string(device_);
  if (requests.empty()) return text;
  text += requests.size() == 1 ? " (request " : " (requests ";
  for (std::size_t i = 0; i < std::min(requests.size(), kNamed); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(requests[i]);
  }
  if (requests.size() > kNamed) text += " and " + std::to_string(requests.size() - kNamed) + " more";
  return text + ")";
}

void GpuEngine::rethrow(const Pending& step, const Error& error) const {
  std::string message = to_text(step) + ": " + error.what();
  if (error.kind() == ErrorKind::kOutOfMemory && is_warm_) {
    message += "; leave the driver more memory: a smaller gpu_memory_fraction";
  }
  throw Error(error.kind(), message);
}

}  // namespace

NetworkShape network_shape(const EngineOptions& options, const ModelConfig& model,
                           const GenerationConfig& generation) {
  NetworkShape shape;
  shape.type = use_device(options.device, options.precision);
  check_shape(model, generation, options);
  shape.model = model;
  shape.generation = generation;
  shape.limits = limits_for(options, model, generation);
  shape.limits.kv_blocks = options.kv_blocks;
  shape.limits.max_steps_in_flight = kStepsInFlight;
  shape.profile = options.profile;
  shape.table_stride =
      kv_blocks_for(shape.limits, shape.limits.max_prompt_tokens, shape.limits.max_new_tokens);
  return shape;
}

std::unique_ptr<Engine> create_gpu_engine(const EngineOptions& options, const ModelConfig& model,
                                          const GenerationConfig& generation, const WeightStore& weights,
                                          const MakeLayersSource& make_source) {
  return std::make_unique<GpuEngine>(options, model, generation, weights, make_source);
}

}  // namespace gptj::cuda
