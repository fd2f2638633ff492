// An upper begins afresh: what was in it moves aside, into the work directory.
//
// From the moment that frozen/N is there it counts as a layer, so the union
// shows the same whichever names have moved. Only the index does not: whoever
// opens the upper finishes first.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "fs/frozen_upper.h"
#include "fs/upper_dir.h"
#include "layerdb/base/fault.h"
#include "layerdb/base/log.h"
#include "layerdb/base/remove_tree.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

FaultPoint kFreeze("freeze.before");
DonePoint kFrozenMade("freeze.made");
FaultPoint kBooks("freeze.books");
FaultPoint kName("freeze.name");
DonePoint kNameMoved("freeze.moved");
DonePoint kFrozen("freeze.after");
DonePoint kDropBegun("freeze.dropped");

constexpr mode_t kMode = 0700;
constexpr char kDropped[] = "dropped";
constexpr const char* kBookNames[] = {kFrozenIndex, kFrozenOrigin};

Result<UniqueFd> OpenFolder(BorrowedFd at, const char* name) {
  return sys::OpenNoAtime({at, name}, O_RDONLY | O_DIRECTORY);
}

// A book that was moved already stays.
Status MoveBook(BorrowedFd from, BorrowedFd to, const char* name) {
  const auto moved = sys::RenameAt2({from, name}, {to, name});
  if (moved.code() == ENOTEMPTY || moved.code() == EEXIST ||
      moved.code() == ENOENT)
    return Ok();
  return moved;
}

}  // namespace

Status UpperDir::OpenBooks(BorrowedFd ufs) {
  UniqueFd index = TRY(MakeDir({ufs, kFrozenIndex}, kMode));
  UniqueFd origin = TRY(MakeDir({ufs, kFrozenOrigin}, kMode));
  index_ = std::make_shared<const UniqueFd>(std::move(index));
  origin_dir_ = std::move(origin);
  return Ok();
}

Status UpperDir::MayFreeze() const {
  TRY(kFreeze.Visit());
  const auto root = TRY(Look({*root_}));
  if (root.marks.opaque)
    return Error(ENOTSUP, "upper " + path_ + ": its root is opaque");
  if (IsFixed(root.stat))
    return Error(EPERM, "upper " + path_ + ": chattr +a or +i holds it fast");
  for (const std::string& name : TRY(ListNames({*root_})))
    if (IsFixed(TRY(sys::Statx({*root_, name.c_str()}))))
      return Error(EPERM, "upper " + path_ + ": " + name +
                              ": chattr +a or +i holds it fast");
  return Ok();
}

Result<Draft> UpperDir::NewFrozen() {
  Draft draft = TRY(NewDir(kMode));
  const UniqueFd dir = TRY(sys::OpenAt(draft.at(), O_RDONLY | O_DIRECTORY));
  for (const char* part : {kFrozenTree, kFrozenIndex, kFrozenOrigin})
    TRY(sys::MkDirAt({dir, part}, kMode));
  TRY(sys::OpenAt({dir, kFrozenMoving}, O_WRONLY | O_CREAT | O_EXCL, 0600));
  // Its marks say how to read what is below.
  TRY(CopyStored({*root_}, {TRY(OpenFolder(dir, kFrozenTree))}));
  return draft;
}

Status UpperDir::MoveNames(BorrowedFd from, BorrowedFd to) {
  for (const std::string& name : TRY(ListNames({from}))) {
    TRY(kName.Visit());
    TRY(Relocate({from, name.c_str()}, {to, name.c_str()}).With(name));
    kNameMoved.Visit();
  }
  return Ok();
}

Status UpperDir::MoveAside(BorrowedFd ufs, BorrowedFd frozen) {
  TRY(kBooks.Visit());
  for (const char* book : kBookNames) TRY(MoveBook(ufs, frozen, book));
  const UniqueFd tree = TRY(OpenFolder(frozen, kFrozenTree));
  const Attr root = AttrOf(TRY(sys::Statx({*root_})));
  TRY(MoveNames(*root_, tree));
  for (const BorrowedFd dir : {BorrowedFd(*root_), BorrowedFd(tree)})
    KeepDirTimes(dir, root);
  if (!is_volatile()) {
    TRY(sys::FSync(tree));
    TRY(sys::FSync(TRY(OpenFolder(*root_, "."))));
  }
  return sys::UnlinkAt({frozen, kFrozenMoving});
}

Status UpperDir::MoveBack(BorrowedFd ufs, BorrowedFd frozen) {
  const UniqueFd tree = TRY(OpenFolder(frozen, kFrozenTree));
  const Attr root = AttrOf(TRY(sys::Statx({*root_})));
  TRY(MoveNames(tree, *root_));
  KeepDirTimes(*root_, root);
  // What is in the way, made since, is empty, and is replaced.
  for (const char* book : kBookNames) TRY(MoveBook(frozen, ufs, book));
  return Ok();
}

Result<std::string> UpperDir::Freeze() {
  TRY(MayFreeze());
  const UniqueFd ufs = TRY(OpenFolder(work_, "ufs"));
  Draft draft = TRY(NewFrozen());
  const UniqueFd all = TRY(MakeDir({ufs, kFrozenDir}, kMode));
  const auto numbers = TRY(FrozenNumbers(ufs));
  const std::string number =
      std::to_string(numbers.empty() ? 1 : numbers.back() + 1);
  const std::string path = work_path_ + "/ufs/" + kFrozenDir + "/" + number;
  TRY(Publish(draft, {all, number.c_str()}));
  kFrozenMade.Visit();
  const auto move = [&]() -> Status {
    // A layer is on disk: from now on an fsync of what is in it does nothing.
    if (!is_volatile()) TRY(sys::SyncFs(*root_));
    TRY(MoveAside(ufs, TRY(OpenFolder(all, number.c_str()))));
    return OpenBooks(ufs);
  };
  if (const Status moved = move(); !moved.ok()) {
    if (const Status back = Thaw(path); !back.ok())
      log::Warn("upper " + path_ + ": " + back.error().ToString() +
                "; unmount it, and mount it again");
    return moved.error();
  }
  {
    MutexLock lock(origins_mu_);
    origins_.clear();
  }
  kFrozen.Visit();
  return path;
}

Status UpperDir::Thaw(const std::string& path) {
  const UniqueFd ufs = TRY(OpenFolder(work_, "ufs"));
  const UniqueFd all = TRY(OpenFolder(ufs, kFrozenDir));
  const std::string number = path.substr(path.rfind('/') + 1);
  const UniqueFd frozen = TRY(OpenFolder(all, number.c_str()));
  // Whoever is killed over this is followed by one who goes forward.
  TRY(sys::OpenAt({frozen, kFrozenMoving}, O_WRONLY | O_CREAT, 0600));
  TRY(MoveBack(ufs, frozen));
  TRY(OpenBooks(ufs));
  TRY(LoadOrigins());
  const std::string remains = NextName();
  TRY(sys::RenameAt2({all, number.c_str()}, {tmp_, remains.c_str()}));
  return RemoveTree({tmp_, remains.c_str()});
}

// A daemon was killed over one, or the power went.
Status UpperDir::FinishFreezing(BorrowedFd ufs) {
  for (const unsigned number : TRY(FrozenNumbers(ufs))) {
    const std::string path =
        std::string(kFrozenDir) + "/" + std::to_string(number);
    const UniqueFd frozen = TRY(OpenFolder(ufs, path.c_str()));
    const auto moving = sys::Statx({frozen, kFrozenMoving});
    if (moving.code() == ENOENT) continue;
    TRY(moving);
    TRY(MoveAside(ufs, frozen).With(path));
  }
  return Ok();
}

Result<bool> UpperDir::IsEmpty() const {
  for (const BorrowedFd dir :
       {BorrowedFd(*root_), BorrowedFd(*index_), BorrowedFd(origin_dir_)})
    if (!TRY(ListNames({dir})).empty()) return false;
  return true;
}

// The layers of a mount hold all that the frozen ones do, and the upper has
// nothing that came from there.
Status UpperDir::DropFrozen(BorrowedFd ufs,
                            const std::vector<std::string>& layers) {
  // What could not be removed then is in nobody's way.
  TRY(RemoveTree({ufs, kDropped}));
  const auto committed = TRY(LayersOfFrozen(ufs));
  const auto named = [&](const std::string& layer) {
    return std::find(layers.begin(), layers.end(), layer) != layers.end();
  };
  if (committed.empty() ||
      !std::all_of(committed.begin(), committed.end(), named) ||
      !TRY(IsEmpty()))
    return Ok();
  TRY(sys::RenameAt2({ufs, kFrozenDir}, {ufs, kDropped}));
  kDropBegun.Visit();
  return RemoveTree({ufs, kDropped});
}

}  // namespace ufs
