// The adapter between libfuse and the union: decodes a message, calls UnionFs,
// replies. It decides nothing about the filesystem; what it does decide is how
// the kernel shall ask: what may be cached, for how long, which messages are
// not worth sending. fs/README.md, "Messages", gives the reasons.
//
// Threads: immutable after the session started; libfuse calls the handlers from
// any thread.
#pragma once

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)
#include <fuse_lowlevel.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <utility>

#include "fs/metrics.h"
#include "fs/union_fs.h"
#include "fs/worker_pool.h"

namespace ufs {

class FuseAdapter {
 public:
  struct Options {
    std::chrono::milliseconds cache_timeout;
    bool acl = true;
    bool debug = false;
  };

  // Borrows all three.
  FuseAdapter(UnionFs& fs, Metrics& metrics, WorkerPool& pool,
              const Options& options);

  // The handlers; pass `this` as the session's user data.
  static fuse_lowlevel_ops Operations();

  // True once the kernel and libfuse have agreed on how to speak.
  bool initialized() const {
    return initialized_.load(std::memory_order_acquire);
  }
  // Whether the kernel offered requests over io_uring. After `initialized`.
  bool kernel_has_io_uring() const { return kernel_has_io_uring_; }
  // Whether set-id bits are dropped by us when a write asks for it, rather than
  // by the kernel with one more message for each write. After `initialized`.
  bool handles_killpriv() const { return handles_killpriv_; }

  // What makes the kernel drop the names it keeps of a directory; called by a
  // handler, before its reply. Set before the first request.
  using DropListing = std::function<void(NodeId)>;
  void SetDropListing(DropListing drop) { drop_listing_ = std::move(drop); }
  void DropListingOf(NodeId dir) const {
    if (drop_listing_) drop_listing_(dir);
  }

  UnionFs& fs() const { return fs_; }
  Metrics& metrics() const { return metrics_; }
  WorkerPool& pool() const { return pool_; }
  bool debug() const { return options_.debug; }
  double timeout_s() const { return timeout_s_; }

 private:
  static void OnInit(void* self, fuse_conn_info* conn) noexcept;
  void Negotiate(fuse_conn_info* conn);

  UnionFs& fs_;
  Metrics& metrics_;
  WorkerPool& pool_;
  const Options options_;
  const double timeout_s_;
  DropListing drop_listing_;

  bool kernel_has_io_uring_ = false;  // written before initialized_
  bool handles_killpriv_ = false;     // written before initialized_
  std::atomic<bool> initialized_{false};
};

}  // namespace ufs
