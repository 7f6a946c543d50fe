// A kernel that breaks the GPU's context in the middle of a run. One test alone: nothing in this process can
// use the GPU afterwards.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cuda/cublas_layers.h"
#include "cuda/gpu.h"
#include "cuda/gpu_engine.h"
#include "cuda/trap.h"
#include "engine_jobs.h"
#include "gptj/error.h"
#include "synthetic_model.h"

namespace gptj::testing {
namespace {

const ModelConfig kModel{67, 2, 128, 2, 256, 96, 16};

// The engine's own layers, and behind those of one step the trap.
class TrappedLayers final : public cuda::Layers {
 public:
  TrappedLayers(std::unique_ptr<cuda::Layers> layers, const bool& armed)
      : layers_(std::move(layers)), armed_(armed) {}

  void tune(cudaStream_t stream) override { layers_->tune(stream); }
  void forward(const cuda::StepInputs& inputs, cudaStream_t stream) override {
    layers_->forward(inputs, stream);
    if (armed_) launch_trap(stream);
  }

 private:
  std::unique_ptr<cuda::Layers> layers_;
  const bool& armed_;
};

class TrappedSource final : public cuda::LayersSource {
 public:
  explicit TrappedSource(const bool& armed) : armed_(armed) {}

  std::string name() const override { return "trapped"; }
  std::size_t workspace_bytes(const cuda::NetworkShape& shape) const override {
    return cublas_.workspace_bytes(shape);
  }
  std::unique_ptr<cuda::Layers> make(const cuda::LayersContext& context) const override {
    return std::make_unique<TrappedLayers>(cublas_.make(context), armed_);
  }

 private:
  cuda::CublasLayersSource cublas_;
  const bool& armed_;
};

std::unique_ptr<Engine> create(const bool& armed) {
  EngineOptions options;
  options.precision = "fp16";
  options.max_requests = 4;
  options.max_tokens_per_step = 64;
  options.max_prompt_tokens = 40;
  GenerationConfig generation;
  generation.min_new_tokens = 4;
  generation.max_new_tokens = 8;
  generation.eos_token = 7;
  return cuda::create_gpu_engine(options, kModel, generation, SyntheticModel(kModel, 1),
                                 [&](const EngineOptions&, const cuda::NetworkShape&) {
                                   return std::make_unique<TrappedSource>(armed);
                                 });
}

void begin(Engine& engine, RequestId id) {
  const Job job{.id = id, .prompt = {1, 2, 3}, .min_new_tokens = 4, .max_new_tokens = 8};
  const std::vector<NewRequest> admitted{job.request()};
  const std::vector<PromptChunk> chunks{{id, 3}};
  engine.enqueue({.admitted = admitted, .chunks = chunks, .decode = true});
}

TEST(CudaTrap, ABrokenContextEndsTheStepsOfEveryEngine) {
  bool armed = false;
  std::unique_ptr<Engine> engine, beside;
  try {
    engine = create(armed);
    beside = create(armed);
  } catch (const Error& error) {
    GPTJ_SKIP_WITHOUT_GPU(error.what());
  }
  StepOutcome outcome;
  begin(*engine, 71);
  engine->collect(outcome);
  begin(*beside, 72);
  beside->collect(outcome);

  const auto expect_broken = [&](const auto& action, const std::string& where) {
    try {
      action();
      ADD_FAILURE() << "nothing was thrown in " << where;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInternal) << error.what();
      for (const std::string& part :
           {where, std::string(" (cudaError")}) {  // which one is the driver's affair
        EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
            << part << " is not in: " << error.what();
      }
    }
  };
  armed = true;
  engine->enqueue({.admitted = {}, .chunks = {}, .decode = true});
  armed = false;
  expect_broken([&] { engine->collect(outcome); }, "step 2 on GPU 0 (request 71): ");
  expect_broken(
      [&] {
        beside->enqueue({.admitted = {}, .chunks = {}, .decode = true});
        beside->collect(outcome);
      },
      "step 2 on GPU 0 (request 72): ");
  EXPECT_THROW(engine->enqueue({}), Error);
  EXPECT_THROW(create(armed), Error);
  // Neither hangs nor ends the program.
  engine.reset();
  beside.reset();
}

}  // namespace
}  // namespace gptj::testing
