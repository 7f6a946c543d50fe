# Warnings are errors in our own code; third-party headers come in as SYSTEM and are left alone.
add_library(gptj_warnings INTERFACE)
target_compile_options(gptj_warnings INTERFACE -Wall -Wextra -Werror)
