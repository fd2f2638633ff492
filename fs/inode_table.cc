#include "fs/inode_table.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

namespace ufs {

namespace {

// In a number of the upper's: it is another's, too.
constexpr uint64_t kGivenAgain = uint64_t{1} << 60;

}  // namespace

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

void Inode::set_parts(std::vector<LowerPart> parts) {
  part_count_ = static_cast<uint32_t>(parts.size());
  parts_ = nullptr;
  if (parts.empty()) return;
  auto own = std::make_unique<LowerPart[]>(parts.size());
  std::move(parts.begin(), parts.end(), own.get());
  parts_ = std::move(own);
}

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

NamedLocks::NamedLocks(const InodeTable& table, const InodeRef& inode) {
  const auto is_still = [&] {
    return name_ ? table.HasName(inode, name_->parent, name_->name)
                 : !table.NameOf(inode);
  };
  do {
    locks_.reset();
    name_ = table.NameOf(inode);
    locks_.emplace({inode.get(), name_ ? name_->parent.get() : nullptr});
  } while (!is_still());
}

void InodeRef::Drop(Inode* inode) {
  // A loop, not a recursion: the tree may be deep.
  while (inode != nullptr &&
         inode->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    Inode* const parent = std::exchange(inode->name_.parent.inode_, nullptr);
    delete inode;
    inode = parent;
  }
}

InodeTable::~InodeTable() {
  std::vector<InodeRef> held;  // let go after the lock
  MutexLock lock(mu_);
  by_id_.ForEach([&](Inode& inode) {
    if (inode.lookups_ > 0) held.push_back(InodeRef(&inode));
  });
}

InodeRef InodeTable::Retain(Inode* inode) {
  if (inode == nullptr) return nullptr;
  uint32_t count = inode->references_.load(std::memory_order_relaxed);
  while (count != 0)
    if (inode->references_.compare_exchange_weak(count, count + 1))
      return InodeRef(inode);
  return nullptr;
}

Inode::Extra& InodeTable::ExtraOf(Inode& inode) {
  if (inode.extra_ == nullptr) inode.extra_ = std::make_unique<Inode::Extra>();
  return *inode.extra_;
}

InodeRef InodeTable::MakeLocked(NodeId id, Birth birth) {
  InodeRef inode(new Inode(*this, id, birth.identity, birth.type));
  inode->set_backing(birth.backing);
  inode->lower = std::move(birth.lower);
  inode->data = std::move(birth.data);
  inode->lower_size_bytes = birth.lower_size_bytes;
  inode->marks_lag = birth.marks_lag;
  if (birth.chunks)
    inode->chunks = std::make_unique<ChunkMap>(*std::move(birth.chunks));
  inode->hard_linked = birth.hard_linked;
  if (!birth.lower_alias.empty())
    inode->lower_alias =
        std::make_unique<const std::string>(std::move(birth.lower_alias));
  inode->set_parts(std::move(birth.parts));
  if (birth.origin_btime) inode->SomeTimes().origin_btime = birth.origin_btime;
  inode->impure = birth.impure;
  inode->keeps_names = birth.keeps_names;
  inode->has_default_acl = birth.has_default_acl;
  if (!birth.index_name.empty())
    ExtraOf(*inode).index_name = std::move(birth.index_name);
  inode->upper_ino_ = birth.upper_ino;
  by_id_.Put(*inode);
  by_identity_.Put(*inode);
  if (birth.upper_ino != 0) by_upper_[birth.upper_ino] = inode.get();
  return inode;
}

InodeRef InodeTable::Intern(Birth birth) {
  // Declared first: a reference given up here must go after the lock.
  InodeRef found;
  MutexLock lock(mu_);
  found = Retain(by_identity_.Find(birth.identity));
  if (found != nullptr) {
    const bool other_object = birth.upper_ino != 0 && found->upper_ino_ != 0 &&
                              found->upper_ino_ != birth.upper_ino;
    if (!other_object && found->type == birth.type) return found;
    if (birth.upper_ino != 0) {
      birth.identity = {0, birth.upper_ino};
      InodeRef own = Retain(by_identity_.Find(birth.identity));
      if (own != nullptr && own->upper_ino_ == birth.upper_ino) return own;
      // Taken as well, by what was born in the upper before a commit, under a
      // number that the host has given again.
      if (own != nullptr) birth.identity.ino |= kGivenAgain;
      if (own != nullptr) own = Retain(by_identity_.Find(birth.identity));
      if (own != nullptr) return own;
    }
  }
  return MakeLocked(NodeId{FdCache::NewKey()}, std::move(birth));
}

InodeRef InodeTable::MakeRoot(Birth birth) {
  MutexLock lock(mu_);
  InodeRef root = MakeLocked(NodeId::kRoot, std::move(birth));
  root->lookups_ = 1;
  root->references_.fetch_add(1);
  return root;
}

InodeRef InodeTable::Find(NodeId id) const {
  MutexLock lock(mu_);
  return Retain(by_id_.Find(id));
}

InodeRef InodeTable::FindByUpper(uint64_t upper_ino) const {
  MutexLock lock(mu_);
  const auto at = by_upper_.find(upper_ino);
  return at == by_upper_.end() ? nullptr : Retain(at->second);
}

InodeRef InodeTable::FindByIdentity(const Identity& identity) const {
  MutexLock lock(mu_);
  return Retain(by_identity_.Find(identity));
}

void InodeTable::AddLookup(const InodeRef& inode) {
  MutexLock lock(mu_);
  if (inode->lookups_++ == 0) inode->references_.fetch_add(1);
}

bool InodeTable::Forget(NodeId id, uint64_t lookups) {
  InodeRef last;  // may free the inode, with the lock given back
  MutexLock lock(mu_);
  Inode* const inode = by_id_.Find(id);
  if (inode == nullptr || inode->lookups_ == 0) return false;
  inode->lookups_ -= std::min(lookups, inode->lookups_);
  if (inode->lookups_ > 0 || id == NodeId::kRoot) return false;
  last = InodeRef(inode);
  return true;
}

void InodeTable::Remove(Inode& inode) {
  // Nobody will ask for it again, and it may hold the space of a deleted file.
  fds_.Erase(inode.fd_key());
  if (inode.chunks) fds_.Erase(~inode.fd_key());
  MutexLock lock(mu_);
  by_id_.Remove(inode);
  by_identity_.Remove(inode);
  TakeUpper(inode);
}

void InodeTable::TakeUpper(const Inode& inode) {
  const auto at = by_upper_.find(inode.upper_ino_);
  if (at != by_upper_.end() && at->second == &inode) by_upper_.erase(at);
}

void InodeTable::Shrink() {
  MutexLock lock(mu_);
  by_id_.Shrink();
  by_identity_.Shrink();
  by_upper_.rehash(0);
}

LinkNames::node_type InodeTable::Extract(LinkNames& names,
                                         const LinkNameView& name) {
  const auto at = names.find(name);
  return at == names.end() ? LinkNames::node_type() : names.extract(at);
}

void InodeTable::AddName(const InodeRef& inode, const InodeRef& parent,
                         std::string_view name) {
  MutexLock lock(mu_);
  if (HasNameLocked(*inode, {parent, name})) return;
  LinkName added{parent, std::string(name)};
  if (inode->name_.parent == nullptr)
    inode->name_ = std::move(added);
  else
    ExtraOf(*inode).more_names.insert(std::move(added));
}

size_t InodeTable::RemoveName(const InodeRef& inode, const InodeRef& parent,
                              std::string_view name) {
  // A parent may go with them, after the lock.
  LinkName first;
  LinkNames::node_type removed, left;
  MutexLock lock(mu_);
  if (inode->name_.parent == nullptr) return 0;
  Inode::Extra* const extra = inode->extra_.get();
  const LinkNameView gone(parent, name);
  const bool is_first = inode->name_ == gone;
  if (is_first) first = std::exchange(inode->name_, {});
  if (extra == nullptr) return is_first ? 0 : 1;
  left = Extract(extra->names_left, gone);
  LinkNames& more = extra->more_names;
  if (!is_first) {
    removed = Extract(more, gone);
  } else if (!more.empty()) {
    removed = more.extract(more.begin());
    std::swap(inode->name_, removed.value());
  }
  return more.size() + (inode->name_.parent != nullptr ? 1 : 0);
}

void InodeTable::MoveName(const InodeRef& inode, const InodeRef& parent,
                          std::string_view name, const InodeRef& new_parent,
                          std::string_view new_name) {
  // A parent may go with the old one, after the lock.
  LinkName moved{new_parent, std::string(new_name)};
  LinkNames::node_type left;
  LinkNames::insert_return_type known;
  MutexLock lock(mu_);
  const LinkNameView old(parent, name);
  Inode::Extra* const extra = inode->extra_.get();
  if (extra != nullptr) left = Extract(extra->names_left, old);
  if (inode->name_ == old) {
    std::swap(inode->name_, moved);
  } else if (extra != nullptr) {
    auto node = Extract(extra->more_names, old);
    if (node.empty()) return;
    std::swap(node.value(), moved);
    known = extra->more_names.insert(std::move(node));
  }
}

bool InodeTable::HasNameLocked(const Inode& inode,
                               const LinkNameView& name) const {
  return inode.name_ == name ||
         (inode.extra_ && inode.extra_->more_names.contains(name));
}

bool InodeTable::HasName(const InodeRef& inode, const InodeRef& parent,
                         std::string_view name) const {
  MutexLock lock(mu_);
  return HasNameLocked(*inode, {parent, name});
}

std::optional<LinkName> InodeTable::NameOf(const InodeRef& inode) const {
  MutexLock lock(mu_);
  if (inode->name_.parent == nullptr) return std::nullopt;
  return inode->name_;
}

void InodeTable::NoteNameLeft(const InodeRef& inode, const InodeRef& parent,
                              std::string_view name) {
  MutexLock lock(mu_);
  ExtraOf(*inode).names_left.insert({parent, std::string(name)});
}

void InodeTable::NoteNamesLeft(const InodeRef& inode) {
  MutexLock lock(mu_);
  Inode::Extra& extra = ExtraOf(*inode);
  extra.names_left.insert(extra.more_names.begin(), extra.more_names.end());
  if (inode->name_.parent != nullptr) extra.names_left.insert(inode->name_);
}

LinkNames InodeTable::TakeNamesLeft(const InodeRef& inode) {
  MutexLock lock(mu_);
  if (!inode->extra_) return {};
  return std::exchange(inode->extra_->names_left, {});
}

void InodeTable::SetUpper(const InodeRef& inode, uint64_t upper_ino) {
  MutexLock lock(mu_);
  TakeUpper(*inode);
  inode->upper_ino_ = upper_ino;
  inode->silent.Forget();
  by_upper_[upper_ino] = inode.get();
}

void InodeTable::ForgetUpper(const InodeRef& inode) {
  FdCache::Pin orphan;  // closed after the lock
  LinkNames left;
  MutexLock lock(mu_);
  TakeUpper(*inode);
  inode->upper_ino_ = 0;
  if (inode->extra_ == nullptr) return;
  inode->extra_->index_name.clear();
  // Its name was gone, and another was looked up.
  inode->extra_->orphan.swap(orphan);
  inode->extra_->names_left.swap(left);
}

std::vector<InodeRef> InodeTable::All() const {
  std::vector<InodeRef> all;
  MutexLock lock(mu_);
  all.reserve(by_id_.size());
  by_id_.ForEach([&](Inode& inode) {
    if (InodeRef held = Retain(&inode)) all.push_back(std::move(held));
  });
  return all;
}

uint64_t InodeTable::UpperIno(const InodeRef& inode) const {
  MutexLock lock(mu_);
  return inode->upper_ino_;
}

void InodeTable::SetIndexName(const InodeRef& inode, std::string name) {
  MutexLock lock(mu_);
  ExtraOf(*inode).index_name = std::move(name);
}

void InodeTable::SetOrphan(const InodeRef& inode, FdCache::Pin pin) {
  MutexLock lock(mu_);
  if (pin == nullptr && inode->extra_ == nullptr) return;
  ExtraOf(*inode).orphan.swap(pin);
}

void InodeTable::SetRemovedAt(const InodeRef& inode, const timespec& when) {
  MutexLock lock(mu_);
  ExtraOf(*inode).removed_at = when;
}

std::optional<timespec> InodeTable::RemovedAt(const InodeRef& inode) const {
  MutexLock lock(mu_);
  if (inode->extra_ == nullptr) return std::nullopt;
  return inode->extra_->removed_at;
}

Result<InodeTable::UpperPlace> InodeTable::PlaceOf(
    const InodeRef& inode) const {
  MutexLock lock(mu_);
  UpperPlace place;
  const Inode::Extra* const extra = inode->extra_.get();
  if (extra != nullptr && extra->orphan != nullptr) {
    place.orphan = extra->orphan;
  } else if (extra != nullptr && !extra->index_name.empty()) {
    place.index_name = extra->index_name;
  } else if (inode->name_.parent != nullptr) {
    place.parent = inode->name_.parent;
    place.name = inode->name_.name;
  } else {
    return Error(ENOENT);
  }
  return place;
}

size_t InodeTable::size() const {
  MutexLock lock(mu_);
  return by_id_.size();
}

}  // namespace ufs
