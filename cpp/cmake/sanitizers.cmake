# Sanitizers instrument the compilation and the link alike, so the flags sit on one interface target that all use.
add_library(gptj_sanitizers INTERFACE)
if(GPTJ_SANITIZE)
  # GCC sees uninitialised values in its own <regex> and <functional> once a sanitizer has rewritten them.
  target_compile_options(gptj_sanitizers INTERFACE -fsanitize=${GPTJ_SANITIZE} -fno-omit-frame-pointer -g
                                                   -Wno-maybe-uninitialized)
  target_link_options(gptj_sanitizers INTERFACE -fsanitize=${GPTJ_SANITIZE})
  if(GPTJ_SANITIZE MATCHES "undefined")
    target_compile_options(gptj_sanitizers INTERFACE -fno-sanitize-recover=undefined)
  endif()
endif()
