#include "fs/upper_dir.h"

#include <unistd.h>

#include <cerrno>

#include "fs/upper_lock.h"
#include "layerdb/base/fault.h"
#include "layerdb/base/log.h"
#include "layerdb/base/remove_tree.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

DonePoint kWorkMade("mount.work_made");
DonePoint kSwept("mount.swept");

}  // namespace

std::string DefaultWork(const std::string& upper) {
  std::string work = upper;
  while (work.size() > 1 && work.back() == '/') work.pop_back();
  return work + ".work";
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
  const std::string work_path = config.work.value_or(DefaultWork(path));
  TRY(LockForMount(root, "upper directory " + path, work_path));

  const std::string work_text = "work directory " + work_path;
  const auto made = sys::MkDirAt({AT_FDCWD, work_path.c_str()}, 0700);
  if (!made.ok() && made.code() != EEXIST)
    return Error(made.code(), work_text + ": cannot be made");
  UniqueFd work =
      TRY(sys::Open(work_path.c_str(), O_RDONLY | O_DIRECTORY).With(work_text));
  TRY(LockForMount(work, work_text, work_path));
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
  upper->lent_notes_ = TRY(MakeDir({ufs, "lent"}, 0700).With(work_text));
  upper->move_notes_ = TRY(MakeDir({ufs, "moves"}, 0700).With(work_text));
  TRY(upper->FinishFreezing(ufs).With(work_text));
  TRY(upper->OpenBooks(ufs).With(work_text));
  kWorkMade.Visit();
  TRY(upper->RefuseVolatile());
  TRY(upper->SweepWork().With(work_text));
  TRY(SetRightWhatWasLent(
          upper->lent_notes_, {*upper->root_, ufs},
          [&upper](BorrowedFd dir) { return upper->OpenDir(dir); })
          .With("upper directory " + path));
  TRY(upper->Probe(config).With("upper directory " + path));
  TRY(upper->FinishMoves().With("upper directory " + path +
                                ": finishing what a crash has left"));
  if (upper->is_volatile()) TRY(upper->MarkVolatile().With(work_text));
  if (const Status dropped = upper->DropFrozen(ufs, config.layers);
      !dropped.ok())
    log::Warn(work_text + ": what was committed and is in the layers stays: " +
              dropped.error().ToString());
  return upper;
}

Status UpperDir::NoteMount(dev_t device) const {
  const UniqueFd ufs = TRY(sys::OpenAt({work_, "ufs"}, O_PATH | O_DIRECTORY));
  return ufs::NoteMount(ufs, device);
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
    TRY(RemoveTree({tmp_, name.c_str()}));
    if (stat.ok() && stat->stx_nlink == 1) ForgetOrigin(*stat);
  }
  kSwept.Visit();
  return Ok();
}

Status UpperDir::Probe(const UnionConfig& config) {
  has_xattrs_ = names_.trusted();  // was tried with one
  if (!has_xattrs_) {
    Draft file = TRY(NewFile(0600));
    const auto set = sys::SetXattr(file.at(), names_.literal.c_str(), "y");
    has_xattrs_ = set.ok();
    if (!set.ok() && set.code() != EOPNOTSUPP && set.code() != EPERM)
      return Error(set.code());
  }
  if (!has_xattrs_)
    log::Warn("upper directory " + path_ +
              ": its file system has no extended attributes; inode numbers "
              "change when files are copied up");
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

}  // namespace ufs
