#include "fs/inode_table.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

namespace ufs {

uint64_t InoOf(const Identity& identity) {
  // Layer and number side by side, readable in `ls -i`, while they fit; hashed
  // where a host has larger numbers. Bit 63 stays free: some programs read
  // numbers as signed.
  constexpr int kInoBits = 40;
  constexpr uint32_t kMaxLayer = (1u << 22) - 1;
  if (identity.layer == 0 && identity.ino < uint64_t{1} << 62)
    return identity.ino;
  if (identity.ino < uint64_t{1} << kInoBits && identity.layer <= kMaxLayer)
    return uint64_t{identity.layer} << kInoBits | identity.ino;
  const uint64_t both[] = {identity.layer, identity.ino};
  return XXH3_64bits(both, sizeof(both)) >> 1 | uint64_t{1} << 62;
}

Inode::~Inode() { table_.Remove(*this); }

InodeLocks::InodeLocks(std::initializer_list<Inode*> inodes) {
  for (Inode* inode : inodes)
    if (inode != nullptr &&
        std::find(locked_, locked_ + count_, inode) == locked_ + count_)
      locked_[count_++] = inode;
  std::sort(locked_, locked_ + count_,
            [](Inode* a, Inode* b) { return a->id < b->id; });
  for (int i = 0; i < count_; ++i) locked_[i]->mu.Lock();
}

InodeLocks::~InodeLocks() {
  while (count_ > 0) locked_[--count_]->mu.Unlock();
}

InodeTable::~InodeTable() {
  std::deque<Slot> slots;
  {
    MutexLock lock(mu_);
    slots.swap(slots_);
    slots_.resize(slots.size());
    for (size_t i = 0; i < slots.size(); ++i) slots_[i].inode = slots[i].inode;
  }
  for (Slot& slot : slots) slot.held.reset();
}

InodeRef InodeTable::MakeLocked(Birth birth) {
  uint64_t id = slots_.size();
  if (!free_.empty()) {
    id = free_.back();
    free_.pop_back();
  } else {
    slots_.emplace_back();
  }
  Slot& slot = slots_[id];
  auto inode =
      std::make_shared<Inode>(*this, static_cast<NodeId>(id), ++slot.generation,
                              birth.identity, birth.type);
  slot.inode = inode.get();
  slot.weak = inode;
  inode->set_backing(birth.backing);
  inode->lower = std::move(birth.lower);
  inode->data = std::move(birth.data);
  inode->lower_size_bytes = birth.lower_size_bytes;
  inode->hard_linked = birth.hard_linked;
  inode->lower_alias = std::move(birth.lower_alias);
  inode->parts = std::move(birth.parts);
  inode->origin_btime = birth.origin_btime;
  inode->impure = birth.impure;
  inode->has_default_acl = birth.has_default_acl;
  inode->index_name_ = std::move(birth.index_name);
  inode->upper_ino_ = birth.upper_ino;
  by_identity_[birth.identity] = inode.get();
  if (birth.upper_ino != 0) by_upper_[birth.upper_ino] = inode.get();
  return inode;
}

InodeRef InodeTable::Intern(Birth birth) {
  // Declared first: a reference given up here must go after the lock.
  InodeRef found;
  MutexLock lock(mu_);
  if (const auto at = by_identity_.find(birth.identity);
      at != by_identity_.end()) {
    found = slots_[static_cast<uint64_t>(at->second->id)].weak.lock();
    // Dying ones are as good as gone.
    const bool other_object = found != nullptr && birth.upper_ino != 0 &&
                              found->upper_ino_ != 0 &&
                              found->upper_ino_ != birth.upper_ino;
    if (found != nullptr && !other_object && found->type == birth.type)
      return found;
    if (found != nullptr && birth.upper_ino != 0) {
      birth.identity = {0, birth.upper_ino};
      if (const auto own = by_identity_.find(birth.identity);
          own != by_identity_.end())
        if (auto known =
                slots_[static_cast<uint64_t>(own->second->id)].weak.lock())
          return known;
    }
  }
  return MakeLocked(std::move(birth));
}

InodeRef InodeTable::MakeRoot(Birth birth) {
  MutexLock lock(mu_);
  InodeRef root = MakeLocked(std::move(birth));
  root->lookups_ = 1;
  slots_[1].held = root;
  return root;
}

InodeRef InodeTable::Find(NodeId id) const {
  const auto index = static_cast<uint64_t>(id);
  MutexLock lock(mu_);
  return index < slots_.size() ? slots_[index].weak.lock() : nullptr;
}

InodeRef InodeTable::FindByUpper(uint64_t upper_ino) const {
  MutexLock lock(mu_);
  const auto at = by_upper_.find(upper_ino);
  if (at == by_upper_.end()) return nullptr;
  return slots_[static_cast<uint64_t>(at->second->id)].weak.lock();
}

InodeRef InodeTable::FindByIdentity(const Identity& identity) const {
  MutexLock lock(mu_);
  const auto at = by_identity_.find(identity);
  if (at == by_identity_.end()) return nullptr;
  return slots_[static_cast<uint64_t>(at->second->id)].weak.lock();
}

void InodeTable::AddLookup(const InodeRef& inode) {
  MutexLock lock(mu_);
  if (inode->lookups_++ == 0)
    slots_[static_cast<uint64_t>(inode->id)].held = inode;
}

void InodeTable::Forget(NodeId id, uint64_t lookups) {
  const auto index = static_cast<uint64_t>(id);
  InodeRef last;  // may free the inode, with the lock given back
  MutexLock lock(mu_);
  if (index >= slots_.size() || slots_[index].held == nullptr) return;
  Inode& inode = *slots_[index].held;
  inode.lookups_ -= std::min(lookups, inode.lookups_);
  if (inode.lookups_ == 0 && id != NodeId::kRoot)
    last = std::move(slots_[index].held);
}

void InodeTable::Remove(const Inode& inode) {
  const auto index = static_cast<uint64_t>(inode.id);
  MutexLock lock(mu_);
  if (slots_[index].inode != &inode) return;
  slots_[index].inode = nullptr;
  slots_[index].weak.reset();
  free_.push_back(index);
  if (const auto at = by_identity_.find(inode.identity);
      at != by_identity_.end() && at->second == &inode)
    by_identity_.erase(at);
  if (const auto at = by_upper_.find(inode.upper_ino_);
      at != by_upper_.end() && at->second == &inode)
    by_upper_.erase(at);
}

void InodeTable::AddName(const InodeRef& inode, const InodeRef& parent,
                         std::string_view name) {
  MutexLock lock(mu_);
  for (const LinkName& known : inode->names_)
    if (known.parent == parent && known.name == name) return;
  inode->names_.push_back({parent, std::string(name)});
}

size_t InodeTable::RemoveName(const InodeRef& inode, const InodeRef& parent,
                              std::string_view name) {
  std::vector<LinkName> removed;  // a parent may go with it, after the lock
  MutexLock lock(mu_);
  for (auto at = inode->names_.begin(); at != inode->names_.end(); ++at) {
    if (at->parent != parent || at->name != name) continue;
    removed.push_back(std::move(*at));
    inode->names_.erase(at);
    break;
  }
  return inode->names_.size();
}

bool InodeTable::HasName(const InodeRef& inode, const InodeRef& parent,
                         std::string_view name) const {
  MutexLock lock(mu_);
  return std::any_of(inode->names_.begin(), inode->names_.end(),
                     [&](const LinkName& known) {
                       return known.parent == parent && known.name == name;
                     });
}

std::optional<LinkName> InodeTable::NameOf(const InodeRef& inode) const {
  MutexLock lock(mu_);
  if (inode->names_.empty()) return std::nullopt;
  return inode->names_.front();
}

void InodeTable::SetUpper(const InodeRef& inode, uint64_t upper_ino) {
  MutexLock lock(mu_);
  inode->upper_ino_ = upper_ino;
  by_upper_[upper_ino] = inode.get();
}

uint64_t InodeTable::UpperIno(const InodeRef& inode) const {
  MutexLock lock(mu_);
  return inode->upper_ino_;
}

void InodeTable::SetIndexName(const InodeRef& inode, std::string name) {
  MutexLock lock(mu_);
  inode->index_name_ = std::move(name);
}

void InodeTable::SetOrphan(const InodeRef& inode, FdCache::Pin pin) {
  MutexLock lock(mu_);
  inode->orphan_.swap(pin);
}

Result<InodeTable::UpperPlace> InodeTable::PlaceOf(
    const InodeRef& inode) const {
  MutexLock lock(mu_);
  UpperPlace place;
  if (inode->orphan_ != nullptr) {
    place.orphan = inode->orphan_;
  } else if (!inode->index_name_.empty()) {
    place.index_name = inode->index_name_;
  } else if (!inode->names_.empty()) {
    place.parent = inode->names_.front().parent;
    place.name = inode->names_.front().name;
  } else {
    return Error(ENOENT);
  }
  return place;
}

size_t InodeTable::size() const {
  MutexLock lock(mu_);
  return slots_.size() - 1 - free_.size();
}

}  // namespace ufs
