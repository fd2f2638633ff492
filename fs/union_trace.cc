// What a start reads of the layers: told to who records it, and read ahead.
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "fs/read_ahead.h"
#include "fs/start_trace.h"
#include "fs/union_fs.h"

namespace ufs {

Status UnionFs::RecordReads(TraceRecorder& recorder) {
  TraceRecorder* none = nullptr;
  if (recorder_.compare_exchange_strong(none, &recorder)) return Ok();
  return Error(EBUSY, "what the mount reads is being recorded");
}

void UnionFs::StopRecording(TraceRecorder& recorder) {
  TraceRecorder* expected = &recorder;
  recorder_.compare_exchange_strong(expected, nullptr);
}

// REQUIRES: inode->mu held; its contents are a layer's.
void UnionFs::NoteRead(const InodeRef& inode, uint64_t offset, uint64_t size) {
  if (TraceRecorder* const recorder = recorder_.load(std::memory_order_acquire))
    recorder->Note(inode->data.layer().ContentsName(inode->data), offset,
                   offset + size);
}

Result<uint64_t> UnionFs::ReadAheadData(const TraceEntry& entry) {
  UniqueFd found;
  {
    MutexLock lock(lowers_mu_);
    found = TRY(OpenContents(entry.contents));
  }
  const uint64_t size = TRY(sys::Statx({found})).stx_size;
  const uint64_t end = std::min(entry.end, size);
  if (entry.begin >= end) return uint64_t{0};
  TRY(ReadAhead(found, entry.begin, end - entry.begin));
  return end - entry.begin;
}

Result<UniqueFd> UnionFs::OpenContents(std::string_view name) const {
  for (uint32_t rank = lowers_->top(); rank > 0; --rank) {
    auto fd = lowers_->layer(rank).OpenContents(name);
    if (fd.code() != ENOENT) return fd;
  }
  return Error(ENOENT);
}

void UnionFs::ReadNamesAhead() {
  // Those that were there first stay.
  std::vector<const Layer*> layers;
  {
    MutexLock lock(lowers_mu_);
    for (uint32_t rank = lowers_->top(); rank > 0; --rank)
      if (!lowers_->layer(rank).IsFrozenUpper())
        layers.push_back(&lowers_->layer(rank));
  }
  for (const Layer* layer : layers) layer->ReadNamesAhead();
}

}  // namespace ufs
