// UnionFs: the union filesystem with no FUSE in it. It answers the questions a
// kernel asks about inodes, in POSIX terms, over read-only layers and at most
// one writable upper directory.
//
// Threads: every method may be called from any thread at any time. Locks and
// their order: fs/README.md.
//
// Errors: the errno is the one the caller of the syscall shall see. A context
// is present where the cause lies outside the request (a damaged layer, a full
// disk) and is worth a log line.
//
// Blocking: every method may block on the disk. Callers that must not block use
// MayCopyUp and Read's kNoWait.
#pragma once

#include <sys/statvfs.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/types.h"
#include "fs/union_config.h"
#include "layerdb/base/result.h"

namespace ufs {

// Takes directory entries as ReadDir finds them.
class DirSink {
 public:
  virtual ~DirSink() = default;
  // One entry. `next_offset` is where to go on after it. `entry` is null for
  // names only ("." and ".." always), else it carries a lookup reference that
  // goes to the sink if it accepts. Returns false when the entry did not fit:
  // nothing was taken and the listing stops.
  virtual bool Add(const char* name, uint64_t ino, mode_t type,
                   uint64_t next_offset, const Entry* entry) = 0;
};

// Counters of one union since it was opened. A snapshot; see fs/README.md.
struct UnionStats {
  uint64_t inodes = 0;             // in the table now
  uint64_t open_descriptors = 0;   // held by the descriptor cache now
  uint64_t copy_ups_data = 0;
  uint64_t copy_ups_metadata = 0;  // attributes only, no data copied
  uint64_t copy_up_bytes = 0;
  uint64_t listing_hits = 0;
  uint64_t listing_misses = 0;
};

// The state of a union as it was opened, for `ufs stat`.
struct UnionInfo {
  std::vector<std::string> layers;  // bottom to top
  std::string upper;                // empty: read-only
  std::string work;
  std::string whiteout_form;   // "char", "xattr", "aufs"
  std::string xattr_prefix;    // "trusted.overlay." or "user.overlay."
  bool overrides_owner = false;  // owner and device kept in override xattrs
  bool metacopy = false;
  bool index = false;
  std::string durability;
};

class UnionFs {
 public:
  // Opens layers and upper, takes the upper's lock, sweeps what an earlier
  // daemon left half-done. On error nothing has changed and the message names
  // the path and the remedy.
  static Result<std::unique_ptr<UnionFs>> Open(const UnionConfig& config);
  virtual ~UnionFs() = default;

  // Called when cached attributes of a node changed though nobody asked for it
  // (a directory copied up on the way to its child). May be called with locks
  // held, from any thread: it must only queue. Set before the first request.
  using InvalidateFn = std::function<void(NodeId)>;
  virtual void SetInvalidate(InvalidateFn invalidate) = 0;

  // --- names -------------------------------------------------------------
  // nullopt: no such name. An Entry carries one lookup reference.
  virtual Result<std::optional<Entry>> Lookup(NodeId parent, Name name) = 0;
  virtual void Forget(NodeId node, uint64_t lookups) = 0;
  virtual Status ReadDir(NodeId dir, uint64_t offset, bool plus,
                         DirSink& sink) = 0;
  virtual Result<std::string> ReadLink(NodeId node) = 0;

  virtual Result<Entry> MkNod(NodeId parent, Name name, mode_t mode, dev_t rdev,
                              const Caller& caller) = 0;
  virtual Result<Entry> MkDir(NodeId parent, Name name, mode_t mode,
                              const Caller& caller) = 0;
  virtual Result<Entry> Symlink(NodeId parent, Name name, const char* target,
                                const Caller& caller) = 0;
  virtual Result<Entry> Link(NodeId node, NodeId parent, Name name) = 0;
  // A new regular file; EEXIST when the name is taken and O_EXCL is in `flags`;
  // without O_EXCL an existing regular file is returned as it is.
  virtual Result<Entry> Create(NodeId parent, Name name, mode_t mode, int flags,
                               const Caller& caller) = 0;
  virtual Result<Entry> TmpFile(NodeId parent, mode_t mode, int flags,
                                const Caller& caller) = 0;
  virtual Status Unlink(NodeId parent, Name name) = 0;
  virtual Status RmDir(NodeId parent, Name name) = 0;
  // `flags` as renameat2.
  virtual Status Rename(NodeId parent, Name name, NodeId new_parent,
                        Name new_name, unsigned flags) = 0;

  // --- attributes --------------------------------------------------------
  virtual Result<Attr> GetAttr(NodeId node) = 0;
  virtual Result<Attr> SetAttr(NodeId node, const AttrChange& change) = 0;
  virtual Result<std::string> GetXattr(NodeId node, const char* name) = 0;
  // Names, each ended by NUL, as listxattr(2).
  virtual Result<std::string> ListXattr(NodeId node) = 0;
  virtual Status SetXattr(NodeId node, const char* name, std::string_view value,
                          int flags) = 0;
  virtual Status RemoveXattr(NodeId node, const char* name) = 0;
  // FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR and
  // FS_IOC_GETVERSION: `arg` is the ioctl's in/out struct, already sized.
  // ENOTTY for any other command.
  virtual Status Ioctl(NodeId node, unsigned cmd, void* arg) = 0;

  // --- data --------------------------------------------------------------
  // There are no handles: a node knows its current backing, so that every open
  // of it, old or new, reads and writes the same bytes.
  enum class Wait { kMayWait, kNoWait };
  // Bytes read; less than `size` only at the end. EAGAIN under kNoWait when
  // the data is not in memory or the file is busy copying up.
  virtual Result<size_t> Read(NodeId node, char* buffer, size_t size,
                              uint64_t offset, Wait wait) = 0;
  virtual Result<size_t> Write(NodeId node, const char* data, size_t size,
                               uint64_t offset, bool kill_suidgid) = 0;
  virtual Status FSync(NodeId node, bool data_only) = 0;
  virtual Status Fallocate(NodeId node, int mode, uint64_t offset,
                           uint64_t length) = 0;
  virtual Result<uint64_t> LSeek(NodeId node, uint64_t offset, int whence) = 0;
  virtual Result<size_t> CopyFileRange(NodeId in, uint64_t in_offset,
                                       NodeId out, uint64_t out_offset,
                                       size_t length) = 0;
  virtual Result<struct statvfs> StatFs() = 0;
  virtual Status SyncFs() = 0;

  // Whether a write or an attribute change of this node would first copy data
  // up, that is, take long.
  virtual bool MayCopyUp(NodeId node) = 0;

  virtual UnionStats Stats() const = 0;
  virtual const UnionInfo& Info() const = 0;
};

}  // namespace ufs
