#include "fs/upper_dir.h"

#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "fs/acl.h"
#include "layerdb/base/cleanup.h"
#include "layerdb/base/fault.h"
#include "layerdb/base/log.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

DonePoint kWorkMade("mount.work_made");
DonePoint kSwept("mount.swept");
FaultPoint kDraft("upper.draft");
DonePoint kOriginKept("upper.origin_kept");
DonePoint kOverrides("upper.overrides");
FaultPoint kPublish("upper.publish");
FaultPoint kReplace("upper.replace");
FaultPoint kUpperLinked("upper.linked");
FaultPoint kExchange("upper.exchange");
DonePoint kUpperExchanged("upper.exchanged");
FaultPoint kWhiteout("upper.whiteout");
DonePoint kWhiteoutsMarked("upper.whiteouts_marked");
FaultPoint kWhiteoutOver("upper.whiteout_over");
DonePoint kWhiteoutBeside("upper.whiteout_beside");
DonePoint kMovedOut("upper.moved_out");
FaultPoint kSyncDraft("fsync.draft");
DonePoint kSyncNames("fsync.names");

constexpr int kNewFile = O_RDWR | O_NOATIME;  // reads through it leave no trace
constexpr mode_t kDraftDirMode = 0700;

bool OutOfReach(int code) { return code == EPERM || code == EINVAL; }

Status LockOrBusy(BorrowedFd fd, const std::string& what) {
  const auto locked = sys::FLock(fd, LOCK_EX | LOCK_NB);
  if (locked.code() == EWOULDBLOCK)
    return Error(EBUSY, what +
                            " is in use by another mount; unmount that one, or "
                            "name another directory");
  return locked;
}

}  // namespace

std::string DefaultWork(const std::string& upper) {
  std::string work = upper;
  while (work.size() > 1 && work.back() == '/') work.pop_back();
  return work + ".work";
}

Draft::~Draft() {
  if (name_.empty()) return;
  const auto removed = RemoveTree(tmp_, name_.c_str());
  if (!removed.ok() && removed.code() != ENOENT)
    log::Warn("work directory: " + name_ +
              " stays until the next mount: " + removed.error().ToString());
}

bool IsFixed(const struct statx& stat) {
  constexpr uint64_t kFlags = STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND;
  return (stat.stx_attributes & kFlags) != 0;
}

void KeepDirTimes(BorrowedFd dir, const Attr& attr) {
  const timespec times[2] = {attr.atime, attr.mtime};
  const auto kept = sys::UtimensAt({dir}, times);
  if (!kept.ok())
    log::Warn("the times of a directory of the upper could not be kept: " +
              kept.error().ToString());
}

// --- opening ---------------------------------------------------------------

UpperDir::UpperDir(const UnionConfig& config, bool trusted)
    : names_(trusted),
      path_(*config.upper),
      durability_(config.durability),
      uid_map_(config.uid_map),
      gid_map_(config.gid_map),
      squash_uid_(config.squash_uid),
      squash_gid_(config.squash_gid),
      keep_owners_in_xattrs_(config.keep_owners_in_xattrs),
      own_uid_(geteuid()),
      own_gid_(getegid()) {}

Result<std::unique_ptr<UpperDir>> UpperDir::Open(const UnionConfig& config) {
  const std::string& path = *config.upper;
  UniqueFd root = TRY(sys::Open(path.c_str(), O_RDONLY | O_DIRECTORY)
                          .With("upper directory " + path));
  TRY(LockOrBusy(root, "upper directory " + path));

  const std::string work_path = config.work.value_or(DefaultWork(path));
  const std::string work_text = "work directory " + work_path;
  const auto made = sys::MkDirAt({AT_FDCWD, work_path.c_str()}, 0700);
  if (!made.ok() && made.code() != EEXIST)
    return Error(made.code(), work_text + ": cannot be made");
  UniqueFd work =
      TRY(sys::Open(work_path.c_str(), O_RDONLY | O_DIRECTORY).With(work_text));
  TRY(LockOrBusy(work, work_text));
  const auto root_stat = TRY(sys::Statx({root}));
  const auto work_stat = TRY(sys::Statx({work}));
  if (root_stat.stx_dev_major != work_stat.stx_dev_major ||
      root_stat.stx_dev_minor != work_stat.stx_dev_minor)
    return Error(EXDEV, work_text + " is not on the file system of " + path +
                            "; choose one beside it");

  // Trusted marks or user marks: by trying in the work directory.
  UniqueFd ufs = TRY(MakeDir({work, "ufs"}, 0700).With(work_text));
  UniqueFd tmp = TRY(MakeDir({ufs, "tmp"}, 0700).With(work_text));
  const bool trusted = TRY(MayTrust(config, tmp).With(work_text));

  std::unique_ptr<UpperDir> upper(new UpperDir(config, trusted));
  upper->work_path_ = work_path;
  upper->root_ = std::make_shared<const UniqueFd>(std::move(root));
  upper->work_ = std::move(work);
  upper->tmp_ = std::move(tmp);
  TRY(upper->FinishFreezing(ufs).With(work_text));
  TRY(upper->OpenBooks(ufs).With(work_text));
  kWorkMade.Visit();
  TRY(upper->RefuseVolatile());
  TRY(upper->SweepWork().With(work_text));
  TRY(upper->Probe(config).With("upper directory " + path));
  if (upper->is_volatile()) TRY(upper->MarkVolatile().With(work_text));
  return upper;
}

Result<bool> UpperDir::MayTrust(const UnionConfig& config, BorrowedFd tmp) {
  if (config.user_xattr) return false;
  const auto set = sys::SetXattr({tmp}, "trusted.overlay.ufs.probe", "1");
  if (!set.ok()) return false;
  TRY(sys::RemoveXattr({tmp}, "trusted.overlay.ufs.probe"));
  return true;
}

Status UpperDir::RefuseVolatile() const {
  const auto stat = sys::Statx({work_, "work/incompat/volatile"});
  if (stat.code() == ENOENT || stat.code() == ENOTDIR) return Ok();
  if (!stat.ok()) return Error(stat.code(), "work directory " + work_path_);
  return Error(
      EINVAL,
      "upper directory " + path_ +
          " was mounted volatile and may have lost data; start with a "
          "fresh one, or, if the host has not gone down since, remove " +
          work_path_ + "/work/incompat/volatile");
}

Status UpperDir::MarkVolatile() const {
  const UniqueFd work = TRY(MakeDir({work_, "work"}, 0700));
  const UniqueFd incompat = TRY(MakeDir({work, "incompat"}, 0700));
  TRY(MakeDir({incompat, "volatile"}, 0700));
  return Ok();
}

Status UpperDir::SweepWork() {
  // What an earlier daemon left unpublished was never visible.
  std::vector<std::string> remains;
  TRY(sys::ForEachEntry(tmp_, [&](const char* name, uint8_t, uint64_t) {
    remains.emplace_back(name);
    return true;
  }));
  TRY(LoadOrigins());
  for (const auto& name : remains) {
    const auto stat = sys::Statx({tmp_, name.c_str()});
    TRY(RemoveTree(tmp_, name.c_str()));
    if (stat.ok() && stat->stx_nlink == 1) ForgetOrigin(*stat);
  }
  kSwept.Visit();
  return Ok();
}

Status UpperDir::Probe(const UnionConfig& config) {
  {
    Draft file = TRY(NewFile(0600));
    const auto set = sys::SetXattr(file.at(), names_.literal.c_str(), "y");
    has_xattrs_ = set.ok();
    if (!set.ok() && set.code() != EOPNOTSUPP && set.code() != EPERM)
      return Error(set.code());
  }
  if (!has_xattrs_)
    log::Warn("upper directory " + path_ +
              ": its file system has no extended attributes; renaming lower "
              "directories will fail with EXDEV and inode numbers change when "
              "files are copied up");
  const Marks marks = TRY(ReadMarks({*root_}, S_IFDIR, names_));
  overrides_ = marks.override.has_value();
  if (keep_owners_in_xattrs_ && !has_xattrs_)
    return Error(EOPNOTSUPP,
                 "xattr_permissions=2 needs an upper with extended attributes");
  return ProbeWhiteout(config.whiteout);
}

Status UpperDir::ProbeWhiteout(WhiteoutForm wanted) {
  whiteout_form_ = wanted;
  if (wanted == WhiteoutForm::kXattr && !has_xattrs_)
    return Error(EOPNOTSUPP,
                 "whiteout=xattr needs extended attributes; use whiteout=aufs");
  if (wanted != WhiteoutForm::kAuto && wanted != WhiteoutForm::kCharDevice)
    return Ok();
  const std::string name = NextName();
  const auto made = sys::MkNodAt({tmp_, name.c_str()}, S_IFCHR, /*rdev=*/0);
  if (made.ok()) {
    TRY(sys::UnlinkAt({tmp_, name.c_str()}));
    whiteout_form_ = WhiteoutForm::kCharDevice;
    return Ok();
  }
  if (wanted == WhiteoutForm::kCharDevice)
    return Error(made.code(),
                 "whiteout=char: the host makes no such devices for us; use "
                 "whiteout=xattr or whiteout=aufs");
  whiteout_form_ = has_xattrs_ ? WhiteoutForm::kXattr : WhiteoutForm::kAufs;
  return Ok();
}

// --- drafts ----------------------------------------------------------------

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

// --- whiteouts -------------------------------------------------------------

Result<UpperDir::Hidden> UpperDir::IsHidden(BorrowedFd dir, Name name,
                                            const struct statx* stat) {
  if (stat != nullptr) {
    if (IsCharWhiteout(*stat)) return Hidden::kObject;
    if (S_ISREG(stat->stx_mode) && stat->stx_size == 0 && has_xattrs_) {
      const Marks marks = TRY(StoredMarks({dir, name.c_str()}, stat->stx_mode));
      if (marks.whiteout) return Hidden::kObject;
    }
    return Hidden::kNo;
  }
  const auto mark = AufsWhiteoutName(name);
  if (!mark) return Hidden::kNo;
  const sys::At at{dir, mark->c_str()};
  const auto found = sys::Statx(at);
  if (found.code() == ENOENT) return Hidden::kNo;
  if (!found.ok()) return Error(found.code());
  if (!S_ISREG(found->stx_mode)) return Hidden::kNo;
  return IsAufsMark(*mark, *found, TRY(StoredMarks(at, found->stx_mode)))
             ? Hidden::kAufs
             : Hidden::kNo;
}

// Null where there is none yet, or none can be shared.
FdCache::Pin UpperDir::SharedWhiteout() const {
  MutexLock lock(whiteout_mu_);
  return whiteout_;
}

// The next whiteouts are names of this one, until it has too many or the last
// one is gone.
void UpperDir::ShareWhiteout(sys::At at) {
  auto fd = sys::OpenAt(at, O_PATH | O_NOFOLLOW);
  if (!fd.ok()) return;
  const auto stat = sys::Statx({*fd});
  if (!stat.ok()) return;
  MutexLock lock(whiteout_mu_);
  whiteout_ = std::make_shared<const UniqueFd>(std::move(fd).value());
  whiteout_ino_ = stat->stx_ino;
}

Status UpperDir::MarkXattrWhiteouts(BorrowedFd dir) {
  const auto have = sys::GetXattr({dir}, names_.opaque.c_str());
  if (have.ok()) return Ok();  // "x", or "y" which needs no whiteouts
  TRY(sys::SetXattr({dir}, names_.opaque.c_str(), "x"));
  kWhiteoutsMarked.Visit();
  return Ok();
}

Status UpperDir::Whiteout(BorrowedFd dir, Name name) {
  TRY(kWhiteout.Visit());
  const sys::At at{dir, name.c_str()};
  if (whiteout_form_ == WhiteoutForm::kCharDevice) {
    if (const auto shared = SharedWhiteout())
      if (sys::LinkAt({*shared}, at).ok()) return Ok();
    TRY(sys::MkNodAt(at, S_IFCHR, 0));
    ShareWhiteout(at);
    return Ok();
  }
  Draft draft = TRY(NewWhiteout(dir));
  return PlaceWhiteout(draft, dir, name);
}

Status UpperDir::PlaceWhiteout(Draft& whiteout, BorrowedFd dir, Name name) {
  std::string at = name.str();
  if (whiteout_form_ == WhiteoutForm::kAufs) {
    const auto mark = AufsWhiteoutName(name);
    if (!mark) return Error(ENAMETOOLONG);
    at = *mark;
  }
  TRY(sys::RenameAt2(whiteout.at(), {dir, at.c_str()}));
  whiteout.Forget();
  return Ok();
}

Status UpperDir::ReplaceByWhiteout(BorrowedFd dir, Name name, bool is_dir) {
  TRY(kWhiteoutOver.Visit());
  const sys::At at{dir, name.c_str()};
  if (whiteout_form_ == WhiteoutForm::kAufs) {
    // While the object is there its whiteout says nothing.
    TRY(Whiteout(dir, name));
    kWhiteoutBeside.Visit();
    return is_dir ? RemoveDir(dir, name) : sys::UnlinkAt(at);
  }
  Draft whiteout = TRY(NewWhiteout(dir));
  return is_dir ? Exchange(whiteout, at) : Replace(whiteout, at);
}

void UpperDir::RemoveAufsWhiteout(BorrowedFd dir, Name name) {
  const auto mark = AufsWhiteoutName(name);
  if (!mark) return;
  const auto removed = sys::UnlinkAt({dir, mark->c_str()});
  if (removed.ok() || removed.code() == ENOENT) return;
  // Beside an object it says nothing.
  log::Warn("upper " + path_ + ": the whiteout of " + name.str() +
            " stays: " + removed.error().ToString());
}

Status UpperDir::RemoveDir(BorrowedFd dir, Name name) {
  const sys::At at{dir, name.c_str()};
  auto removed = sys::UnlinkAt(at, AT_REMOVEDIR);
  if (removed.code() != ENOTEMPTY && removed.code() != EEXIST) return removed;
  // Whiteouts are in it. Out of sight first, so that it goes at once.
  const std::string remains = NextName();
  TRY(Lending({at}, [&] {
    return sys::RenameAt2(at, {tmp_, remains.c_str()});
  }));
  const Draft removed_at_the_end(tmp_, remains, UniqueFd());
  kMovedOut.Visit();
  return Ok();
}

Result<Draft> UpperDir::EmptyDir(BorrowedFd dir, Name name) {
  const sys::At at{dir, name.c_str()};
  const Looked old = TRY(Look(at));
  Draft fresh = TRY(NewDir(kDraftDirMode));
  const Attr now = TRY(GetAttr(fresh.at()));
  const Attr want = Shown(old.stat, old.marks);
  TRY(SetOwnerAndMode(fresh.at(), now, want.uid, want.gid,
                      want.mode & kPermissionBits));
  TRY(SetMark(fresh.at(), names_.opaque, "y"));
  TRY(Exchange(fresh, at));
  return fresh;
}

// --- origins ---------------------------------------------------------------

Status UpperDir::LoadOrigins() {
  Origins origins = TRY(ReadOrigins(origin_dir_));
  MutexLock lock(origins_mu_);
  origins_ = std::move(origins);
  return Ok();
}

Status UpperDir::SetOrigin(sys::At at, const Origin& origin) {
  const auto mark = [&]() -> Status {
    if (!has_xattrs_) return Ok();
    return SetMark(at, names_.origin, FormatOrigin(origin));
  };
  if (names_.trusted()) return mark();
  const auto stat = TRY(sys::Statx(at));
  if (CarriesUserXattrs(stat.stx_mode)) return mark();
  // A link is the cheapest file with contents.
  const std::string key = OriginKey(stat);
  const auto made =
      sys::SymlinkAt(FormatOrigin(origin).c_str(), {origin_dir_, key.c_str()});
  if (!made.ok() && made.code() != EEXIST) return made;
  kOriginKept.Visit();
  MutexLock lock(origins_mu_);
  origins_[key] = origin;
  return Ok();
}

void UpperDir::ForgetOrigin(const struct statx& stat) {
  if (names_.trusted() || CarriesUserXattrs(stat.stx_mode)) return;
  const std::string key = OriginKey(stat);
  MutexLock lock(origins_mu_);
  if (origins_.erase(key) == 0) return;
  // A record that stays behind names an object that never comes back.
  (void)sys::UnlinkAt({origin_dir_, key.c_str()});
}

Result<Marks> UpperDir::MarksOf(sys::At at, const struct statx& stat) const {
  if (names_.trusted() || CarriesUserXattrs(stat.stx_mode))
    return has_xattrs_ ? StoredMarks(at, stat.stx_mode) : Marks();
  Marks marks;
  MutexLock lock(origins_mu_);
  if (origins_.empty()) return marks;
  if (const auto found = origins_.find(OriginKey(stat));
      found != origins_.end())
    marks.origin = found->second;
  return marks;
}

// --- lent bits -------------------------------------------------------------

std::vector<UpperDir::Lent> UpperDir::Lend(
    std::initializer_list<sys::At> objects) const {
  std::vector<Lent> lent;
  ++lendings_;
  for (const sys::At at : objects) {
    auto fd = at.name[0] == '\0' ? sys::Reopen(at.dir, O_PATH)
                                 : sys::OpenAt(at, O_PATH);
    if (!fd.ok()) continue;
    const auto stat = sys::Statx({*fd});
    if (!stat.ok() || !(S_ISREG(stat->stx_mode) || S_ISDIR(stat->stx_mode)))
      continue;
    const mode_t mode = stat->stx_mode & kPermissionBits;
    const mode_t wanted = mode | (S_ISDIR(stat->stx_mode) ? 0700 : 0600);
    if (mode == wanted || !sys::ChmodAt({*fd}, wanted).ok()) continue;
    lent.push_back({std::move(*fd), mode});
  }
  return lent;
}

void UpperDir::TakeBack(const std::vector<Lent>& lent) const {
  for (const Lent& one : lent)
    // What it was lent for is done, and stays so.
    if (const auto set = sys::ChmodAt({one.fd}, one.mode); !set.ok())
      log::Warn("a mode could not be set back: " + set.error().ToString());
  ++lendings_;
}

template <typename Call>
auto UpperDir::Lending(std::initializer_list<sys::At> objects, Call call) const
    -> decltype(call()) {
  auto done = call();
  if (done.code() != EACCES) return done;
  MutexLock lock(lend_mu_);
  const std::vector<Lent> lent = Lend(objects);
  // Called again though nothing was lent, the answer would be the same.
  if (!lent.empty()) done = call();
  TakeBack(lent);
  return done;
}

Result<struct statx> UpperDir::StatOf(sys::At at) const {
  const uint64_t before = lendings_;
  const auto stat = sys::Statx(at);
  if (before % 2 == 0 && lendings_ == before) return stat;
  MutexLock lock(lend_mu_);
  return sys::Statx(at);
}

// Not while the mode is lent: it would be set back to what it was.
Status UpperDir::ChangeMode(sys::At at, mode_t mode) const {
  MutexLock lock(lend_mu_);
  return sys::ChmodAt(at, mode);
}

// user.* asks for write permission by mode, whatever the descriptor.
Status UpperDir::StoreXattr(sys::At at, const char* name,
                            std::string_view value, int flags) const {
  return Lending({at}, [&] { return sys::SetXattr(at, name, value, flags); });
}

Status UpperDir::EraseXattr(sys::At at, const char* name) const {
  return Lending({at}, [&] { return sys::RemoveXattr(at, name); });
}

Result<Marks> UpperDir::StoredMarks(sys::At at, mode_t mode) const {
  return Lending({at}, [&] { return ReadMarks(at, mode, names_); });
}

// --- attributes ------------------------------------------------------------

Result<UpperDir::Looked> UpperDir::Look(sys::At at) const {
  Looked looked{TRY(StatOf(at)), {}};
  looked.marks = TRY(MarksOf(at, looked.stat));
  return looked;
}

Attr UpperDir::Shown(const struct statx& stat, const Marks& marks) const {
  Attr attr = AttrOf(stat, overrides_ || S_ISREG(stat.stx_mode) ? marks.override
                                                                : std::nullopt);
  if (!marks.override) {
    attr.uid = uid_map_.ToShown(attr.uid);
    attr.gid = gid_map_.ToShown(attr.gid);
  }
  if (squash_uid_) attr.uid = *squash_uid_;
  if (squash_gid_) attr.gid = *squash_gid_;
  if (marks.metacopy && marks.held_time &&
      marks.held_time->size_bytes == attr.size_bytes)
    attr.mtime = marks.held_time->mtime;
  return attr;
}

Result<Attr> UpperDir::GetAttr(sys::At at) const {
  const auto stat = TRY(StatOf(at));
  // Only these can carry an override.
  const bool may_override =
      has_xattrs_ &&
      (overrides_ && (S_ISREG(stat.stx_mode) || S_ISDIR(stat.stx_mode)));
  Marks marks;
  if (may_override) marks = TRY(StoredMarks(at, stat.stx_mode));
  return Shown(stat, marks);
}

bool UpperDir::MakesOwner(uid_t uid, gid_t gid) const {
  return (squash_uid_ || uid_map_.ToShown(own_uid_) == uid) &&
         (squash_gid_ || gid_map_.ToShown(own_gid_) == gid);
}

bool UpperDir::HostInherits(sys::At dir) const {
  if (!overrides_) return true;
  const auto text = sys::GetXattr(dir, kOverrideXattr);
  if (text.code() == ENODATA) return true;
  if (!text.ok()) return false;
  const auto override = ParseOverride(*text);
  const auto stat = sys::Statx(dir);
  if (!override.ok() || !stat.ok()) return false;
  if (((override->mode ^ stat->stx_mode) & S_ISGID) != 0) return false;
  return (override->mode & S_ISGID) == 0 ||
         override->gid == gid_map_.ToShown(stat->stx_gid);
}

Status UpperDir::EnableOverrides() {
  if (overrides_) return Ok();
  // The mark on the root says that the tree has overrides; it says of the root
  // itself what is so already.
  const auto stat = TRY(sys::Statx({*root_}));
  TRY(sys::SetXattr(
      {*root_}, kOverrideXattr,
      FormatOverride({stat.stx_uid, stat.stx_gid, stat.stx_mode, 0})));
  overrides_ = true;
  kOverrides.Visit();
  return Ok();
}

Status UpperDir::SetOverride(sys::At at, const Override& override) {
  if (!has_xattrs_) return Error(EPERM);
  TRY(EnableOverrides());
  const std::string text = FormatOverride(override);
  const auto before = sys::GetXattr(at, kOverrideXattr);
  TRY(StoreXattr(at, kOverrideXattr, text));
  if (!before.ok() || *before != text) return Ok();
  // Owner and mode set to what they were move the time of last change. An
  // attribute's value set to what it was does not: the file's own mode does.
  const mode_t mode = TRY(StatOf(at)).stx_mode & kPermissionBits;
  const auto touched = ChangeMode(at, mode);
  return OutOfReach(touched.code()) ? Ok() : touched;
}

bool UpperDir::KeepsOverride(sys::At at, mode_t mode) const {
  if (keep_owners_in_xattrs_ && (S_ISREG(mode) || S_ISDIR(mode))) return true;
  return overrides_ && sys::GetXattr(at, kOverrideXattr).ok();
}

Status UpperDir::SetOwner(sys::At at, const Attr& now, uid_t uid, gid_t gid) {
  if (squash_uid_) uid = now.uid;
  if (squash_gid_) gid = now.gid;
  const auto host_uid = uid_map_.ToHost(uid);
  const auto host_gid = gid_map_.ToHost(gid);
  const bool has_override = KeepsOverride(at, now.mode);
  if (!has_override && host_uid && host_gid) {
    const auto changed = sys::ChownAt(at, *host_uid, *host_gid);
    if (changed.ok() || !OutOfReach(changed.code())) return changed;
  }
  if (!has_override && (!host_uid || !host_gid) && !has_xattrs_)
    return Error(EOVERFLOW);
  // As chown(2): set-id bits go, of what is not a directory.
  mode_t mode = now.mode;
  if (!S_ISDIR(mode)) {
    mode &= ~S_ISUID;
    if (mode & S_IXGRP) mode &= ~S_ISGID;
  }
  const auto kept = SetOverride(at, {uid, gid, mode, now.rdev});
  // A link or a device cannot carry one.
  return kept.ok() ? Ok() : Status(Error(EPERM));
}

Status UpperDir::SetMode(sys::At at, const Attr& now, mode_t mode) {
  mode &= kPermissionBits;
  if (KeepsOverride(at, now.mode)) {
    TRY(SetOverride(at,
                    {now.uid, now.gid, (now.mode & S_IFMT) | mode, now.rdev}));
    return AclFollowsMode(at, mode);
  }
  const auto changed = ChangeMode(at, mode);
  if (!OutOfReach(changed.code())) return changed;
  return SetOverride(at,
                     {now.uid, now.gid, (now.mode & S_IFMT) | mode, now.rdev});
}

// An ACL and the mode say the same twice. The host keeps them so, but not in an
// override.
Status UpperDir::AclFollowsMode(sys::At at, mode_t mode) {
  if (!sys::GetXattr(at, kAccessAclXattr).ok()) return Ok();
  const mode_t special = TRY(sys::Statx(at)).stx_mode & kPermissionBits & ~0777;
  const auto changed = ChangeMode(at, special | (mode & 0777));
  return OutOfReach(changed.code()) ? Ok() : changed;
}

Status UpperDir::ModeFollowsAcl(sys::At at) {
  if (!overrides_) return Ok();
  const auto text = sys::GetXattr(at, kOverrideXattr);
  if (text.code() == ENODATA) return Ok();
  Override override = TRY(ParseOverride(TRY(text)));
  const mode_t mode = TRY(StatOf(at)).stx_mode;
  override.mode = (override.mode & ~mode_t{0777}) | (mode & 0777);
  return StoreXattr(at, kOverrideXattr, FormatOverride(override));
}

Status UpperDir::SetOwnerAndMode(sys::At at, const Attr& now, uid_t uid,
                                 gid_t gid, mode_t mode) {
  Attr next = now;
  if (uid != now.uid || gid != now.gid) {
    TRY(SetOwner(at, now, uid, gid));
    next.uid = uid;
    next.gid = gid;
    // The change may have dropped set-id bits; the mode below sets them again.
    next.mode &= ~(S_ISUID | S_ISGID);
  }
  if (S_ISLNK(now.mode) || (next.mode & kPermissionBits) == mode) return Ok();
  return SetMode(at, next, mode);
}

Result<std::string> UpperDir::GetXattr(sys::At at, const char* name) const {
  return GetShownXattr(at, name, names_);
}

Result<std::string> UpperDir::ListXattr(sys::At at) const {
  return ListShownXattrs(at, names_);
}

Status UpperDir::SetXattr(sys::At at, const char* name, std::string_view value,
                          int flags) {
  const auto set = StoreXattr(at, names_.ToStored(name).c_str(), value, flags);
  if (set.ok() && std::string_view(name) == kAccessAclXattr)
    return ModeFollowsAcl(at);
  if (set.code() != EPERM || !has_xattrs_) return set;
  // The host keeps this namespace from us; our own name does as well.
  const auto kept =
      StoreXattr(at, names_.ToOverride(name).c_str(), value, flags);
  if (kept.code() == EPERM) return Error(EPERM);
  return kept;
}

Status UpperDir::RemoveXattr(sys::At at, const char* name) {
  const auto removed = EraseXattr(at, names_.ToStored(name).c_str());
  if (removed.ok()) return Ok();
  const auto kept = EraseXattr(at, names_.ToOverride(name).c_str());
  return kept.ok() ? Ok() : Status(Error(removed.code()));
}

Status UpperDir::SetMark(sys::At at, const std::string& name,
                         std::string_view value) {
  if (has_xattrs_) return StoreXattr(at, name.c_str(), value);
  if (name != names_.opaque) return Error(ENOTSUP);
  const std::string path = std::string(at.name) + "/" + kAufsOpaqueName;
  const auto made = Lending({at}, [&] {
    return sys::OpenAt({at.dir, path.c_str()}, O_CREAT | O_WRONLY, 0600);
  });
  return made.ok() ? Ok() : Status(Error(made.code()));
}

Status UpperDir::RemoveMark(sys::At at, const std::string& name) {
  return EraseXattr(at, name.c_str());
}

Result<std::string> UpperDir::ReadLink(sys::At at) const {
  auto target = sys::ReadLinkAt(at);
  if (target.ok() || !has_xattrs_ ||
      (target.code() != EINVAL && target.code() != ENOENT))
    return target;
  const UniqueFd fd = TRY(OpenData(at));
  std::string text(PATH_MAX, '\0');
  text.resize(TRY(sys::Pread(fd, text.data(), text.size(), 0)));
  return text;
}

Result<UniqueFd> UpperDir::OpenData(sys::At at) const {
  auto fd = Lending({at}, [&] { return sys::OpenNoAtime(at, O_RDWR); });
  // Another's: it may still be read.
  if (fd.code() == EACCES) return Error(EPERM);
  return fd;
}

Result<UniqueFd> UpperDir::OpenDir(BorrowedFd dir) const {
  return Lending({{dir}}, [&] {
    return sys::OpenNoAtime({dir, "."}, O_RDONLY | O_DIRECTORY);
  });
}

Result<bool> UpperDir::HasAufsOpaque(sys::At dir) const {
  return Lending({dir}, [&] { return ufs::HasAufsOpaque(dir, names_); });
}

// --- removal ---------------------------------------------------------------

namespace {

// The entries of one directory on the way down.
struct Level {
  UniqueFd fd;
  std::string name;  // in the level above
  std::vector<std::string> entries;
  // Its own, where that kept us out, who are not root: who has it open shall
  // see it again.
  std::optional<mode_t> mode;
};

Status LetIn(Level& level, sys::At at) {
  const mode_t mode = TRY(sys::Statx(at)).stx_mode & kPermissionBits;
  TRY(sys::ChmodAt(at, mode | 0700));
  level.mode = mode;
  return Ok();
}

Result<Level> Descend(BorrowedFd dir, std::string name) {
  Level level{{}, std::move(name), {}, {}};
  const sys::At at{dir, level.name.c_str()};
  auto fd = sys::OpenAt(at, O_RDONLY | O_DIRECTORY);
  if (fd.code() == EACCES && LetIn(level, at).ok())
    fd = sys::OpenAt(at, O_RDONLY | O_DIRECTORY);
  level.fd = TRY(fd);
  TRY(sys::ForEachEntry(level.fd, [&](const char* entry, uint8_t, uint64_t) {
    level.entries.emplace_back(entry);
    return true;
  }));
  return level;
}

}  // namespace

Status RemoveTree(BorrowedFd dir, const char* name) {
  auto removed = sys::UnlinkAt({dir, name});
  if (removed.code() != EISDIR && removed.code() != EPERM) return removed;
  removed = sys::UnlinkAt({dir, name}, AT_REMOVEDIR);
  if (removed.code() != ENOTEMPTY && removed.code() != EEXIST) return removed;

  std::vector<Level> levels;
  levels.push_back(TRY(Descend(dir, name)));
  while (!levels.empty()) {
    Level& level = levels.back();
    if (level.entries.empty()) {
      const BorrowedFd above =
          levels.size() > 1 ? BorrowedFd(levels[levels.size() - 2].fd) : dir;
      TRY(sys::UnlinkAt({above, level.name.c_str()}, AT_REMOVEDIR));
      if (level.mode) (void)sys::ChmodAt({level.fd}, *level.mode);
      levels.pop_back();
      continue;
    }
    const std::string entry = std::move(level.entries.back());
    level.entries.pop_back();
    const sys::At at{level.fd, entry.c_str()};
    auto gone = sys::UnlinkAt(at);
    if (gone.code() == EACCES && !level.mode && LetIn(level, {level.fd}).ok())
      gone = sys::UnlinkAt(at);
    if (gone.code() == EISDIR || gone.code() == EPERM)
      levels.push_back(TRY(Descend(level.fd, entry)));
    else
      TRY(gone);
  }
  return Ok();
}

}  // namespace ufs
