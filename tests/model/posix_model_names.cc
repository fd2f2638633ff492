// Names: making, removing, renaming, listing.
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/model/posix_model.h"

namespace ufs::model {
namespace {

constexpr mode_t kUmask = 022;

bool IsWithin(const Node* node, const Node* top) {
  while (node != top && node->parent != nullptr && node->parent != node)
    node = node->parent;
  return node == top;
}

}  // namespace

// `mode` is what the caller asked for.
NodePtr PosixModel::NewNode(Caller who, const Node& dir, mode_t mode) {
  NodePtr node = std::make_shared<Node>();
  node->id = next_id_++;
  nodes_[node->id] = node;
  node->mode = mode;
  node->uid = who.uid;
  node->gid = who.uid;
  if ((dir.mode & S_ISGID) != 0) {
    node->gid = dir.gid;
    bool in_group = who.root() || who.uid == dir.gid;
    if (node->IsDir())
      node->mode |= S_ISGID;
    else if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && !in_group)
      node->mode &= ~S_ISGID;
  }
  InheritAcl(dir, *node);
  node->mtime = now_;
  node->atime = now_;
  node->ctime_lo = now_.lo;
  return node;
}

// A default ACL takes the place of the umask.
void PosixModel::InheritAcl(const Node& dir, Node& node) {
  if (node.IsLink()) return;
  auto inherited = dir.xattrs.find(test::kDefaultAcl);
  if (inherited == dir.xattrs.end()) {
    node.mode &= ~kUmask;
    return;
  }
  Acl acl = AclFromValue(inherited->second);
  node.mode = Inherit(&acl, node.mode);
  bool is_mode = false;
  ModeOf(acl, &is_mode);
  if (!is_mode) node.xattrs[test::kAccessAcl] = test::AclValue(acl);
  if (node.IsDir()) node.xattrs[test::kDefaultAcl] = inherited->second;
}

void PosixModel::Attach(Node& dir, const std::string& name,
                        const NodePtr& node) {
  dir.entries[name] = node;
  if (node->IsDir()) node->parent = &dir;
  Modified(dir);
}

void PosixModel::Detach(Node& dir, const std::string& name) {
  NodePtr node = dir.entries[name];
  dir.entries.erase(name);
  --node->nlink;
  if (node->IsDir()) node->parent = nullptr;
  Changed(*node);
  Modified(dir);
}

NodePtr PosixModel::Create(Caller who, Node& dir, const std::string& name,
                           mode_t mode) {
  NodePtr node = NewNode(who, dir, mode);
  Attach(dir, name, node);
  return node;
}

int PosixModel::StartCreate(const Op& op, Walk* walk) {
  *walk = ResolveAt(op, false);
  if (walk->err != 0) return walk->err;
  if (!walk->ordinary || walk->node != nullptr) return EEXIST;
  return MayCreate({op.uid}, *walk->parent);
}

Expected PosixModel::Mkdir(const Op& op) {
  Walk walk;
  if (int err = StartCreate(op, &walk)) return Expected::Error(err);
  Create({op.uid}, *walk.parent, walk.last, S_IFDIR | (op.mode & 01777));
  return {};
}

Expected PosixModel::Mknod(const Op& op) {
  Walk walk;
  if (int err = StartCreate(op, &walk)) return Expected::Error(err);
  Create({op.uid}, *walk.parent, walk.last, op.mode)->rdev = op.off;
  return {};
}

Expected PosixModel::Symlink(const Op& op) {
  if (op.name.empty()) return Expected::Error(ENOENT);
  Walk walk;
  if (int err = StartCreate(op, &walk)) return Expected::Error(err);
  Create({op.uid}, *walk.parent, walk.last, S_IFLNK | 0777)->target = op.name;
  return {};
}

Expected PosixModel::Rmdir(const Op& op) {
  Walk walk = ResolveAt(op, false);
  if (walk.err != 0) return Expected::Error(walk.err);
  if (!walk.ordinary) {
    bool dots = op.path.ends_with("..");
    return Expected::Error(dots                     ? ENOTEMPTY
                           : op.path.ends_with(".") ? EINVAL
                                                    : EBUSY);
  }
  if (walk.node == nullptr) return Expected::Error(ENOENT);
  if (int err = MayDelete({op.uid}, *walk.parent, *walk.node, true))
    return Expected::Error(err);
  if (!walk.node->entries.empty()) return Expected::Error(ENOTEMPTY);
  Detach(*walk.parent, walk.last);
  return {};
}

Expected PosixModel::Unlink(const Op& op) {
  Walk walk = ResolveAt(op, false);
  if (walk.err != 0) return Expected::Error(walk.err);
  if (!walk.ordinary) return Expected::Error(EISDIR);
  if (walk.node == nullptr) return Expected::Error(ENOENT);
  if (int err = MayDelete({op.uid}, *walk.parent, *walk.node, false))
    return Expected::Error(err);
  Detach(*walk.parent, walk.last);
  return {};
}

Expected PosixModel::Link(const Op& op) {
  bool follow = (op.flags & AT_SYMLINK_FOLLOW) != 0;
  Walk from = Resolve({op.uid}, root_, op.path, follow);
  if (from.err == 0 && from.node == nullptr) from.err = ENOENT;
  if (from.err != 0) return Expected::Error(from.err);
  return Expected::Error(FinishLink(op, from.node, op.path2));
}

Expected PosixModel::LinkFd(const Op& op) {
  return OnHandle(op, true, [&](const Op& o, const NodePtr& node) {
    return Expected::Error(FinishLink(o, node, o.path2));
  });
}

int PosixModel::FinishLink(const Op& op, const NodePtr& node,
                           const std::string& path) {
  Caller who{op.uid};
  Walk to = Resolve(who, root_, path, false);
  if (to.err != 0) return to.err;
  if (!to.ordinary || to.node != nullptr) return EEXIST;
  // A directory that is gone answers even the look-up of a new name.
  if (to.parent->parent == nullptr) return ENOENT;
  if (!MayOwn(who, *node) && node->immutable()) return ForbiddenByFlag();
  // fs.protected_hardlinks
  bool safe = node->IsFile() && (node->mode & S_ISUID) == 0 &&
              (node->mode & (S_ISGID | S_IXGRP)) != (S_ISGID | S_IXGRP) &&
              May(who, *node, R_OK | W_OK);
  if (!MayOwn(who, *node) && !safe) return EPERM;
  if (int err = MayCreate(who, *to.parent)) return err;
  if (int err = MayChange(*node)) return err;
  if (node->IsDir()) return EPERM;
  if (node->nlink == 0 && !node->linkable) return ENOENT;
  node->linkable = false;
  ++node->nlink;
  Changed(*node);
  Attach(*to.parent, to.last, node);
  return 0;
}

Expected PosixModel::Rename(const Op& op) {
  Caller who{op.uid};
  bool no_replace = (op.flags & RENAME_NOREPLACE) != 0;
  bool exchange = (op.flags & RENAME_EXCHANGE) != 0;
  if (no_replace && exchange) return Expected::Error(EINVAL);
  Walk from = Resolve(who, root_, op.path, false);
  if (from.parent == nullptr) return Expected::Error(from.err);
  // The kernel finds both parents before it looks up either last name.
  bool from_late = from.err == ENAMETOOLONG;
  if (from.err != 0 && !from_late) return Expected::Error(from.err);
  Walk to = Resolve(who, root_, op.path2, false);
  bool to_late = to.err == ENAMETOOLONG;
  if (to.err != 0 && !to_late) return Expected::Error(to.err);
  if (!from.ordinary) return Expected::Error(EBUSY);
  if (!to.ordinary) return Expected::Error(no_replace ? EEXIST : EBUSY);
  if (from_late) return Expected::Error(ENAMETOOLONG);
  if (from.node == nullptr) return Expected::Error(ENOENT);
  if (to_late) return Expected::Error(ENAMETOOLONG);
  if (no_replace && to.node != nullptr) return Expected::Error(EEXIST);
  if (exchange && to.node == nullptr) return Expected::Error(ENOENT);
  Node &source = *from.node, &old_dir = *from.parent, &new_dir = *to.parent;
  bool moves = &old_dir != &new_dir;
  if (moves && source.IsDir() && IsWithin(&new_dir, &source))
    return Expected::Error(EINVAL);
  if (moves && to.node != nullptr && to.node->IsDir() &&
      IsWithin(&old_dir, to.node.get()))
    return Expected::Error(exchange ? EINVAL : ENOTEMPTY);
  if (from.node == to.node) return {};
  int err = MayDelete(who, old_dir, source, source.IsDir());
  if (err == 0 && to.node == nullptr) err = MayCreate(who, new_dir);
  if (err == 0 && to.node != nullptr)
    err = MayDelete(who, new_dir, *to.node,
                    exchange ? to.node->IsDir() : source.IsDir());
  // Another parent means another "..", which is written in the directory.
  if (err == 0 && moves && source.IsDir() && !May(who, source, W_OK))
    err = EACCES;
  if (err == 0 && moves && exchange && to.node->IsDir() &&
      !May(who, *to.node, W_OK))
    err = EACCES;
  if (err == 0 && !exchange && to.node != nullptr && !to.node->entries.empty())
    err = ENOTEMPTY;
  if (err != 0) return Expected::Error(err);
  if (exchange) {
    NodePtr first = from.node, second = to.node;
    Attach(old_dir, from.last, second);
    Attach(new_dir, to.last, first);
    Changed(*second);
  } else {
    if (to.node != nullptr) Detach(new_dir, to.last);
    old_dir.entries.erase(from.last);
    Modified(old_dir);
    Attach(new_dir, to.last, from.node);
  }
  Changed(source);
  return {};
}

Expected PosixModel::Readdir(const Op&, const NodePtr& dir) {
  if (dir->parent == nullptr) return Expected::Error(ENOENT);
  Expected expected;
  expected.items.emplace();
  for (const auto& [name, node] : dir->entries)
    (*expected.items)[name] = {node->id,
                               static_cast<unsigned char>(IFTODT(node->mode))};
  expected.value = static_cast<int64_t>(dir->entries.size());
  Accessed(*dir);
  return expected;
}

Expected PosixModel::Readlink(const Op& op) {
  return OnPath(op, false, [&](const Op&, const NodePtr& node) {
    if (!node->IsLink()) return Expected::Error(EINVAL);
    Accessed(*node);
    Expected expected;
    expected.data = node->target;
    expected.value = static_cast<int64_t>(node->target.size());
    return expected;
  });
}

}  // namespace ufs::model
