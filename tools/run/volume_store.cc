#include "tools/run/volume_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <time.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <filesystem>

#include "layerdb/base/syscall.h"
#include "runtime/copy_tree.h"
#include "runtime/rooted_path.h"
#include "tools/run/record.h"
#include "tools/run/scratch.h"
#include "tools/run/selinux_labels.h"
#include "tools/state_dir.h"

namespace ufs {
namespace {

namespace stdfs = std::filesystem;

constexpr char kData[] = "_data";
constexpr char kDraft[] = ".draft";  // of the contents, while they are copied
constexpr char kFilled[] = "filled";
constexpr char kAnonymous[] = "anonymous";

Error NoVolume(const std::string& name) {
  return Error(ENOENT, "no volume " + name + "; see 'ufs volume ls'");
}

std::string FormatTime(const statx_timestamp& time) {
  const time_t seconds = static_cast<time_t>(time.tv_sec);
  tm parts{};
  char text[32] = "";
  if (gmtime_r(&seconds, &parts) != nullptr)
    (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

// The directory of the volume, locked. ENOENT when it is gone.
Result<UniqueFd> LockVolume(const std::string& path) {
  while (true) {
    UniqueFd dir = TRY(sys::Open(path.c_str(), O_RDONLY | O_DIRECTORY));
    TRY(sys::FLock(dir, LOCK_EX).With("locking " + path));
    const auto ours = TRY(sys::Statx({dir}));
    const UniqueFd now = TRY(sys::Open(path.c_str(), O_PATH | O_DIRECTORY));
    // Removed, and perhaps made again, while we waited.
    if (TRY(sys::Statx({now})).stx_ino == ours.stx_ino) return dir;
  }
}

Result<bool> IsEmpty(BorrowedFd directory) {
  bool empty = true;
  TRY(sys::ForEachEntry(directory, [&](const char*, uint8_t, uint64_t) {
    empty = false;
    return false;
  }));
  return empty;
}

Result<std::vector<std::string>> UsersOf(const std::string& containers,
                                         const std::string& name) {
  std::vector<std::string> users;
  for (const RunRecord& record : TRY(ListRecords(containers)))
    if (std::find(record.volumes.begin(), record.volumes.end(), name) !=
        record.volumes.end())
      users.push_back(record.name);
  return users;
}

// `last`, if any, is the container that is about to go.
Status RemoveUnused(const std::string& root, const std::string& containers,
                    const std::string& name, const std::string& last) {
  RemoveScratch(root);
  const std::string path = root + "/" + name;
  const std::string scratch = root + "/" + ScratchName(name);
  {
    // A container's record names its volumes before it locks them: whoever is
    // not seen here makes the volume anew.
    const auto lock = LockVolume(path);
    if (lock.code() == ENOENT) return NoVolume(name);
    if (!lock.ok()) return lock.error();
    std::string users;
    for (const std::string& user : TRY(UsersOf(containers, name)))
      if (user != last) users += (users.empty() ? "" : " ") + user;
    if (!users.empty())
      return Error(EBUSY, "volume " + name + " is in use by " + users +
                              "; remove what uses it first: ufs rm " + users);
    TRY(sys::RenameAt2({AT_FDCWD, path.c_str()}, {AT_FDCWD, scratch.c_str()})
            .With(path));
  }
  return RemoveTreeOfContainers(scratch);
}

// REQUIRES: `dir` is locked.
Status Fill(BorrowedFd dir, const std::string& path, BorrowedFd tree,
            const std::string& place) {
  const UniqueFd data = TRY(sys::OpenAt({dir, kData}, O_RDONLY | O_DIRECTORY));
  if (!TRY(IsEmpty(data))) return Ok();
  const auto from =
      runtime::OpenInRoot(tree, place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // Nothing there, or no directory, which the mount will complain of.
  if (from.code() == ENOENT || from.code() == ENOTDIR) return Ok();
  if (!from.ok()) return Error(from.code(), place);
  TRY(RemoveTree(path + "/" + kDraft));
  TRY(sys::MkDirAt({dir, kDraft}, 0755));
  {
    const UniqueFd draft =
        TRY(sys::OpenAt({dir, kDraft}, O_RDONLY | O_DIRECTORY));
    TRY(runtime::CopyTree(*from, draft).With(place));
  }
  return sys::RenameAt2({dir, kDraft}, {dir, kData});
}

}  // namespace

Result<std::string> VolumesDirectory() {
  return TRY(StateDirectory()) + "/volumes";
}

Status CheckVolumeName(const std::string& name) {
  constexpr size_t kNameBytesMax = 200;
  const auto is_letter = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0;
  };
  if (!name.empty() && name.size() <= kNameBytesMax && is_letter(name[0]) &&
      std::all_of(name.begin(), name.end(), [&](char c) {
        return is_letter(c) || c == '_' || c == '.' || c == '-';
      }))
    return Ok();
  return Error(EINVAL, "'" + name +
                           "' is no name of a volume: a letter or digit, then "
                           "up to 199 of those and _.-");
}

Status MakeVolume(const std::string& root, const std::string& name,
                  bool anonymous) {
  TRY(CheckVolumeName(name));
  std::error_code error;
  stdfs::create_directories(root, error);
  if (error) return Error(error.value(), root + ": cannot be made");
  const std::string path = root + "/" + name;
  if (sys::Open(path.c_str(), O_PATH | O_DIRECTORY).ok()) return Ok();
  const std::string draft = root + "/" + ScratchName(name);
  TRY(RemoveTree(draft));
  const auto make = [&]() -> Status {
    TRY(sys::MkDirAt({AT_FDCWD, draft.c_str()}, 0700));
    TRY(sys::MkDirAt({AT_FDCWD, (draft + "/" + kData).c_str()}, 0755));
    if (anonymous)
      TRY(sys::Open((draft + "/" + kAnonymous).c_str(), O_WRONLY | O_CREAT,
                    0600));
    return sys::RenameAt2({AT_FDCWD, draft.c_str()}, {AT_FDCWD, path.c_str()},
                          RENAME_NOREPLACE);
  };
  const auto made = make();
  if (made.ok()) return Ok();
  (void)RemoveTree(draft);
  if (made.code() == EEXIST) return Ok();
  return Error(made.code(), path + ": cannot be made");
}

Status UseVolume(const std::string& root, const RequestedMount& requested,
                 BorrowedFd tree, const std::string& label) {
  const std::string& name = requested.volume;
  const std::string path = root + "/" + name;
  const auto lock = [&]() -> Result<UniqueFd> {
    while (true) {
      TRY(MakeVolume(root, name, requested.anonymous));
      auto dir = LockVolume(path);
      if (dir.code() != ENOENT) return dir;
    }
  };
  const auto use = [&]() -> Status {
    const UniqueFd dir = TRY(lock());
    if (sys::Statx({dir, kFilled}).ok()) return Ok();
    if (requested.fill) TRY(Fill(dir, path, tree, requested.mount.destination));
    TRY(Relabel(VolumeDataPath(root, name), label, /*shared=*/true));
    TRY(sys::OpenAt({dir, kFilled}, O_WRONLY | O_CREAT, 0600));
    return Ok();
  };
  return use().With("volume " + name);
}

Result<Volume> FindVolume(const std::string& root, const std::string& name) {
  TRY(CheckVolumeName(name));
  const std::string path = root + "/" + name;
  const auto dir = sys::Open(path.c_str(), O_PATH | O_DIRECTORY);
  if (dir.code() == ENOENT) return NoVolume(name);
  if (!dir.ok()) return Error(dir.code(), path);
  const auto stat = TRY(sys::Statx({*dir}).With(path));
  // Its own time changes once, when it is filled.
  const bool has_birth = (stat.stx_mask & STATX_BTIME) != 0;
  return Volume{name, VolumeDataPath(root, name),
                FormatTime(has_birth ? stat.stx_btime : stat.stx_mtime),
                sys::Statx({*dir, kAnonymous}).ok()};
}

Result<std::vector<Volume>> ListVolumes(const std::string& root) {
  RemoveScratch(root);
  std::vector<Volume> volumes;
  const auto dir = sys::Open(root.c_str(), O_RDONLY | O_DIRECTORY);
  if (dir.code() == ENOENT) return volumes;
  if (!dir.ok()) return Error(dir.code(), root);
  TRY(sys::ForEachEntry(*dir, [&](const char* name, uint8_t, uint64_t) {
    if (!CheckVolumeName(name).ok()) return true;
    auto volume = FindVolume(root, name);
    if (volume.ok()) volumes.push_back(std::move(volume).value());
    return true;
  }));
  std::sort(volumes.begin(), volumes.end(),
            [](const Volume& a, const Volume& b) { return a.name < b.name; });
  return volumes;
}

Result<std::vector<std::string>> UsersOfVolume(const std::string& name) {
  return UsersOf(TRY(ContainersDirectory()), name);
}

Status RemoveVolume(const std::string& root, const std::string& name) {
  TRY(CheckVolumeName(name));
  return RemoveUnused(root, TRY(ContainersDirectory()), name, /*last=*/"");
}

Status RemoveAnonymousVolumes(const std::string& root,
                              const std::string& containers,
                              const RunRecord& record) {
  for (const std::string& name : record.anonymous_volumes) {
    // The record is a file that anybody could have written to.
    TRY(CheckVolumeName(name));
    const auto removed = RemoveUnused(root, containers, name, record.name);
    if (!removed.ok() && removed.code() != EBUSY && removed.code() != ENOENT)
      return removed;
  }
  return Ok();
}

}  // namespace ufs
