// The adapter between libfuse and the union: decodes a message, calls UnionFs,
// replies. It decides nothing about the filesystem; what it does decide is how
// the kernel shall ask: what may be cached, for how long, which messages are
// not worth sending (fs/DATAPATH.md).
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
#include "fs/request_gate.h"
#include "fs/ring_scheduling.h"
#include "fs/union_fs.h"
#include "fs/worker_pool.h"

namespace ufs {

class FuseAdapter {
 public:
  struct Options {
    std::chrono::milliseconds cache_timeout;
    bool acl = true;
    bool writeback = false;
    bool passthrough = false;  // if the kernel has it
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

  // Whether the kernel takes files of the host. After `initialized`.
  bool kernel_has_passthrough() const { return kernel_has_passthrough_; }

  // Whether the kernel shall announce each open and its end, as passthrough
  // needs; at first, if passthrough is asked for. Taken back once, for good.
  bool hears_opens() const {
    return hears_opens_.load(std::memory_order_relaxed);
  }
  void StopHearingOpens() { hears_opens_ = false; }

  // What makes the kernel ask for the attributes of a node again. Called by a
  // handler, before its reply. Set before the first request.
  using ForgetAttrs = std::function<void(NodeId)>;
  void SetForgetAttrs(ForgetAttrs forget) { forget_attrs_ = std::move(forget); }
  void ForgetAttrsOf(NodeId node) const {
    if (forget_attrs_) forget_attrs_(node);
  }

  // What makes the kernel drop the pages it keeps of a node, those that it has
  // not written back once it has; a directory's are its names. Called by a
  // handler, before its reply; of a file on no thread that serves its WRITEs.
  // Set before the first request.
  using DropPages = std::function<void(NodeId)>;
  void SetDropPages(DropPages drop) { drop_pages_ = std::move(drop); }
  void DropPagesOf(NodeId node) const {
    if (drop_pages_) drop_pages_(node);
  }
  // The same from another thread, for a handler of WRITE, which is answered
  // first.
  void SetDropPagesSoon(DropPages drop) { drop_pages_soon_ = std::move(drop); }
  void DropPagesSoon(NodeId node) const {
    if (drop_pages_soon_) drop_pages_soon_(node);
  }

  UnionFs& fs() const { return fs_; }
  Metrics& metrics() const { return metrics_; }
  WorkerPool& pool() const { return pool_; }
  // Every request is inside from its arrival until its handler is done.
  RequestGate& gate() { return gate_; }
  // Hears of every request that comes over io_uring.
  RingScheduling& rings() { return rings_; }
  bool debug() const { return options_.debug; }
  // Whether the kernel may have newer contents of a file than the union.
  bool writeback() const { return options_.writeback; }
  double timeout_s() const { return timeout_s_; }

 private:
  static void OnInit(void* self, fuse_conn_info* conn) noexcept;
  void Negotiate(fuse_conn_info* conn);

  UnionFs& fs_;
  Metrics& metrics_;
  WorkerPool& pool_;
  const Options options_;
  const double timeout_s_;
  RequestGate gate_;
  RingScheduling rings_;
  ForgetAttrs forget_attrs_;
  DropPages drop_pages_;
  DropPages drop_pages_soon_;

  bool kernel_has_io_uring_ = false;     // written before initialized_
  bool handles_killpriv_ = false;        // written before initialized_
  bool kernel_has_passthrough_ = false;  // written before initialized_
  std::atomic<bool> hears_opens_;
  std::atomic<bool> initialized_{false};
};

}  // namespace ufs
