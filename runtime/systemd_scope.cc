// The messages are those of org.freedesktop.systemd1(5); the properties that a
// container's scope has, those that runc and crun give it.
#include "runtime/systemd_scope.h"

#include <systemd/sd-bus.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <string_view>

#include "layerdb/base/shared_library.h"
#include "layerdb/base/syscall.h"
#include "runtime/cgroup_limits.h"
#include "runtime/namespaces.h"

namespace ufs::runtime {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::seconds kStartPatience = 30s;
constexpr std::chrono::seconds kStopPatience = 10s;

constexpr char kDestination[] = "org.freedesktop.systemd1";
constexpr char kObject[] = "/org/freedesktop/systemd1";
constexpr char kManager[] = "org.freedesktop.systemd1.Manager";
constexpr char kUnit[] = "org.freedesktop.systemd1.Unit";
constexpr std::string_view kUnitExists = "org.freedesktop.systemd1.UnitExists";
constexpr std::string_view kNoSuchUnit = "org.freedesktop.systemd1.NoSuchUnit";

// What is used of libsystemd.
struct SdBus {
  decltype(sd_bus_open_system)* open_system;
  decltype(sd_bus_open_user)* open_user;
  decltype(sd_bus_close_unref)* close;
  decltype(sd_bus_match_signal)* match_signal;
  decltype(sd_bus_process)* process;
  decltype(sd_bus_wait)* wait;
  decltype(sd_bus_call)* call;
  decltype(sd_bus_get_property_string)* get_property;
  decltype(sd_bus_error_free)* error_free;
  decltype(sd_bus_message_new_method_call)* new_call;
  decltype(sd_bus_message_append)* append;
  decltype(sd_bus_message_open_container)* open_container;
  decltype(sd_bus_message_close_container)* close_container;
  decltype(sd_bus_message_read)* read;
  decltype(sd_bus_message_unref)* unref;
};

Status LoadSdBus(SdBus& sd) {
  const SharedLibrary library("libsystemd.so.0");
  if (!library.loaded())
    return Error(ENOTSUP,
                 "a scope of systemd's needs libsystemd.so.0, which cannot be "
                 "loaded; install libsystemd0, or leave --systemd-cgroup out");
  bool all = true;
  const auto find = [&](const char* name, auto*& function) {
    all &= library.Find(name, function);
  };
  find("sd_bus_open_system", sd.open_system);
  find("sd_bus_open_user", sd.open_user);
  find("sd_bus_close_unref", sd.close);
  find("sd_bus_match_signal", sd.match_signal);
  find("sd_bus_process", sd.process);
  find("sd_bus_wait", sd.wait);
  find("sd_bus_call", sd.call);
  find("sd_bus_get_property_string", sd.get_property);
  find("sd_bus_error_free", sd.error_free);
  find("sd_bus_message_new_method_call", sd.new_call);
  find("sd_bus_message_append", sd.append);
  find("sd_bus_message_open_container", sd.open_container);
  find("sd_bus_message_close_container", sd.close_container);
  find("sd_bus_message_read", sd.read);
  find("sd_bus_message_unref", sd.unref);
  if (!all) return Error(ENOTSUP, "libsystemd.so.0 is too old: update it");
  return Ok();
}

// The manager whose scopes are ours: root of a user namespace is a user.
bool OnUserBus() { return geteuid() != 0 || !InInitialUserNamespace(); }

// One connection to the manager, for a few messages that may take `patience`
// altogether.
class Manager {
 public:
  explicit Manager(std::chrono::seconds patience)
      : end_(std::chrono::steady_clock::now() + patience) {}
  ~Manager() {
    if (bus_ != nullptr) sd_.close(bus_);
  }
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  Status Connect() {
    TRY(LoadSdBus(sd_));
    const bool user = OnUserBus();
    int r = user ? sd_.open_user(&bus_) : sd_.open_system(&bus_);
    // Before the first job: it may be over before we know its name.
    if (r >= 0)
      r = sd_.match_signal(bus_, nullptr, kDestination, kObject, kManager,
                           "JobRemoved", JobRemoved, this);
    if (r >= 0) return Ok();
    // In words of our own: podman takes strerror's for a missing program.
    const std::string why = r == -ENOENT ? "no socket" : std::strerror(-r);
    return Error(ENOTSUP,
                 std::string(user ? "the D-Bus of the user's systemd"
                                  : "the system's D-Bus") +
                     " cannot be reached (" + why + "); " +
                     (user ? "log in by a session of systemd's, or: loginctl "
                             "enable-linger, and set XDG_RUNTIME_DIR"
                           : "start it, or leave --systemd-cgroup out"));
  }

  // Adds the arguments to a message; negative when there is no room for them.
  using Arguments = std::function<int(const SdBus&, sd_bus_message*)>;

  struct Answer {
    Status status;
    std::string error_name;  // as D-Bus has it
    std::string path;        // of the object it gives
  };

  Answer Call(const char* method, const Arguments& arguments,
              bool gives_path = false) {
    Answer answer;
    sd_bus_message *message = nullptr, *reply = nullptr;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    int r =
        sd_.new_call(bus_, &message, kDestination, kObject, kManager, method);
    if (r >= 0) r = arguments(sd_, message);
    if (r >= 0) r = sd_.call(bus_, message, PatienceLeft(), &error, &reply);
    const char* path = "";
    if (r >= 0 && gives_path) r = sd_.read(reply, "o", &path);
    if (r >= 0) {
      answer.path = path;
    } else {
      if (error.name != nullptr) answer.error_name = error.name;
      answer.status =
          Error(-r, std::string("systemd's ") + method +
                        (error.message == nullptr ? "" : ": ") +
                        (error.message == nullptr ? "" : error.message));
    }
    sd_.error_free(&error);
    sd_.unref(reply);
    sd_.unref(message);
    return answer;
  }

  // Empty when it is not told.
  std::string DescriptionOf(const std::string& unit_path) {
    char* text = nullptr;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    const int r = sd_.get_property(bus_, kDestination, unit_path.c_str(), kUnit,
                                   "Description", &error, &text);
    const std::string description = r < 0 ? "" : text;
    sd_.error_free(&error);
    std::free(text);
    return description;
  }

  // As Call, and waits for the job it begins.
  Answer RunJob(const char* method, const Arguments& arguments) {
    Answer answer = Call(method, arguments, /*gives_path=*/true);
    if (answer.status.ok()) answer.status = AwaitJob(method, answer.path);
    return answer;
  }

 private:
  Status AwaitJob(const char* method, const std::string& job) {
    while (!ended_jobs_.contains(job)) {
      const uint64_t left = PatienceLeft();
      if (left == kNoPatience)
        return Error(ETIMEDOUT, std::string("systemd's ") + method +
                                    " is not done in time");
      int r = sd_.process(bus_, nullptr);
      if (r == 0) r = sd_.wait(bus_, left);
      if (r < 0 && r != -EINTR)
        return Error(-r, std::string("waiting for systemd's ") + method);
    }
    const std::string& result = ended_jobs_[job];
    if (result == "done") return Ok();
    return Error(ECANCELED, std::string("systemd's ") + method +
                                " has ended as \"" + result +
                                "\"; see journalctl");
  }

  static int JobRemoved(sd_bus_message* message, void* self, sd_bus_error*) {
    auto& manager = *static_cast<Manager*>(self);
    uint32_t number = 0;
    const char *path = nullptr, *unit = nullptr, *result = nullptr;
    const int r =
        manager.sd_.read(message, "uoss", &number, &path, &unit, &result);
    if (r >= 0) manager.ended_jobs_[path] = result;
    return r < 0 ? r : 0;
  }

  // In microseconds, as libsystemd wants it, for whom 0 is its own default.
  static constexpr uint64_t kNoPatience = 1;
  uint64_t PatienceLeft() const {
    const auto left = std::chrono::duration_cast<std::chrono::microseconds>(
        end_ - std::chrono::steady_clock::now());
    return left.count() <= 1 ? kNoPatience
                             : static_cast<uint64_t>(left.count());
  }

  SdBus sd_ = {};
  sd_bus* bus_ = nullptr;
  std::chrono::steady_clock::time_point end_;
  std::map<std::string, std::string> ended_jobs_;  // by path: the result
};

// Runs the steps of a message one by one, up to the first that fails.
int InOrder(std::initializer_list<std::function<int()>> steps) {
  for (const auto& step : steps)
    if (const int r = step(); r < 0) return r;
  return 0;
}

int AppendLimits(const SdBus& bus, sd_bus_message* message,
                 const Resources& resources) {
  for (const auto& [name, value] : ScopeLimits(resources))
    if (const int r = bus.append(message, "(sv)", name.c_str(), "t", value);
        r < 0)
      return r;
  return 0;
}

Manager::Arguments OnlyUnit(const SystemdScope& scope) {
  return [&](const SdBus& bus, sd_bus_message* message) {
    return bus.append(message, "s", scope.unit.c_str());
  };
}

bool IsUnitName(std::string_view name, std::string_view suffix) {
  constexpr size_t kMaxLength = 255;
  for (const char c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) &&
        std::strchr(":-_.\\@", c) == nullptr)
      return false;
  return name.size() > suffix.size() && name.size() <= kMaxLength &&
         name.ends_with(suffix);
}

}  // namespace

Result<SystemdScope> ParseScope(const std::string& cgroups_path,
                                const std::string& id,
                                const std::string& created) {
  SystemdScope scope;
  scope.description = "ufs container " + id + ", created " + created;
  scope.slice = OnUserBus() ? "user.slice" : "system.slice";
  if (cgroups_path.empty()) {
    std::string name = id;
    // The one character of an id that a unit's name may not have.
    for (size_t at = 0; (at = name.find('+', at)) != name.npos;)
      name.replace(at, 1, "\\x2b");
    scope.unit = "ufs-" + name + ".scope";
    return scope;
  }
  const size_t first = cgroups_path.find(':');
  const size_t second =
      first == cgroups_path.npos ? first : cgroups_path.find(':', first + 1);
  if (second == cgroups_path.npos)
    return Error(EINVAL, "linux.cgroupsPath \"" + cgroups_path +
                             "\" is not SLICE:PREFIX:NAME, as it must be with "
                             "systemd cgroups");
  const std::string slice = cgroups_path.substr(0, first);
  const std::string prefix = cgroups_path.substr(first + 1, second - first - 1);
  const std::string name = cgroups_path.substr(second + 1);
  if (!slice.empty()) scope.slice = slice == "-" ? "-.slice" : slice;
  if (!IsUnitName(scope.slice, ".slice"))
    return Error(EINVAL, "linux.cgroupsPath: \"" + slice + "\" is no slice");
  if (name.ends_with(".slice"))
    return Error(ENOTSUP, "linux.cgroupsPath: a slice in place of a scope, \"" +
                              name + "\", is not supported");
  scope.unit = (prefix.empty() ? "" : prefix + "-") + name + ".scope";
  if (name.empty() || !IsUnitName(scope.unit, ".scope"))
    return Error(EINVAL, "linux.cgroupsPath: \"" + scope.unit +
                             "\" is no name of a scope");
  return scope;
}

std::vector<std::pair<std::string, uint64_t>> ScopeLimits(const Resources& r) {
  constexpr uint64_t kNone = UINT64_MAX;
  std::vector<std::pair<std::string, uint64_t>> limits;
  const auto bytes = [&](const char* name,
                         const std::optional<int64_t>& value) {
    // systemd takes no 0.
    if (value && *value != 0)
      limits.emplace_back(name,
                          *value < 0 ? kNone : static_cast<uint64_t>(*value));
  };
  bytes("MemoryMax", r.memory_limit_bytes);
  bytes("MemoryLow", r.memory_reservation_bytes);
  if (r.cpu_shares.value_or(0) != 0 && r.cpu_idle.value_or(0) == 0)
    limits.emplace_back("CPUWeight", CpuWeightOf(*r.cpu_shares));
  if (const int64_t quota = r.cpu_quota_us.value_or(0); quota < 0) {
    limits.emplace_back("CPUQuotaPerSecUSec", kNone);
  } else if (quota > 0) {
    constexpr uint64_t kSecond = 1'000'000, kDefaultPeriod = 100'000;
    // systemd counts in hundredths of a processor; what the cgroup's file says
    // must be no more than it allows.
    constexpr uint64_t kStep = kSecond / 100;
    const uint64_t period =
        r.cpu_period_us.value_or(0) != 0 ? *r.cpu_period_us : kDefaultPeriod;
    const double exact =
        static_cast<double>(quota) * kSecond / static_cast<double>(period);
    // A million processors are no limit, and far more may not fit the number.
    constexpr double kMost = 1e6 * kSecond;
    limits.emplace_back(
        "CPUQuotaPerSecUSec",
        exact > kMost
            ? kNone
            : (static_cast<uint64_t>(exact) + kStep - 1) / kStep * kStep);
  }
  if (r.pids_limit)
    limits.emplace_back("TasksMax", *r.pids_limit > 0
                                        ? static_cast<uint64_t>(*r.pids_limit)
                                        : kNone);
  return limits;
}

bool HasUserManager() {
  const char* const directory = getenv("XDG_RUNTIME_DIR");
  if (directory == nullptr || !OnUserBus()) return false;
  // The manager's own socket, which no other bus has.
  const std::string socket = std::string(directory) + "/systemd/private";
  return sys::Statx({AT_FDCWD, socket.c_str()}).ok();
}

Status StartScope(const SystemdScope& scope, pid_t pid,
                  const Resources& resources) {
  Manager manager(kStartPatience);
  TRY(manager.Connect().With("the scope " + scope.unit));
  const auto arguments = [&](const SdBus& bus, sd_bus_message* message) {
    const auto text = [&](const char* name, const std::string& value) {
      return bus.append(message, "(sv)", name, "s", value.c_str());
    };
    const auto flag = [&](const char* name, int value) {
      return bus.append(message, "(sv)", name, "b", value);
    };
    return InOrder({
        [&] { return bus.append(message, "ss", scope.unit.c_str(), "fail"); },
        [&] { return bus.open_container(message, 'a', "(sv)"); },
        [&] { return text("Description", scope.description); },
        [&] { return text("Slice", scope.slice); },
        [&] { return flag("Delegate", 1); },
        [&] { return flag("DefaultDependencies", 0); },
        // One whose process was killed must not stay behind as failed.
        [&] { return text("CollectMode", "inactive-or-failed"); },
        [&] {
          return bus.append(message, "(sv)", "PIDs", "au", 1,
                            static_cast<uint32_t>(pid));
        },
        [&] { return AppendLimits(bus, message, resources); },
        [&] { return bus.close_container(message); },
        [&] { return bus.append(message, "a(sa(sv))", 0); },
    });
  };
  auto answer = manager.RunJob("StartTransientUnit", arguments);
  if (answer.error_name == kUnitExists) {
    // One that has failed stays until it is forgotten.
    (void)manager.Call("ResetFailedUnit", OnlyUnit(scope));
    answer = manager.RunJob("StartTransientUnit", arguments);
    if (answer.error_name == kUnitExists)
      return Error(EEXIST, "another scope " + scope.unit + " exists");
  }
  return std::move(answer.status).With("making the scope " + scope.unit);
}

Status SetScopeLimits(const SystemdScope& scope, const Resources& resources) {
  if (ScopeLimits(resources).empty()) return Ok();
  Manager manager(kStartPatience);
  TRY(manager.Connect().With("the scope " + scope.unit));
  return manager
      .Call("SetUnitProperties",
            [&](const SdBus& bus, sd_bus_message* message) {
              return InOrder({
                  // Until the scope's end, as the scope itself.
                  [&] {
                    return bus.append(message, "sb", scope.unit.c_str(), 1);
                  },
                  [&] { return bus.open_container(message, 'a', "(sv)"); },
                  [&] { return AppendLimits(bus, message, resources); },
                  [&] { return bus.close_container(message); },
              });
            })
      .status.With("changing the scope " + scope.unit);
}

Status EnterScope(const SystemdScope& scope, const std::string& below) {
  Manager manager(kStartPatience);
  TRY(manager.Connect().With("the scope " + scope.unit));
  return manager
      .Call("AttachProcessesToUnit",
            [&](const SdBus& bus, sd_bus_message* message) {
              return bus.append(message, "ssau", scope.unit.c_str(),
                                below.c_str(), 1,
                                static_cast<uint32_t>(getpid()));
            })
      .status.With("entering the scope " + scope.unit);
}

bool IsAnothers(const SystemdScope& scope) {
  Manager manager(kStopPatience);
  if (!manager.Connect().ok()) return false;
  const auto unit =
      manager.Call("GetUnit", OnlyUnit(scope), /*gives_path=*/true);
  if (!unit.status.ok()) return false;
  const std::string found = manager.DescriptionOf(unit.path);
  return !found.empty() && found != scope.description;
}

Status StopScope(const SystemdScope& scope) {
  Manager manager(kStopPatience);
  if (!manager.Connect().ok()) return Ok();
  auto answer = manager.RunJob(
      "StopUnit", [&](const SdBus& bus, sd_bus_message* message) {
        return bus.append(message, "ss", scope.unit.c_str(), "replace");
      });
  if (answer.error_name == kNoSuchUnit) return Ok();
  // One that has failed.
  (void)manager.Call("ResetFailedUnit", OnlyUnit(scope));
  return std::move(answer.status).With("stopping the scope " + scope.unit);
}

}  // namespace ufs::runtime
