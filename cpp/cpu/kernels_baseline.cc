// The kernels for one instruction set; the flags that select it stand in CMakeLists.txt.
#define GPTJ_KERNELS kKernelsBaseline
#define GPTJ_KERNELS_NAME "baseline"
#include "cpu/kernels_impl.h"
