// The paged key-value cache of one CPU engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gptj::cpu {

struct KvCacheShape {
  std::int32_t layers = 0;
  std::int32_t heads = 0;
  std::int32_t head_dim = 0;
  std::int32_t blocks = 0;
  std::int32_t block_size = 0;    // rows, a multiple of 16
  std::size_t element_bytes = 0;  // 4, or 2 for bfloat16
};

// Where one row of the cache is.
struct CacheRow {
  std::int32_t block = 0;
  std::int32_t offset = 0;  // in the block
};

// Memory for all layers, and which blocks are free. A block holds `block_size` rows of every layer:
//   keys   [layer][block][head][block_size / 16][head_dim][16]
//   values [layer][block][head][block_size][head_dim]
// Rows that were never written are zero, and rows of former requests are finite: attention gives both the
// weight 0.
class KvCache {
 public:
  // Throws Error(kOutOfMemory) with the arithmetic. Memory is only committed as it is used.
  explicit KvCache(const KvCacheShape& shape);
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;
  ~KvCache();

  const KvCacheShape& shape() const { return shape_; }
  std::int32_t free_blocks() const { return static_cast<std::int32_t>(free_.size()); }
  std::int32_t used_blocks() const { return shape_.blocks - free_blocks(); }

  // Throws Error(kInternal) when there are not enough: callers count before they ask.
  std::vector<std::int32_t> take(std::int32_t count);
  void give_back(const std::vector<std::int32_t>& blocks);

  // Start of one head's keys or values in one block.
  template <typename Element>
  Element* keys(std::int32_t layer, std::int32_t block, std::int32_t head) {
    return static_cast<Element*>(keys_) + offset_of(layer, block, head);
  }
  template <typename Element>
  Element* values(std::int32_t layer, std::int32_t block, std::int32_t head) {
    return static_cast<Element*>(values_) + offset_of(layer, block, head);
  }

 private:
  std::size_t offset_of(std::int32_t layer, std::int32_t block, std::int32_t head) const {
    const auto index = (static_cast<std::size_t>(layer) * static_cast<std::size_t>(shape_.blocks) +
                        static_cast<std::size_t>(block)) *
                           static_cast<std::size_t>(shape_.heads) +
                       static_cast<std::size_t>(head);
    return index * static_cast<std::size_t>(shape_.block_size) * static_cast<std::size_t>(shape_.head_dim);
  }

  KvCacheShape shape_;
  std::size_t bytes_ = 0;  // of the keys, and again of the values
  void* keys_ = nullptr;
  void* values_ = nullptr;
  std::vector<std::int32_t> free_;  // taken from the back
};

}  // namespace gptj::cpu
