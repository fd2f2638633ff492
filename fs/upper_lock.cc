#include "fs/upper_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <optional>
#include <thread>

#include "layerdb/base/file_data.h"
#include "layerdb/base/mount_info.h"
#include "layerdb/base/syscall.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kNote[] = "mount";
constexpr size_t kNoteLimit = 64;
// A daemon syncs what it was asked to before it ends.
constexpr std::chrono::seconds kLeavingPatience{10};
// One that has not mounted yet, that this pid namespace does not show, or a
// command that reads the upper.
constexpr std::chrono::seconds kUnknownPatience{1};
constexpr std::chrono::milliseconds kPause{5};

struct Holder {
  pid_t pid = 0;  // here
  dev_t device = 0;
};

// By which processes are numbered; empty without /proc.
std::string PidNamespace() {
  auto space = sys::ReadLinkAt({AT_FDCWD, "/proc/self/ns/pid"});
  return space.ok() ? std::move(space).value() : std::string();
}

std::optional<Holder> ReadNote(const std::string& work_path) {
  const std::string path = work_path + "/ufs/" + kNote;
  const auto text = ReadSmallFile({AT_FDCWD, path.c_str()}, kNoteLimit);
  int pid = 0;
  unsigned major = 0, minor = 0;
  char space[kNoteLimit + 1] = {};
  if (!text.ok() ||
      std::sscanf(text->c_str(), "%d %u:%u %64s", &pid, &major, &minor,
                  space) != 4 ||
      pid <= 0 || space != PidNamespace())
    return std::nullopt;
  return Holder{pid, makedev(major, minor)};
}

enum class Phase { kUnknown, kMounted, kLeaving };

// Whether the holder's mount is still there, as the holder itself sees it.
Phase PhaseOf(const Holder& holder, std::string* mountpoint) {
  const std::vector<MountInfo> mounts = ReadMountInfo(holder.pid);
  if (mounts.empty()) return Phase::kUnknown;
  for (const MountInfo& mount : mounts) {
    if (mount.device != holder.device) continue;
    *mountpoint = mount.mountpoint;
    return Phase::kMounted;
  }
  return Phase::kLeaving;
}

Error Busy(const std::string& what, const std::optional<Holder>& holder,
           Phase phase, const std::string& mountpoint) {
  if (phase == Phase::kLeaving)
    return Error(EBUSY, what + " is still in use by process " +
                            std::to_string(holder->pid) +
                            ", whose mount is gone here: an open file or "
                            "another mount namespace keeps it; end what does, "
                            "or name another directory");
  return Error(EBUSY,
               what + " is in use by " +
                   (phase == Phase::kMounted ? "the mount at " + mountpoint
                                             : "another mount") +
                   "; unmount that one, or name another directory");
}

}  // namespace

Status LockForMount(BorrowedFd dir, const std::string& what,
                    const std::string& work_path) {
  const Clock::time_point start = Clock::now();
  for (;;) {
    const auto locked = sys::FLock(dir, LOCK_EX | LOCK_NB);
    if (locked.code() != EWOULDBLOCK) return locked;
    const std::optional<Holder> holder = ReadNote(work_path);
    std::string mountpoint;
    const Phase phase =
        holder ? PhaseOf(*holder, &mountpoint) : Phase::kUnknown;
    const auto patience =
        phase == Phase::kLeaving ? kLeavingPatience : kUnknownPatience;
    if (phase == Phase::kMounted || Clock::now() - start > patience)
      return Busy(what, holder, phase, mountpoint);
    std::this_thread::sleep_for(kPause);
  }
}

Status NoteMount(BorrowedFd ufs, dev_t device) {
  const std::string note =
      std::to_string(getpid()) + " " + std::to_string(major(device)) + ":" +
      std::to_string(minor(device)) + " " + PidNamespace() + "\n";
  // A new file: what somebody put there may be a fifo, or another's file.
  const auto removed = sys::UnlinkAt({ufs, kNote});
  if (!removed.ok() && removed.code() != ENOENT) return removed;
  const UniqueFd file =
      TRY(sys::OpenAt({ufs, kNote}, O_WRONLY | O_CREAT | O_EXCL, 0600));
  return WriteAll(file, note, 0);
}

}  // namespace ufs
