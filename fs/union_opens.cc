// Opens, in a mount whose opens the kernel announces.
#include <fcntl.h>

#include <cerrno>

#include "fs/union_fs.h"

namespace ufs {
namespace {

bool IsWriter(int flags) { return (flags & O_ACCMODE) != O_RDONLY; }

}  // namespace

Status UnionFs::UsePassthrough(BackingFiles& files) {
  if (upper_ == nullptr) return Error(EROFS);
  const Draft probe = TRY(upper_->NewFile(0600));
  files.Unregister(TRY(files.Register(probe.fd())));
  backing_files_ = &files;
  return Ok();
}

// What the kernel may open as `flags` say, and does with its reply. It calls
// EIO whatever keeps it from that, so that the host is asked before.
// REQUIRES: inode->mu held alone, inode->opens set, and inode->backing() is
// kUpper.
Result<int> UnionFs::BackingId(const InodeRef& inode, int flags) {
  const FdCache::Pin fd = TRY(DataFd(inode));
  // What is protected on the host, or runs there, is not from its first open
  // on: the kernel's own would not ask.
  if (inode->fd_only_reads && !inode->opens->passes()) return Error(EPERM);
  // A descriptor that may write says that the host lets everybody do so.
  if (inode->fd_only_reads || (flags & O_DIRECT) != 0)
    TRY(sys::Reopen(*fd, flags & (O_ACCMODE | O_APPEND | O_DIRECT)));
  const int id = inode->opens->backing_id();
  return id != 0 ? id : backing_files_.load()->Register(*fd);
}

Result<UnionFs::Opened> UnionFs::OpenFile(NodeId node, int flags) {
  const InodeRef inode = TRY(Get(node));
  if (!inode->is_regular()) return Error(inode->is_dir() ? EISDIR : ENXIO);
  WriterLock lock(inode->mu);
  if (inode->opens == nullptr) inode->opens = std::make_unique<OpenModes>();
  OpenModes& opens = *inode->opens;
  if (backing_files_ == nullptr || inode->backing() != Backing::kUpper ||
      !opens.may_pass()) {
    opens.OpenThroughPages();
    return Opened{};
  }
  const auto id = BackingId(inode, flags);
  if (!id.ok()) {
    if (opens.passes()) return id.error();
    opens.OpenThroughPages();
    return Opened{};
  }
  opens.OpenPassed(*id);
  if (IsWriter(flags)) ++passed_writers_;
  // It may be mapped now, and a store there tells nobody of its time.
  const bool may_map_to_write = (flags & O_ACCMODE) == O_RDWR;
  return Opened{
      .backing_id = *id,
      .lost_times = may_map_to_write && !inode->times_move.exchange(true)};
}

// Whether its writes are no messages.
bool UnionFs::IsPassed(const InodeRef& inode) {
  ReaderLock lock(inode->mu);
  return inode->opens != nullptr && inode->opens->passes();
}

void UnionFs::CloseFile(NodeId node, int flags) {
  const auto inode = Get(node);
  if (!inode.ok()) return;
  WriterLock lock((*inode)->mu);
  std::unique_ptr<OpenModes>& opens = (*inode)->opens;
  if (opens == nullptr) return;
  if (opens->passes() && IsWriter(flags)) --passed_writers_;
  if (const int id = opens->Release(); id != 0)
    backing_files_.load()->Unregister(id);
  if (opens->may_pass() && !opens->passes()) opens.reset();
}

}  // namespace ufs
