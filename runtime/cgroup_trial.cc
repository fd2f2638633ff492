#include "runtime/cgroup_trial.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <string_view>

#include "layerdb/base/cleanup.h"
#include "layerdb/base/syscall.h"
#include "runtime/cgroup.h"
#include "runtime/kernel.h"

namespace ufs::runtime {
namespace {

// "ufs-ID~trial.PID": no container's id has a tilde.
constexpr std::string_view kMark = "~trial.";

// 0 for what is no trial.
pid_t MakerOf(std::string_view name) {
  const size_t mark = name.rfind(kMark);
  if (!name.starts_with("ufs-") || mark == name.npos) return 0;
  const char* const end = name.data() + name.size();
  pid_t pid = 0;
  const auto read =
      std::from_chars(name.data() + mark + kMark.size(), end, pid);
  return read.ec == std::errc() && read.ptr == end ? pid : 0;
}

void RemoveLeftTrials(const std::string& directory) {
  const auto fd = sys::Open(directory.c_str(), O_RDONLY | O_DIRECTORY);
  if (!fd.ok()) return;
  // Nobody was ever in one. What fails is left to the next.
  for (const std::string& name : kernel::NamesOfGoneMakers(*fd, MakerOf))
    (void)sys::UnlinkAt({*fd, name.c_str()}, AT_REMOVEDIR);
}

}  // namespace

Status TryLimits(const Resources& resources, const std::string& id) {
  sigset_t all, before;
  sigfillset(&all);
  TRY(kernel::Check(sigprocmask(SIG_BLOCK, &all, &before)));
  const Cleanup unblock([&] { sigprocmask(SIG_SETMASK, &before, nullptr); });
  const auto layout = TRY(ReadCgroupLayout());
  const std::string name = id + std::string(kMark) + std::to_string(getpid());
  Cgroup trial = TRY(Cgroup::Plan(layout, "", name));
  auto set = trial.Make();
  if (set.ok()) set = trial.Apply(resources, /*with_devices=*/false);
  auto removed = trial.Remove();
  return set.ok() ? removed : set;
}

void RemoveLeftTrials() {
  const auto layout = ReadCgroupLayout();
  if (!layout.ok()) return;
  for (const CgroupHierarchy& hierarchy : *layout)
    RemoveLeftTrials(hierarchy.mountpoint + hierarchy.own);
}

}  // namespace ufs::runtime
