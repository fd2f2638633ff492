// Cgroup: a container's directory in every hierarchy of the machine, whichever
// versions those are. The one home of cgroup paths and files.
//
// Ownership: the directories exist from Make until Remove; the object only
// names them and can be made again from Save's JSON. Threads: one at a time.
//
// A hierarchy in which no directory may be made (an ordinary user's case) is
// left out, and why is kept: a limit that would need it is an error that says
// so.
#pragma once

#include <sys/types.h>

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/cgroup_layout.h"
#include "runtime/kernel.h"
#include "runtime/spec.h"
#include "runtime/systemd_scope.h"

namespace ufs::runtime {

// For the container's own view of its cgroups.
struct CgroupMount {
  std::string name;  // of the directory below /sys/fs/cgroup
  bool v2 = false;
  std::vector<std::string> options;  // that select the hierarchy, on v1
  std::string directory;             // the container's, on the host
};

// The ways into a cgroup. A process is born in that of v2: to move there takes
// a global lock, and an RCU grace period with it (15 ms and more). Into those
// of v1 it goes by itself, for next to nothing while it has one thread.
class CgroupDoors {
 public:
  CgroupDoors() = default;

  // kernel::Clone, into v2's where that may be done.
  Result<kernel::Child> Clone(uint64_t flags);

 private:
  friend class Cgroup;

  std::vector<UniqueFd> files_;  // one of each directory, to write "0" to
  UniqueFd v2_;
  bool born_in_v2_ = false;
};

class Cgroup {
 public:
  // No cgroup at all: the container stays where its creator is.
  Cgroup() = default;

  // Where it will be; nothing is made. `path` as "linux.cgroupsPath": absolute
  // from the root of each hierarchy, relative from the caller's cgroup, empty
  // for ufs-ID there.
  static Result<Cgroup> Plan(const CgroupLayout& layout,
                             const std::string& path, const std::string& id);

  // Makes the directories. EBUSY when a process is in one already.
  Status Make();

  // The same below a scope that systemd is to make: `path` is
  // "linux.cgroupsPath" as ParseScope has it. A scope must have a process, so
  // that it is made later and with one: `pid` is moved into it, all the way.
  // Where systemd refuses, `otherwise` is made, if given, in its place, unless
  // there are properties; why is told to who sets a limit that is not to be had
  // so.
  static Result<Cgroup> PlanScope(const std::string& path,
                                  const std::string& id,
                                  const std::string& created,
                                  std::vector<SystemdProperty> properties);
  Status MakeScope(pid_t pid, const Resources& resources,
                   std::optional<Cgroup> otherwise = std::nullopt);
  bool in_scope() const { return scope_.has_value(); }

  nlohmann::json Save() const;
  static Result<Cgroup> Load(const nlohmann::json& json);

  bool empty() const { return directories_.empty(); }

  // Sets the limits; the device list too, but not for a caller in a user
  // namespace, whose devices the kernel guards and who may set none.
  Status Apply(const Resources& resources, bool with_devices);
  // The same later on, of one that has limits.
  Status Update(const Resources& resources);

  // Opened by whoever made the cgroup, whose rights count.
  Result<CgroupDoors> OpenDoors() const;
  // By a process that has one thread, made by doors.Clone or else.
  Status Join(const CgroupDoors& doors) const;
  // The same for who comes later. A container that has handed v2 controllers on
  // to cgroups of its own may have no process beside those: then where `init`
  // is.
  Status JoinLater(const CgroupDoors& doors, pid_t init) const;

  // Where what comes later goes instead: cgroups below, which are there. As
  // runc's `exec --cgroup`: "PATH" is one in every hierarchy,
  // "CONTROLLER[,...]:PATH" in that of v1 that has it. EINVAL, in runc's words.
  Result<Cgroup> Below(const std::vector<std::string>& words) const;

  // ENOTSUP without a freezer.
  Status Freeze();
  // Whoever froze it, in whichever hierarchy; and what is below it. EBUSY when
  // a cgroup above is frozen: the error names the freezer.
  Status Thaw();
  // What a SIGKILL that was sent already needs of that.
  Status ThawForKill();
  Result<bool> IsFrozen() const;

  // Every process in it and below it.
  Result<std::vector<pid_t>> Pids() const;
  // Signals all of them; SIGKILL reaches those too that are being forked, or
  // are frozen.
  Status KillAll(int signal);

  // Gives up a scope whose name is another's by now, with the directories,
  // which are the other's then: ours has ended, or was never made. To be asked
  // before all of it is killed or removed, neither of which may be done when it
  // fails: systemd does not tell whose the scope is.
  Status LeaveToOther();

  // Kills what is left and removes the directories, and parents that Make
  // made, if nothing else is in them.
  Status Remove();

  // What `events --stats` prints as "data", JSON.
  std::string Stats() const;
  // How often a process was killed for want of memory; 0 if nobody counts.
  uint64_t OomKills() const;

  std::vector<CgroupMount> Mounts() const;

 private:
  struct Directory {
    std::string path;  // on the host
    std::string made;  // the topmost that Make made: path or a parent
    std::string mountpoint;
    // From here on down controllers are ours to switch on: the mount, or the
    // scope.
    std::string top;
    bool v2 = false;
    std::vector<std::string> controllers;
  };

  const Directory* Find(const std::string& controller) const;
  const Directory* V2() const;
  const Directory* FreezerV1() const;  // as on a hybrid host, beside v2's
  Status ApplyController(const Resources& resources,
                         const std::string& controller);
  Status ApplyDevices(const std::vector<DeviceRule>& rules);
  Status CheckRoom(const Resources& resources) const;
  Status SetLimits(const Resources& resources, bool with_devices);
  Status MakeDirectories();
  void EnableControllers() const;
  // Moves another process here.
  Status Move(pid_t pid) const;
  Resources WithCpuMax(const Resources& resources) const;
  // Switches a controller on from `top` down to our directory, on v2.
  static Status EnableV2(const Directory& directory,
                         const std::string& controller);
  // The same of all that there are, as far as that goes.
  static void EnableAllV2(const Directory& directory);
  static bool IsFrozen(const Directory& directory);
  static Status MakeDirectory(Directory& directory);
  static bool IsCpuV1(const Directory& directory);
  static Status JoinV2Of(const Directory& directory, pid_t init);
  // What Below was asked for with "CONTROLLER[,...]:PATH".
  struct Choice {
    std::set<std::string> controllers;
    std::map<const Directory*, std::string> paths;
  };
  Status Choose(const std::string& word, Choice& choice) const;

  std::optional<SystemdScope> scope_;
  std::vector<Directory> directories_;
  std::vector<std::string> missing_;  // why a hierarchy was left out
  bool below_ = false;                // a place was asked for, see Below
};

}  // namespace ufs::runtime
