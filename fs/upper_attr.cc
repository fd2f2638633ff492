// The part of UpperDir that keeps what an object says beside its contents:
// owner, mode, extended attributes, origin; in overrides where the host does
// not let us.
#include <unistd.h>

#include <cerrno>

#include "fs/acl.h"
#include "fs/copied_xattrs.h"
#include "fs/upper_dir.h"
#include "layerdb/base/fault.h"
#include "layerdb/base/file_data.h"
#include "layerdb/base/log.h"
#include "layerdb/base/posix_acl.h"

namespace ufs {
namespace {

DonePoint kOriginKept("upper.origin_kept");
DonePoint kOverrides("upper.overrides");
FaultPoint kMarkFile("upper.mark_file");
DonePoint kMarkFileMade("upper.mark_file_made");
DonePoint kModeLent("lent.mode");
FaultPoint kModeBack("lent.mode_back");

bool OutOfReach(int code) { return code == EPERM || code == EINVAL; }

}  // namespace

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
  {
    MutexLock lock(origins_mu_);
    if (origins_.erase(key) == 0) return;
  }
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

std::vector<UpperDir::Object> UpperDir::OpenObjects(
    std::initializer_list<sys::At> objects) {
  std::vector<Object> open;
  for (const sys::At at : objects) {
    auto fd = at.name[0] == '\0' ? sys::Reopen(at.dir, O_PATH)
                                 : sys::OpenAt(at, O_PATH);
    if (!fd.ok()) continue;
    const auto stat = sys::Statx({*fd});
    if (!stat.ok() || !(S_ISREG(stat->stx_mode) || S_ISDIR(stat->stx_mode)))
      continue;
    open.push_back({std::move(*fd), stat->stx_ino});
  }
  return open;
}

std::vector<uint64_t> UpperDir::NumbersOf(const std::vector<Object>& objects) {
  std::vector<uint64_t> numbers;
  for (const Object& object : objects) numbers.push_back(object.ino);
  return numbers;
}

std::vector<UpperDir::Lent> UpperDir::Lend(std::vector<Object> objects) const {
  std::vector<Lent> lent;
  lendings_ += kBegun + 1;
  for (Object& object : objects) {
    // Another may have lent it something until now.
    const auto stat = sys::Statx({object.fd});
    if (!stat.ok()) continue;
    const mode_t mode = stat->stx_mode & kPermissionBits;
    const mode_t wanted = mode | (S_ISDIR(stat->stx_mode) ? 0700 : 0600);
    if (mode == wanted) continue;
    LentNote note(lent_notes_, Lendable::kMode, *stat, mode);
    if (!sys::ChmodAt({object.fd}, wanted).ok()) continue;
    kModeLent.Visit();
    lent.push_back({std::move(object.fd), std::move(note)});
  }
  return lent;
}

void UpperDir::TakeBack(std::vector<Lent>& lent) const {
  for (Lent& one : lent) {
    const auto give_back = [&]() -> Status {
      TRY(kModeBack.Visit());
      return sys::ChmodAt({one.fd}, one.note.own());
    };
    // What it was lent for is done, and stays so.
    if (const Status back = give_back(); !back.ok()) {
      one.note.Keep();
      log::Warn("an object of the upper is without its mode until the next " +
                ("mount: " + back.error().ToString()));
    } else {
      one.note.Remove();
    }
  }
  lent.clear();
  --lendings_;
}

Result<struct statx> UpperDir::StatOf(sys::At at) const {
  return WithOwnMode(at, [&] { return sys::Statx(at); });
}

// While the mode is lent, it would be set back to what it was.
Status UpperDir::ChangeMode(sys::At at, mode_t mode) const {
  return WithOwnMode(at, [&]() -> Status {
    TRY(sys::ChmodAt(at, mode));
    if (LentNote::AnyKept())
      LentNote::Forget(lent_notes_, Lendable::kMode,
                       TRY(sys::Statx(at)).stx_ino);
    return Ok();
  });
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
  TakeHeldTime(marks, attr);
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
  const auto override = ReadOverride(dir);
  if (override.code() == ENODATA) return true;
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
  return overrides_ && ReadOverride(at).ok();
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
  const auto stored = ReadOverride(at);
  if (stored.code() == ENODATA) return Ok();
  const mode_t mode = TRY(StatOf(at)).stx_mode;
  Override override = TRY(stored).Of(mode);
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

Status UpperDir::CopyStored(sys::At from, sys::At to) const {
  const auto stat = TRY(StatOf(from));
  // A group that is not ours stays its own.
  const auto owned = sys::ChownAt(to, stat.stx_uid, stat.stx_gid);
  if (!owned.ok() && owned.code() != EPERM) return owned;
  const auto copy_xattrs = [&]() -> Status {
    for (const std::string& name : XattrNames(TRY(sys::ListXattr(from)))) {
      // That one not everybody may write.
      if (name == kPrivilegedOverrideXattr) {
        const Override kept = TRY(ReadOverride(from)).Of(stat.stx_mode);
        TRY(sys::SetXattr(to, kOverrideXattr, FormatOverride(kept)));
        continue;
      }
      auto value = TRY(sys::GetXattr(from, name.c_str()));
      if (IsAcl(name)) value = WithoutStrangers(std::move(value));
      const auto set = sys::SetXattr(to, name.c_str(), value);
      if (set.ok()) continue;
      // What is no mark, others may have set, who may do more than we.
      const bool foreign = names_.ToVisible(name).has_value();
      if (foreign && (set.code() == EPERM || MayGoWithout(name, set.code())))
        continue;
      return Status(set).With("copying " + name);
    }
    return Ok();
  };
  if (has_xattrs_) TRY(Lending({from}, copy_xattrs));
  return sys::ChmodAt(to, stat.stx_mode & kPermissionBits);
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
  if (name == names_.opaque) return SetMarkFile(at, kAufsOpaqueName, "");
  if (name != names_.redirect) return Error(ENOTSUP);
  if (TRY(RedirectInFile(at)) == value) return Ok();
  return SetMarkFile(at, kRedirectFileName, value);
}

// A mark is no change of the directory that holds it, whose times stay.
Status UpperDir::SetMarkFile(sys::At dir, const char* name,
                             std::string_view value) {
  TRY(kMarkFile.Visit());
  const UniqueFd fd = TRY(sys::OpenAt(dir, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  const Attr before = AttrOf(TRY(sys::Statx({fd})));
  Draft mark = TRY(NamedFile(0600));
  TRY(WriteAll(mark.fd(), value, 0));
  // Without what it says nothing of the directory shows.
  if (!value.empty() && !is_volatile()) TRY(sys::FDataSync(mark.fd()));
  TRY(Lending({dir}, [&] { return sys::RenameAt2(mark.at(), {fd, name}); }));
  mark.Forget();
  kMarkFileMade.Visit();
  KeepDirTimes(fd, before);
  return SyncNames(fd);
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

Result<std::string> UpperDir::RedirectInFile(sys::At dir) const {
  if (has_xattrs_) return std::string();
  return Lending({dir}, [&] { return ReadRedirectFile(dir, names_); });
}

}  // namespace ufs
