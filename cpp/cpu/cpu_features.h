// What this machine's processor can compute in.
#pragma once

#include <string_view>

namespace gptj {

// Whether the processor computes in `precision` natively. "f32" always; "bf16" needs AVX512_BF16 (which every
// processor with AMX-BF16 has too); anything else is no CPU precision.
bool cpu_supports(std::string_view precision);

}  // namespace gptj
