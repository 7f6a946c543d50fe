#include "tensorrt/files.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "gptj/error.h"

namespace gptj::tensorrt {

std::vector<char> read_if_there(const std::string& path) {
  std::error_code failed;
  if (!std::filesystem::exists(path, failed)) return {};
  const auto size = std::filesystem::file_size(path, failed);
  std::vector<char> bytes(failed ? 0 : size);
  std::ifstream file(path, std::ios::binary);
  if (failed || !file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()))) {
    throw Error(ErrorKind::kIo, "cannot read " + path + ": " + std::strerror(errno));
  }
  return bytes;
}

void write_whole(const std::string& path, const void* data, std::size_t bytes) {
  const std::string unfinished = path + ".unfinished";
  std::error_code failed;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), failed);
  {
    std::ofstream file(unfinished, std::ios::binary | std::ios::trunc);
    file.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
    file.close();
    if (!file) {
      const std::string reason = std::strerror(errno);
      std::filesystem::remove(unfinished, failed);
      throw Error(ErrorKind::kIo, "cannot write " + unfinished + ": " + reason);
    }
  }
  std::filesystem::rename(unfinished, path, failed);
  if (failed)
    throw Error(ErrorKind::kIo, "cannot rename " + unfinished + " to " + path + ": " + failed.message());
}

}  // namespace gptj::tensorrt
