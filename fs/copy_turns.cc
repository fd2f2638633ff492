#include "fs/copy_turns.h"

#include <algorithm>

namespace ufs {

void CopyTurns::Take(NodeId inode) {
  std::unique_lock lock(mu_);
  ++waiting_;
  freed_.wait(lock, [&] {
    return std::find(taken_.begin(), taken_.end(), inode) == taken_.end();
  });
  --waiting_;
  taken_.push_back(inode);
}

void CopyTurns::Free(NodeId inode) {
  const std::lock_guard lock(mu_);
  const auto at = std::find(taken_.begin(), taken_.end(), inode);
  *at = taken_.back();
  taken_.pop_back();
  if (waiting_ > 0) freed_.notify_all();
}

}  // namespace ufs
