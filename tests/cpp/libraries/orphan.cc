// An engine library that is linked against one that is not there.
#include "gptj/engine_options.h"

extern "C" {

int stranger();

std::uint32_t gptj_engine_abi_version() { return gptj::kEngineAbiVersion + (stranger() > 0 ? 0U : 1U); }
}
