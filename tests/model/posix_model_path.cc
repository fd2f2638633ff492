// The path walk and who may do what. Compare Linux's fs/namei.c.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/model/posix_model.h"

namespace ufs::model {
namespace {

constexpr int kMaxLinks = 40;
constexpr size_t kNameMax = 255;

}  // namespace

NodePtr PosixModel::PtrOf(Node* node) const {
  auto found = nodes_.find(node->id);
  return found == nodes_.end() ? nullptr : found->second.lock();
}

PosixModel::Walk PosixModel::ResolveAt(const Op& op, bool follow_last) {
  if (op.at < 0) return Resolve({op.uid}, root_, op.path, follow_last);
  Walk walk;
  const Handle& base = handles_[op.at];
  // An empty path and an absolute one are judged before the descriptor is.
  if (op.path.empty())
    walk.err = ENOENT;
  else if (op.path[0] == '/')
    return Resolve({op.uid}, root_, op.path, follow_last);
  else if (!base.open())
    walk.err = EBADF;
  else if (!base.node->IsDir())
    walk.err = ENOTDIR;
  else
    return Resolve({op.uid}, base.node, op.path, follow_last);
  return walk;
}

PosixModel::Walk PosixModel::Resolve(Caller who, const NodePtr& start,
                                     const std::string& path,
                                     bool follow_last) {
  Walk walk;
  int links = 0;
  walk.err = path.empty()
                 ? ENOENT
                 : WalkTo(who, start, path, follow_last, &links, &walk);
  return walk;
}

int PosixModel::WalkTo(Caller who, NodePtr at, const std::string& path,
                       bool follow_last, int* links, Walk* out) {
  if (path[0] == '/') at = root_;
  out->parent = out->node = at;
  out->ordinary = false;
  size_t begin = path.find_first_not_of('/');
  while (begin != std::string::npos) {
    size_t end = std::min(path.find('/', begin), path.size());
    std::string name = path.substr(begin, end - begin);
    begin = path.find_first_not_of('/', end);
    bool last = begin == std::string::npos;
    if (!at->IsDir()) return ENOTDIR;
    if (!May(who, *at, X_OK)) return EACCES;
    out->parent = at;
    out->ordinary = name != "." && name != "..";
    if (!out->ordinary) {
      if (name == ".." && at->parent != nullptr) at = PtrOf(at->parent);
      out->node = at;
      continue;
    }
    out->last = name;
    if (name.size() > kNameMax) return ENAMETOOLONG;
    auto found = at->entries.find(name);
    out->node = found == at->entries.end() ? nullptr : found->second;
    if (out->node == nullptr) return last ? 0 : ENOENT;
    if (out->node->IsLink() && (!last || follow_last)) {
      if (++*links > kMaxLinks) return ELOOP;
      std::string target = out->node->target;
      out->node->atime = TimeRange::Any();
      int err = WalkTo(who, at, target, true, links, out);
      if (err != 0) return err;
      if (out->node == nullptr) return last ? 0 : ENOENT;
    }
    at = out->node;
  }
  return 0;
}

bool PosixModel::May(Caller who, const Node& node, int mask) {
  if (who.root())
    return node.IsDir() || (mask & X_OK) == 0 || (node.mode & 0111) != 0;
  mode_t bits = node.mode;
  auto acl = node.xattrs.find(test::kAccessAcl);
  bool owner = who.uid == node.uid;
  if (!owner && (bits & S_IRWXG) != 0 && acl != node.xattrs.end())
    return Grants(AclFromValue(acl->second), who.uid, node.gid,
                  static_cast<mode_t>(mask));
  if (owner)
    bits >>= 6;
  else if (who.uid == node.gid)
    bits >>= 3;
  return (bits & mask) == static_cast<mode_t>(mask);
}

bool PosixModel::MayOwn(Caller who, const Node& node) {
  return who.root() || who.uid == node.uid;
}

int PosixModel::MayCreate(Caller who, const Node& dir) {
  if (dir.parent == nullptr) return ENOENT;
  return May(who, dir, W_OK | X_OK) ? 0 : EACCES;
}

int PosixModel::MayDelete(Caller who, const Node& dir, const Node& victim,
                          bool as_dir) {
  if (!May(who, dir, W_OK | X_OK)) return EACCES;
  bool sticky = (dir.mode & S_ISVTX) != 0;
  if (sticky && !MayOwn(who, dir) && !MayOwn(who, victim)) return EPERM;
  if (int err = MayChange(victim)) return err;
  if (as_dir && !victim.IsDir()) return ENOTDIR;
  if (!as_dir && victim.IsDir()) return EISDIR;
  return 0;
}

}  // namespace ufs::model
