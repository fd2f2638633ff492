#include "fs/fuse_adapter.h"

#include "fs/fuse_request.h"

namespace ufs {
namespace {

// What one WRITE or READ may carry, and with it what a directory listing may.
constexpr unsigned kMaxTransferBytes = 1u << 20;

// Requests nobody waits for (readahead, asynchronous direct I/O). The kernel's
// default of 12 starves parallel readers.
constexpr unsigned kMaxBackground = 64;

// Wanted where the kernel has them.
constexpr uint64_t kWanted[] = {
    // OPEN, OPENDIR and with them RELEASE and RELEASEDIR are not sent: a node
    // needs no handle, so a warm open, read and close is no message at all. But
    // for passthrough, where OPEN says in which file of the host.
    FUSE_CAP_NO_OPEN_SUPPORT,
    FUSE_CAP_NO_OPENDIR_SUPPORT,
    // All changes of data come through the mount, so that the kernel need not
    // compare times to know whether its pages are true.
    FUSE_CAP_EXPLICIT_INVAL_DATA,
    // Else each write() asks for security.capability first.
    FUSE_CAP_HANDLE_KILLPRIV_V2,
    // The umask comes with the request, and a default ACL overrides it.
    FUSE_CAP_DONT_MASK,
    FUSE_CAP_CACHE_SYMLINKS,
    FUSE_CAP_PARALLEL_DIROPS,
    FUSE_CAP_READDIRPLUS,
    FUSE_CAP_ASYNC_READ,
    FUSE_CAP_IOCTL_DIR,
    // A node number does not outlive the kernel's interest in it, so a file
    // handle made from one must not either.
    FUSE_CAP_NO_EXPORT_SUPPORT,
    FUSE_CAP_OVER_IO_URING,
};

// Set by libfuse, and wrong here.
constexpr uint64_t kUnwanted[] = {
    // Whoever lists a directory whole before it looks at anything in it, as
    // fts(3) does for find, du and rm, would ask for each name that the first
    // answer had no room for.
    FUSE_CAP_READDIRPLUS_AUTO,
    // The kernel drops the pages that reads bring in beside an O_DIRECT write
    // only where it waits for it: io_submit(2) left old ones in the cache.
    FUSE_CAP_ASYNC_DIO,
    FUSE_CAP_AUTO_INVAL_DATA,
    // With it truncation comes in OPEN, which is not sent.
    FUSE_CAP_ATOMIC_O_TRUNC,
    // A pipe between two buffers is one more copy, not one fewer.
    FUSE_CAP_SPLICE_READ,
    FUSE_CAP_SPLICE_WRITE,
    FUSE_CAP_SPLICE_MOVE,
};

}  // namespace

FuseAdapter::FuseAdapter(UnionFs& fs, Metrics& metrics, WorkerPool& pool,
                         const Options& options)
    : fs_(fs),
      metrics_(metrics),
      pool_(pool),
      options_(options),
      timeout_s_(std::chrono::duration<double>(options.cache_timeout).count()),
      hears_opens_(options.passthrough) {}

fuse_lowlevel_ops FuseAdapter::Operations() {
  fuse_lowlevel_ops ops{};
  ops.init = OnInit;
  AddNameHandlers(ops);
  AddAttrHandlers(ops);
  AddDataHandlers(ops);
  return ops;
}

void FuseAdapter::OnInit(void* self, fuse_conn_info* conn) noexcept {
  ForbidCancellation();
  static_cast<FuseAdapter*>(self)->Negotiate(conn);
}

void FuseAdapter::Negotiate(fuse_conn_info* conn) {
  for (const uint64_t flag : kUnwanted) fuse_unset_feature_flag(conn, flag);
  for (const uint64_t flag : kWanted) fuse_set_feature_flag(conn, flag);
  if (options_.acl) fuse_set_feature_flag(conn, FUSE_CAP_POSIX_ACL);
  // Makes the kernel the owner of the sizes and times of what it keeps.
  if (options_.writeback)
    fuse_set_feature_flag(conn, FUSE_CAP_WRITEBACK_CACHE);
  else
    fuse_unset_feature_flag(conn, FUSE_CAP_WRITEBACK_CACHE);

  if (options_.passthrough) {
    kernel_has_passthrough_ = fuse_set_feature_flag(conn, FUSE_CAP_PASSTHROUGH);
    // Of the upper's file system: none. It may then lie below an overlayfs.
    conn->max_backing_stack_depth = 0;
  }

  conn->max_write = kMaxTransferBytes;
  conn->max_background = kMaxBackground;
  conn->congestion_threshold = kMaxBackground * 3 / 4;
  conn->time_gran = 1;
  // No handler waits for anything but the disk, so there is nothing that an
  // interrupted caller could be released from.
  conn->no_interrupt = 1;

  kernel_has_io_uring_ = fuse_get_feature_flag(conn, FUSE_CAP_OVER_IO_URING);
  handles_killpriv_ = fuse_get_feature_flag(conn, FUSE_CAP_HANDLE_KILLPRIV_V2);
  initialized_.store(true, std::memory_order_release);
}

}  // namespace ufs
