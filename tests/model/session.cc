#include "tests/model/session.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <mutex>

#include "fs/control.h"
#include "layerdb/base/unique_fd.h"
#include "tests/harness/files.h"
#include "tests/harness/process.h"
#include "tests/harness/scratch_dir.h"
#include "tests/harness/supervisor.h"
#include "tests/model/check.h"
#include "tests/model/file_flags.h"

namespace ufs::model {
namespace {

using test::Snapshot;
using test::TheSubject;

std::string MakeDir(const std::string& path) {
  Must(mkdir(path.c_str(), 0755), path);
  return path;
}

Snapshot SnapshotOf(const std::string& lower) {
  return Snapshot::Take(lower, Snapshot::Detail::kUnchanged);
}

bool IsMark(const std::string& xattr) {
  for (const std::string prefix : {"trusted.overlay.", "user.overlay."})
    if (xattr.starts_with(prefix))  // a user's own has the word twice
      return !xattr.substr(prefix.size()).starts_with("overlay.");
  return false;
}

// The root of a union is that of its upper.
void CopyRoot(const std::string& from, const std::string& to) {
  const struct stat root = test::Stat(from);
  Must(chown(to.c_str(), root.st_uid, root.st_gid), to);
  Must(chmod(to.c_str(), root.st_mode & 07777), to);
  for (const std::string& name : test::ListXattrs(from))
    if (!IsMark(name)) test::SetXattr(to, name, *test::GetXattr(from, name));
  test::SetTimes(to, root.st_atim, root.st_mtim);
}

}  // namespace

Session::Session(const std::vector<LayerSpec>& layers,
                 WhiteoutStyle whiteouts) {
  static int count = 0;
  base_ = MakeDir(test::ScratchRoot() + "/" + std::to_string(++count));
  plain_ = MakeDir(base_ + "/plain");
  const LayerSpec merged = Merge(layers);
  Materialize(merged, plain_, WhiteoutStyle::kCharDevice);
  plan_.mountpoint = MakeDir(base_ + "/mnt");
  BeginUpper();
  if (TheSubject().is_plain()) {
    plan_.merged = MakeDir(base_ + "/merged");
    Materialize(merged, plan_.merged, WhiteoutStyle::kCharDevice);
    return;
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    plan_.lowers.push_back(MakeDir(base_ + "/l" + std::to_string(i)));
    Materialize(layers[i], plan_.lowers.back(), whiteouts);
    lowers_before_.push_back(SnapshotOf(plan_.lowers.back()));
  }
}

Session::~Session() {
  if (mounted_.mounted()) Unmount();
  if (!test::RemoveTree(base_))  // not with immutable files in it
    test::RunProgram({"chattr", "-R", "-f", "-ia", base_});
  if (!test::RemoveTree(base_))
    fprintf(stderr, "cannot remove all of %s\n", base_.c_str());
}

void Session::BeginUpper() {
  plan_.upper = MakeDir(base_ + "/upper");
  plan_.work = plan_.upper + ".work";  // where `ufs mount --upper` makes it
  SetRootAttributes(plan_.upper);
}

std::string Session::Mount() {
  if (auto failure = mounted_.Mount(plan_)) return *failure;
  if (TheSubject().is_ufs())
    test::TheWatchBoard().connection = test::FuseConnectionOf(plan_.mountpoint);
  return "";
}

std::string Session::Unmount() {
  test::TheWatchBoard().connection = 0;
  return mounted_.Unmount().value_or("");
}

Remounted Session::Remount(bool commit) {
  Remounted done;
  commit = commit && TheSubject().is_ufs();
  if (commit) done.error = Complete();
  if (done.error.empty()) done.error = Unmount();
  if (!done.error.empty()) return done;
  done.looked_at = commit;
  done.new_layer = commit && MayCommit();
  if (done.new_layer) Commit();
  done.error = Mount();
  return done;
}

// What is in the upper in part is no part of a layer.
std::string Session::Complete() {
  const auto done =
      test::RunProgram({getenv("UFS_BIN"), "complete", plan_.mountpoint},
                       /*timeout_seconds=*/60);
  return done.exit_code == 0 ? "" : "ufs complete: " + done.output;
}

// As `ufs commit` does it. Others may be at work, and one of them may be at the
// same.
std::string Session::Freeze() {
  // The socket of another user's daemon is not for us.
  if (!TheSubject().is_ufs() || TheSubject().in_user_namespace) return "";
  static std::mutex one_at_a_time;
  std::lock_guard lock(one_at_a_time);
  // Fails where another lane removes what it is about to look at.
  if (!Complete().empty()) return "";
  const auto freeze = [&]() -> Status {
    MountHold hold = TRY(MountHold::Begin(plan_.mountpoint));
    TRY(hold.Freeze());
    return hold.End();
  };
  const Status frozen = freeze();
  // A busy machine; and what passes files through keeps its upper.
  const bool may_be = frozen.code() == EBUSY || frozen.code() == ENOTSUP;
  return frozen.ok() || may_be ? "" : frozen.error().ToString();
}

// A lower file with several names has one upper object for all of them only as
// long as its index is there, which is no part of the upper; nor is what it was
// when it began afresh. And file flags are not copied up (fs/README.md).
bool Session::MayCommit() const {
  if (!std::filesystem::is_empty(plan_.work + "/ufs/index")) return false;
  if (std::filesystem::exists(plan_.work + "/ufs/frozen")) return false;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(plan_.upper)) {
    if (entry.symlink_status().type() != std::filesystem::file_type::regular)
      continue;
    UniqueFd fd(open(entry.path().c_str(), O_RDONLY | O_NOATIME | O_CLOEXEC));
    Must(fd.get(), entry.path());
    if (Must(GetFileFlags(fd.get(), FlagsCall::kFlags), entry.path()) != 0)
      return false;
  }
  return true;
}

void Session::Commit() {
  plan_.lowers.push_back(base_ + "/l" + std::to_string(plan_.lowers.size()));
  Must(rename(plan_.upper.c_str(), plan_.lowers.back().c_str()), plan_.upper);
  if (!test::RemoveTree(plan_.work)) Die("remove " + plan_.work);
  lowers_before_.push_back(SnapshotOf(plan_.lowers.back()));
  BeginUpper();
  CopyRoot(plan_.lowers.back(), plan_.upper);
}

std::string Session::CheckLowers() const {
  for (size_t i = 0; i < lowers_before_.size(); ++i) {
    const auto same = lowers_before_[i].SameAs(SnapshotOf(plan_.lowers[i]));
    if (!same)
      return "layer " + std::to_string(i) + " changed: " + same.message();
  }
  return "";
}

}  // namespace ufs::model
