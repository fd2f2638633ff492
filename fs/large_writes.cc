#include "fs/large_writes.h"

#include "fs/read_ahead.h"

namespace ufs {
namespace {

constexpr size_t kMost = 256;  // more stay as the host keeps them

}  // namespace

void LargeWrites::Note(NodeId node, uint64_t offset, uint64_t size) {
  if (size < kLargeRequestBytes || offset + size <= kKeptTwiceBytes) return;
  MutexLock lock(mu_);
  if (last_.size() < kMost || last_.contains(node))
    last_[node] = std::chrono::steady_clock::now();
}

void LargeWrites::Forget(const Last& last) {
  MutexLock lock(mu_);
  const auto found = last_.find(last.node);
  if (found != last_.end() && found->second == last.written) last_.erase(found);
}

std::vector<LargeWrites::Last> LargeWrites::QuietFor(
    std::chrono::steady_clock::duration time) const {
  const auto before = std::chrono::steady_clock::now() - time;
  std::vector<Last> quiet;
  MutexLock lock(mu_);
  for (const auto& [node, last] : last_)
    if (last <= before) quiet.push_back({node, last});
  return quiet;
}

}  // namespace ufs
