// An engine library of another version of the interface.
#include "gptj/engine_options.h"

extern "C" {

std::uint32_t gptj_engine_abi_version() { return gptj::kEngineAbiVersion + 1; }

gptj::Engine* gptj_create_engine(const gptj::EngineOptions*, const gptj::ModelConfig*,
                                 const gptj::GenerationConfig*, const gptj::WeightStore*) {
  return nullptr;
}
}
