// Listing: the names of a merged directory at one moment, in an order that does
// not depend on what else is in it: by a hash of the name. A READDIR offset is
// the hash of the last name returned, so that it stays good over any change of
// the directory, a remount included: no name that was there all the while is
// lost or doubled, though nobody holds the directory open.
// Threads: immutable after Build.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fs/types.h"
#include "layerdb/base/mutex.h"

namespace ufs {

class Listing {
 public:
  struct Item {
    uint64_t offset = 0;  // where to go on after it; grows
    uint64_t ino = 0;     // as the union shows it; 0: ask
    uint32_t name_at = 0;
    mode_t type = 0;
  };
  struct Source {
    std::string name;
    mode_t type = 0;
    uint64_t ino = 0;
  };

  // Offsets 1 and 2 are those of "." and "..".
  static constexpr uint64_t kFirstOffset = 3;

  explicit Listing(const std::vector<Source>& names);

  const std::vector<Item>& items() const { return items_; }
  const char* name(const Item& item) const {
    return names_.c_str() + item.name_at;
  }
  // The first item that comes after `offset`.
  size_t After(uint64_t offset) const;
  size_t bytes() const {
    return items_.size() * sizeof(Item) + names_.size() + sizeof(*this);
  }

 private:
  std::vector<Item> items_;
  std::string names_;  // each ended by NUL
};

// The listings in use, least recently used first to go.
class ListingCache {
 public:
  explicit ListingCache(size_t budget_bytes) : budget_bytes_(budget_bytes) {}

  struct Entry {
    std::shared_ptr<const Listing> listing;
    uint64_t version = 0;  // of the directory it was made from
  };
  // An empty entry when it is not there.
  Entry Find(NodeId dir);
  void Insert(NodeId dir, Entry entry);
  void Erase(NodeId dir);

 private:
  struct Slot {
    NodeId dir;
    Entry entry;
  };
  using Slots = std::list<Slot>;

  // What is dropped goes to `dropped`, to be freed with the lock given back.
  void DropLocked(Slots::iterator slot, Slots& dropped) REQUIRES(mu_);

  const size_t budget_bytes_;
  Mutex mu_;
  size_t bytes_ GUARDED_BY(mu_) = 0;
  Slots slots_ GUARDED_BY(mu_);
  std::unordered_map<uint64_t, Slots::iterator> by_dir_ GUARDED_BY(mu_);
};

}  // namespace ufs
