// SealedContents: what the files of a directory held when their contents were
// put into a stage, so that sealing the directory once more reads only those
// that have changed since.
//
// A file is known by its number, and has not changed as long as its time of
// last change is the same: file systems stamp with a clock that stands still
// for some milliseconds, so a file that was changed just before it was read is
// not remembered.
//
// Threads: one at a time.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "layerdb/object_store.h"

namespace ufs {

class SealedContents {
 public:
  // The content of a file, as `stat` has it now.
  std::optional<ObjectId> Find(const struct statx& stat);
  // `id` was read from the file after `stat`, and that after `before`, a time
  // of sys::CoarseNow.
  void Add(const timespec& before, const struct statx& stat,
           const ObjectId& id);

  // Those that were found or added since the last Restart.
  const std::set<ObjectId>& in_use() const { return in_use_; }
  // Another pass over the directory begins.
  void Restart() { in_use_.clear(); }

 private:
  using File = std::tuple<uint32_t, uint32_t, uint64_t>;  // device, number
  struct Known {
    statx_timestamp changed;
    uint64_t size_bytes;
    ObjectId id;
  };
  static File FileOf(const struct statx& stat) {
    return {stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino};
  }

  std::map<File, Known> known_;
  std::set<ObjectId> in_use_;
};

}  // namespace ufs
