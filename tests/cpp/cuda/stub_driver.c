/* A libcuda.so.1 of which the CUDA runtime learns that it cannot be used: its version and what its cuInit()
   answers are given by the environment. */
#include <stdlib.h>

static int from_environment(const char* name) {
  const char* text = getenv(name);
  return text != NULL ? atoi(text) : 0;
}

int cuDriverGetVersion(int* version) {
  *version = from_environment("STUB_DRIVER_VERSION");
  return 0;
}

int cuInit(unsigned flags) {
  (void)flags;
  return from_environment("STUB_DRIVER_CUINIT");
}
