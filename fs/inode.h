// Inode: one object of the union, for as long as the kernel or a child of it
// knows it. It knows where the object's attributes and contents are now; there
// are no handles that could know otherwise (invariant I1 of fs/README.md).
//
// Threads: members say what guards them. `mu` orders the operations on this
// inode; several are taken in ascending order of id (see InodeLocks).
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "fs/chunk_map.h"
#include "fs/fd_cache.h"
#include "fs/lower_stack.h"
#include "fs/marks.h"
#include "fs/open_modes.h"
#include "fs/silent_xattrs.h"
#include "fs/types.h"
#include "layerdb/base/mutex.h"

namespace ufs {

class Inode;
class InodeTable;

// Keeps an inode alive: a shared_ptr of one word, as there is one for each
// name and each object that the kernel knows. Threads: as std::shared_ptr.
class InodeRef {
 public:
  InodeRef() = default;
  InodeRef(std::nullptr_t) {}
  InodeRef(const InodeRef& other);
  InodeRef(InodeRef&& other) noexcept
      : inode_(std::exchange(other.inode_, nullptr)) {}
  InodeRef& operator=(InodeRef other) noexcept {
    std::swap(inode_, other.inode_);
    return *this;
  }
  ~InodeRef() {
    if (inode_ != nullptr) Drop(inode_);
  }

  Inode* get() const { return inode_; }
  Inode& operator*() const { return *inode_; }
  Inode* operator->() const { return inode_; }
  explicit operator bool() const { return inode_ != nullptr; }
  friend bool operator==(const InodeRef&, const InodeRef&) = default;

 private:
  friend class InodeTable;
  // Takes over one reference.
  explicit InodeRef(Inode* inode) : inode_(inode) {}
  static void Drop(Inode* inode);

  Inode* inode_ = nullptr;
};

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
  kPartial,   // contents as `chunks` says
  kUpper,     // all of it is in the upper
};

// One name of an inode.
struct LinkName {
  InodeRef parent;
  std::string name;
};

// The names of a file may be as many as the host allows: found by hash, and by
// what a caller has of one.
struct LinkNameView {
  LinkNameView(const InodeRef& parent, std::string_view name)
      : parent(parent.get()), name(name) {}
  // NOLINTNEXTLINE(google-explicit-constructor): the same name.
  LinkNameView(const LinkName& link) : LinkNameView(link.parent, link.name) {}
  friend bool operator==(const LinkNameView&, const LinkNameView&) = default;

  const Inode* parent;
  std::string_view name;
};
struct LinkNameHash {
  using is_transparent = void;
  size_t operator()(const LinkNameView& link) const noexcept;
};
struct LinkNameEqual {
  using is_transparent = void;
  bool operator()(const LinkNameView& a, const LinkNameView& b) const {
    return a == b;
  }
};
using LinkNames = std::unordered_set<LinkName, LinkNameHash, LinkNameEqual>;

// There may be millions: what few inodes have is held by pointer.
class Inode {
 public:
  Inode(InodeTable& table, NodeId id, Identity identity, mode_t type)
      : id(id), identity(identity), type(type), table_(table) {}
  ~Inode();
  Inode(const Inode&) = delete;
  Inode& operator=(const Inode&) = delete;

  bool is_dir() const { return S_ISDIR(type); }
  bool is_regular() const { return S_ISREG(type); }
  uint64_t ino() const { return InoOf(identity); }
  // Of its directory or data descriptor in the FdCache.
  uint64_t fd_key() const { return static_cast<uint64_t>(id); }

  // Constant after construction.
  const NodeId id;
  const Identity identity;
  const mode_t type;  // S_IFMT bits

  // Written with mu held alone; readable at any time, as it only grows.
  Backing backing() const { return backing_.load(std::memory_order_acquire); }
  void set_backing(Backing b) { backing_.store(b, std::memory_order_release); }
  bool in_upper() const { return backing() != Backing::kLower; }
  // Contents of a layer are needed beside what is in the upper.
  bool is_split() const {
    return backing() == Backing::kMetacopy || backing() == Backing::kPartial;
  }

 private:
  std::atomic<Backing> backing_{Backing::kLower};

 public:
  // Set before the inode is shared, then constant, down to `lower_alias`: what
  // the layers have.
  bool hard_linked = false;  // the lower file has several names

  // Hints that only ever become true.
  std::atomic<bool> impure{false};  // a directory whose impure mark is written
  std::atomic<bool> has_default_acl{false};
  // Its upper part was seen to have no name that could be an AUFS mark.
  std::atomic<bool> no_aufs{false};
  // A file without set-id bits: a write need not look for them.
  std::atomic<bool> no_suid{false};
  // Its times may move without a message, and the kernel must ask each time.
  std::atomic<bool> times_move{false};
  // The contents' descriptor in the cache is for reading alone, as the host
  // would not open an immutable file, or a running program, for writing.
  std::atomic<bool> fd_only_reads{false};

  // Come and go.
  // A directory of the upper out of which no name may go (chattr +a or +i).
  // What is a layer's the host would let go, as that takes only a whiteout.
  std::atomic<bool> keeps_names{false};
  // A file that is kPartial, whose daemon was killed while it copied or cut it
  // short: what changes it next ends the time that is held (marks.h), and
  // stores the map, which counts past the file's end.
  std::atomic<bool> marks_lag{false};
  // Its file capabilities were removed and nothing has been set since.
  std::atomic<bool> lost_capability{false};
  // A directory whose names changed since the kernel was told to drop them.
  std::atomic<bool> names_changed{false};

  // Of its object in the upper, if that is a file or a directory.
  SilentXattrs silent;

  SharedMutex mu;

  NodeRef lower;  // its attributes; empty for what never was in a layer
  NodeRef data;   // a file's contents, while backing() is below kUpper
  uint64_t lower_size_bytes = 0;  // of these contents, what counts
  // A directory's shares in the layers.
  std::span<const LowerPart> parts() const {
    return {parts_.get(), part_count_};
  }
  void set_parts(std::vector<LowerPart> parts);
  // Where the layers show it, if that is not its path in its own layer: a layer
  // has a redirect above it, or it is in an index. Null if it is; empty where
  // nobody knows.
  std::unique_ptr<const std::string> lower_alias;

  // Times that its object in the upper does not tell, and what is not synced.
  struct Times {
    // Of the layer's object; nothing for what was born in the upper.
    std::optional<timespec> origin_btime;
    // Of the last change of contents, as its writer tells it, who keeps writes;
    // nothing until he keeps one.
    std::optional<timespec> told_mtime;
    bool mtime_due = false;  // and he has not told it since
    // How often marks that say which of its bytes count changed after these
    // came to the disk; and how many of these changes are there, too.
    uint32_t marks_changed = 0, marks_synced = 0;
    void Told(const timespec& mtime) {
      mtime_due = false;
      if (told_mtime) told_mtime = mtime;
      if (mtime.tv_nsec == UTIME_NOW) told_mtime.reset();  // the host knows
    }
  };
  // Guarded by mu; null for nothing.
  std::unique_ptr<Times> times;
  Times& SomeTimes() {
    if (times == nullptr) times = std::make_unique<Times>();
    return *times;
  }
  bool came_from_layer() const { return times && times->origin_btime; }

  // Guarded by mu; null for a file that nobody has open, as far as the kernel
  // announces that.
  std::unique_ptr<OpenModes> opens;

  // Of a file that is kPartial. Written with its turn and `mu` held.
  std::unique_ptr<ChunkMap> chunks;

  // Of directories: counts changes of its names.
  std::atomic<uint64_t> version{0};
  // A name that was just looked up and is not there, at a version: a creation
  // that follows need not look again.
  std::atomic<uint64_t> absent{0};

 private:
  friend class InodeRef;
  friend class InodeTable;

  // What few inodes have.
  struct Extra {
    LinkNames more_names;
    // In the index: of all its names those that are in the layers alone; the
    // next change puts them into the upper.
    LinkNames names_left;
    FdCache::Pin orphan;     // keeps an upper object that has no name left
    std::string index_name;  // in the work directory's index
    std::optional<timespec> removed_at;  // of what is in a layer alone
  };

  std::atomic<uint32_t> references_{1};
  uint32_t part_count_ : 24 = 0;  // as many as layers, at most

 public:
  // Of directories: how often a name was asked for of late, while somebody
  // lists it. Here, where there is room.
  std::atomic<uint8_t> looked_into{0};

 private:
  std::unique_ptr<const LowerPart[]> parts_;
  InodeTable& table_;

  // Guarded by the table's mutex.
  LinkName name_;  // without a parent: it has none
  std::unique_ptr<Extra> extra_;
  Inode* next_by_id_ = nullptr;
  Inode* next_by_identity_ = nullptr;
  uint64_t upper_ino_ = 0;  // the host's number of the upper object
  uint64_t lookups_ = 0;    // the kernel's references
};

inline size_t LinkNameHash::operator()(
    const LinkNameView& link) const noexcept {
  // By the id, not the address: the order is the same in every run.
  const auto parent = static_cast<uint64_t>(link.parent->id);
  return std::hash<std::string_view>()(link.name) ^
         parent * 0x9E3779B97F4A7C15u;
}

inline InodeRef::InodeRef(const InodeRef& other) : inode_(other.inode_) {
  if (inode_ != nullptr)
    inode_->references_.fetch_add(1, std::memory_order_relaxed);
}

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
