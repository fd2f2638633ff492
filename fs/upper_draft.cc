// The part of UpperDir that makes objects and gives them their place.
#include <fcntl.h>

#include <cerrno>

#include "fs/upper_dir.h"
#include "layerdb/base/fault.h"
#include "layerdb/base/file_data.h"
#include "layerdb/base/log.h"
#include "layerdb/base/remove_tree.h"

namespace ufs {
namespace {

FaultPoint kDraft("upper.draft");
FaultPoint kPublish("upper.publish");
FaultPoint kReplace("upper.replace");
FaultPoint kUpperLinked("upper.linked");
FaultPoint kExchange("upper.exchange");
DonePoint kUpperExchanged("upper.exchanged");
FaultPoint kSyncDraft("fsync.draft");
DonePoint kSyncNames("fsync.names");

constexpr int kNewFile = O_RDWR | O_NOATIME;  // reads through it leave no trace

}  // namespace

Draft::~Draft() {
  if (name_.empty()) return;
  const auto removed = RemoveTree({tmp_, name_.c_str()});
  if (!removed.ok())
    log::Warn("work directory: " + name_ +
              " stays until the next mount: " + removed.error().ToString());
}

std::string UpperDir::NextName() {
  return '#' + std::to_string(next_name_.fetch_add(1));
}

Result<Draft> UpperDir::NamedFile(mode_t mode) {
  std::string name = NextName();
  UniqueFd fd =
      TRY(sys::OpenAt({tmp_, name.c_str()}, kNewFile | O_CREAT | O_EXCL, mode));
  return Draft(tmp_, std::move(name), std::move(fd));
}

Result<Draft> UpperDir::NewFile(BorrowedFd dir, mode_t mode) {
  TRY(kDraft.Visit());
  if (has_tmpfile_) {
    auto fd = sys::OpenAt({dir, "."}, kNewFile | O_TMPFILE, mode);
    if (fd.ok()) return Draft(tmp_, "", std::move(fd).value());
    if (fd.code() != EOPNOTSUPP && fd.code() != EISDIR && fd.code() != EINVAL &&
        fd.code() != ENOENT)
      return Error(fd.code());
    // ENOENT: the directory is being removed; the draft may still be useful to
    // somebody who has the file open.
    has_tmpfile_ = has_tmpfile_ && fd.code() == ENOENT;
  }
  return NamedFile(mode);
}

Result<Draft> UpperDir::NewDir(mode_t mode) {
  TRY(kDraft.Visit());
  std::string name = NextName();
  TRY(sys::MkDirAt({tmp_, name.c_str()}, mode));
  return Draft(tmp_, std::move(name), UniqueFd());
}

Result<Draft> UpperDir::NewSymlink(const char* target) {
  TRY(kDraft.Visit());
  std::string name = NextName();
  TRY(sys::SymlinkAt(target, {tmp_, name.c_str()}));
  return Draft(tmp_, std::move(name), UniqueFd());
}

Result<Draft> UpperDir::NewNode(mode_t mode, dev_t rdev) {
  TRY(kDraft.Visit());
  // A character device 0/0 of the user's would be a whiteout here.
  const bool like_whiteout = S_ISCHR(mode) && rdev == 0;
  std::string name = NextName();
  const auto made = like_whiteout
                        ? Status(Error(EPERM))
                        : sys::MkNodAt({tmp_, name.c_str()}, mode, rdev);
  if (made.ok()) return Draft(tmp_, std::move(name), UniqueFd());
  if (made.code() != EPERM || !has_xattrs_) return Error(made.code());
  return NewStandIn({own_uid_, own_gid_, mode, rdev}, "");
}

Result<Draft> UpperDir::NewStandIn(const Override& override,
                                   std::string_view content) {
  Draft draft = TRY(NewFile(0600));
  TRY(WriteAll(draft.fd(), content, 0));
  TRY(SetOverride(draft.at(), override));
  return draft;
}

Result<Draft> UpperDir::NewLink(sys::At from) {
  std::string name = NextName();
  TRY(sys::LinkAt(from, {tmp_, name.c_str()}));
  return Draft(tmp_, std::move(name), UniqueFd());
}

Result<Draft> UpperDir::NewWhiteout(BorrowedFd dir) {
  if (whiteout_form_ == WhiteoutForm::kAufs) return NamedFile(0600);
  if (whiteout_form_ == WhiteoutForm::kXattr) TRY(MarkXattrWhiteouts(dir));
  if (const auto shared = SharedWhiteout())
    if (auto link = NewLink({*shared}); link.ok()) return link;
  if (whiteout_form_ == WhiteoutForm::kXattr) {
    Draft draft = TRY(NamedFile(0600));
    TRY(sys::SetXattr(draft.at(), names_.whiteout.c_str(), "y"));
    ShareWhiteout(draft.at());
    return draft;
  }
  std::string name = NextName();
  TRY(sys::MkNodAt({tmp_, name.c_str()}, S_IFCHR, 0));
  Draft draft(tmp_, std::move(name), UniqueFd());
  ShareWhiteout(draft.at());
  return draft;
}

Status UpperDir::Publish(Draft& draft, sys::At to) {
  TRY(kPublish.Visit());
  // Whoever asked for a change below a directory needs no right to change it;
  // and a directory that moves to another must be writable itself.
  if (draft.named()) {
    TRY(Lending({draft.at(), {to.dir}}, [&] {
      const auto renamed = sys::RenameAt2(draft.at(), to, RENAME_NOREPLACE);
      // Some file systems have no NOREPLACE. The caller has seen that nothing
      // is there and keeps it so.
      return renamed.code() == EINVAL ? sys::RenameAt2(draft.at(), to)
                                      : renamed;
    }));
    draft.Forget();
    return Ok();
  }
  return Lending({{to.dir}}, [&] { return sys::LinkAt(draft.at(), to); });
}

Status UpperDir::Replace(Draft& draft, sys::At to) {
  TRY(kReplace.Visit());
  if (draft.named()) {
    TRY(Lending({draft.at()}, [&] { return sys::RenameAt2(draft.at(), to); }));
    draft.Forget();
    return Ok();
  }
  // An unnamed file cannot replace: it gets a name first.
  Draft linked = TRY(NewLink(draft.at()));
  TRY(kUpperLinked.Visit());
  TRY(sys::RenameAt2(linked.at(), to));
  linked.Forget();
  return Ok();
}

Status UpperDir::Exchange(Draft& draft, sys::At to) {
  TRY(kExchange.Visit());
  // Directories that move to another must be writable themselves.
  TRY(Lending({draft.at(), to},
              [&] { return sys::RenameAt2(draft.at(), to, RENAME_EXCHANGE); }));
  kUpperExchanged.Visit();
  return Ok();
}

Status UpperDir::Relocate(sys::At from, sys::At to) {
  return Lending({from, {from.dir}, {to.dir}}, [&] {
    const auto renamed = sys::RenameAt2(from, to, RENAME_NOREPLACE);
    return renamed.code() == EINVAL ? sys::RenameAt2(from, to) : renamed;
  });
}

// --- durability ------------------------------------------------------------

Status UpperDir::SyncDraft(const Draft& draft) const {
  if (durability_ != Durability::kStrict) return Ok();
  TRY(kSyncDraft.Visit());
  if (draft.fd().valid()) return sys::FSync(draft.fd());
  const mode_t type = TRY(sys::Statx(draft.at())).stx_mode & S_IFMT;
  // All there is of a link or a device goes with its name.
  if (type != S_IFREG && type != S_IFDIR) return Ok();
  const auto fd = sys::OpenAt(draft.at(), O_RDONLY | O_NOFOLLOW);
  // Its mode keeps even us out.
  if (fd.code() == EACCES) return sys::SyncFs(*root_);
  return fd.ok() ? sys::FSync(*fd) : Status(fd.error());
}

Status UpperDir::SyncNames(BorrowedFd dir) const {
  if (durability_ != Durability::kStrict) return Ok();
  kSyncNames.Visit();
  const auto fd = sys::Reopen(dir, O_RDONLY | O_DIRECTORY);
  if (fd.code() == EACCES) return sys::SyncFs(*root_);
  return fd.ok() ? sys::FSync(*fd) : Status(fd.error());
}

}  // namespace ufs
