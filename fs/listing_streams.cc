#include "fs/listing_streams.h"

#include <unordered_map>

namespace ufs {

void ListingStreams::Begin(NodeId dir, Clock::time_point now) {
  MutexLock lock(mu_);
  if (by_dir_.size() >= kMaxDirs)
    std::erase_if(by_dir_, [&](const auto& entry) {
      return now - entry.second.begun > kPatience;
    });
  Streams& streams = by_dir_[dir];
  if (now - streams.begun > kPatience) streams = {};
  streams.begun = now;
  streams.mixed = ++streams.open > 1;
}

bool ListingStreams::End(NodeId dir) {
  MutexLock lock(mu_);
  const auto found = by_dir_.find(dir);
  if (found == by_dir_.end()) return false;
  const bool mixed = found->second.mixed;
  if (--found->second.open == 0) by_dir_.erase(found);
  return mixed;
}

}  // namespace ufs
