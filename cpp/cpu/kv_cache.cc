#include "cpu/kv_cache.h"

#include <sys/mman.h>

#include <string>

#include "gptj/error.h"

namespace gptj::cpu {
namespace {

// Zeroed pages that cost nothing until they are written.
void* reserve(std::size_t bytes) {
  void* memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

}  // namespace

KvCache::KvCache(const KvCacheShape& shape) : shape_(shape) {
  bytes_ = offset_of(shape.layers, 0, 0) * shape.element_bytes;
  keys_ = reserve(bytes_);
  values_ = reserve(bytes_);
  if (keys_ == nullptr || values_ == nullptr) {
    if (keys_ != nullptr) munmap(keys_, bytes_);
    throw Error(ErrorKind::kOutOfMemory,
                "no memory for the KV cache: 2 x " + std::to_string(shape.layers) + " layers x " +
                    std::to_string(shape.blocks) + " blocks x " + std::to_string(shape.block_size) +
                    " tokens x " + std::to_string(shape.heads * shape.head_dim) + " values x " +
                    std::to_string(shape.element_bytes) + " bytes = " + std::to_string(2 * (bytes_ >> 20)) +
                    " MiB; lower the number of requests in flight or of KV blocks");
  }
  free_.reserve(static_cast<std::size_t>(shape.blocks));
  for (std::int32_t block = shape.blocks - 1; block >= 0; --block) free_.push_back(block);
}

KvCache::~KvCache() {
  munmap(keys_, bytes_);
  munmap(values_, bytes_);
}

std::vector<std::int32_t> KvCache::take(std::int32_t count) {
  if (count > free_blocks()) {
    throw Error(ErrorKind::kInternal, "asked for " + std::to_string(count) + " KV blocks, " +
                                          std::to_string(free_blocks()) + " of " +
                                          std::to_string(shape_.blocks) + " are free");
  }
  std::vector<std::int32_t> blocks(free_.end() - count, free_.end());
  free_.resize(free_.size() - static_cast<std::size_t>(count));
  return blocks;
}

void KvCache::give_back(const std::vector<std::int32_t>& blocks) {
  free_.insert(free_.end(), blocks.begin(), blocks.end());
}

}  // namespace gptj::cpu
