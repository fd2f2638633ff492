#include "fs/sealed_contents.h"

namespace ufs {
namespace {

constexpr int64_t kNsInSecond = 1'000'000'000;
// More than the clock of any file system stands still.
constexpr int64_t kStandstillNs = 100'000'000;

}  // namespace

std::optional<ObjectId> SealedContents::Find(const struct statx& stat) {
  const auto found = known_.find(FileOf(stat));
  if (found == known_.end()) return std::nullopt;
  const Known& known = found->second;
  if (known.changed.tv_sec != stat.stx_ctime.tv_sec ||
      known.changed.tv_nsec != stat.stx_ctime.tv_nsec ||
      known.size_bytes != stat.stx_size)
    return std::nullopt;
  in_use_.insert(known.id);
  return known.id;
}

void SealedContents::Add(const timespec& before, const struct statx& stat,
                         const ObjectId& id) {
  in_use_.insert(id);
  const int64_t age_ns = (before.tv_sec - stat.stx_ctime.tv_sec) * kNsInSecond +
                         before.tv_nsec - stat.stx_ctime.tv_nsec;
  if (age_ns < kStandstillNs) return;
  known_[FileOf(stat)] = {stat.stx_ctime, stat.stx_size, id};
}

}  // namespace ufs
