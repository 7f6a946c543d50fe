# Warnings are errors in our own code; third-party headers come in as SYSTEM and are left alone.
add_library(gptj_warnings INTERFACE)
target_compile_options(gptj_warnings INTERFACE -Wall -Wextra -Werror)
# vector_math.h passes vectors between functions that are always inlined; GCC notes an ABI change that cannot matter.
target_compile_options(gptj_warnings INTERFACE -Wno-psabi)
