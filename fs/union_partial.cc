// Contents that are partly in the upper: a write to a file of a layer copies
// the chunks it touches, not the file.
//
// The upper file has the full size and holes where nothing was copied; its
// chunk map says what counts. Nothing is synced when a chunk comes up, because
// until the map says "on disk" a power cut leaves the layer's bytes standing
// (chunk_map.h). A map that has become whole turns the file into an ordinary
// one.
//
// The map changes with the inode's turn and `mu` both held, so either is
// enough to read it; a chunk's bytes are written before the map shows them, by
// one thread at a time (the turn).
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "fs/data_copy.h"
#include "fs/read_ahead.h"
#include "fs/set_id.h"
#include "fs/union_fs.h"
#include "layerdb/base/cleanup.h"
#include "layerdb/base/fault.h"
#include "layerdb/base/log.h"

namespace ufs {
namespace {

DonePoint kBegun("partial.begun");
FaultPoint kChunkCopied("partial.chunk_copied");
DonePoint kChunkAdded("partial.chunk_added");
FaultPoint kSynced("partial.synced");
DonePoint kCut("partial.cut");
DonePoint kFinished("partial.finished");

// What comes up between two updates of the map.
constexpr uint64_t kFetchBytes = 4 << 20;
// What is copied while readers wait, when a whole file is asked for.
constexpr uint64_t kCompleteBytes = 1 << 20;
// Files up to this size do not stay split.
constexpr uint64_t kSmallFileBytes = 1 << 20;
constexpr size_t kSyncEach = 16;

// For overlayfs, which takes this mark as empty or as a structure of at least
// four bytes: it refuses the file (EIO) rather than show old contents.
constexpr char kPartialMetacopy[] = "p";

}  // namespace

// Whether a write may leave the rest of the file in the layer. So it does
// where that is less than a chunk as well: nothing has to be synced.
bool UnionFs::MaySplitContents(const Inode& inode) const {
  return config_.partial && config_.metacopy && upper_->has_xattrs() &&
         inode.is_regular() && inode.lower_size_bytes > 0;
}

// Whether what a write to a file of a layer copies is little, and in memory.
// REQUIRES: inode->mu held, shared or alone; nothing copied up yet.
bool UnionFs::IsAtHand(const InodeRef& inode, uint64_t offset, uint64_t size) {
  if (!MaySplitContents(*inode) || inode->lower_size_bytes > kSmallFileBytes)
    return false;
  if (inode->data.layer().InMemory(inode->data)) return true;
  const ChunkMap map(inode->lower_size_bytes);
  const uint64_t end = std::min(offset + size, map.limit());
  if (offset >= end) return true;
  const uint64_t first = map.ChunkBegin(offset);
  const size_t want =
      std::min(map.ChunkEnd(end - 1), inode->lower_size_bytes) - first;
  const auto fd = DataFd(inode);
  if (!fd.ok()) return false;
  const auto buffer = std::make_unique_for_overwrite<char[]>(want);
  const auto got = sys::PreadNoWait(**fd, buffer.get(), want, first);
  return got.ok() && *got == want;
}

// Whether the upper can share the layer's blocks, so that a whole copy is the
// cheapest. Found out once a layer, by sharing.
bool UnionFs::SharesBlocks(const Inode& inode) {
  const Layer* layer = &inode.data.layer();
  if (layer->InMemory(inode.data)) return false;
  {
    MutexLock lock(shares_mu_);
    if (const auto known = shares_blocks_.find(layer);
        known != shares_blocks_.end())
      return known->second;
  }
  const auto from = layer->Open(inode.data);
  const auto draft = upper_->NewFile(0600);
  if (!from.ok() || !draft.ok()) return false;  // who copies will tell why
  const bool shares = sys::CloneFile(draft->fd(), *from).ok();
  MutexLock lock(shares_mu_);
  return shares_blocks_.emplace(layer, shares).first->second;
}

// Marks the upper file of a split inode. False: the host has no room for a map
// among the file's attributes; a whole copy needs none, or will tell that the
// disk is full.
Result<bool> UnionFs::MarkSplit(sys::At at, const ChunkMap& map) {
  const auto set = upper_->SetMark(at, names_.chunks, map.Format(BootId()));
  if (set.code() == ENOSPC || set.code() == E2BIG || set.code() == ERANGE ||
      set.code() == EDQUOT)
    return false;
  TRY(set);
  TRY(upper_->SetMark(at, names_.metacopy, kPartialMetacopy));
  return true;
}

// A metacopy becomes a file that may be written; false as MarkSplit.
// REQUIRES: turn held.
Result<bool> UnionFs::Split(const InodeRef& inode) {
  WriterLock lock(inode->mu);
  const Place place = TRY(UpperPlace(inode));
  UniqueFd fd = TRY(upper_->OpenData(place.at()));
  ChunkMap map(inode->lower_size_bytes);
  if (!TRY(MarkSplit({fd}, map))) return false;
  // The write that comes next is the last change.
  const auto released = upper_->RemoveMark({fd}, names_.held_time);
  if (released.code() != ENODATA) TRY(released);
  fds_.Insert(inode->fd_key(), std::move(fd));
  inode->chunks = std::make_unique<ChunkMap>(std::move(map));
  inode->set_backing(Backing::kPartial);
  ++copy_ups_partial_;
  if (table_.NameOf(inode)) NotePartial(inode);
  NoteUnsettled(inode);
  kBegun.Visit();
  return true;
}

// The layer's contents of a file that has some in the upper as well.
Result<FdCache::Pin> UnionFs::LayerDataFd(const InodeRef& inode) {
  return OpenCached(~inode->fd_key(), [&]() -> Result<UniqueFd> {
    const Layer& layer = inode->data.layer();
    const auto bytes = layer.InMemory(inode->data);
    if (!bytes) return layer.Open(inode->data);
    UniqueFd fd = TRY(sys::MemFd("ufs-layer-data"));
    if (TRY(sys::Pwrite(fd, bytes->data(), bytes->size(), 0)) < bytes->size())
      return Error(ENOMEM);
    return fd;
  });
}

// REQUIRES: inode->mu held, shared or alone.
Result<size_t> UnionFs::ReadPartial(const InodeRef& inode, char* buffer,
                                    size_t size, uint64_t offset, Wait wait) {
  size_t done = 0;
  while (done < size) {
    const uint64_t at = offset + done;
    const ChunkMap::Run run = inode->chunks->RunAt(at);
    const size_t want = std::min<uint64_t>(size - done, run.end - at);
    const FdCache::Pin fd =
        TRY(run.in_upper ? DataFd(inode) : LayerDataFd(inode));
    const size_t got =
        TRY(wait == Wait::kMayWait
                ? sys::Pread(*fd, buffer + done, want, at)
                : sys::PreadNoWait(*fd, buffer + done, want, at));
    DropBehind(*fd, at, got, run.in_upper ? PagesOf::kUpper : PagesOf::kLayer);
    done += got;
    if (got == want) continue;
    if (run.in_upper) break;  // the end of the file
    TRY(CheckReaches(inode, *fd, at + want));
    memset(buffer + done, 0, want - got);
    done += want - got;
  }
  return done;
}

// The layer has less than the upper says is its: it was changed meanwhile, or
// is another one. Zeros in its place would be copied up, to stay.
Error UnionFs::LayerCutShort(const InodeRef& inode) {
  return Error(EIO, "layer " + inode->data.layer().label() + ": " +
                        inode->data.layer().PathOf(inode->data) +
                        " is shorter than when its copy-up began");
}

// That the layer's file reaches to `end`, whatever can be read of it: those of
// sysfs say more than they have.
Status UnionFs::CheckReaches(const InodeRef& inode, BorrowedFd fd,
                             uint64_t end) {
  if (TRY(sys::Statx({fd})).stx_size < end) return LayerCutShort(inode);
  return Ok();
}

// CopyRange, of what must be there.
Result<uint64_t> UnionFs::CopyFromLayer(const InodeRef& inode, BorrowedFd from,
                                        BorrowedFd to, uint64_t begin,
                                        uint64_t end) {
  TRY(CheckReaches(inode, from, end));
  return CopyRange(from, to, begin, end);
}

// Brings up what is missing of the chunks that touch [begin, end).
// REQUIRES: turn held.
Status UnionFs::FetchChunks(const InodeRef& inode, uint64_t begin,
                            uint64_t end) {
  const ChunkMap& map = *inode->chunks;
  end = std::min(end, map.limit());
  ++copying_;
  const Cleanup done([this] { --copying_; });
  FdCache::Pin from, to;
  for (uint64_t at = begin; at < end;) {
    const ChunkMap::Run run = map.RunAt(at);
    if (run.in_upper) {
      at = run.end;
      continue;
    }
    if (from == nullptr) {
      ReaderLock lock(inode->mu);
      from = TRY(LayerDataFd(inode));
      to = TRY(DataFd(inode));
    }
    const uint64_t start = map.ChunkBegin(at);
    const uint64_t stop =
        map.ChunkEnd(std::min({end, run.end, start + kFetchBytes}) - 1);
    copy_up_bytes_ += TRY(CopyFromLayer(inode, *from, *to, start, stop));
    TRY(kChunkCopied.Visit());
    TRY(AddChunks(inode, start, stop));
    at = stop;
  }
  return Ok();
}

// The chunks in [begin, end), written, are shown from now on.
// REQUIRES: turn held.
Status UnionFs::AddChunks(const InodeRef& inode, uint64_t begin, uint64_t end) {
  {
    // As no reader is between the two places: invariant I4.
    WriterLock lock(inode->mu);
    TRY(AddLocked(inode, begin, end));
  }
  kChunkAdded.Visit();
  return Ok();
}

// REQUIRES: turn held, and inode->mu alone.
Status UnionFs::AddLocked(const InodeRef& inode, uint64_t begin, uint64_t end) {
  const FdCache::Pin fd = TRY(DataFd(inode));
  ChunkMap map = *inode->chunks;
  map.Add(begin, end);
  std::swap(*inode->chunks, map);
  if (const auto stored = StoreChunks(inode, *fd); !stored.ok()) {
    std::swap(*inode->chunks, map);
    return stored;
  }
  NoteUnsettled(inode);
  return Ok();
}

// REQUIRES: turn, or inode->mu, held.
Status UnionFs::StoreChunks(const InodeRef& inode, BorrowedFd fd) {
  return upper_->SetMark({fd}, names_.chunks, inode->chunks->Format(BootId()));
}

// Before contents change: what a kill, or a step that failed, has left in the
// marks. The change is the last one, whatever time is held; and a map that
// counts past the end would count what grows there as the layer's. Costs
// something once. REQUIRES: turn, or inode->mu, held.
Status UnionFs::MendMarks(const InodeRef& inode, BorrowedFd fd) {
  if (!inode->marks_lag) return Ok();
  TRY(StoreChunks(inode, fd));
  const auto ended = upper_->RemoveMark({fd}, names_.held_time);
  if (ended.code() != ENODATA) TRY(ended);
  inode->marks_lag = false;
  return Ok();
}

// Replaces [begin, end) by what `put` writes there, from the beginning. What it
// covers is not copied first: of what is cut short, as by a full disk, the rest
// of a chunk would be missing, and so none of that chunk shows. How much does.
template <typename Put>
Result<size_t> UnionFs::Overwrite(const InodeRef& inode, uint64_t begin,
                                  uint64_t end, Put put) {
  const auto change = [&](const FdCache::Pin& fd) -> Result<size_t> {
    TRY(MendMarks(inode, *fd));
    return put(*fd);
  };
  {
    ReaderLock lock(inode->mu);
    if (inode->backing() == Backing::kUpper ||
        inode->chunks->Covers(begin, end))
      return change(TRY(DataFd(inode)));
  }
  const Turn turn(turns_, inode->id);
  const auto pin = [&]() -> Result<FdCache::Pin> {
    ReaderLock lock(inode->mu);
    return DataFd(inode);
  };
  if (inode->backing() == Backing::kUpper) return change(TRY(pin()));
  const ChunkMap& map = *inode->chunks;
  for (const uint64_t edge : {begin, end - 1}) {
    if (edge >= map.limit()) continue;
    if (begin > map.ChunkBegin(edge) || end < map.ChunkEnd(edge))
      TRY(FetchChunks(inode, edge, edge + 1));
  }
  uint64_t shown = begin + TRY(change(TRY(pin())));
  if (shown < end && shown > begin && !map.Covers(shown - 1, shown))
    shown = std::max(begin, map.ChunkBegin(shown));
  // Where the edges were all, nothing is left that could fail: the bytes show.
  if (shown > begin && !map.Covers(begin, shown))
    TRY(AddChunks(inode, begin, shown));
  return shown - begin;
}

Result<size_t> UnionFs::WritePartial(const InodeRef& inode, const char* data,
                                     size_t size, uint64_t offset) {
  if (size == 0) return size_t{0};
  // Why no more was written.
  Status cut;
  const auto put = [&](const UniqueFd& fd) -> Result<size_t> {
    const size_t done = TRY(sys::Pwrite(fd, data, size, offset));
    if (done == size) return done;
    const auto rest = sys::Pwrite(fd, data + done, size - done, offset + done);
    if (!rest.ok()) cut = rest.error();
    return rest.ok() ? done + *rest : done;
  };
  const size_t shown = TRY(Overwrite(inode, offset, offset + size, put));
  if (shown == 0) return cut.ok() ? Error(ENOSPC) : cut.error();
  return shown;
}

Status UnionFs::FallocatePartial(const InodeRef& inode, int mode,
                                 uint64_t offset, uint64_t length) {
  const bool clears =
      (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0;
  const auto change = [&](const UniqueFd& fd) -> Result<size_t> {
    TRY(sys::Fallocate(fd, mode, offset, length));
    return length;
  };
  if (clears && length > 0) {
    TRY(Overwrite(inode, offset, offset + length, change));
    return Ok();
  }
  TRY(FetchRange(inode, offset, offset + length));
  ReaderLock lock(inode->mu);
  const FdCache::Pin fd = TRY(DataFd(inode));
  TRY(MendMarks(inode, *fd));
  TRY(change(*fd));
  return Ok();
}

// FetchChunks for one who holds nothing yet.
Status UnionFs::FetchRange(const InodeRef& inode, uint64_t begin,
                           uint64_t end) {
  if (inode->backing() != Backing::kPartial) return Ok();
  const Turn turn(turns_, inode->id);
  if (inode->backing() != Backing::kPartial) return Ok();
  return FetchChunks(inode, begin, end);
}

// REQUIRES: inode->mu held, shared or alone.
Result<uint64_t> UnionFs::LSeekPartial(const InodeRef& inode, uint64_t offset,
                                       int whence) {
  const FdCache::Pin upper = TRY(DataFd(inode));
  const uint64_t size = TRY(sys::Statx({*upper})).stx_size;
  if (offset >= size) return Error(ENXIO);
  for (uint64_t at = offset; at < size;) {
    const ChunkMap::Run run = inode->chunks->RunAt(at);
    const FdCache::Pin fd = run.in_upper ? upper : TRY(LayerDataFd(inode));
    const auto found = sys::LSeek(*fd, static_cast<int64_t>(at), whence);
    // Past the end of a file there is no data, and nothing but a hole.
    if (!found.ok() && found.code() != ENXIO) return found;
    if (found.ok() && *found < std::min(run.end, size)) return *found;
    if (!found.ok() && whence == SEEK_HOLE) return at;
    at = run.end;
  }
  if (whence == SEEK_HOLE) return size;
  return Error(ENXIO);
}

// The size is `size_bytes` now. REQUIRES: turn and inode->mu held alone.
Status UnionFs::TruncateChunks(const InodeRef& inode, BorrowedFd fd,
                               uint64_t size_bytes) {
  if (!inode->chunks || size_bytes >= inode->chunks->limit()) return Ok();
  // The file is shorter already, and a map never counts past its end: should
  // this fail, what is on disk is still right until the file grows.
  inode->chunks->Truncate(size_bytes);
  inode->marks_lag = true;
  kCut.Visit();
  TRY(StoreChunks(inode, fd));
  inode->marks_lag = false;
  return Ok();
}

// Gives a split file all of the rest, or, with `keep` 0, none of it.
// REQUIRES: turn held.
Status UnionFs::MakeWhole(const InodeRef& inode, uint64_t keep) {
  if (keep == 0) {
    WriterLock lock(inode->mu);
    const FdCache::Pin fd = TRY(DataFd(inode));
    TRY(sys::FTruncate(*fd, 0));
    return FinishLocked(inode, *fd);
  }
  TRY(FillRest(inode));
  ++copying_;
  const Cleanup done([this] { --copying_; });
  const Unsettled whole = TRY(SnapshotOf(inode));
  if (!upper_->is_volatile()) TRY(sys::FDataSync(*whole.fd));
  WriterLock lock(inode->mu);
  return FinishLocked(inode, *whole.fd);
}

// Copies what is missing behind everybody's back: neither times nor privileges
// may tell.
// REQUIRES: turn held.
Status UnionFs::FillRest(const InodeRef& inode) {
  ++copying_;
  const Cleanup done([this] { --copying_; });
  const ChunkMap& map = *inode->chunks;
  while (!map.Whole()) TRY(FillPiece(inode, kCompleteBytes));
  return Ok();
}

// The first piece that is missing: `bytes`, or a chunk if that is larger.
// REQUIRES: turn held.
Status UnionFs::FillPiece(const InodeRef& inode, uint64_t bytes) {
  const ChunkMap::Piece piece = inode->chunks->FirstMissing(bytes);
  if (piece.begin == piece.end) return Ok();
  WriterLock lock(inode->mu);
  const FdCache::Pin from = TRY(LayerDataFd(inode));
  const FdCache::Pin to = TRY(DataFd(inode));
  // With the time that a daemon killed in here has left held.
  const auto now = TRY(upper_->Look({*to}));
  const Attr before = upper_->Shown(now.stat, now.marks);
  const auto privileges = TRY(HostPrivileges::Of(*to));
  TRY(upper_->SetMark({*to}, names_.held_time,
                      FormatHeldTime({before.size_bytes, before.mtime})));
  const auto copied = CopyFromLayer(inode, *from, *to, piece.begin, piece.end);
  const Status restored = privileges.Restore(*to);
  const timespec times[2] = {before.atime, before.mtime};
  TRY(sys::UtimensAt({*to}, times));
  TRY(upper_->RemoveMark({*to}, names_.held_time));
  TimesMoved(inode);
  copy_up_bytes_ += TRY(copied);
  TRY(restored);
  return AddLocked(inode, piece.begin, piece.end);
}

// A whole file whose data is on disk needs no map.
// REQUIRES: turn and inode->mu held alone.
Status UnionFs::FinishLocked(const InodeRef& inode, BorrowedFd fd) {
  // This mark decides; what the other one says without it is nothing.
  TRY(upper_->RemoveMark({fd}, names_.metacopy));
  inode->set_backing(Backing::kUpper);
  inode->chunks.reset();
  inode->marks_lag = false;
  ++inode->SomeTimes().marks_changed;
  ForgetPartial(inode);
  fds_.Erase(~inode->fd_key());
  kFinished.Visit();
  return upper_->RemoveMark({fd}, names_.chunks);
}

// --- on disk ---------------------------------------------------------------

// What is to be synced now; without a descriptor for a file that is not split.
Result<UnionFs::Unsettled> UnionFs::SnapshotOf(const InodeRef& inode) {
  ReaderLock lock(inode->mu);
  if (inode->backing() != Backing::kPartial) return Unsettled{inode, {}, {}};
  return Unsettled{inode, *inode->chunks, TRY(DataFd(inode))};
}

// The data of the snapshot is on disk, and the map may say so. True: the file's
// marks changed.
Result<bool> UnionFs::Settled(const Unsettled& then) {
  if (!then.chunks->dirty() && !then.chunks->Whole()) return false;
  TRY(kSynced.Visit());
  const InodeRef& inode = then.inode;
  const Turn turn(turns_, inode->id);
  WriterLock lock(inode->mu);
  if (inode->backing() != Backing::kPartial) return false;
  const bool changed = inode->chunks->SetDurable(*then.chunks);
  if (inode->chunks->Whole() && !inode->chunks->dirty()) {
    TRY(FinishLocked(inode, *then.fd));
    TimesMoved(inode);
    return true;
  }
  if (!changed) return false;
  TRY(StoreChunks(inode, *then.fd));
  ++inode->SomeTimes().marks_changed;
  TimesMoved(inode);
  return true;
}

Result<bool> UnionFs::SettleOne(const InodeRef& inode) {
  const Unsettled then = TRY(SnapshotOf(inode));
  if (then.fd == nullptr) return false;
  if (!upper_->is_volatile()) TRY(sys::FDataSync(*then.fd));
  TRY(Settled(then));
  return true;
}

void UnionFs::NoteUnsettled(const InodeRef& inode) {
  MutexLock lock(unsettled_mu_);
  unsettled_.emplace(inode->id, inode);
}

// Where little is missing the file had better be an ordinary one, that others
// can read. A rest that cannot be had now is no loss: it is in the layer.
void UnionFs::FillSmallRest(const InodeRef& inode) {
  const Turn turn(turns_, inode->id);
  if (inode->backing() == Backing::kPartial &&
      inode->chunks->limit() <= kSmallFileBytes)
    if (const Status filled = FillRest(inode); !filled.ok())
      log::Debug("not filled: " + filled.error().ToString());
}

Status UnionFs::Settle() {
  MutexLock one(settle_mu_);
  std::unordered_map<NodeId, InodeRef> noted;
  {
    MutexLock lock(unsettled_mu_);
    noted.swap(unsettled_);
  }
  std::vector<Unsettled> waiting;
  Status first;
  const auto keep = [&](const InodeRef& inode, const Error& error) {
    if (first.ok()) first = error;
    NoteUnsettled(inode);
  };
  for (const auto& [id, inode] : noted) {
    FillSmallRest(inode);
    auto then = SnapshotOf(inode);
    if (!then.ok())
      keep(inode, then.error());
    else if (then->fd != nullptr)
      waiting.push_back(std::move(*then));
  }
  // One sync of everything costs less than many of one file each.
  const bool each = waiting.size() <= kSyncEach;
  Status synced;
  if (!each && !upper_->is_volatile()) synced = sys::SyncFs(upper_->root());
  for (const Unsettled& then : waiting) {
    Status done = synced;
    if (each && !upper_->is_volatile()) done = sys::FDataSync(*then.fd);
    if (done.ok())
      if (const auto settled = Settled(then); !settled.ok())
        done = settled.error();
    if (!done.ok()) keep(then.inode, done.error());
  }
  return first;
}

}  // namespace ufs
