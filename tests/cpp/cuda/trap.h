// A kernel that breaks the context, as one that reads where there is no memory does.
#pragma once

#include <cuda_runtime_api.h>

namespace gptj::testing {

void launch_trap(cudaStream_t stream);

}  // namespace gptj::testing
