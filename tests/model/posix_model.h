// PosixModel is a file tree in memory that answers every Op as Linux does: what
// a union must look like from outside, with no layers in it. Errors come in the
// order in which the kernel's path walk and permission checks give them, so
// that the errno of an operation with two faults is right as well.
//
// One thread at a time.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "tests/model/acl.h"
#include "tests/model/file_flags.h"
#include "tests/model/layer_spec.h"
#include "tests/model/lock_table.h"
#include "tests/model/op.h"
#include "tests/model/outcome.h"

namespace ufs::model {

struct Node {
  NodeId id = 0;
  mode_t mode = 0;  // with the type
  uid_t uid = 0;
  gid_t gid = 0;
  nlink_t nlink = 1;
  dev_t rdev = 0;
  std::string content;
  std::string target;
  std::map<std::string, std::string> xattrs;
  std::map<std::string, std::shared_ptr<Node>> entries;
  Node* parent = nullptr;  // of a directory; null once it is removed
  int flags = 0;           // of kFileFlags
  bool linkable = false;   // made by O_TMPFILE without O_EXCL, no name yet
  TimeRange mtime;
  TimeRange atime;
  int64_t ctime_lo = 0;
  bool stored_to = false;  // through a mapping, and not synced: mtime open

  bool IsDir() const { return S_ISDIR(mode); }
  bool IsFile() const { return S_ISREG(mode); }
  bool IsLink() const { return S_ISLNK(mode); }
  bool fixed() const { return (flags & kFixingFlags) != 0; }
  bool immutable() const { return (flags & FS_IMMUTABLE_FL) != 0; }
};
using NodePtr = std::shared_ptr<Node>;

class PosixModel {
 public:
  // `tree` is what Merge gave; below `prefix` only, when that is not empty.
  PosixModel(const LayerSpec& tree, const std::string& prefix);

  // Carries out `op`, which ran at some time within `when`.
  Expected Apply(const Op& op, const TimeRange& when);

  // Reading a tree from outside changes access times.
  void ForgetAccessTimes();
  // Everything in the tree was opened, read and closed.
  void TreeWasRead();

  const NodePtr& root() const { return root_; }
  bool Alive(NodeId id) const;
  ExpectedStat StatOf(const Node& node) const;
  // The open file in a slot, or null.
  const Node* HandleNode(int slot) const;
  bool HandleWritable(int slot) const;
  bool IsOpenForWriting(const Node& node) const;

 private:
  Expected Dispatch(const Op& op);
  struct Handle {
    NodePtr node;
    int flags = 0;
    int64_t offset = 0;
    LockTable::Owner description = 0;
    bool open() const { return node != nullptr; }
    bool path_only() const;
    bool readable() const;
    bool writable() const;
  };
  struct Mapping {
    NodePtr node;
    int64_t off = 0;
    int64_t len = 0;
    bool writable = false;
    bool file_writable = false;  // what it was made of may write
    LockTable::Owner description = 0;
  };
  // Where a path ends: `node` is null when the last name is absent.
  struct Walk {
    int err = 0;
    NodePtr parent;
    NodePtr node;
    std::string last;       // the last name, when it is an ordinary one
    bool ordinary = false;  // neither "." nor ".." nor the root
  };
  struct Caller {
    uid_t uid;
    bool root() const { return uid == 0; }
  };

  // Path walk and permissions (posix_model_path.cc).
  Walk Resolve(Caller who, const NodePtr& start, const std::string& path,
               bool follow_last);
  int WalkTo(Caller who, NodePtr at, const std::string& path, bool follow_last,
             int* links, Walk* out);
  Walk ResolveAt(const Op& op, bool follow_last);
  static bool May(Caller who, const Node& node, int mask);
  static bool MayOwn(Caller who, const Node& node);
  static int MayCreate(Caller who, const Node& dir);
  int MayDelete(Caller who, const Node& dir, const Node& victim, bool as_dir);
  NodePtr PtrOf(Node* node) const;

  // Names (posix_model_names.cc).
  Expected Mkdir(const Op& op);
  Expected Rmdir(const Op& op);
  Expected Unlink(const Op& op);
  Expected Rename(const Op& op);
  Expected Link(const Op& op);
  Expected LinkFd(const Op& op);
  Expected Symlink(const Op& op);
  Expected Mknod(const Op& op);
  Expected Readdir(const Op& op, const NodePtr& dir);
  Expected Readlink(const Op& op);
  int StartCreate(const Op& op, Walk* walk);
  int FinishLink(const Op& op, const NodePtr& node, const std::string& path);
  NodePtr Create(Caller who, Node& dir, const std::string& name, mode_t mode);
  NodePtr NewNode(Caller who, const Node& dir, mode_t mode);
  static void InheritAcl(const Node& dir, Node& node);
  void Attach(Node& dir, const std::string& name, const NodePtr& node);
  void Detach(Node& dir, const std::string& name);

  // Files (posix_model_file.cc).
  Expected Open(const Op& op);
  Expected OpenTmpfile(const Op& op);
  static bool MayCreateOver(Caller who, const Node& dir, const Node& node);
  Expected OpenFound(const Op& op, const NodePtr& node);
  void PutHandle(const Op& op, const NodePtr& node);
  Expected Read(const Op& op, bool positioned);
  Expected WriteThrough(const Op& op, bool positioned,
                        const std::string& bytes);
  Expected Truncate(const Op& op);
  Expected Ftruncate(const Op& op);
  Expected Fallocate(const Op& op);
  Expected Seek(const Op& op);
  Expected CopyRange(const Op& op);
  Expected Mmap(const Op& op);
  Expected LoadOrStore(const Op& op);
  Expected Sync(const Op& op);
  void WriteBytes(Caller who, Node& node, int64_t off,
                  const std::string& bytes);
  void Resize(Caller who, Node& node, int64_t size);
  void DropPrivileges(Caller who, Node& node);

  // Locks (posix_model_lock.cc).
  Expected Flock(const Op& op, const NodePtr& node);
  Expected RecordLocks(const Op& op, const NodePtr& node);
  bool IsOpen(LockTable::Owner description) const;
  void CloseHandle(int slot);
  void Unmap(int slot);

  // File flags (posix_model_flags.cc).
  Expected GetFlags(const Op& op, const NodePtr& node);
  Expected SetFlags(const Op& op, const NodePtr& node);
  int MayChange(const Node& node);
  int ForbiddenByFlag();

  // Programs (posix_model_exec.cc).
  Expected Install(const Op& op);
  Expected Exec(const Op& op);
  Expected Stop(const Op& op);
  bool IsRunning(const Node& node) const;

  // Attributes (posix_model_attr.cc).
  Expected Chmod(const Op& op, const NodePtr& node);
  Expected Chown(const Op& op, const NodePtr& node);
  Expected Utimens(const Op& op, const NodePtr& node);
  Expected Setxattr(const Op& op, const NodePtr& node);
  Expected Getxattr(const Op& op, const NodePtr& node);
  Expected Listxattr(const Op& op, const NodePtr& node);
  Expected Removexattr(const Op& op, const NodePtr& node);
  int SetAcl(const Op& op, Node& node, const Acl& acl);
  static int MayXattr(Caller who, const Node& node, const std::string& name,
                      bool write);
  Expected StatExpected(const Node& node) const;

  // The node of `path` or of a handle, for operations that take either.
  template <typename F>
  Expected OnPath(const Op& op, bool follow, const F& then);
  template <typename F>
  Expected OnHandle(const Op& op, bool path_only_too, const F& then);

  void Changed(Node& node) const;   // ctime
  void Modified(Node& node) const;  // mtime and ctime
  void Accessed(Node& node) const;

  NodePtr root_;
  std::array<Handle, kHandleSlots> handles_;
  std::array<Mapping, kMapSlots> maps_;
  std::array<NodePtr, kRunSlots> running_;
  LockTable locks_;
  NodeId next_id_ = 1;
  LockTable::Owner next_description_ = LockTable::kProcess + 1;
  TimeRange now_;         // of the operation being applied
  bool by_flag_ = false;  // it was forbidden by a file flag
  std::map<NodeId, std::weak_ptr<Node>> nodes_;
};

template <typename F>
Expected PosixModel::OnPath(const Op& op, bool follow, const F& then) {
  Walk walk = ResolveAt(op, follow);
  if (walk.err == 0 && walk.node == nullptr) walk.err = ENOENT;
  return walk.err != 0 ? Expected::Error(walk.err) : then(op, walk.node);
}

template <typename F>
Expected PosixModel::OnHandle(const Op& op, bool path_only_too, const F& then) {
  if (op.fd < 0 || !handles_[op.fd].open()) return Expected::Error(EBADF);
  const Handle& handle = handles_[op.fd];
  if (handle.path_only() && !path_only_too) return Expected::Error(EBADF);
  return then(op, handle.node);
}

}  // namespace ufs::model
