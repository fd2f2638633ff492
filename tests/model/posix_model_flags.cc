// File flags, as chattr(1) sets them, and what they forbid. Compare Linux's
// fs/file_attr.c and fs/ext4/ioctl.c.
#include <linux/fs.h>

#include "tests/model/names.h"
#include "tests/model/posix_model.h"

namespace ufs::model {

// A union asks who enforces the flag last: it may have another reason before.
int PosixModel::ForbiddenByFlag() {
  by_flag_ = true;
  return EPERM;
}

int PosixModel::MayChange(const Node& node) {
  return node.fixed() ? ForbiddenByFlag() : 0;
}

Expected PosixModel::SetFlags(const Op& op, const NodePtr& node) {
  Caller who{op.uid};
  if (!MayOwn(who, *node)) return Expected::Error(EPERM);
  const int changes = node->flags ^ op.flags;
  if ((changes & kFixingFlags) != 0 && !(who.root() && Privileged()))
    return Expected::Error(EPERM);
  const bool stays = (node->flags & op.flags & FS_IMMUTABLE_FL) != 0;
  if (stays && changes != 0) return Expected::Error(EPERM);
  // The time of the change is another matter: the kernel of a union learns of
  // it only a moment later.
  node->flags = op.flags;
  return {};
}

Expected PosixModel::GetFlags(const Op&, const NodePtr& node) {
  Expected expected;
  expected.value = node->flags;
  return expected;
}

}  // namespace ufs::model
