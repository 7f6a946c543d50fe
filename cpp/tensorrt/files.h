// Files that are there whole or not at all.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace gptj::tensorrt {

// Its bytes; empty when there is no such file. Throws Error(kIo) when it cannot be read.
std::vector<char> read_if_there(const std::string& path);

// Writes a file beside `path` and renames it. Throws Error(kIo).
void write_whole(const std::string& path, const void* data, std::size_t bytes);

}  // namespace gptj::tensorrt
