// What the CUDA engine makes of everything that can go wrong around it, on any machine: the whole engine on
// the libraries of fake_cuda.h.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "cuda/cublas_layers.h"
#include "cuda/gpu_engine.h"
#include "engine_jobs.h"
#include "fake_cuda.h"
#include "gptj/error.h"
#include "synthetic_model.h"

namespace gptj::testing {
namespace {

const ModelConfig kModel{37, 1, 64, 1, 64, 128, 16};

class CudaFaults : public ::testing::Test {
 protected:
  CudaFaults() : weights_(kModel, 1) {
    fake_cuda() = FakeCuda{};
    options_.precision = "fp8";
    options_.max_requests = 16;
    options_.max_tokens_per_step = 200;
    options_.max_prompt_tokens = 60;
    generation_.min_new_tokens = 1;
    generation_.max_new_tokens = 6;
    generation_.eos_token = 7;
  }
  ~CudaFaults() override {
    EXPECT_TRUE(fake_cuda().held.empty()) << fake_cuda().held.size() << " things are not given back";
  }

  std::unique_ptr<Engine> create() const {
    return cuda::create_gpu_engine(options_, kModel, generation_, weights_,
                                   [](const EngineOptions&, const cuda::NetworkShape&) {
                                     return std::make_unique<cuda::CublasLayersSource>();
                                   });
  }

  // What it throws; a test fails that expects something and nothing is thrown.
  template <typename Action>
  static Error error_of(const Action& action) {
    try {
      action();
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "nothing was thrown; the failed call was `" << fake_cuda().failed_call << "`";
    return {ErrorKind::kInternal, ""};
  }

  std::uint64_t calls_of_creation() const {
    const auto engine = create();
    return fake_cuda().calls;
  }

  Error creation_error() const {
    return error_of([&] { create(); });
  }

  static void expect_error(const Error& error, ErrorKind kind, const std::vector<std::string>& parts) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    for (const std::string& part : parts) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
          << part << " is not in: " << error.what();
    }
  }

  // From the next call on.
  static void fail_at(std::uint64_t call, cudaError_t failure, bool sticky) {
    FakeCuda& fake = fake_cuda();
    fake.calls = 0;
    fake.failing_call = call;
    fake.failure = failure;
    fake.failure_is_sticky = sticky;
    fake.failed_call.clear();
  }

  static Job job(RequestId id, std::size_t prompt) {
    return {.id = id, .prompt = std::vector<TokenId>(prompt, 3), .min_new_tokens = 1, .max_new_tokens = 6};
  }

  // Begins with a request that decodes (11) and one whose prompt is being read (12); the step after it takes
  // both on, and admits 13.
  static std::unique_ptr<Engine> in_the_middle(std::unique_ptr<Engine> engine) {
    const std::vector<Job> jobs{job(11, 20), job(12, 20)};
    const std::vector<NewRequest> admitted{jobs[0].request(), jobs[1].request()};
    const std::vector<PromptChunk> chunks{{11, 20}, {12, 5}};
    StepOutcome outcome;
    engine->enqueue({.admitted = admitted, .chunks = chunks, .decode = true});
    engine->collect(outcome);
    return engine;
  }

  static void second_step(Engine& engine) {
    const Job third = job(13, 9);
    const std::vector<NewRequest> admitted{third.request()};
    const std::vector<PromptChunk> chunks{{12, 5}, {13, 9}};
    StepOutcome outcome;
    engine.enqueue({.admitted = admitted, .chunks = chunks, .decode = true});
    engine.collect(outcome);
  }

  SyntheticModel weights_;
  EngineOptions options_;
  GenerationConfig generation_;
};

TEST_F(CudaFaults, WithoutAFaultTheEngineRuns) {
  const auto engine = create();
  std::vector<Job> jobs;
  for (RequestId id = 0; id < 40; ++id) jobs.push_back(job(id, 1 + id));
  const Answers answers = run_jobs(*engine, jobs, {.chunk = 7, .in_flight = 2});
  EXPECT_EQ(answers.size(), jobs.size());
  for (const auto& [id, tokens] : answers) EXPECT_EQ(tokens, (std::vector<TokenId>{0, 1, 2, 3, 4, 5})) << id;
}

TEST_F(CudaFaults, WithoutADriverTheErrorSaysSo) {
  fake_cuda().availability =
      cudaErrorInsufficientDriver;  // what the runtime makes of a driver that is absent
  fake_cuda().driver_version = 0;
  expect_error(creation_error(), ErrorKind::kUnsupported, {"no NVIDIA driver", "cpu engine"});
}

TEST_F(CudaFaults, ADriverThatIsTooOldIsNamedWithItsVersion) {
  fake_cuda().availability = cudaErrorInsufficientDriver;
  fake_cuda().driver_version = 11040;
  expect_error(creation_error(), ErrorKind::kUnsupported, {"CUDA 11.4", "install a newer driver"});
}

TEST_F(CudaFaults, ADriverWithoutAGpuIsToldFromNoDriver) {
  fake_cuda().availability = cudaErrorNoDevice;
  expect_error(creation_error(), ErrorKind::kUnsupported, {"NVIDIA driver here", "no GPU", "nvidia-smi"});
  ::setenv("CUDA_VISIBLE_DEVICES", "7", 1);
  expect_error(creation_error(), ErrorKind::kUnsupported, {"CUDA_VISIBLE_DEVICES is `7`"});
  ::unsetenv("CUDA_VISIBLE_DEVICES");
}

TEST_F(CudaFaults, AGpuThatIsNotThereIsNamed) {
  fake_cuda().gpus.resize(2);
  options_.device = 2;
  expect_error(creation_error(), ErrorKind::kUnsupported, {"GPU 2", "has 2", "from 0"});
  options_.device = -1;
  expect_error(creation_error(), ErrorKind::kUnsupported, {"GPU -1"});
}

TEST_F(CudaFaults, AGpuThatIsTooOldIsNamed) {
  fake_cuda().gpus = {{.name = "Tesla T4", .major = 7, .minor = 5}};
  expect_error(creation_error(), ErrorKind::kUnsupported, {"GPU 0", "Tesla T4", "7.5", "8.0"});
}

TEST_F(CudaFaults, AGpuWithoutFp8TakesFp16AndSaysSo) {
  struct Case {
    int major, minor;
    bool fp8;
  };
  for (const Case& gpu : {Case{8, 0, false}, {8, 6, false}, {8, 9, true}, {9, 0, true}, {10, 0, true}}) {
    fake_cuda().gpus = {{.name = "Some GPU", .major = gpu.major, .minor = gpu.minor}};
    ::testing::internal::CaptureStderr();
    const std::string name = create()->name();
    const std::string said = ::testing::internal::GetCapturedStderr();
    EXPECT_NE(name.find(gpu.fp8 ? "(fp8, Some GPU)" : "(fp16, Some GPU)"), std::string::npos) << name;
    EXPECT_EQ(said.find("Some GPU") != std::string::npos && said.find("no FP8") != std::string::npos,
              !gpu.fp8)
        << gpu.major << "." << gpu.minor << ": " << said;
  }
}

TEST_F(CudaFaults, APrecisionThatTheEngineLacksIsNamed) {
  options_.precision = "bf16";
  expect_error(creation_error(), ErrorKind::kUnsupported, {"bf16", "fp16 or fp8"});
}

TEST_F(CudaFaults, ModelsThatDoNotFitAreRefusedWithTheArithmetic) {
  fake_cuda().gpus.front().memory = std::size_t{64} << 20;  // cuBLASLt's workspace alone is as much
  expect_error(
      creation_error(), ErrorKind::kOutOfMemory,
      {"GPU 0", "too little memory", "of weights", "of workspace", "0.06 GiB", "max_tokens_per_step"});
  fake_cuda().gpus.front().memory = std::size_t{1} << 30;
  options_.kv_blocks = 1'000'000;
  expect_error(creation_error(), ErrorKind::kOutOfMemory,
               {"GPU 0", "1000000 blocks", "blocks fit", "Leave kv_blocks out"});
}

TEST_F(CudaFaults, EveryFailureBeforeTheRunIsAnErrorThatNamesTheGpu) {
  const std::uint64_t calls = calls_of_creation();
  ASSERT_GT(calls, 100U);
  for (const bool sticky : {false, true}) {
    for (std::uint64_t call = 1; call <= calls; ++call) {
      fake_cuda() = FakeCuda{};
      fail_at(call, cudaErrorLaunchFailure, sticky);
      SCOPED_TRACE("call " + std::to_string(call) + (sticky ? ", sticky" : ""));
      const Error error = creation_error();
      SCOPED_TRACE(fake_cuda().failed_call);
      expect_error(error, ErrorKind::kInternal, {"GPU 0"});
      ASSERT_TRUE(fake_cuda().held.empty());
    }
  }
}

TEST_F(CudaFaults, MemoryThatIsGoneBeforeTheRunIsToldWithThePlan) {
  const std::uint64_t calls = calls_of_creation();
  std::size_t planned = 0;
  for (std::uint64_t call = 1; call <= calls; ++call) {
    fake_cuda() = FakeCuda{};
    fail_at(call, cudaErrorMemoryAllocation, false);
    const Error error = creation_error();
    const std::string what = error.what();
    if (fake_cuda().failed_call == "cudaMalloc" || fake_cuda().failed_call == "cudaMallocHost") {
      expect_error(
          error, ErrorKind::kOutOfMemory,
          {"GPU 0", fake_cuda().failed_call + " of ", " bytes for ", "Planned: ", "gpu_memory_fraction"});
      ++planned;
    } else {
      EXPECT_EQ(error.kind(), ErrorKind::kOutOfMemory) << what;
    }
  }
  EXPECT_GE(planned, 8U);
}

TEST_F(CudaFaults, EveryFailureInAStepNamesStepGpuAndRequests) {
  std::uint64_t calls = 0;
  {
    const auto engine = in_the_middle(create());
    fail_at(0, cudaSuccess, false);
    second_step(*engine);
    calls = fake_cuda().calls;
  }
  ASSERT_GT(calls, 20U);
  for (const bool sticky : {false, true}) {
    for (std::uint64_t call = 1; call <= calls; ++call) {
      fake_cuda() = FakeCuda{};
      const auto engine = in_the_middle(create());
      fail_at(call, cudaErrorLaunchFailure, sticky);
      SCOPED_TRACE("call " + std::to_string(call) + (sticky ? ", sticky" : ""));
      const Error error = error_of([&] { second_step(*engine); });
      SCOPED_TRACE(fake_cuda().failed_call);
      expect_error(error, ErrorKind::kInternal, {"step 2 on GPU 0 (requests 11, 13, 12): ", " failed"});
      // The engine is not used any further, and can be destroyed.
      StepOutcome outcome;
      for (const Error& after :
           {error_of([&] { engine->enqueue({}); }), error_of([&] { engine->collect(outcome); })}) {
        expect_error(after, ErrorKind::kInvalidArgument, {"after a step had failed"});
      }
    }
  }
}

TEST_F(CudaFaults, MemoryThatIsGoneInAStepIsToldWithARemedy) {
  const auto engine = in_the_middle(create());
  fail_at(10, cudaErrorMemoryAllocation, false);
  expect_error(error_of([&] { second_step(*engine); }), ErrorKind::kOutOfMemory,
               {"step 2 on GPU 0 (requests 11, 13, 12): ", "gpu_memory_fraction"});
}

TEST_F(CudaFaults, AStepOfManyRequestsNamesAFew) {
  const auto engine = create();
  std::vector<Job> jobs;
  std::vector<NewRequest> admitted;
  std::vector<PromptChunk> chunks;
  for (RequestId id = 101; id <= 112; ++id) jobs.push_back(job(id, 4));
  for (const Job& one : jobs) {
    admitted.push_back(one.request());
    chunks.push_back({one.id, 4});
  }
  fail_at(1, cudaErrorLaunchFailure, true);
  expect_error(error_of([&] { engine->enqueue({.admitted = admitted, .chunks = chunks, .decode = true}); }),
               ErrorKind::kInternal,
               {"step 1 on GPU 0 (requests 101, 102, 103, 104, 105, 106, 107, 108 and 4 more): "});
}

TEST_F(CudaFaults, LogitsThatAreNoNumbersNameStepGpuAndRequest) {
  const auto engine = in_the_middle(create());
  fake_cuda().logits_are_nan = true;
  expect_error(error_of([&] { second_step(*engine); }), ErrorKind::kNumeric,
               {"step 2 on GPU 0", "the logits of request 11, beam row 3", "calibration"});
}

TEST_F(CudaFaults, AModelThatGivesNoNumbersIsFoundBeforeTheRun) {
  fake_cuda().logits_are_nan = true;
  expect_error(creation_error(), ErrorKind::kNumeric, {"GPU 0: trial step 1: ", "NaN or infinity"});
}

}  // namespace
}  // namespace gptj::testing
