#include "cpu/cpu_features.h"

namespace gptj {

bool cpu_supports(std::string_view precision) {
  if (precision == "f32") return true;
#if defined(__x86_64__)
  if (precision == "bf16") {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512bf16") != 0;
  }
#endif
  return false;
}

}  // namespace gptj
