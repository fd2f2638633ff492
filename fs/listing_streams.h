// ListingStreams: the directories that several readers list at once, whose
// listings the kernel may mix up.
//
// The kernel keeps what READDIR answers, and goes on from it as soon as one
// reader has come to the end: also a reader that began later, when a name of
// the kept ones had been removed already. It asks whether they are out of date
// at the beginning of a listing only. Compare Linux's
// fs/fuse/readdir.c:fuse_readdir_cached(), fuse_readdir_cache_end().
//
// Threads: any may call.
#pragma once

#include <chrono>
#include <unordered_map>

#include "fs/types.h"
#include "layerdb/base/mutex.h"

namespace ufs {

class ListingStreams {
 public:
  using Clock = std::chrono::steady_clock;

  // A reader begins.
  void Begin(NodeId dir, Clock::time_point now = Clock::now());
  // A reader is about to be told that it has read all. True: what the kernel
  // has kept of the directory must go first.
  bool End(NodeId dir);

 private:
  // Who has not come to the end by then went away before it.
  static constexpr std::chrono::seconds kPatience{5};
  static constexpr size_t kMaxDirs = 1024;

  struct Streams {
    int open = 0;
    bool mixed = false;  // several were open, and one of them still is
    Clock::time_point begun;
  };

  Mutex mu_;
  std::unordered_map<NodeId, Streams> by_dir_ GUARDED_BY(mu_);
};

}  // namespace ufs
