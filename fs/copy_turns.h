// CopyTurns: whoever brings contents of an inode up takes its turn, so that it
// is one at a time for each inode; nobody waits for who copies another. A turn
// comes before the inode's mu, and nobody takes two.
//
// Threads: any.
#pragma once

#include <condition_variable>
#include <mutex>
#include <vector>

#include "fs/types.h"

namespace ufs {

class CopyTurns {
 public:
  class [[nodiscard]] Turn {
   public:
    // Waits until nobody else has the turn of that inode.
    Turn(CopyTurns& turns, NodeId inode) : turns_(turns), inode_(inode) {
      turns_.Take(inode_);
    }
    ~Turn() { turns_.Free(inode_); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    CopyTurns& turns_;
    const NodeId inode_;
  };

 private:
  void Take(NodeId inode);
  void Free(NodeId inode);

  // No thread-safety annotations: std::condition_variable needs std::mutex.
  std::mutex mu_;  // a leaf; guards all that follows
  std::condition_variable freed_;
  std::vector<NodeId> taken_;  // by a few threads: none has more than one
  int waiting_ = 0;
};

}  // namespace ufs
