// LargeWrites: the large files that somebody writes in large pieces. The kernel
// keeps what was written, and the host does: once that is on the disk, one is
// enough.
// Threads: any.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "fs/types.h"
#include "layerdb/base/mutex.h"

namespace ufs {

class LargeWrites {
 public:
  // Small writes, and those to the start of a file, are none.
  void Note(NodeId node, uint64_t offset, uint64_t size);
  struct Last {
    NodeId node;
    std::chrono::steady_clock::time_point written;
  };
  // Those that were not written to for so long.
  std::vector<Last> QuietFor(std::chrono::steady_clock::duration time) const;
  // Unless it was written to since.
  void Forget(const Last& last);

 private:
  mutable Mutex mu_;
  std::unordered_map<NodeId, std::chrono::steady_clock::time_point> last_
      GUARDED_BY(mu_);
};

}  // namespace ufs
