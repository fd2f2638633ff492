#include "fs/listing.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

namespace ufs {
namespace {

// Positive as an off_t, and clear of the offsets of "." and "..".
uint64_t OffsetOf(std::string_view name) {
  const uint64_t hash = XXH3_64bits(name.data(), name.size()) >> 2;
  return std::max(hash, Listing::kFirstOffset);
}

}  // namespace

Listing::Listing(const std::vector<Source>& names) {
  size_t bytes = 0;
  for (const Source& source : names) bytes += source.name.size() + 1;
  names_.reserve(bytes);
  items_.reserve(names.size());
  for (const Source& source : names) {
    items_.push_back({OffsetOf(source.name), source.ino,
                      static_cast<uint32_t>(names_.size()), source.type});
    names_.append(source.name).push_back('\0');
  }
  std::sort(items_.begin(), items_.end(), [&](const Item& a, const Item& b) {
    if (a.offset != b.offset) return a.offset < b.offset;
    return std::string_view(name(a)) < std::string_view(name(b));
  });
  // Two names with one hash: the later of the two moves up by one.
  for (size_t i = 1; i < items_.size(); ++i)
    items_[i].offset = std::max(items_[i].offset, items_[i - 1].offset + 1);
}

size_t Listing::After(uint64_t offset) const {
  return std::upper_bound(items_.begin(), items_.end(), offset,
                          [](uint64_t value, const Item& item) {
                            return value < item.offset;
                          }) -
         items_.begin();
}

ListingCache::Entry ListingCache::Find(NodeId dir) {
  MutexLock lock(mu_);
  const auto found = by_dir_.find(static_cast<uint64_t>(dir));
  if (found == by_dir_.end()) return {};
  slots_.splice(slots_.begin(), slots_, found->second);
  return found->second->entry;
}

void ListingCache::Insert(NodeId dir, Entry entry) {
  Slots dropped;
  MutexLock lock(mu_);
  if (const auto found = by_dir_.find(static_cast<uint64_t>(dir));
      found != by_dir_.end())
    DropLocked(found->second, dropped);
  bytes_ += entry.listing->bytes();
  slots_.push_front({dir, std::move(entry)});
  by_dir_[static_cast<uint64_t>(dir)] = slots_.begin();
  // The newest stays however large it is: somebody is reading it.
  while (bytes_ > budget_bytes_ && slots_.size() > 1)
    DropLocked(std::prev(slots_.end()), dropped);
}

void ListingCache::Erase(NodeId dir) {
  Slots dropped;
  MutexLock lock(mu_);
  if (const auto found = by_dir_.find(static_cast<uint64_t>(dir));
      found != by_dir_.end())
    DropLocked(found->second, dropped);
}

void ListingCache::DropLocked(Slots::iterator slot, Slots& dropped) {
  bytes_ -= slot->entry.listing->bytes();
  by_dir_.erase(static_cast<uint64_t>(slot->dir));
  dropped.splice(dropped.begin(), slots_, slot);
}

}  // namespace ufs
