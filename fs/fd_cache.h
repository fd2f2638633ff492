// FdCache: a bounded number of open descriptors, the least recently used of
// which are closed first. It lets any number of files be open in the union
// while the daemon holds a few thousand descriptors.
//
// Ownership: a Pin keeps its descriptor open, also after it left the cache.
// Threads: any.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <unordered_map>

#include "layerdb/base/mutex.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

class FdCache {
 public:
  using Pin = std::shared_ptr<const UniqueFd>;

  explicit FdCache(size_t capacity) : capacity_(capacity) {}

  // A key nobody else has. Node ids are from the same sequence, and so serve as
  // keys.
  static uint64_t NewKey();

  // Null when it is not there.
  Pin Find(uint64_t key);
  Pin Insert(uint64_t key, UniqueFd fd);
  void Erase(uint64_t key);
  // Closes down to half the capacity: for a process out of descriptors.
  void Shrink();
  size_t size() const;

 private:
  struct Slot {
    uint64_t key;
    Pin pin;
  };
  using Slots = std::list<Slot>;

  // What falls out goes to `evicted`, to be closed with the lock given back:
  // closing the last descriptor of a deleted file may take long.
  void TrimLocked(size_t keep, Slots& evicted) REQUIRES(mu_);

  const size_t capacity_;
  mutable Mutex mu_;
  Slots slots_ GUARDED_BY(mu_);  // most recently used first
  std::unordered_map<uint64_t, Slots::iterator> by_key_ GUARDED_BY(mu_);
};

}  // namespace ufs
