// A file name of this process alone, in the folder for temporary files.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>

namespace gptj::testing {

// What lies there is gone with it.
struct ScratchFile {
  explicit ScratchFile(const std::string& ending) {
    static int count = 0;
    const std::string name = "gptj-" + std::to_string(getpid()) + "-" + std::to_string(++count) + ending;
    path = std::filesystem::temp_directory_path() / name;
  }
  ~ScratchFile() {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  std::filesystem::path path;
};

}  // namespace gptj::testing
