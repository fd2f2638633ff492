#include "fs/fd_cache.h"

#include <atomic>
#include <utility>

namespace ufs {

uint64_t FdCache::NewKey() {
  static std::atomic<uint64_t> next{2};  // after NodeId::kRoot
  return next.fetch_add(1, std::memory_order_relaxed);
}

FdCache::Pin FdCache::Find(uint64_t key) {
  MutexLock lock(mu_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  slots_.splice(slots_.begin(), slots_, found->second);
  return found->second->pin;
}

FdCache::Pin FdCache::Insert(uint64_t key, UniqueFd fd) {
  Pin pin = std::make_shared<const UniqueFd>(std::move(fd));
  Slots evicted;
  MutexLock lock(mu_);
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    evicted.splice(evicted.begin(), slots_, found->second);
    by_key_.erase(found);
  }
  slots_.push_front({key, pin});
  by_key_[key] = slots_.begin();
  TrimLocked(capacity_, evicted);
  return pin;
}

void FdCache::Erase(uint64_t key) {
  Slots evicted;
  MutexLock lock(mu_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return;
  evicted.splice(evicted.begin(), slots_, found->second);
  by_key_.erase(found);
}

void FdCache::Shrink() {
  Slots evicted;
  MutexLock lock(mu_);
  TrimLocked(capacity_ / 2, evicted);
}

size_t FdCache::size() const {
  MutexLock lock(mu_);
  return slots_.size();
}

void FdCache::TrimLocked(size_t keep, Slots& evicted) {
  while (slots_.size() > keep) {
    by_key_.erase(slots_.back().key);
    evicted.splice(evicted.begin(), slots_, std::prev(slots_.end()));
  }
}

}  // namespace ufs
