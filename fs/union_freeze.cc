// The upper begins afresh under a mounted union: what was in it becomes the
// topmost layer (frozen_upper.h), and every inode that was in the upper one of
// that layer's. Nobody sees anything of it: names, numbers, contents, times and
// whoever has a file open stay as they are.
//
// First the names move on the host, then it is looked up where each inode of
// the upper is now, and only when all are known do they change. What fails
// before is undone. Nothing changes for inodes of the layers, however many are
// known, but for their paths where a directory above them had been moved.
#include <sys/stat.h>

#include <cerrno>
#include <unordered_map>
#include <utility>
#include <vector>

#include "fs/frozen_upper.h"
#include "fs/host_layer.h"
#include "fs/union_fs.h"
#include "layerdb/base/fault.h"
#include "layerdb/base/log.h"

namespace ufs {
namespace {

FaultPoint kPlan("freeze.plan");

std::string Below(const std::string& dir, const std::string& name) {
  return (dir == "/" ? "" : dir) + "/" + name;
}

}  // namespace

// Where an inode is to be found from now on.
struct UnionFs::Seat {
  InodeRef inode;
  bool in_root = false;
  // Of what leaves the upper; what never was there stays what it is.
  std::optional<LowerFound> found;
  std::vector<LowerPart> parts;
  // Where the layers show it, which is where the union does; nothing for an
  // inode without a name.
  std::optional<std::string> path;
};

class UnionFs::SeatPlan {
 public:
  explicit SeatPlan(UnionFs& fs) : fs_(fs) {}

  Status Make() {
    TRY(kPlan.Visit());
    const std::vector<InodeRef> all = fs_.table_.All();
    for (const InodeRef& inode : all)
      if (inode->in_upper() || inode->id == NodeId::kRoot) TRY(Place(inode));
    if (!moved_a_directory_) return Ok();
    for (const InodeRef& inode : all) TRY(Place(inode));
    return Ok();
  }
  std::vector<Seat>& seats() { return seats_; }

 private:
  // Its directories first: a list, not a recursion, as trees are deep.
  Status Place(const InodeRef& inode) {
    std::vector<InodeRef> waiting = {inode};
    while (!waiting.empty()) {
      const InodeRef at = waiting.back();
      const auto name = fs_.table_.NameOf(at);
      if (place_.contains(at->id)) {
        waiting.pop_back();
      } else if (name && !place_.contains(name->parent->id)) {
        waiting.push_back(name->parent);
      } else {
        TRY(PlaceBelow(at, name));
        waiting.pop_back();
      }
    }
    return Ok();
  }

  Status PlaceBelow(const InodeRef& inode,
                    const std::optional<LinkName>& name) {
    Seat seat;
    seat.inode = inode;
    seat.parts.assign(inode->parts().begin(), inode->parts().end());
    if (inode->id == NodeId::kRoot) {
      seat.path = "/";
      seat.parts = TRY(fs_.lowers_->Root()).parts;
    } else if (name) {
      const Seat& dir = seats_[place_.at(name->parent->id)];
      seat.in_root = name->parent->id == NodeId::kRoot;
      if (dir.path) seat.path = Below(*dir.path, name->name);
      if (inode->in_upper()) TRY(Find(dir, *name, seat));
      moved_a_directory_ |= inode->in_upper() && inode->is_dir() &&
                            inode->lower &&
                            seat.path != fs_.LowerPathOf(*inode);
    } else if (inode->in_upper()) {
      TRY(FindInIndex(seat));
      if (!seat.found) TRY(MayStay(inode));
    }
    if (seat.found && inode->is_dir()) seat.parts = seat.found->parts;
    place_.emplace(inode->id, seats_.size());
    seats_.push_back(std::move(seat));
    return Ok();
  }

  Status Find(const Seat& dir, const LinkName& name, Seat& seat) {
    const Inode& inode = *seat.inode;
    if (inode.backing() == Backing::kPartial)
      return Error(EBUSY, name.name + ": is still partly in a layer");
    TRY(FindInIndex(seat));
    if (!seat.found)
      seat.found =
          TRY(fs_.lowers_->Lookup(dir.parts, Name::Trusted(name.name)));
    const LowerFound& found = *seat.found;
    const bool same = found.kind != LowerFound::Kind::kAbsent &&
                      (found.attr.mode & S_IFMT) == inode.type &&
                      found.rank == fs_.lowers_->top() &&
                      (!inode.is_regular() || found.data);
    if (!same) return Error(EIO, name.name + ": is not where the upper had it");
    return Ok();
  }

  // A file of the layers whose names are not all in the upper. Nothing is found
  // for others, and those that have lost all names: they stay with whoever has
  // them open.
  Status FindInIndex(Seat& seat) {
    const Inode& inode = *seat.inode;
    const auto place = fs_.table_.PlaceOf(seat.inode);
    if (!place.ok() || place->index_name.empty()) return Ok();
    if (inode.backing() == Backing::kPartial)
      return Error(EBUSY, "a hard link is still partly in a layer");
    const LayerEntry entry = TRY(fs_.lowers_->top_layer().Superseding(
        fs_.TagOf(inode.identity), inode.identity.ino));
    if (entry.kind != LayerEntry::Kind::kEntry)
      return Error(EIO, "index " + place->index_name + ": is not there");
    LowerFound found;
    found.kind = LowerFound::Kind::kFile;
    found.rank = fs_.lowers_->top();
    found.indexed = found.superseded = true;
    found.node = entry.node;
    found.attr = entry.attr;
    found.data = entry.metacopy ? inode.data : entry.node;
    seat.found = std::move(found);
    return Ok();
  }

  // One that has lost the names that were looked up, and is open, stays what it
  // is; but not if the host has another name of it, as that moves aside.
  Status MayStay(const InodeRef& inode) {
    const auto place = fs_.table_.PlaceOf(inode);
    if (inode->is_dir() || !place.ok() || place->orphan == nullptr) return Ok();
    if (TRY(sys::Statx({*place->orphan})).stx_nlink == 0) return Ok();
    return Error(EBUSY,
                 "a file is open whose name was deleted, and which has "
                 "another");
  }

  UnionFs& fs_;
  bool moved_a_directory_ = false;
  std::vector<Seat> seats_;
  std::unordered_map<NodeId, size_t> place_;  // in seats_
};

void UnionFs::Take(Seat& seat) {
  Inode& inode = *seat.inode;
  WriterLock lock(inode.mu);
  inode.set_parts(std::move(seat.parts));
  if (seat.found) {
    LowerFound& found = *seat.found;
    // A metacopy shows no more of the layers' file than before.
    if (!inode.is_split()) inode.lower_size_bytes = found.attr.size_bytes;
    inode.lower = std::move(found.node);
    inode.data = std::move(found.data);
    inode.hard_linked = HasOtherNames(found);
    inode.impure = inode.has_default_acl = inode.keeps_names = false;
    inode.no_aufs = inode.fd_only_reads = inode.marks_lag = false;
    inode.chunks = nullptr;
    fds_.Erase(inode.fd_key());
    fds_.Erase(~inode.fd_key());
    table_.ForgetUpper(seat.inode);
    inode.set_backing(Backing::kLower);
    // The move of a name in the root is a change of what has it.
    if (seat.in_root && invalidate_) invalidate_(inode.id);
  }
  if (inode.lower && (seat.path || seat.found)) {
    std::string path = seat.path.value_or("");
    const bool own = path == inode.lower.layer().PathOf(inode.lower);
    inode.lower_alias =
        own ? nullptr : std::make_unique<const std::string>(std::move(path));
  }
  listings_.Erase(inode.id);
}

Status UnionFs::Freeze() {
  if (upper_ == nullptr) return Error(EROFS);
  if (backing_files_ != nullptr)
    return Error(ENOTSUP,
                 "the kernel writes to its files by itself "
                 "(passthrough=1)");
  TRY(Settle());
  MutexLock settle(settle_mu_);
  MutexLock lowers(lowers_mu_);
  const std::string path = TRY(upper_->Freeze());
  bool added = false;
  SeatPlan plan(*this);
  const auto prepare = [&]() -> Status {
    lowers_->AddTop(TRY(HostLayer::OpenFrozen(path, fds_, names_)));
    added = true;
    return plan.Make();
  };
  if (Status planned = prepare(); !planned.ok()) {
    plan.seats().clear();
    if (added) lowers_->DropTop();
    if (const Status back = upper_->Thaw(path); !back.ok())
      log::Warn("upper " + upper_->path() + ": " + back.error().ToString() +
                "; unmount it, and mount it again");
    return planned;
  }
  for (Seat& seat : plan.seats()) Take(seat);
  {
    MutexLock lock(index_mu_);
    index_names_.clear();
  }
  info_.layers.push_back(std::string(kFrozenPrefix) + path);
  return Ok();
}

}  // namespace ufs
