// How a process comes into a container's cgroups: into v1's by a write of its
// own, into v2's by being born there.
#include <fcntl.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "layerdb/base/syscall.h"
#include "runtime/cgroup.h"
#include "runtime/rooted_path.h"

namespace ufs::runtime {
namespace {

constexpr char kJoining[] = "joining the container's cgroup";
constexpr char kInvalid[] = "invalid --cgroup argument: ";
constexpr char kHandedOn[] =
    " takes no process, as it hands controllers on to cgroups below; name one "
    "of those";

Status Join(BorrowedFd file) { return kernel::WriteOnce(file, "0"); }

// Or under a deadline, which comes before it.
bool IsRealTime() {
  const int policy = sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;
  return policy == SCHED_FIFO || policy == SCHED_RR || policy == SCHED_DEADLINE;
}

// EINVAL is all that the kernel says, to runc and crun, too.
Status WhyNot(Status joined, bool cpu_v1, const std::string& directory) {
  if (joined.code() != EINVAL || !cpu_v1 || !IsRealTime())
    return std::move(joined).With(kJoining);
  return Error(EINVAL,
               std::string(kJoining) + ": " + directory +
                   " has no time for real-time scheduling, which the caller "
                   "is under; start with another (chrt --other 0), or give it "
                   "some: linux.resources.cpu.realtimeRuntime");
}

Result<std::string> PathBelow(const std::string& directory,
                              const std::string& path) {
  std::string below = CleanPath(directory + "/" + path);
  if (below != directory && !below.starts_with(directory + "/"))
    return Error(EINVAL, path + " is not a sub cgroup path");
  return below;
}

}  // namespace

Result<CgroupDoors> Cgroup::OpenDoors() const {
  CgroupDoors doors;
  for (const Directory& directory : directories_) {
    // A single thread that joins by "tasks" spares v1 the global lock that
    // "cgroup.procs" takes, and an RCU grace period with it.
    const std::string file =
        directory.path + (directory.v2 ? "/cgroup.procs" : "/tasks");
    doors.files_.push_back(TRY(sys::Open(file.c_str(), O_WRONLY).With(file)));
    if (directory.v2)
      doors.v2_ = TRY(sys::Open(directory.path.c_str(), O_PATH | O_DIRECTORY)
                          .With(directory.path));
  }
  return doors;
}

Result<kernel::Child> CgroupDoors::Clone(uint64_t flags) {
  if (v2_.valid()) {
    born_in_v2_ = true;  // the child has to know
    auto child = kernel::Clone(flags, v2_.get());
    if (child.ok()) return child;
    // Where only a write is allowed, or says better why not.
    born_in_v2_ = false;
  }
  return kernel::Clone(flags);
}

Status Cgroup::Join(const CgroupDoors& doors) const {
  for (size_t i = 0; i < doors.files_.size(); ++i)
    if (!(directories_[i].v2 && doors.born_in_v2_))
      TRY(WhyNot(runtime::Join(doors.files_[i]), IsCpuV1(directories_[i]),
                 directories_[i].path));
  return Ok();
}

Status Cgroup::JoinLater(const CgroupDoors& doors, pid_t init) const {
  for (size_t i = 0; i < doors.files_.size(); ++i) {
    const Directory& directory = directories_[i];
    if (directory.v2 && doors.born_in_v2_) continue;
    auto joined = runtime::Join(doors.files_[i]);
    // Out of another session a user cannot come; systemd does it.
    if (joined.code() == EACCES && directory.v2 && scope_) {
      TRY(EnterScope(*scope_, directory.path.substr(directory.top.size())));
      joined = runtime::Join(doors.files_[i]);
    }
    if (joined.code() == EBUSY && directory.v2)
      joined = below_ ? Error(EBUSY, directory.path + kHandedOn)
                      : JoinV2Of(directory, init);
    TRY(WhyNot(std::move(joined), IsCpuV1(directory), directory.path));
  }
  return Ok();
}

bool Cgroup::IsCpuV1(const Directory& directory) {
  const auto& has = directory.controllers;
  return !directory.v2 && std::find(has.begin(), has.end(), "cpu") != has.end();
}

Result<Cgroup> Cgroup::Below(const std::vector<std::string>& words) const {
  if (empty())
    return Error(ENOTSUP, "the container has no cgroup for one to be below");
  Cgroup below = *this;
  below.below_ = true;
  Choice choice;
  for (const std::string& word : words) {
    if (word.find(':') != word.npos) {
      TRY(Choose(word, choice));
      continue;
    }
    if (words.size() > 1)
      return Error(EINVAL, kInvalid + word + " (missing <controller>: prefix)");
    for (Directory& directory : below.directories_)
      directory.path = TRY(PathBelow(directory.path, word));
  }
  for (const auto& [directory, path] : choice.paths)
    below.directories_[static_cast<size_t>(directory - directories_.data())]
        .path = path;
  return below;
}

Status Cgroup::Choose(const std::string& word, Choice& choice) const {
  const size_t colon = word.find(':');
  if (word.find(':', colon + 1) != word.npos)
    return Error(EINVAL, kInvalid + word);
  // Comma after comma: getline would not see an empty one at the end.
  for (size_t begin = 0; begin <= colon;) {
    const size_t end = std::min(word.find(',', begin), colon);
    const std::string controller = word.substr(begin, end - begin);
    begin = end + 1;
    if (controller.empty())
      return Error(EINVAL, kInvalid + word + " (empty <controller> prefix)");
    const Directory* const directory = Find(controller);
    // That of v2 is one for all: what is moved there is moved for each.
    if (directory == nullptr || directory->v2)
      return Error(EINVAL, "unknown controller " + controller +
                               " in --cgroup: none of cgroup v1");
    if (!choice.controllers.insert(controller).second)
      return Error(EINVAL, "invalid --cgroup argument(s): controller " +
                               controller + " specified multiple times");
    std::string path = TRY(PathBelow(directory->path, word.substr(colon + 1)));
    // Several controllers may share a hierarchy.
    const auto [chosen, is_new] = choice.paths.emplace(directory, path);
    if (!is_new && chosen->second != path)
      return Error(EINVAL, "invalid --cgroup argument(s): controller " +
                               controller +
                               " shares a hierarchy with one that is to be "
                               "elsewhere");
  }
  return Ok();
}

Status Cgroup::JoinV2Of(const Directory& directory, pid_t init) {
  for (const CgroupHierarchy& hierarchy :
       TRY(ReadCgroupLayout(std::to_string(init)))) {
    const std::string path = hierarchy.mountpoint + hierarchy.own;
    // Whoever has been moved out of the container's is no guide.
    if (hierarchy.v2 && path.starts_with(directory.path + "/"))
      return kernel::WriteFile({AT_FDCWD, (path + "/cgroup.procs").c_str()},
                               "0")
          .With(path);
  }
  return Error(EBUSY, directory.path);
}

}  // namespace ufs::runtime
