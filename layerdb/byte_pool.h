// BytePool: many small byte strings, one after the other, without moving what
// is there when it grows.
//
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace ufs {

class BytePool {
 public:
  static constexpr size_t kChunkBytes = 1 << 20;

  // Returns its place. A string does not cross the end of a chunk, so places
  // may have gaps. REQUIRES: text.size() <= kChunkBytes.
  uint64_t Append(std::string_view text) {
    if (chunks_.empty() || kChunkBytes - used_ < text.size()) {
      chunks_.push_back(std::make_unique<char[]>(kChunkBytes));
      used_ = 0;
    }
    const uint64_t place = (chunks_.size() - 1) * kChunkBytes + used_;
    if (!text.empty())
      memcpy(chunks_.back().get() + used_, text.data(), text.size());
    used_ += text.size();
    return place;
  }

  // REQUIRES: `place` and `size` as they were appended.
  std::string_view Get(uint64_t place, size_t size) const {
    if (size == 0) return {};
    return {chunks_[place / kChunkBytes].get() + place % kChunkBytes, size};
  }

  // The place after the last string.
  uint64_t size() const {
    return chunks_.empty() ? 0 : (chunks_.size() - 1) * kChunkBytes + used_;
  }

 private:
  std::vector<std::unique_ptr<char[]>> chunks_;
  size_t used_ = 0;  // of the last chunk
};

}  // namespace ufs
