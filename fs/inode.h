// Inode: one object of the union, for as long as the kernel or a child of it
// knows it. It knows where the object's attributes and contents are now; there
// are no handles that could know otherwise (invariant I1 of fs/README.md).
//
// Threads: members say what guards them. `mu` orders the operations on this
// inode; several are taken in ascending order of id (see InodeLocks).
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fs/fd_cache.h"
#include "fs/lower_stack.h"
#include "fs/marks.h"
#include "fs/types.h"
#include "layerdb/base/mutex.h"

namespace ufs {

class Inode;
class InodeTable;
using InodeRef = std::shared_ptr<Inode>;

// What an inode is, whatever its name and wherever its bytes: the object of the
// lowest rank it came from. Layers count from the bottom, 1 and up; 0 is the
// upper. `ino` is the layer's own number.
struct Identity {
  uint32_t layer = 0;
  uint64_t ino = 0;
  friend bool operator==(const Identity&, const Identity&) = default;
};

// The number stat shows for an identity.
uint64_t InoOf(const Identity& identity);

// How far an object has moved up. It only ever grows.
enum class Backing : uint8_t {
  kLower,     // nothing of it is in the upper
  kMetacopy,  // attributes are in the upper, contents in a layer
  kUpper,     // all of it is in the upper
};

// One name of an inode.
struct LinkName {
  InodeRef parent;
  std::string name;
};

class Inode {
 public:
  Inode(InodeTable& table, NodeId id, uint64_t generation, Identity identity,
        mode_t type)
      : id(id),
        generation(generation),
        identity(identity),
        type(type),
        fd_key(FdCache::NewKey()),
        table_(table) {}
  ~Inode();
  Inode(const Inode&) = delete;
  Inode& operator=(const Inode&) = delete;

  bool is_dir() const { return S_ISDIR(type); }
  bool is_regular() const { return S_ISREG(type); }
  uint64_t ino() const { return InoOf(identity); }

  // Constant after construction.
  const NodeId id;
  const uint64_t generation;
  const Identity identity;
  const mode_t type;      // S_IFMT bits
  const uint64_t fd_key;  // of its directory or data descriptor in the FdCache

  SharedMutex mu;

  // Written with mu held alone; readable at any time, as it only grows.
  Backing backing() const { return backing_.load(std::memory_order_acquire); }
  void set_backing(Backing b) { backing_.store(b, std::memory_order_release); }
  bool in_upper() const { return backing() != Backing::kLower; }

  // Set before the inode is shared, then constant: what the layers have.
  NodeRef lower;  // its attributes; empty for what never was in a layer
  NodeRef data;   // a file's contents, while backing() is below kUpper
  uint64_t lower_size_bytes = 0;
  bool hard_linked = false;  // the lower file has several names
  // Where the layers show it, if that is not its path in its own layer: a layer
  // has a redirect above it.
  std::string lower_alias;
  std::vector<LowerPart> parts;  // a directory's shares in the layers
  std::optional<timespec> origin_btime;

  // Of directories. Hints that only ever become true, but for `version`.
  std::atomic<bool> impure{false};  // its impure mark is written
  std::atomic<bool> has_default_acl{false};
  std::atomic<uint64_t> version{0};  // counts changes of its names
  // Its upper part was seen to have no name that could be an AUFS mark.
  std::atomic<bool> no_aufs{false};
  // A name that was just looked up and is not there, at a version: a creation
  // that follows need not look again.
  std::atomic<uint64_t> absent{0};
  // Of files: no set-id bits, so a write need not look for them.
  std::atomic<bool> no_suid{false};
  // The contents' descriptor in the cache is for reading alone, as the host
  // would not open an immutable file, or a running program, for writing.
  std::atomic<bool> fd_only_reads{false};
  // A long operation holds `mu`: do not wait for it on a thread that must not.
  std::atomic<bool> busy{false};

 private:
  friend class InodeTable;

  InodeTable& table_;
  std::atomic<Backing> backing_{Backing::kLower};

  // Guarded by the table's mutex.
  std::vector<LinkName> names_;
  FdCache::Pin orphan_;     // keeps an upper object that has no name left
  std::string index_name_;  // its name in the work directory's index, if any
  uint64_t upper_ino_ = 0;  // the host's number of the upper object
  uint64_t lookups_ = 0;    // the kernel's references
};

// Locks several inodes, each once, in ascending order of id. Null ones count
// for nothing.
class InodeLocks {
 public:
  explicit InodeLocks(std::initializer_list<Inode*> inodes)
      NO_THREAD_SAFETY_ANALYSIS;
  ~InodeLocks() NO_THREAD_SAFETY_ANALYSIS;
  InodeLocks(const InodeLocks&) = delete;
  InodeLocks& operator=(const InodeLocks&) = delete;

 private:
  Inode* locked_[4] = {};
  int count_ = 0;
};

}  // namespace ufs
