// The engine's library with the real CUDA runtime on drivers that are absent, too old, or without a GPU.
// Which driver it is is settled when a process loads it, so the engine is created in a process of its own:
// this program with the argument --create.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "cuda/gpu.h"
#include "engine/engine_loader.h"
#include "gptj/error.h"
#include "synthetic_model.h"

namespace gptj::testing {
namespace {

int create() {
  const ModelConfig model{67, 1, 64, 1, 64, 96, 16};
  EngineOptions options;
  options.engine = "cuda";
  options.precision = "fp16";
  options.library_dirs = engine_library_dirs();
  options.max_tokens_per_step = 16;
  options.max_prompt_tokens = 16;
  try {
    create_engine(options, model, {.min_new_tokens = 1, .max_new_tokens = 4, .eos_token = 7},
                  SyntheticModel(model, 1));
    std::puts("created");
  } catch (const Error& error) {
    std::printf("%s: %s\n", std::string(to_string(error.kind())).c_str(), error.what());
  }
  return 0;
}

// What the other process says with `environment` in front of its command.
std::string said(const std::string& environment) {
  std::array<char, 4096> buffer{};
  const ssize_t length = ::readlink("/proc/self/exe", buffer.data(), buffer.size() - 1);
  const std::string program(buffer.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  std::FILE* pipe = ::popen((environment + " '" + program + "' --create 2>&1").c_str(), "r");
  if (pipe == nullptr) return "the process could not be started";
  const std::size_t read = std::fread(buffer.data(), 1, buffer.size(), pipe);
  EXPECT_EQ(::pclose(pipe), 0);
  return {buffer.data(), read};
}

std::string stub(const std::string& settings) {
  const char* folder = std::getenv("GPTJ_STUB_DRIVER_DIR");
  return "LD_LIBRARY_PATH='" + std::string(folder != nullptr ? folder : GPTJ_BUILT_STUB_DRIVER_DIR) +
         "'${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} " + settings;
}

void expect_said(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in: " << text;
  }
}

TEST(CudaDriver, ADriverThatIsTooOldIsNamedWithItsVersion) {
  expect_said(said(stub("STUB_DRIVER_VERSION=11040")),
              {"unsupported: ", "the NVIDIA driver is for CUDA 11.4", "newer driver"});
}

TEST(CudaDriver, ADriverWithoutAGpuIsNamed) {
  // CUDA_ERROR_NO_DEVICE
  expect_said(said(stub("STUB_DRIVER_VERSION=13000 STUB_DRIVER_CUINIT=100 CUDA_VISIBLE_DEVICES=5")),
              {"unsupported: ", "an NVIDIA driver here", "no GPU", "CUDA_VISIBLE_DEVICES is `5`"});
}

TEST(CudaDriver, ADriverThatDoesNotStartIsNamed) {
  // CUDA_ERROR_SYSTEM_NOT_READY: a service that the GPUs of the machine need does not run.
  expect_said(said(stub("STUB_DRIVER_VERSION=13000 STUB_DRIVER_CUINIT=802")),
              {"unsupported: ", "the NVIDIA driver does not work here", "system not yet initialized"});
}

// What machines without a driver say, this one among them unless it has one.
TEST(CudaDriver, WithoutADriverTheErrorSaysSo) {
  const std::string text = said("");
  if (text == "created\n") GTEST_SKIP() << "this machine has a driver and a GPU";
  expect_said(text, {"unsupported: ", "NVIDIA driver", "cpu engine"});
}

}  // namespace
}  // namespace gptj::testing

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--create") == 0) return gptj::testing::create();
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
