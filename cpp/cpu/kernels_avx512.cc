// The kernels for one instruction set; the flags that select it stand in CMakeLists.txt.
#define GPTJ_KERNELS kKernelsAvx512
#define GPTJ_KERNELS_NAME "avx512"
#include "cpu/kernels_impl.h"
