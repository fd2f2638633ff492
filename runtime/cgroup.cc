#include "runtime/cgroup.h"

#include <fcntl.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <set>
#include <sstream>
#include <thread>

#include "layerdb/base/log.h"
#include "layerdb/base/syscall.h"
#include "runtime/cgroup_limits.h"
#include "runtime/device_filter.h"
#include "runtime/kernel.h"
#include "runtime/rooted_path.h"

namespace ufs::runtime {
namespace {

using namespace std::chrono_literals;

// The kernel empties a cgroup some time after its last process is reaped.
constexpr auto kRemovePatience = 5s;
constexpr auto kFreezePatience = 10s;

Status WriteTo(const std::string& file, std::string_view value) {
  return kernel::WriteFile({AT_FDCWD, file.c_str()}, value);
}

Result<std::string> ReadFrom(const std::string& file) {
  auto text = TRY(kernel::ReadFile(file, 16 << 20));
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

uint64_t NumberFrom(const std::string& file) {
  const auto text = ReadFrom(file);
  if (!text.ok()) return 0;
  return std::strtoull(text->c_str(), nullptr, 10);
}

// The number behind `key` in a file of "KEY NUMBER" lines.
uint64_t KeyFrom(const std::string& file, const std::string& key) {
  const auto text = ReadFrom(file);
  if (!text.ok()) return 0;
  const std::string lines = "\n" + *text;
  const size_t at = lines.find("\n" + key + " ");
  if (at == lines.npos) return 0;
  return std::strtoull(lines.c_str() + at + key.size() + 2, nullptr, 10);
}

bool Exists(const std::string& path) {
  return sys::Statx({AT_FDCWD, path.c_str()}).ok();
}

// Polls `done` until it is true or the time is over.
template <typename Done>
bool WaitFor(std::chrono::milliseconds patience, Done done) {
  const auto end = std::chrono::steady_clock::now() + patience;
  auto pause = 1ms;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, 50ms);
  }
  return true;
}

std::vector<std::string> SubdirectoriesOf(const std::string& path) {
  std::vector<std::string> found;
  const auto fd = sys::Open(path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!fd.ok()) return found;
  (void)sys::ForEachEntry(*fd, [&](const char* name, uint8_t type, uint64_t) {
    if (type == DT_DIR) found.push_back(path + "/" + name);
    return true;
  });
  return found;
}

void AddPids(const std::string& directory, int depth,
             std::vector<pid_t>& pids) {
  constexpr int kMaxDepth = 64;
  const auto text = ReadFrom(directory + "/cgroup.procs");
  if (text.ok()) {
    const char* at = text->c_str();
    char* end = nullptr;
    for (long pid = std::strtol(at, &end, 10); end != at;
         pid = std::strtol(at, &end, 10)) {
      if (pid > 0) pids.push_back(static_cast<pid_t>(pid));
      at = end;
    }
  }
  if (depth < kMaxDepth)
    for (const std::string& below : SubdirectoriesOf(directory))
      AddPids(below, depth + 1, pids);
}

Status RemoveTree(const std::string& directory, int depth) {
  constexpr int kMaxDepth = 64;
  const auto remove = [&]() -> Status {
    auto removed = sys::UnlinkAt({AT_FDCWD, directory.c_str()}, AT_REMOVEDIR);
    if (removed.code() == ENOENT) return Ok();
    return removed;
  };
  // Few containers make cgroups of their own: looking for them comes second.
  auto removed = remove();
  if (removed.code() != EBUSY || depth >= kMaxDepth) return removed;
  for (const std::string& below : SubdirectoriesOf(directory))
    TRY(RemoveTree(below, depth + 1));
  return remove();
}

// In a directory and in all below it, as far as they have the file.
void WriteToEach(const std::string& directory, const std::string& file,
                 std::string_view value, int depth) {
  constexpr int kMaxDepth = 64;
  (void)WriteTo(directory + "/" + file, value);
  if (depth >= kMaxDepth) return;
  for (const std::string& below : SubdirectoriesOf(directory))
    WriteToEach(below, file, value, depth + 1);
}

Status AwaitFrozenV2(const std::string& directory, bool frozen) {
  const std::string events = directory + "/cgroup.events";
  if (WaitFor(kFreezePatience,
              [&] { return KeyFrom(events, "frozen") == (frozen ? 1u : 0u); }))
    return Ok();
  return Error(ETIMEDOUT, directory + "/cgroup.freeze has no effect" +
                              (frozen ? "" : "; is a cgroup above frozen?"));
}

// A new cpuset has no processors and no memory, and takes nobody until it has.
void SeedCpuset(const std::string& parent, const std::string& child) {
  for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) {
    const auto own = ReadFrom(child + file);
    if (!own.ok() || !own->empty()) continue;
    const auto above = ReadFrom(parent + file);
    // What fails here shows at the join.
    if (above.ok()) (void)WriteTo(child + file, *above);
  }
}

std::set<std::string> WordsFrom(const std::string& file) {
  std::set<std::string> words;
  const auto text = ReadFrom(file);
  if (!text.ok()) return words;
  std::istringstream rest(*text);
  for (std::string word; rest >> word;) words.insert(word);
  return words;
}

// Of `path`, which is below `top`: top first, the nearest last.
std::vector<std::string> ParentsOf(const std::string& top,
                                   const std::string& path) {
  std::vector<std::string> parents = {top};
  for (size_t at = path.find('/', top.size() + 1); at != path.npos;
       at = path.find('/', at + 1))
    parents.push_back(path.substr(0, at));
  return parents;
}

std::string ParentOf(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

}  // namespace

// By itself, or by one above.
bool Cgroup::IsFrozen(const Directory& directory) {
  if (directory.v2) return KeyFrom(directory.path + "/cgroup.events", "frozen");
  const auto state = ReadFrom(directory.path + "/freezer.state");
  return state.ok() && *state != "THAWED";
}

Status Cgroup::MakeDirectory(Directory& directory) {
  const bool cpuset =
      !directory.v2 &&
      std::find(directory.controllers.begin(), directory.controllers.end(),
                "cpuset") != directory.controllers.end();
  std::string path = directory.mountpoint;
  std::string_view rest = directory.path;
  rest.remove_prefix(directory.mountpoint.size());
  bool existed = true;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('/', 1), rest.size());
    const std::string parent = path;
    path += rest.substr(0, end);
    rest.remove_prefix(end);
    const auto made = sys::MkDirAt({AT_FDCWD, path.c_str()}, 0755);
    if (!made.ok() && made.code() != EEXIST)
      return Error(made.code(), path + ": the cgroup cannot be made");
    if (made.ok() && directory.made.empty()) directory.made = path;
    existed = !made.ok();
    if (cpuset) SeedCpuset(parent, path);
  }
  // Who joins it would never say a word.
  if (IsFrozen(directory))
    return Error(EBUSY, path +
                            ": container's cgroup unexpectedly frozen; thaw "
                            "it, or name another in linux.cgroupsPath");
  if (!existed) return Ok();
  std::vector<pid_t> pids;
  AddPids(path, 0, pids);
  if (!pids.empty())
    return Error(EBUSY, path + ": container's cgroup is not empty: " +
                            std::to_string(pids.size()) +
                            " process(es) found; name another in "
                            "linux.cgroupsPath");
  return Ok();
}

Result<Cgroup> Cgroup::Plan(const CgroupLayout& layout, const std::string& path,
                            const std::string& id) {
  if (path.find(':') != path.npos)
    return Error(EINVAL,
                 "linux.cgroupsPath \"" + path +
                     "\" is for systemd: give --systemd-cgroup, or a path");
  if (path.find("..") != path.npos)
    return Error(EINVAL, "linux.cgroupsPath must not contain '..'");
  Cgroup cgroup;
  for (const CgroupHierarchy& hierarchy : layout) {
    Directory directory;
    directory.mountpoint = hierarchy.mountpoint;
    directory.top = hierarchy.mountpoint;
    directory.v2 = hierarchy.v2;
    directory.controllers = hierarchy.controllers;
    std::string below = path;
    if (!path.starts_with('/'))
      below = hierarchy.own + "/" + (path.empty() ? "ufs-" + id : path);
    below = CleanPath(below);
    if (below == "/")
      return Error(EINVAL, "linux.cgroupsPath must not be the root");
    directory.path = hierarchy.mountpoint + below;
    cgroup.directories_.push_back(std::move(directory));
  }
  return cgroup;
}

Status Cgroup::Make() {
  TRY(MakeDirectories());
  EnableControllers();
  return Ok();
}

Status Cgroup::MakeDirectories() {
  std::vector<Directory> made;
  for (Directory& directory : directories_) {
    const auto status = MakeDirectory(directory);
    if (status.ok()) {
      made.push_back(std::move(directory));
      continue;
    }
    if (!directory.made.empty()) (void)RemoveTree(directory.made, 0);
    if (status.code() != EACCES && status.code() != EPERM &&
        status.code() != EROFS) {
      // What others are in must not be emptied when we clean up.
      directories_ = std::move(made);
      return status;
    }
    missing_.push_back(status.error().ToString());
  }
  directories_ = std::move(made);
  return Ok();
}

// What `update` and the container itself may ask for later has to be there by
// then. On a hybrid host, others rule what is not on v1.
void Cgroup::EnableControllers() const {
  if (directories_.size() == 1 && directories_[0].v2)
    EnableAllV2(directories_[0]);
}

Result<Cgroup> Cgroup::PlanScope(const std::string& path, const std::string& id,
                                 const std::string& created,
                                 std::vector<SystemdProperty> properties) {
  Cgroup cgroup;
  cgroup.scope_ = TRY(ParseScope(path, id, created));
  cgroup.scope_->properties = std::move(properties);
  return cgroup;
}

Status Cgroup::MakeScope(pid_t pid, const Resources& resources,
                         std::optional<Cgroup> otherwise) {
  auto started = StartScope(*scope_, pid, resources);
  // What is only late may come yet. Properties are to be had of systemd alone.
  if (!started.ok() && otherwise && started.code() != ETIMEDOUT &&
      scope_->properties.empty()) {
    *this = std::move(*otherwise);
    missing_.push_back(started.error().ToString());
    TRY(Make());
    return Move(pid);
  }
  TRY(std::move(started));
  // Where the scope is says who was put into it. On v1 and hybrid hosts systemd
  // makes it in its own hierarchies, not in those that it has no use for.
  const CgroupLayout layout = TRY(ReadCgroupLayout(std::to_string(pid)));
  const std::string* scope = nullptr;
  for (const CgroupHierarchy& hierarchy : layout)
    if (hierarchy.own.ends_with("/" + scope_->unit) &&
        (scope == nullptr || hierarchy.Has("name=systemd")))
      scope = &hierarchy.own;
  if (scope == nullptr)
    return Error(EPROTO, "systemd has not put the container's process into " +
                             scope_->unit);
  for (const CgroupHierarchy& hierarchy : layout) {
    Directory directory;
    directory.mountpoint = hierarchy.mountpoint;
    directory.top = hierarchy.mountpoint + *scope;
    // The scope itself is systemd's: it sets limits there again whenever its
    // configuration is loaded, the list of devices on v1 among them.
    directory.path = directory.top + "/container";
    directory.v2 = hierarchy.v2;
    directory.controllers = hierarchy.controllers;
    directories_.push_back(std::move(directory));
  }
  TRY(MakeDirectories());
  // Before the controllers: a v2 group that hands them on has no process.
  TRY(Move(pid));
  EnableControllers();
  return Ok();
}

Status Cgroup::Move(pid_t pid) const {
  for (const Directory& directory : directories_) {
    const std::string file = directory.path + "/cgroup.procs";
    TRY(WriteTo(file, std::to_string(pid)).With(file));
  }
  return Ok();
}

const Cgroup::Directory* Cgroup::Find(const std::string& controller) const {
  for (const Directory& directory : directories_)
    if (std::find(directory.controllers.begin(), directory.controllers.end(),
                  controller) != directory.controllers.end())
      return &directory;
  return controller == "unified" ? V2() : nullptr;
}

const Cgroup::Directory* Cgroup::FreezerV1() const {
  const Directory* const found = Find("freezer");
  return found != nullptr && !found->v2 ? found : nullptr;
}

const Cgroup::Directory* Cgroup::V2() const {
  for (const Directory& directory : directories_)
    if (directory.v2) return &directory;
  return nullptr;
}

Status Cgroup::EnableV2(const Directory& directory,
                        const std::string& controller) {
  for (const std::string& path : ParentsOf(directory.top, directory.path)) {
    const std::string file = path + "/cgroup.subtree_control";
    if (!WordsFrom(file).contains(controller))
      TRY(WriteTo(file, "+" + controller)
              .With("the " + controller + " controller cannot be enabled in " +
                    path +
                    "; have it delegated, or start in a cgroup of your own"));
  }
  return Ok();
}

void Cgroup::EnableAllV2(const Directory& directory) {
  for (const std::string& path : ParentsOf(directory.top, directory.path)) {
    // Not the root, and with processes of its own: some controllers would be
    // had even so, but no cgroup below would take a process then.
    if (Exists(path + "/cgroup.type") &&
        !WordsFrom(path + "/cgroup.procs").empty())
      return;
    const std::string file = path + "/cgroup.subtree_control";
    const auto enabled = WordsFrom(file);
    std::vector<std::string> missing;
    for (const std::string& controller :
         WordsFrom(path + "/cgroup.controllers"))
      if (!enabled.contains(controller)) missing.push_back("+" + controller);
    std::string all;
    for (const std::string& one : missing)
      all += (all.empty() ? "" : " ") + one;
    if (all.empty() || WriteTo(file, all).ok()) continue;
    // One that cannot be had must not keep the others from us; who asks for it
    // is told.
    for (const std::string& one : missing) (void)WriteTo(file, one);
  }
}

Status Cgroup::ApplyController(const Resources& resources,
                               const std::string& controller) {
  const Directory* const directory = Find(controller);
  // v1 calls blkio what v2 calls io.
  if (directory == nullptr && controller == "blkio" && Find("io") != nullptr)
    return Ok();
  const bool v2 = directory != nullptr && directory->v2;
  std::optional<Resources> merged;
  if (v2 && controller == "cpu" && GivesHalfOfCpuMax(resources)) {
    // Not there yet for a new cgroup: nothing is to be kept.
    const auto cpu_max = ReadFrom(directory->path + "/cpu.max");
    if (cpu_max.ok()) merged = KeepCpuMax(resources, *cpu_max);
  }
  const auto writes =
      TRY(LimitWrites(merged ? *merged : resources, controller,
                      v2 ? CgroupVersion::kV2 : CgroupVersion::kV1));
  if (writes.empty()) return Ok();
  const auto named = [](const CgroupWrite& write) {
    return "linux.resources." + write.asked + " cannot be set";
  };
  // One that was asked for: others come along where the kernel has them.
  const auto asked =
      std::find_if(writes.begin(), writes.end(),
                   [](const CgroupWrite& write) { return !write.if_there; });
  const CgroupWrite& first = asked != writes.end() ? *asked : writes.front();
  if (directory == nullptr) {
    std::string why =
        missing_.empty()
            ? "no cgroup hierarchy here has the " + controller +
                  " controller; mount it, or remove the limit"
            : missing_.front() + "; run as root, or have a cgroup delegated";
    return Error(ENOTSUP, named(first) + ": " + why);
  }
  if (v2 && controller != "unified")
    TRY(EnableV2(*directory, controller).With(named(first)));
  std::vector<const CgroupWrite*> again;
  for (const CgroupWrite& write : writes) {
    // Of a controller's files, that is, those that are not there without it.
    const std::string of = write.file.substr(0, write.file.find('.'));
    if (controller == "unified" && Find(of) == directory &&
        !Exists(directory->path + "/" + write.file))
      TRY(EnableV2(*directory, of).With(named(write)));
    auto status = WriteTo(directory->path + "/" + write.file, write.value);
    if (status.code() == ENOENT && !write.other_file.empty())
      status =
          WriteTo(directory->path + "/" + write.other_file, write.other_value);
    if (status.ok() || (status.code() == ENOENT && write.if_there)) continue;
    if ((controller == "memory" || controller == "cpu") && !v2 &&
        status.code() == EINVAL) {
      // The sum with swap may never be below the limit, nor a quota be a larger
      // part of its period than what is above has: which is to be written first
      // depends on the direction.
      again.push_back(&write);
      continue;
    }
    std::string hint;
    if (status.code() == ENOENT)
      hint = "; this kernel has no " + write.file +
             (write.other_file.empty() ? "" : ", nor " + write.other_file);
    return Error(status.code(), named(write) + ": " + directory->path + "/" +
                                    write.file + " does not take \"" +
                                    write.value + "\"" + hint);
  }
  for (const CgroupWrite* write : again)
    TRY(WriteTo(directory->path + "/" + write->file, write->value)
            .With(named(*write) + ": " + write->file + " does not take \"" +
                  write->value + "\""));
  return Ok();
}

Status Cgroup::ApplyDevices(const std::vector<DeviceRule>& rules) {
  if (rules.empty()) return Ok();
  if (const Directory* const v1 = Find("devices"); v1 != nullptr && !v1->v2) {
    for (const CgroupWrite& write : DeviceWritesV1(rules))
      TRY(WriteTo(v1->path + "/" + write.file, write.value)
              .With("linux.resources.devices cannot be set: " + v1->path + "/" +
                    write.file + " does not take \"" + write.value + "\""));
    return Ok();
  }
  const Directory* const v2 = V2();
  if (v2 == nullptr)
    return Error(ENOTSUP,
                 "linux.resources.devices cannot be set: no devices "
                 "controller is mounted");
  return AttachDeviceFilter(v2->path, WithDefaultDevices(rules))
      .With("linux.resources.devices cannot be set in " + v2->path);
}

Status Cgroup::CheckRoom(const Resources& resources) const {
  if (!resources.check_before_update ||
      resources.memory_limit_bytes.value_or(0) <= 0)
    return Ok();
  const Directory* const memory = Find("memory");
  if (memory == nullptr) return Ok();
  const uint64_t used =
      NumberFrom(memory->path +
                 (memory->v2 ? "/memory.current" : "/memory.usage_in_bytes"));
  if (used > static_cast<uint64_t>(*resources.memory_limit_bytes))
    return Error(EBUSY, "memory.limit is below the " + std::to_string(used) +
                            " bytes in use");
  return Ok();
}

// Who gives a quota or a period alone keeps the other, which systemd must be
// told with it.
Resources Cgroup::WithCpuMax(const Resources& resources) const {
  const Directory* const cpu = Find("cpu");
  if (cpu == nullptr || !GivesHalfOfCpuMax(resources)) return resources;
  if (cpu->v2) {
    const auto both = ReadFrom(cpu->path + "/cpu.max");
    return both.ok() ? KeepCpuMax(resources, *both) : resources;
  }
  const auto quota = ReadFrom(cpu->path + "/cpu.cfs_quota_us");
  const auto period = ReadFrom(cpu->path + "/cpu.cfs_period_us");
  if (!quota.ok() || !period.ok()) return resources;
  return KeepCpuMax(resources, *quota + " " + *period);
}

Status Cgroup::Update(const Resources& resources) {
  TRY(CheckRoom(resources));
  // The scope first: a limit that is raised must not be held down by it.
  if (scope_) TRY(SetScopeLimits(*scope_, WithCpuMax(resources)));
  return SetLimits(resources, /*with_devices=*/true);
}

Status Cgroup::Apply(const Resources& resources, bool with_devices) {
  TRY(CheckRoom(resources));
  return SetLimits(resources, with_devices);
}

Status Cgroup::SetLimits(const Resources& resources, bool with_devices) {
  for (const char* controller : kLimitControllers)
    TRY(ApplyController(resources, controller));
  return with_devices ? ApplyDevices(resources.devices) : Ok();
}

Status Cgroup::Freeze() {
  // v2 first: it freezes what forks meanwhile, and a kill gets through.
  if (const Directory* const v2 = V2();
      v2 != nullptr && Exists(v2->path + "/cgroup.freeze")) {
    TRY(WriteTo(v2->path + "/cgroup.freeze", "1"));
    return AwaitFrozenV2(v2->path, true);
  }
  const Directory* const v1 = FreezerV1();
  if (v1 == nullptr)
    return Error(ENOTSUP, "no freezer: no cgroup of the container has one");
  const std::string state = v1->path + "/freezer.state";
  TRY(WriteTo(state, "FROZEN").With(state));
  if (!WaitFor(kFreezePatience, [&] {
        const auto now = ReadFrom(state);
        if (now.ok() && *now == "FROZEN") return true;
        // A process caught in the middle of a fork needs another push.
        (void)WriteTo(state, "FROZEN");
        return false;
      }))
    return Error(ETIMEDOUT, state + " does not become FROZEN");
  return Ok();
}

Status Cgroup::Thaw() {
  TRY(ThawForKill());
  const Directory* const v2 = V2();
  if (v2 == nullptr || !Exists(v2->path + "/cgroup.freeze")) return Ok();
  return AwaitFrozenV2(v2->path, false);
}

// A v2 freezer lets a kill through; it is thawed all the same, for the
// container's processes to be seen to end.
Status Cgroup::ThawForKill() {
  if (const Directory* const v2 = V2(); v2 != nullptr)
    WriteToEach(v2->path, "cgroup.freeze", "0", 0);
  const Directory* const v1 = FreezerV1();
  if (v1 == nullptr) return Ok();
  WriteToEach(v1->path, "freezer.state", "THAWED", 0);
  const std::string state = v1->path + "/freezer.state";
  const auto now = ReadFrom(state);
  if (!now.ok() || *now == "THAWED") return Ok();
  for (std::string above = ParentOf(v1->path);
       above.size() > v1->mountpoint.size(); above = ParentOf(above))
    if (NumberFrom(above + "/freezer.self_freezing") == 1)
      return Error(EBUSY, state + " stays " + *now +
                              ": a cgroup above is frozen; write THAWED to " +
                              above + "/freezer.state");
  return Error(EBUSY, state + " stays " + *now +
                          "; thaw it, or a cgroup above, on the host");
}

Result<bool> Cgroup::IsFrozen() const {
  if (const Directory* const v2 = V2(); v2 != nullptr) {
    const auto text = ReadFrom(v2->path + "/cgroup.freeze");
    if (text.ok() && *text == "1") return true;
  }
  // Beside it on a hybrid host: whoever froze it there was not us.
  const Directory* const v1 = FreezerV1();
  if (v1 == nullptr) return false;
  const auto text = ReadFrom(v1->path + "/freezer.state");
  return text.ok() && *text != "THAWED";
}

Result<std::vector<pid_t>> Cgroup::Pids() const {
  std::vector<pid_t> pids;
  if (!directories_.empty()) AddPids(directories_.front().path, 0, pids);
  return pids;
}

Status Cgroup::KillAll(int signal) {
  const Directory* const v2 = signal == SIGKILL ? V2() : nullptr;
  if (v2 != nullptr && Exists(v2->path + "/cgroup.kill")) {
    TRY(WriteTo(v2->path + "/cgroup.kill", "1"));
  } else {
    for (pid_t pid : TRY(Pids())) {
      const auto pidfd = kernel::PidfdOpen(pid);
      if (pidfd.ok()) (void)kernel::PidfdSignal(*pidfd, signal);
    }
  }
  // Tear-down must not wait for what is frozen.
  return signal == SIGKILL ? ThawForKill() : Ok();
}

Status Cgroup::LeaveToOther() {
  if (!scope_) return Ok();
  auto anothers = IsAnothers(*scope_);
  // Without directories nothing of ours is known to be there: not even in doubt
  // is there a reason to touch it.
  if (!anothers.ok() && !directories_.empty())
    return std::move(anothers).error().With(
        "nothing of it is killed, as it may be another's by now; try again");
  if (!anothers.ok() || *anothers) *this = Cgroup();
  return Ok();
}

Status Cgroup::Remove() {
  Status result;
  for (const Directory& directory : directories_) {
    const bool removed = WaitFor(kRemovePatience, [&] {
      const auto status = RemoveTree(directory.path, 0);
      if (status.ok()) return true;
      if (status.code() == EBUSY) (void)KillAll(SIGKILL);
      return status.code() != EBUSY;
    });
    if (!removed || Exists(directory.path)) {
      result = Error(EBUSY, directory.path + ": the cgroup cannot be removed");
      continue;
    }
    // Parents of ours, unless others have moved in.
    for (std::string parent = ParentOf(directory.path);
         !directory.made.empty() && parent.size() >= directory.made.size();
         parent = ParentOf(parent))
      if (!sys::UnlinkAt({AT_FDCWD, parent.c_str()}, AT_REMOVEDIR).ok()) break;
  }
  // It is empty by now, and would end by itself some time.
  if (scope_ && result.ok())
    if (const auto stopped = StopScope(*scope_); !stopped.ok())
      log::Warn(stopped.error().ToString());
  return result;
}

std::string Cgroup::Stats() const {
  using Pair = std::pair<const char*, uint64_t>;
  const auto object = [](std::initializer_list<Pair> pairs) {
    std::string text;
    for (const auto& [key, value] : pairs)
      text += (text.empty() ? "{\"" : ",\"") + std::string(key) +
              "\":" + std::to_string(value);
    return text + "}";
  };
  std::string cpu, data;
  if (const Directory* const d = Find("cpuacct"); d != nullptr && !d->v2) {
    cpu = "\"usage\":" +
          object({{"total", NumberFrom(d->path + "/cpuacct.usage")}});
  } else if (const Directory* const v2 = V2()) {
    const uint64_t micros = KeyFrom(v2->path + "/cpu.stat", "usage_usec");
    cpu = "\"usage\":" + object({{"total", micros * 1000}});
  }
  if (const Directory* const d = Find("cpu")) {
    const std::string file = d->path + "/cpu.stat";
    const uint64_t throttled_ns = d->v2 ? KeyFrom(file, "throttled_usec") * 1000
                                        : KeyFrom(file, "throttled_time");
    cpu += (cpu.empty() ? "" : ",") + std::string("\"throttling\":") +
           object({{"periods", KeyFrom(file, "nr_periods")},
                   {"throttledPeriods", KeyFrom(file, "nr_throttled")},
                   {"throttledTime", throttled_ns}});
  }
  data = "\"cpu\":{" + cpu + "}";
  if (const Directory* const d = Find("memory")) {
    const auto number = [&](const char* v1, const char* v2) {
      return NumberFrom(d->path + (d->v2 ? v2 : v1));
    };
    data +=
        ",\"memory\":{\"usage\":" +
        object({{"usage", number("/memory.usage_in_bytes", "/memory.current")},
                {"max", number("/memory.max_usage_in_bytes", "/memory.peak")},
                {"limit", number("/memory.limit_in_bytes", "/memory.max")}}) +
        "}";
  }
  if (const Directory* const d = Find("pids"))
    data += ",\"pids\":" +
            object({{"current", NumberFrom(d->path + "/pids.current")},
                    {"limit", NumberFrom(d->path + "/pids.max")}});
  return "{" + data + "}";
}

uint64_t Cgroup::OomKills() const {
  const Directory* const d = Find("memory");
  if (d == nullptr) return 0;
  return KeyFrom(d->path + (d->v2 ? "/memory.events" : "/memory.oom_control"),
                 "oom_kill");
}

std::vector<CgroupMount> Cgroup::Mounts() const {
  std::vector<CgroupMount> mounts;
  for (const Directory& directory : directories_) {
    CgroupMount mount;
    mount.name =
        directory.mountpoint.substr(directory.mountpoint.rfind('/') + 1);
    mount.v2 = directory.v2;
    if (!directory.v2) mount.options = directory.controllers;
    mount.directory = directory.path;
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

}  // namespace ufs::runtime
