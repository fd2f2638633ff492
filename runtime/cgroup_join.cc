// How a process comes into a container's cgroups: into v1's by a write of its
// own, into v2's by being born there.
#include <fcntl.h>

#include <cerrno>

#include "layerdb/base/syscall.h"
#include "runtime/cgroup.h"

namespace ufs::runtime {
namespace {

constexpr char kJoining[] = "joining the container's cgroup";

Status Join(BorrowedFd file) { return kernel::WriteOnce(file, "0"); }

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
      TRY(runtime::Join(doors.files_[i]).With(kJoining));
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
      joined = JoinV2Of(directory, init);
    TRY(std::move(joined).With(kJoining));
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
