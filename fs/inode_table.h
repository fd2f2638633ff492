// InodeTable: the inodes that the kernel, or a child, still references; by node
// id, by identity and by the host's number of their upper object. It also keeps
// what ties them into a tree: names, and the place of the upper object.
//
// Ownership: the table owns an inode while the kernel holds lookups on it; a
// child's name owns its parent. When the last reference goes the inode leaves
// the table, so that memory follows what the kernel remembers. A node id is
// never given twice.
// Threads: any. Its mutex is a leaf: nothing is called with it held.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fs/inode.h"
#include "fs/intrusive_map.h"
#include "layerdb/base/mutex.h"

namespace ufs {

class InodeTable {
 public:
  // An inode that goes takes its descriptor in `fds` along.
  explicit InodeTable(FdCache& fds) : fds_(fds) {}
  // REQUIRES: no inode outlives the table.
  ~InodeTable();

  // What a new inode starts with.
  struct Birth {
    Identity identity;
    mode_t type = 0;
    Backing backing = Backing::kLower;
    uint64_t upper_ino = 0;
    std::string index_name;
    NodeRef lower;
    NodeRef data;
    uint64_t lower_size_bytes = 0;
    std::optional<ChunkMap> chunks;
    bool marks_lag = false;
    bool hard_linked = false;
    std::string lower_alias;
    std::vector<LowerPart> parts;
    std::optional<timespec> origin_btime;
    bool impure = false;
    bool keeps_names = false;
    bool has_default_acl = false;
  };
  // The inode with that identity, made if it is not known. Where an identity is
  // taken by another upper object, the upper object's own number is used.
  InodeRef Intern(Birth birth);
  // Makes the root: node id 1.
  InodeRef MakeRoot(Birth birth);

  InodeRef Find(NodeId id) const;
  InodeRef FindByUpper(uint64_t upper_ino) const;
  InodeRef FindByIdentity(const Identity& identity) const;

  // The kernel's references.
  void AddLookup(const InodeRef& inode);
  // True when that were the last.
  bool Forget(NodeId id, uint64_t lookups);

  // --- names -------------------------------------------------------------
  void AddName(const InodeRef& inode, const InodeRef& parent,
               std::string_view name);
  // Returns how many names are still known.
  size_t RemoveName(const InodeRef& inode, const InodeRef& parent,
                    std::string_view name);
  // Gives it another name for one that it has: nobody finds it without any.
  void MoveName(const InodeRef& inode, const InodeRef& parent,
                std::string_view name, const InodeRef& new_parent,
                std::string_view new_name);
  bool HasName(const InodeRef& inode, const InodeRef& parent,
               std::string_view name) const;
  // Any name; nullopt for a deleted object and for the root.
  std::optional<LinkName> NameOf(const InodeRef& inode) const;
  // That a name of a file in the index is not in the upper; that none is.
  void NoteNameLeft(const InodeRef& inode, const InodeRef& parent,
                    std::string_view name);
  void NoteNamesLeft(const InodeRef& inode);
  // Those that were noted since this was last asked, and are names still.
  LinkNames TakeNamesLeft(const InodeRef& inode);
  // Names from the root, or from an ancestor that `stop` takes, down to the
  // directory. ENOENT when it, or a directory above it, is deleted.
  template <typename Stop>
  Result<InodeRef> Ancestry(const InodeRef& dir, Stop stop,
                            std::vector<std::string>& names) const;

  // --- the upper object --------------------------------------------------
  void SetUpper(const InodeRef& inode, uint64_t upper_ino);
  uint64_t UpperIno(const InodeRef& inode) const;
  void SetIndexName(const InodeRef& inode, std::string name);
  void SetOrphan(const InodeRef& inode, FdCache::Pin pin);
  // When the last name of an inode that only a layer has was removed, which is
  // a change of it that the layer cannot be told.
  void SetRemovedAt(const InodeRef& inode, const timespec& when);
  std::optional<timespec> RemovedAt(const InodeRef& inode) const;
  // Where the upper object is to be found.
  struct UpperPlace {
    FdCache::Pin orphan;     // by itself, or
    std::string index_name;  // in the index, or
    InodeRef parent;         // under a name
    std::string name;
  };
  // ENOENT for an inode without a name.
  Result<UpperPlace> PlaceOf(const InodeRef& inode) const;

  // Its upper object has become a layer's.
  void ForgetUpper(const InodeRef& inode);

  // All there are.
  std::vector<InodeRef> All() const;
  size_t size() const;
  // Gives memory back that a larger number of inodes needed.
  void Shrink();

 private:
  friend class Inode;

  struct ById {
    static NodeId KeyOf(const Inode& inode) { return inode.id; }
    static uint64_t HashOf(NodeId id) { return static_cast<uint64_t>(id); }
    static Inode*& NextOf(Inode& inode) { return inode.next_by_id_; }
  };
  // Numbers of one directory are near each other, as a walk meets them.
  struct ByIdentity {
    static Identity KeyOf(const Inode& inode) { return inode.identity; }
    static uint64_t HashOf(const Identity& i) {
      return i.ino + (uint64_t{i.layer} << 40);
    }
    static Inode*& NextOf(Inode& inode) { return inode.next_by_identity_; }
  };

  // Null for none, and for one that is dying: it is as good as gone.
  static InodeRef Retain(Inode* inode);
  static Inode::Extra& ExtraOf(Inode& inode);
  bool HasNameLocked(const Inode& inode, const LinkNameView& name) const
      REQUIRES(mu_);
  // Takes one out, without letting go of its parent; empty where it is not in.
  static LinkNames::node_type Extract(LinkNames& names,
                                      const LinkNameView& name);

  InodeRef MakeLocked(NodeId id, Birth birth) REQUIRES(mu_);
  void Remove(Inode& inode);
  // Where it is the one that is known by that number.
  void TakeUpper(const Inode& inode) REQUIRES(mu_);

  FdCache& fds_;
  mutable Mutex mu_;
  IntrusiveMap<Inode, ById> by_id_ GUARDED_BY(mu_);
  IntrusiveMap<Inode, ByIdentity> by_identity_ GUARDED_BY(mu_);
  // Few of many inodes have one.
  std::unordered_map<uint64_t, Inode*> by_upper_ GUARDED_BY(mu_);
};

// Locks an inode, with the directory of its name, alone, so that the name stays
// while they are.
class NamedLocks {
 public:
  NamedLocks(const InodeTable& table, const InodeRef& inode);
  // Nothing for an inode that has none.
  const std::optional<LinkName>& name() const { return name_; }

 private:
  std::optional<LinkName> name_;
  std::optional<InodeLocks> locks_;
};

template <typename Stop>
Result<InodeRef> InodeTable::Ancestry(const InodeRef& dir, Stop stop,
                                      std::vector<std::string>& names) const {
  MutexLock lock(mu_);
  InodeRef at = dir;
  while (at->id != NodeId::kRoot && !stop(*at)) {
    if (at->name_.parent == nullptr) return Error(ENOENT);
    names.push_back(at->name_.name);
    at = at->name_.parent;
  }
  return at;
}

}  // namespace ufs
