// The kernels for one instruction set; the flags that select it stand in CMakeLists.txt.
#define GPTJ_KERNELS kKernelsAvx2
#define GPTJ_KERNELS_NAME "avx2"
#include "cpu/kernels_impl.h"
