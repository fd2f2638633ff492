#include "tests/model/posix_model.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace ufs::model {
namespace {

constexpr int64_t kSecond = 1000000000;

mode_t TypeBits(EntryType type) {
  switch (type) {
    case EntryType::kDir:
      return S_IFDIR;
    case EntryType::kSymlink:
      return S_IFLNK;
    case EntryType::kFifo:
      return S_IFIFO;
    case EntryType::kSocket:
      return S_IFSOCK;
    case EntryType::kCharDevice:
      return S_IFCHR;
    default:
      return S_IFREG;
  }
}

void FillFromEntry(const LayerEntry& entry, Node* node) {
  node->mode = TypeBits(entry.type) |
               (entry.type == EntryType::kSymlink ? 0777 : entry.mode);
  node->uid = entry.uid;
  node->gid = entry.gid;
  node->mtime = TimeRange::Exactly(entry.mtime * kSecond);
  node->target = entry.target;
  node->xattrs = entry.xattrs;
  if (entry.type == EntryType::kFile) node->content = entry.Content();
  if (entry.type == EntryType::kCharDevice) node->rdev = makedev(1, 3);
}

std::pair<std::string, std::string> Split(const std::string& path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

}  // namespace

PosixModel::PosixModel(const LayerSpec& tree, const std::string& prefix) {
  std::map<std::string, NodePtr> by_path;
  auto add = [&](const std::string& path) {
    NodePtr node = std::make_shared<Node>();
    node->id = next_id_++;
    nodes_[node->id] = node;
    by_path[path] = node;
    return node;
  };
  NodePtr top = add("");
  top->mode = S_IFDIR | 0755;
  top->mtime = TimeRange::Exactly(kRootMtime * kSecond);
  top->parent = top.get();
  for (const LayerEntry& entry : tree) {
    auto [parent_path, name] = Split(entry.path);
    auto parent = by_path.find(parent_path);
    if (parent == by_path.end() || !parent->second->IsDir()) continue;
    NodePtr node;
    if (entry.type == EntryType::kHardLink) {
      auto target = by_path.find(entry.target);
      if (target == by_path.end()) continue;
      node = by_path[entry.path] = target->second;
      ++node->nlink;
    } else {
      node = add(entry.path);
      FillFromEntry(entry, node.get());
    }
    parent->second->entries[name] = node;
    if (node->IsDir()) node->parent = parent->second.get();
  }
  auto chosen = by_path.find(prefix);
  root_ = chosen == by_path.end() ? top : chosen->second;
  root_->parent = root_.get();
}

bool PosixModel::Handle::path_only() const { return (flags & O_PATH) != 0; }
bool PosixModel::Handle::readable() const {
  return !path_only() && (flags & O_ACCMODE) != O_WRONLY;
}
bool PosixModel::Handle::writable() const {
  return !path_only() && (flags & O_ACCMODE) != O_RDONLY;
}

Expected PosixModel::Apply(const Op& op, const TimeRange& when) {
  now_ = when;
  by_flag_ = false;
  Expected expected = Dispatch(op);
  expected.by_flag = by_flag_;
  return expected;
}

Expected PosixModel::Dispatch(const Op& op) {
  auto on_path = [&](auto method) {
    return OnPath(op, false, [&](const Op& o, const NodePtr& node) {
      return (this->*method)(o, node);
    });
  };
  auto on_handle = [&](auto method) {
    return OnHandle(op, false, [&](const Op& o, const NodePtr& node) {
      return (this->*method)(o, node);
    });
  };
  switch (op.kind) {
    case OpKind::kOpen:
      return Open(op);
    case OpKind::kClose:
      if (op.fd < 0 || !handles_[op.fd].open()) return Expected::Error(EBADF);
      CloseHandle(op.fd);
      return {};
    case OpKind::kRead:
      return Read(op, false);
    case OpKind::kPread:
      return Read(op, true);
    case OpKind::kWrite:
      return WriteThrough(op, false, Pattern(op.seed, op.len));
    case OpKind::kPwrite:
      return WriteThrough(op, true, Pattern(op.seed, op.len));
    case OpKind::kTruncate:
      return Truncate(op);
    case OpKind::kFtruncate:
      return Ftruncate(op);
    case OpKind::kFallocate:
      return Fallocate(op);
    case OpKind::kSeek:
      return Seek(op);
    case OpKind::kCopyRange:
      return CopyRange(op);
    case OpKind::kMmap:
      return Mmap(op);
    case OpKind::kMunmap:
      if (maps_[op.fd2].node == nullptr) return Expected::Error(EBADF);
      Unmap(op.fd2);
      return {};
    case OpKind::kLoad:
    case OpKind::kStore:
      return LoadOrStore(op);
    case OpKind::kMkdir:
      return Mkdir(op);
    case OpKind::kRmdir:
      return Rmdir(op);
    case OpKind::kUnlink:
      return Unlink(op);
    case OpKind::kRename:
      return Rename(op);
    case OpKind::kLink:
      return Link(op);
    case OpKind::kLinkFd:
      return LinkFd(op);
    case OpKind::kSymlink:
      return Symlink(op);
    case OpKind::kMknod:
      return Mknod(op);
    case OpKind::kChmod:
      return OnPath(op, true, [&](const Op& o, const NodePtr& node) {
        return Chmod(o, node);
      });
    case OpKind::kFchmod:
      return on_handle(&PosixModel::Chmod);
    case OpKind::kChown:
      return on_path(&PosixModel::Chown);
    case OpKind::kFchown:
      return on_handle(&PosixModel::Chown);
    case OpKind::kUtimens:
    case OpKind::kFutimens:
      // The kernel looks at nothing else when there is nothing to set.
      if (op.atime == kTimeOmit && op.mtime == kTimeOmit) return {};
      return op.kind == OpKind::kUtimens ? on_path(&PosixModel::Utimens)
                                         : on_handle(&PosixModel::Utimens);
    case OpKind::kSetxattr:
      return on_path(&PosixModel::Setxattr);
    case OpKind::kFsetxattr:
      return on_handle(&PosixModel::Setxattr);
    case OpKind::kGetxattr:
      return on_path(&PosixModel::Getxattr);
    case OpKind::kListxattr:
      return on_path(&PosixModel::Listxattr);
    case OpKind::kRemovexattr:
      return on_path(&PosixModel::Removexattr);
    case OpKind::kReaddir:
      return OnPath(op, true, [&](const Op& o, const NodePtr& node) {
        if (!node->IsDir()) return Expected::Error(ENOTDIR);
        if (!May({o.uid}, *node, 4)) return Expected::Error(EACCES);
        locks_.ReleaseProcess(node->id);  // it is opened and closed
        return Readdir(o, node);
      });
    case OpKind::kFreaddir:
      return OnHandle(op, false, [&](const Op& o, const NodePtr& node) {
        handles_[o.fd].offset = 0;
        return node->IsDir() ? Readdir(o, node) : Expected::Error(ENOTDIR);
      });
    case OpKind::kStat:
      return OnPath(op, false, [&](const Op&, const NodePtr& node) {
        return StatExpected(*node);
      });
    case OpKind::kFstat:
      return OnHandle(op, true, [&](const Op&, const NodePtr& node) {
        return StatExpected(*node);
      });
    case OpKind::kReadlink:
      return Readlink(op);
    case OpKind::kFsync:
    case OpKind::kFdatasync:
      return Sync(op);
    case OpKind::kFlock:
      return on_handle(&PosixModel::Flock);
    case OpKind::kLock:
    case OpKind::kOfdLock:
    case OpKind::kOfdTest:
      return on_handle(&PosixModel::RecordLocks);
    case OpKind::kInstall:
      return Install(op);
    case OpKind::kExec:
    case OpKind::kStart:
      return Exec(op);
    case OpKind::kStop:
      return Stop(op);
    case OpKind::kGetFlags:
    case OpKind::kGetXflags:
      return on_handle(&PosixModel::GetFlags);
    case OpKind::kSetFlags:
    case OpKind::kSetXflags:
      return on_handle(&PosixModel::SetFlags);
    case OpKind::kRemount:
      handles_ = {};
      maps_ = {};
      running_ = {};
      locks_.Clear();
      for (auto& [id, weak] : nodes_)
        if (NodePtr node = weak.lock()) node->stored_to = false;
      return {};
    case OpKind::kFreeze:
    case OpKind::kDropCaches:
    case OpKind::kCheckTree:
    case OpKind::kCount:
      return {};
  }
  return {};
}

void PosixModel::ForgetAccessTimes() {
  for (auto& [id, weak] : nodes_)
    if (NodePtr node = weak.lock()) node->atime = TimeRange::Any();
}

void PosixModel::TreeWasRead() {
  ForgetAccessTimes();
  std::vector<const Node*> left = {root_.get()};
  while (!left.empty()) {
    const Node* node = left.back();
    left.pop_back();
    locks_.ReleaseProcess(node->id);
    for (const auto& [name, child] : node->entries) left.push_back(child.get());
  }
}

bool PosixModel::Alive(NodeId id) const {
  auto found = nodes_.find(id);
  return found != nodes_.end() && !found->second.expired();
}

const Node* PosixModel::HandleNode(int slot) const {
  return handles_[slot].node.get();
}
bool PosixModel::HandleWritable(int slot) const {
  return handles_[slot].open() && handles_[slot].writable();
}
void PosixModel::Changed(Node& node) const { node.ctime_lo = now_.lo; }

void PosixModel::Modified(Node& node) const {
  Changed(node);
  if (node.stored_to)
    node.mtime = TimeRange::Any();
  else
    node.mtime = now_;
}

void PosixModel::Accessed(Node& node) const { node.atime = TimeRange::Any(); }

}  // namespace ufs::model
