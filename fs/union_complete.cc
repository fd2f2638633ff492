// Files that are partly in the upper, taken together: which there are, and a
// step towards having less of them, for a thread that has time.
//
// A step holds locks for one piece of a file, whose bytes are in memory by
// then, so that nobody waits for the disk behind it.
#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

#include "fs/union_fs.h"
#include "layerdb/base/cleanup.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

// Or one chunk, if that is larger.
constexpr uint64_t kStepBytes = 256 << 10;
constexpr size_t kWarmBytes = 128 << 10;
// Nobody asked for the copies: they leave that part of the disk to others.
constexpr uint64_t kShareOfDiskLeft = 16;

}  // namespace

void UnionFs::NotePartial(const InodeRef& inode) {
  MutexLock lock(partials_mu_);
  partials_.try_emplace(inode->id, Partial{inode, /*failed=*/false});
}

void UnionFs::ForgetPartial(const InodeRef& inode) {
  MutexLock lock(partials_mu_);
  partials_.erase(inode->id);
}

uint64_t UnionFs::MissingOf(Inode& inode) {
  if (inode.backing() != Backing::kPartial) return 0;
  ReaderLock lock(inode.mu);
  return inode.chunks ? inode.chunks->MissingBytes() : 0;
}

std::vector<UnionFs::Partial> UnionFs::Partials() const {
  std::vector<Partial> all;
  MutexLock lock(partials_mu_);
  for (const auto& [id, partial] : partials_) all.push_back(partial);
  return all;
}

// The one that was begun; else the file of which the least is missing, so that
// as many as can be are whole soon, and none that changes for ever keeps the
// others back. One that has just been written to is left to its writer. Null:
// none. Then those that failed have another try.
InodeRef UnionFs::NextPartial() {
  InodeRef best;
  uint64_t least = UINT64_MAX;
  bool any_failed = false;
  for (const Partial& partial : Partials()) {
    const InodeRef& inode = partial.inode;
    if (inode->backing() != Backing::kPartial) {
      ForgetPartial(inode);
      continue;
    }
    const uint64_t missing = MissingOf(*inode);
    any_failed |= partial.failed;
    if (partial.failed || missing == 0) continue;
    if (inode->id == completing_) return inode;
    if (missing >= least) continue;
    {
      MutexLock lock(unsettled_mu_);
      if (unsettled_.contains(inode->id)) continue;
    }
    best = inode;
    least = missing;
  }
  completing_ = best != nullptr ? best->id : NodeId::kNone;
  if (best == nullptr && any_failed) {
    MutexLock lock(partials_mu_);
    for (auto& [id, partial] : partials_) partial.failed = false;
  }
  return best;
}

Result<bool> UnionFs::HasRoomFor(uint64_t bytes) {
  const struct statvfs disk = TRY(sys::StatVfs(upper_->root()));
  const uint64_t keep = disk.f_blocks / kShareOfDiskLeft;
  return disk.f_bavail > keep &&
         (disk.f_bavail - keep) * disk.f_frsize >= bytes;
}

// Reads what the next step copies, which no lock is needed for: a layer does
// not change.
Status UnionFs::WarmNext(const InodeRef& inode) {
  FdCache::Pin from;
  uint64_t begin = 0, end = 0;
  {
    ReaderLock lock(inode->mu);
    if (inode->backing() != Backing::kPartial) return Ok();
    const ChunkMap::Piece piece = inode->chunks->FirstMissing(kStepBytes);
    begin = piece.begin;
    end = piece.end;
    from = TRY(LayerDataFd(inode));
  }
  const auto buffer = std::make_unique_for_overwrite<char[]>(kWarmBytes);
  while (begin < end) {
    const size_t got =
        TRY(sys::Pread(*from, buffer.get(),
                       std::min<uint64_t>(kWarmBytes, end - begin), begin));
    if (got == 0) break;
    begin += got;
  }
  return Ok();
}

Result<uint64_t> UnionFs::CompleteSome() {
  if (upper_ == nullptr) return uint64_t{0};
  const InodeRef inode = NextPartial();
  if (inode == nullptr) return uint64_t{0};
  const auto step = [&]() -> Result<uint64_t> {
    const uint64_t before = MissingOf(*inode);
    if (!TRY(HasRoomFor(before))) return Error(ENOSPC);
    TRY(WarmNext(inode));
    {
      const Turn turn(turns_, inode->id);
      if (inode->backing() != Backing::kPartial) return uint64_t{1};
      ++copying_;
      const Cleanup done([this] { --copying_; });
      TRY(FillPiece(inode, kStepBytes));
    }
    // What was cut off, or written by others, counts as moved: it is little.
    return std::max<uint64_t>(1, before - std::min(before, MissingOf(*inode)));
  };
  const auto copied = step();
  if (copied.ok()) return copied;
  if (!IsFull(copied.code())) {
    MutexLock lock(partials_mu_);
    if (const auto at = partials_.find(inode->id); at != partials_.end())
      at->second.failed = true;
  }
  completing_ = NodeId::kNone;
  return copied;
}

Status UnionFs::CompleteAll() {
  if (upper_ == nullptr) return Ok();
  for (const Partial& partial : Partials()) {
    const InodeRef& inode = partial.inode;
    const Turn turn(turns_, inode->id);
    if (inode->backing() != Backing::kPartial) {
      ForgetPartial(inode);
      continue;
    }
    ++copying_;
    const Cleanup done([this] { --copying_; });
    while (!inode->chunks->Whole()) {
      if (stop_completing_) return Error(ECANCELED, "the mount ends");
      TRY(FillPiece(inode, kStepBytes));
    }
    NoteUnsettled(inode);
  }
  return Settle();
}

// The kernel asks again for the time of the last change, and the blocks.
void UnionFs::TimesMoved(const InodeRef& inode) {
  if (invalidate_) invalidate_(inode->id);
}

void UnionFs::CountPartials(UnionStats& stats) const {
  for (const Partial& partial : Partials()) {
    const uint64_t missing = MissingOf(*partial.inode);
    if (missing == 0) continue;
    ++stats.partial_files;
    stats.partial_bytes_missing += missing;
  }
}

}  // namespace ufs
