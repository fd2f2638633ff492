// Contents.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "fs/read_ahead.h"
#include "fs/set_id.h"
#include "fs/union_fs.h"
#include "layerdb/base/fault.h"
#include "layerdb/base/page_cache.h"

namespace ufs {
namespace {

FaultPoint kWrite("write.before");
FaultPoint kFSync("fsync.before");
DonePoint kSuidDropped("write.suid_dropped");

// Whether it is writing that is forbidden: immutable or append-only, a running
// program, a file system that has become read-only.
bool RefusesWriters(int code) {
  return code == EPERM || code == ETXTBSY || code == EROFS;
}

// Of a place on the host.
Result<UniqueFd> Reopen(const auto& place, int flags) {
  return place.name.empty() ? sys::Reopen(*place.dir, flags)
                            : sys::OpenAt(place.at(), flags);
}

// Lets a file that may only grow (chattr +a) change otherwise; EPERM of any
// other file.
Result<LiftedFlags> WithoutAppendFlag(BorrowedFd notes, BorrowedFd file) {
  int flags = 0;
  TRY(sys::Ioctl(file, FS_IOC_GETFLAGS, &flags));
  if ((flags & kFixingFlags) != FS_APPEND_FL) return Error(EPERM);
  return LiftedFlags::Of(notes, file, FS_APPEND_FL);
}

}  // namespace

std::optional<std::string_view> UnionFs::DataInMemory(
    const InodeRef& inode) const {
  if (inode->backing() >= Backing::kPartial) return std::nullopt;
  return inode->data.layer().InMemory(inode->data);
}

// A descriptor of the contents as they are now; of what is in the upper of a
// file that is kPartial. REQUIRES: inode->mu held; the pin may be used after,
// for what need not see a copy-up.
Result<FdCache::Pin> UnionFs::DataFd(const InodeRef& inode) {
  return OpenCached(inode->fd_key(), [&]() -> Result<UniqueFd> {
    if (inode->backing() < Backing::kPartial)
      return inode->data.layer().Open(inode->data);
    const Place place = TRY(UpperPlace(inode));
    auto fd = upper_->OpenData(place.at());
    inode->fd_only_reads = RefusesWriters(fd.code());
    return inode->fd_only_reads ? Reopen(place, O_RDONLY) : std::move(fd);
  });
}

// The same, to be written to. REQUIRES: inode->backing() is kUpper.
Result<FdCache::Pin> UnionFs::WritableDataFd(const InodeRef& inode) {
  FdCache::Pin pin = TRY(DataFd(inode));
  if (!inode->fd_only_reads) return pin;
  // Whatever forbade it may have gone.
  const Place place = TRY(UpperPlace(inode));
  UniqueFd fd = TRY(upper_->OpenData(place.at()));
  fds_.Erase(inode->fd_key());
  inode->fd_only_reads = false;
  return fds_.Insert(inode->fd_key(), std::move(fd));
}

// A descriptor of a file that may only grow (chattr +a).
Result<UniqueFd> UnionFs::AppendFd(const InodeRef& inode) {
  return Reopen(TRY(UpperPlace(inode)), O_WRONLY | O_APPEND);
}

// To a file that may only grow. The kernel holds off other writers of the union
// while it sends an append.
Result<size_t> UnionFs::Append(const InodeRef& inode, const char* data,
                               size_t size, uint64_t offset) {
  const UniqueFd fd = TRY(AppendFd(inode));
  if (TRY(sys::Statx({fd})).stx_size != offset) return Error(EPERM);
  return sys::Pwrite(fd, data, size, offset);
}

Result<size_t> UnionFs::Read(NodeId node, char* buffer, size_t size,
                             uint64_t offset, Wait wait) {
  const InodeRef inode = TRY(Get(node));
  if (!inode->is_regular()) return Error(inode->is_dir() ? EISDIR : EINVAL);
  ReaderLock lock(inode->mu);
  if (inode->backing() < Backing::kPartial)
    size = std::min(size, inode->lower_size_bytes -
                              std::min(offset, inode->lower_size_bytes));
  if (const auto bytes = DataInMemory(inode)) {
    const size_t got =
        bytes->substr(std::min<uint64_t>(offset, bytes->size()), size)
            .copy(buffer, size);
    if (got < size && inode->backing() == Backing::kMetacopy)
      return LayerCutShort(inode);
    return got;
  }
  // A layer's file is read for its hash before it can be read.
  if (wait == Wait::kNoWait && config_.verify &&
      inode->backing() < Backing::kUpper)
    return Error(EAGAIN);
  const auto read = [&]() -> Result<size_t> {
    if (inode->backing() == Backing::kPartial)
      return ReadPartial(inode, buffer, size, offset, wait);
    const FdCache::Pin fd = TRY(DataFd(inode));
    const bool of_layer = inode->backing() < Backing::kPartial;
    if (of_layer) NoteRead(inode, offset, size);
    const size_t got = TRY(wait == Wait::kMayWait
                               ? sys::Pread(*fd, buffer, size, offset)
                               : sys::PreadNoWait(*fd, buffer, size, offset));
    DropBehind(*fd, offset, got, of_layer ? PagesOf::kLayer : PagesOf::kUpper);
    // The upper says how many the layer has.
    if (got < size && inode->backing() == Backing::kMetacopy)
      TRY(CheckReaches(inode, *fd, offset + size));
    return got;
  };
  const auto got = read();
  // A host that cannot say whether it would wait.
  if (got.code() == EOPNOTSUPP) return Error(EAGAIN);
  return got;
}

// What write(2) does to set-id bits; the daemon's own writes keep them.
Status UnionFs::KillSuid(const InodeRef& inode, const Caller& who) {
  if (inode->no_suid) return Ok();
  const bool dropped = TRY(WhileNoneFills(inode, [&]() -> Result<bool> {
    WriterLock lock(inode->mu);
    const Place place = TRY(UpperPlace(inode));
    const Attr now = TRY(upper_->GetAttr(place.at()));
    const mode_t mode = WithoutSetId(now.mode, now.gid, who);
    if (mode != now.mode) {
      TRY(upper_->SetMode(place.at(), now, mode));
      kSuidDropped.Visit();
    }
    inode->no_suid = (mode & (S_ISUID | S_ISGID)) == 0;
    return mode != now.mode;
  }));
  // A write tells the kernel of the mode nothing, and execve asks nobody.
  if (dropped && forget_attrs_) forget_attrs_(inode->id);
  return Ok();
}

Result<size_t> UnionFs::Write(NodeId node, const char* data, size_t size,
                              uint64_t offset, const Caller* loses) {
  const InodeRef inode = TRY(Get(node));
  if (!inode->is_regular()) return Error(inode->is_dir() ? EISDIR : EINVAL);
  TRY(kWrite.Visit());
  TRY(CopyUp(inode, Backing::kPartial));
  if (loses != nullptr) TRY(KillSuid(inode, *loses));
  if (inode->backing() == Backing::kPartial)
    return WritePartial(inode, data, size, offset);
  ReaderLock lock(inode->mu);
  const auto fd = WritableDataFd(inode);
  if (fd.code() == EPERM) return Append(inode, data, size, offset);
  large_writes_.Note(node, offset, size);
  return sys::Pwrite(*TRY(fd), data, size, offset);
}

void UnionFs::DropWritten(std::chrono::steady_clock::duration quiet) {
  for (const LargeWrites::Last& last : large_writes_.QuietFor(quiet)) {
    const auto dropped = DropIfClean(last.node);
    if (!dropped.ok() || *dropped) large_writes_.Forget(last);
  }
}

// False: the host has still to write some of it.
Result<bool> UnionFs::DropIfClean(NodeId node) {
  const InodeRef inode = TRY(Get(node));
  ReaderLock lock(inode->mu);
  if (inode->backing() != Backing::kUpper) return true;
  const FdCache::Pin fd = TRY(DataFd(inode));
  if (!TRY(sys::IsClean(*fd, kKeptTwiceBytes, /*size: the rest=*/0)))
    return false;
  TRY(sys::DropPages(*fd, kKeptTwiceBytes, 0));
  return true;
}

// --- what the kernel kept --------------------------------------------------

Result<size_t> UnionFs::WriteBack(NodeId node, const char* data, size_t size,
                                  uint64_t offset, Times times) {
  const InodeRef inode = TRY(Get(node));
  if (!inode->is_regular()) return Error(inode->is_dir() ? EISDIR : EINVAL);
  TRY(CopyUp(inode, Backing::kPartial));
  if (times == Times::kTold) TRY(NoteMtime(inode));
  auto written = WriteKept(inode, data, size, offset);
  if (written.code() == EPERM)
    written = WriteProtected(inode, data, size, offset);
  if (times == Times::kTold && written.ok()) TRY(RestoreMtime(inode));
  return written;
}

// REQUIRES: inode->backing() is at least kPartial.
Result<size_t> UnionFs::WriteKept(const InodeRef& inode, const char* data,
                                  size_t size, uint64_t offset) {
  const auto had_of = [&]() -> Result<HostPrivileges> {
    ReaderLock lock(inode->mu);
    return HostPrivileges::Of(*TRY(DataFd(inode)));
  };
  if (!TRY(had_of()).any())
    return Write(inode->id, data, size, offset, nullptr);
  // Taken by the host and given again under one lock, which contents in parts
  // have none of.
  TRY(CopyUp(inode, Backing::kUpper));
  TRY(kWrite.Visit());
  WriterLock lock(inode->mu);
  const FdCache::Pin fd = TRY(WritableDataFd(inode));
  const auto had = TRY(HostPrivileges::Of(*fd));
  const auto written = sys::Pwrite(*fd, data, size, offset);
  TRY(had.Restore(*fd));
  return written;
}

// To a file that may only grow (chattr +a): pages come whole and in any order,
// so that an append is none here. What the file has must stay as it is.
Result<size_t> UnionFs::WriteProtected(const InodeRef& inode, const char* data,
                                       size_t size, uint64_t offset) {
  TRY(CopyUp(inode, Backing::kUpper));
  WriterLock lock(inode->mu);
  const Place place = TRY(UpperPlace(inode));
  const UniqueFd file = TRY(Reopen(place, O_RDONLY));
  std::string there(size, '\0');
  there.resize(TRY(sys::Pread(file, there.data(), size, offset)));
  if (!std::string_view(data, size).starts_with(there)) return Error(EPERM);
  const LiftedFlags lifted = TRY(WithoutAppendFlag(upper_->lent_notes(), file));
  const UniqueFd fd = TRY(upper_->OpenData(place.at()));
  return sys::Pwrite(fd, data, size, offset);
}

// The times of an append to such a file, which the host would not let us set.
// EPERM where it lets us set no flags either. REQUIRES: inode->mu held alone.
Status UnionFs::SetTimesOfAppend(const InodeRef& inode,
                                 const timespec times[2]) {
  const UniqueFd file = TRY(Reopen(TRY(UpperPlace(inode)), O_RDONLY));
  const LiftedFlags lifted = TRY(WithoutAppendFlag(upper_->lent_notes(), file));
  return sys::UtimensAt({file}, times);
}

// Before the first write that was kept: what the times are until their keeper
// tells others. He may tell them before his last write comes.
Status UnionFs::NoteMtime(const InodeRef& inode) {
  {
    ReaderLock lock(inode->mu);
    if (inode->times && inode->times->told_mtime) return Ok();
  }
  WriterLock lock(inode->mu);
  if (inode->SomeTimes().told_mtime) return Ok();
  const struct statx now = TRY(sys::Statx({*TRY(DataFd(inode))}));
  inode->times->told_mtime =
      timespec{now.stx_mtime.tv_sec, now.stx_mtime.tv_nsec};
  return Ok();
}

// Alone, so that of several writes at once none leaves its own time.
Status UnionFs::RestoreMtime(const InodeRef& inode) {
  WriterLock lock(inode->mu);
  Inode::Times& told = *inode->times;
  if (!told.told_mtime) return Ok();  // somebody set it to now
  told.mtime_due = true;
  const timespec times[2] = {{0, UTIME_OMIT}, *told.told_mtime};
  auto set = sys::UtimensAt({*TRY(DataFd(inode))}, times);
  if (set.code() == EPERM) set = SetTimesOfAppend(inode, times);
  if (set.code() == EPERM) return Ok();  // the host's time stays
  return set;
}

Status UnionFs::FSync(NodeId node, bool data_only) {
  const InodeRef inode = TRY(Get(node));
  if (!syncs()) return Ok();
  TRY(kFSync.Visit());
  const bool data_synced =
      inode->backing() == Backing::kPartial && TRY(SettleOne(inode));
  std::optional<uint32_t> marks;  // without which the data would not count
  FdCache::Pin pin;
  UniqueFd opened;
  {
    ReaderLock lock(inode->mu);
    if (!inode->in_upper()) return Ok();  // a layer is on disk already
    if (inode->times &&
        inode->times->marks_synced != inode->times->marks_changed)
      marks = inode->times->marks_changed;
    else if (data_only && data_synced)
      return Ok();
    if (inode->is_regular() && inode->backing() >= Backing::kPartial) {
      pin = TRY(DataFd(inode));
    } else if (inode->is_dir() || inode->is_regular()) {
      const Place place = TRY(UpperPlace(inode));
      opened = TRY(Reopen(place, O_RDONLY));
    } else {
      return Error(EINVAL);
    }
  }
  const BorrowedFd fd = pin != nullptr ? BorrowedFd(*pin) : BorrowedFd(opened);
  if (!marks) return data_only ? sys::FDataSync(fd) : sys::FSync(fd);
  TRY(sys::FSync(fd));
  WriterLock lock(inode->mu);
  inode->times->marks_synced = *marks;
  return Ok();
}

Status UnionFs::Fallocate(NodeId node, int mode, uint64_t offset,
                          uint64_t length, const Caller* loses) {
  const InodeRef inode = TRY(Get(node));
  if (!inode->is_regular()) return Error(inode->is_dir() ? EISDIR : ENODEV);
  TRY(kWrite.Visit());
  TRY(CopyUp(inode, Backing::kPartial));
  if (loses != nullptr) TRY(KillSuid(inode, *loses));
  if (inode->backing() == Backing::kPartial)
    return FallocatePartial(inode, mode, offset, length);
  ReaderLock lock(inode->mu);
  const auto fd = WritableDataFd(inode);
  if (fd.code() == EPERM)  // to grow is not forbidden
    return sys::Fallocate(TRY(AppendFd(inode)), mode, offset, length);
  return sys::Fallocate(*TRY(fd), mode, offset, length);
}

Result<uint64_t> UnionFs::LSeek(NodeId node, uint64_t offset, int whence) {
  const InodeRef inode = TRY(Get(node));
  if (!inode->is_regular()) return Error(EINVAL);
  if (whence != SEEK_DATA && whence != SEEK_HOLE) return Error(EINVAL);
  ReaderLock lock(inode->mu);
  if (const auto bytes = DataInMemory(inode)) {
    if (offset >= bytes->size()) return Error(ENXIO);
    return whence == SEEK_DATA ? offset : uint64_t{bytes->size()};
  }
  if (inode->backing() == Backing::kPartial)
    return LSeekPartial(inode, offset, whence);
  const FdCache::Pin fd = TRY(DataFd(inode));
  return sys::LSeek(*fd, static_cast<int64_t>(offset), whence);
}

// Where the bytes at `offset` are; `length` is cut to what is there.
// REQUIRES: inode->mu held.
Result<FdCache::Pin> UnionFs::SourceAt(const InodeRef& inode, uint64_t offset,
                                       size_t& length) {
  if (inode->backing() != Backing::kPartial) return DataFd(inode);
  const ChunkMap::Run run = inode->chunks->RunAt(offset);
  length = std::min<uint64_t>(length, run.end - offset);
  return run.in_upper ? DataFd(inode) : LayerDataFd(inode);
}

Result<size_t> UnionFs::CopyFileRange(NodeId in, uint64_t in_offset, NodeId out,
                                      uint64_t out_offset, size_t length,
                                      const Caller* loses) {
  const InodeRef source = TRY(Get(in));
  const InodeRef target = TRY(Get(out));
  if (!source->is_regular() || !target->is_regular()) return Error(EINVAL);
  TRY(kWrite.Visit());
  TRY(CopyUp(target, Backing::kPartial));
  if (loses != nullptr) TRY(KillSuid(target, *loses));
  std::optional<std::string_view> bytes;
  {
    // Within one file, what is copied may not become part of what is to copy.
    ReaderLock lock(source->mu);
    bytes = DataInMemory(source);
    const uint64_t size =
        bytes ? bytes->size()
              : TRY(sys::Statx({*TRY(DataFd(source))})).stx_size;
    length = std::min<uint64_t>(length, size - std::min(size, in_offset));
  }
  TRY(FetchRange(target, out_offset, out_offset + length));
  if (bytes) {
    ReaderLock lock(target->mu);
    if (length == 0) return size_t{0};
    const FdCache::Pin to = TRY(WritableDataFd(target));
    TRY(MendMarks(target, *to));
    return sys::Pwrite(*to, bytes->data() + in_offset, length, out_offset);
  }
  size_t done = 0;
  while (done < length) {
    // Never both locks at once: they would have an order to keep.
    FdCache::Pin from;
    size_t run = length - done;
    {
      ReaderLock lock(source->mu);
      from = TRY(SourceAt(source, in_offset + done, run));
    }
    ReaderLock lock(target->mu);
    const FdCache::Pin to = TRY(WritableDataFd(target));
    TRY(MendMarks(target, *to));
    const auto copied = sys::CopyFileRange(*from, in_offset + done, *to,
                                           out_offset + done, run);
    if (!copied.ok() && done == 0) return copied;
    if (!copied.ok() || *copied == 0) break;
    done += *copied;
  }
  return done;
}

}  // namespace ufs
