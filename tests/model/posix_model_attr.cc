// Attributes and extended attributes. Compare Linux's fs/attr.c and fs/xattr.c.
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/model/names.h"
#include "tests/model/posix_model.h"

namespace ufs::model {
namespace {

// As in_group_or_capable(): who may leave a file set-group-id.
bool MayKeepSgid(bool root, uid_t uid, const Node& node) {
  return root || uid == node.gid;
}

}  // namespace

Expected PosixModel::Chmod(const Op& op, const NodePtr& node) {
  Caller who{op.uid};
  if (int err = MayChange(*node)) return Expected::Error(err);
  if (!MayOwn(who, *node)) return Expected::Error(EPERM);
  mode_t bits = op.mode & 07777;
  if (!MayKeepSgid(who.root(), who.uid, *node)) bits &= ~S_ISGID;
  node->mode = (node->mode & S_IFMT) | bits;
  auto acl = node->xattrs.find(test::kAccessAcl);
  if (acl != node->xattrs.end()) {
    Acl entries = AclFromValue(acl->second);
    SetMode(&entries, bits);
    acl->second = test::AclValue(entries);
  }
  Changed(*node);
  return {};
}

Expected PosixModel::Chown(const Op& op, const NodePtr& node) {
  Caller who{op.uid};
  bool owner = who.uid == node->uid;
  bool nothing = op.owner < 0 && op.group < 0;
  if (node->immutable() || (node->fixed() && !nothing)) {
    Expected forbidden = Expected::Error(ForbiddenByFlag());
    forbidden.union_may_allow = nothing;  // the kernel asks nobody
    return forbidden;
  }
  if (!who.root()) {
    bool same_owner = op.owner < 0 || (owner && op.owner == node->uid);
    bool may_group = op.group < 0 ||
                     (owner && (op.group == who.uid || op.group == node->gid));
    if (!same_owner || !may_group) return Expected::Error(EPERM);
  }
  mode_t mode = node->mode;
  if (!node->IsDir()) {
    mode &= ~S_ISUID;
    bool in_group = who.root() || who.uid == node->gid;
    if ((mode & S_IXGRP) != 0 || !in_group) mode &= ~S_ISGID;
  }
  if (mode != node->mode && !MayOwn(who, *node)) return Expected::Error(EPERM);
  // With nothing to change, a union need not hear of it.
  if (op.owner >= 0 || op.group >= 0 || mode != node->mode) Changed(*node);
  node->mode = mode;
  if (op.owner >= 0) node->uid = static_cast<uid_t>(op.owner);
  if (op.group >= 0) node->gid = static_cast<gid_t>(op.group);
  if (!node->IsDir()) node->xattrs.erase("security.capability");
  return {};
}

Expected PosixModel::Utimens(const Op& op, const NodePtr& node) {
  Caller who{op.uid};
  bool both_now = op.atime == kTimeNow && op.mtime == kTimeNow;
  if (node->fixed() && (!both_now || node->immutable()))
    return Expected::Error(ForbiddenByFlag());
  if (!MayOwn(who, *node)) {
    if (!both_now) return Expected::Error(EPERM);
    if (!May(who, *node, W_OK)) return Expected::Error(EACCES);
  }
  auto set = [&](int64_t time, TimeRange* range) {
    if (time == kTimeNow) *range = now_;
    if (time >= 0)
      *range = TimeRange::Exactly(time * 1000000000 + op.seed % 1000000000);
  };
  set(op.atime, &node->atime);
  set(op.mtime, &node->mtime);
  if (node->stored_to) node->mtime = TimeRange::Any();
  Changed(*node);
  return {};
}

int PosixModel::MayXattr(Caller who, const Node& node, const std::string& name,
                         bool write) {
  if (IsAcl(name)) return node.IsLink() ? EOPNOTSUPP : 0;
  if (name.starts_with("trusted."))
    return who.root() && Privileged() ? 0 : write ? EPERM : ENODATA;
  if (name.starts_with("security.")) return write && !who.root() ? EPERM : 0;
  if (!node.IsFile() && !node.IsDir()) return write ? EPERM : ENODATA;
  bool sticky = node.IsDir() && (node.mode & S_ISVTX) != 0;
  if (write && sticky && !MayOwn(who, node)) return EPERM;
  return May(who, node, write ? W_OK : R_OK) ? 0 : EACCES;
}

// Compare Linux's fs/posix_acl.c. `acl` without entries takes it away.
int PosixModel::SetAcl(const Op& op, Node& node, const Acl& acl) {
  Caller who{op.uid};
  if (int err = MayChange(node)) return err;
  if (node.IsLink()) return EOPNOTSUPP;
  bool access = op.name == test::kAccessAcl;
  if (!access && !node.IsDir()) return acl.empty() ? 0 : EACCES;
  if (!MayOwn(who, node)) return EPERM;
  if (acl.empty()) {
    if (node.xattrs.erase(op.name) != 0) Changed(node);
    return 0;
  }
  if (!IsWellFormed(acl)) return EINVAL;
  const std::string value = test::AclValue(acl);
  bool is_mode = false;
  mode_t mode = node.mode;
  if (access) {
    mode = (mode & ~0777) | ModeOf(acl, &is_mode);
    if (!MayKeepSgid(who.root(), who.uid, node)) mode &= ~S_ISGID;
  }
  auto had = node.xattrs.find(op.name);
  bool same = had == node.xattrs.end() ? is_mode : had->second == value;
  if (!same || mode != node.mode) Changed(node);
  node.mode = mode;
  if (is_mode)
    node.xattrs.erase(op.name);
  else
    node.xattrs[op.name] = value;
  return 0;
}

Expected PosixModel::Setxattr(const Op& op, const NodePtr& node) {
  if (IsAcl(op.name))
    return Expected::Error(SetAcl(op, *node, *AclFromText(op.acl)));
  if (int err = MayChange(*node)) return Expected::Error(err);
  if (int err = MayXattr({op.uid}, *node, op.name, true))
    return Expected::Error(err);
  bool exists = node->xattrs.contains(op.name);
  if (exists && (op.flags & XATTR_CREATE) != 0) return Expected::Error(EEXIST);
  if (!exists && (op.flags & XATTR_REPLACE) != 0)
    return Expected::Error(ENODATA);
  const std::string value = XattrValue(op);
  // ext4 sees that nothing changes, and then nothing does.
  if (!exists || node->xattrs[op.name] != value) Changed(*node);
  node->xattrs[op.name] = value;
  return {};
}

Expected PosixModel::Getxattr(const Op& op, const NodePtr& node) {
  if (int err = MayXattr({op.uid}, *node, op.name, false))
    return Expected::Error(err);
  auto found = node->xattrs.find(op.name);
  if (found == node->xattrs.end()) return Expected::Error(ENODATA);
  Expected expected;
  expected.data = found->second;
  expected.value = static_cast<int64_t>(found->second.size());
  return expected;
}

Expected PosixModel::Listxattr(const Op& op, const NodePtr& node) {
  Expected expected;
  for (const auto& [name, value] : node->xattrs) {
    if (name.starts_with("trusted.") && op.uid != 0) continue;
    expected.data += name + '\n';
    ++expected.value;
  }
  return expected;
}

Expected PosixModel::Removexattr(const Op& op, const NodePtr& node) {
  if (IsAcl(op.name)) return Expected::Error(SetAcl(op, *node, {}));
  if (int err = MayChange(*node)) return Expected::Error(err);
  if (int err = MayXattr({op.uid}, *node, op.name, true))
    return Expected::Error(err);
  if (node->xattrs.erase(op.name) == 0) return Expected::Error(ENODATA);
  Changed(*node);
  return {};
}

ExpectedStat PosixModel::StatOf(const Node& node) const {
  ExpectedStat stat;
  stat.id = node.id;
  stat.mode = node.mode;
  stat.nlink = node.nlink;
  stat.uid = node.uid;
  stat.gid = node.gid;
  stat.rdev = node.rdev;
  stat.size = static_cast<int64_t>(node.IsLink() ? node.target.size()
                                                 : node.content.size());
  stat.mtime = node.mtime;
  stat.atime = node.atime;
  stat.ctime_lo = node.ctime_lo;
  return stat;
}

Expected PosixModel::StatExpected(const Node& node) const {
  Expected expected;
  expected.stat = StatOf(node);
  return expected;
}

}  // namespace ufs::model
