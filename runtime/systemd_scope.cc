// The messages are those of org.freedesktop.systemd1(5); the properties that a
// container's scope has, those that runc and crun give it.
#include "runtime/systemd_scope.h"

#include <unistd.h>

#include <bit>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "layerdb/base/syscall.h"
#include "runtime/cgroup_limits.h"
#include "runtime/dbus_connection.h"
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
constexpr char kProperties[] = "org.freedesktop.DBus.Properties";
constexpr std::string_view kUnitExists = "org.freedesktop.systemd1.UnitExists";
constexpr std::string_view kNoSuchUnit = "org.freedesktop.systemd1.NoSuchUnit";

// The manager whose scopes are ours: root of a user namespace is a user.
bool OnUserBus() { return geteuid() != 0 || !InInitialUserNamespace(); }

// Where the bus listens: where the caller says so, else where systemd puts it.
std::vector<DBusSocket> BusSockets(bool user) {
  if (const char* const address = secure_getenv(
          user ? "DBUS_SESSION_BUS_ADDRESS" : "DBUS_SYSTEM_BUS_ADDRESS"))
    return ParseDBusAddress(address);
  if (!user) return {{"/run/dbus/system_bus_socket"}};
  const char* const directory = secure_getenv("XDG_RUNTIME_DIR");
  if (directory == nullptr) return {};
  return {{std::string(directory) + "/bus"}};
}

// What sd-bus makes of the errors that a caller could do something about.
int ErrnoOf(std::string_view name) {
  constexpr std::string_view kPrefix = "org.freedesktop.DBus.Error.";
  if (!name.starts_with(kPrefix)) return EIO;
  name.remove_prefix(kPrefix.size());
  if (name == "AccessDenied" || name == "InteractiveAuthorizationRequired")
    return EACCES;
  if (name == "InvalidArgs") return EINVAL;
  if (name == "NoMemory") return ENOMEM;
  if (name == "LimitsExceeded") return ENOBUFS;
  if (name == "NameHasNoOwner") return ENXIO;
  if (name == "ServiceUnknown") return EHOSTUNREACH;
  if (name == "UnixProcessIdUnknown") return ESRCH;
  if (name == "UnknownMethod") return EBADR;
  if (name == "NoReply" || name == "Timeout" || name == "TimedOut")
    return ETIMEDOUT;
  return EIO;
}

// One connection to the manager, for a few messages that may take `patience`
// altogether.
class Manager {
 public:
  explicit Manager(std::chrono::seconds patience)
      : end_(std::chrono::steady_clock::now() + patience) {}

  Status Connect() {
    const bool user = OnUserBus();
    const auto sockets = BusSockets(user);
    const Status status = ConnectTo(sockets);
    if (status.ok()) return Ok();
    nobody_listens_ = status.code() == EADDRNOTAVAIL ||
                      status.code() == ENOENT || status.code() == ENOTDIR ||
                      status.code() == ECONNREFUSED;
    // In words of our own: podman takes strerror's for a missing program.
    const std::string why = sockets.empty() ? "no address"
                            : status.code() == ENOENT
                                ? "no socket"
                                : status.error().ToString();
    return Error(ENOTSUP,
                 std::string(user ? "the D-Bus of the user's systemd"
                                  : "the system's D-Bus") +
                     " cannot be reached (" + why + "); " +
                     (user ? "log in by a session of systemd's, or: loginctl "
                             "enable-linger, and set XDG_RUNTIME_DIR"
                           : "start it, or leave --systemd-cgroup out"));
  }

  // Why Connect has failed: there is no bus, rather than one that could not be
  // talked to.
  bool nobody_listens() const { return nobody_listens_; }

  struct Answer {
    Status status;
    std::string error_name;  // as D-Bus has it
    std::string path;        // of the object it gives
    std::string sender;      // the manager, by the name that is its alone
  };

  // `types` are those of the arguments.
  Answer Call(const char* method, const char* types,
              const DBusWriter& arguments, bool gives_path = false) {
    Answer answer;
    auto reply = bus_->Call(
        {kDestination, kObject, kManager, method, types, arguments.data()},
        end_);
    if (!reply.ok()) {
      answer.status =
          std::move(reply).error().With(std::string("systemd's ") + method);
      return answer;
    }
    answer.sender = reply->sender;
    if (reply->type == DBusType::kError) {
      answer.error_name = reply->error_name;
      answer.status =
          Error(ErrnoOf(answer.error_name), std::string("systemd's ") + method +
                                                ": " + TextOfDBusError(*reply));
    } else if (gives_path) {
      DBusReader reader(reply->arguments);
      answer.path = reader.TakeString();
      if (reader.failed() || reply->signature != "o")
        answer.status =
            Error(EPROTO, std::string("systemd's ") + method + ": no object");
    }
    return answer;
  }

  Result<std::string> DescriptionOf(const std::string& unit_path) {
    DBusWriter arguments;
    arguments.PutString(kUnit);
    arguments.PutString("Description");
    const auto reply = TRY(bus_->Call(
        {kDestination, unit_path, kProperties, "Get", "ss", arguments.data()},
        end_));
    if (reply.type == DBusType::kError)
      return Error(ErrnoOf(reply.error_name), TextOfDBusError(reply));
    DBusReader reader(reply.arguments);
    const bool is_text =
        reply.signature == "v" && reader.TakeSignature() == "s";
    std::string description = is_text ? reader.TakeString() : "";
    if (description.empty() || reader.failed())
      return Error(EPROTO, "no description of a unit");
    return description;
  }

  // As Call, and waits for the job it begins.
  Answer RunJob(const char* method, const char* types,
                const DBusWriter& arguments) {
    Answer answer = Call(method, types, arguments, /*gives_path=*/true);
    if (answer.status.ok()) answer.status = AwaitJob(method, answer);
    return answer;
  }

 private:
  Status ConnectTo(const std::vector<DBusSocket>& sockets) {
    bus_ = TRY(DBusConnection::Open(sockets, end_));
    // Before the first job: it may be over before we know its name.
    return bus_->Subscribe(kJobEnds, IsJobEnd, end_);
  }

  static constexpr char kJobEnds[] =
      "type='signal',sender='org.freedesktop.systemd1',"
      "path='/org/freedesktop/systemd1',"
      "interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

  static bool IsJobEnd(const DBusMessage& signal) {
    return signal.path == kObject && signal.interface == kManager &&
           signal.member == "JobRemoved" && signal.signature == "uoss";
  }

  Status AwaitJob(const char* method, const Answer& job) {
    std::string result;
    while (result.empty()) {
      const auto signal = bus_->NextSignal(end_);
      if (signal.code() == ETIMEDOUT)
        return Error(ETIMEDOUT, std::string("systemd's ") + method +
                                    " is not done in time");
      if (!signal.ok())
        return Error(signal.code(),
                     std::string("waiting for systemd's ") + method);
      result = ResultOf(job, *signal);
    }
    if (result == "done") return Ok();
    return Error(ECANCELED, std::string("systemd's ") + method +
                                " has ended as \"" + result +
                                "\"; see journalctl");
  }

  // Empty unless the signal is that of the job's end, which anybody on the bus
  // could send us: only who began the job is believed.
  static std::string ResultOf(const Answer& job, const DBusMessage& signal) {
    if (signal.sender != job.sender) return "";
    DBusReader reader(signal.arguments);
    (void)reader.TakeUint32();  // its number
    if (reader.TakeString() != job.path) return "";
    (void)reader.TakeString();  // the unit
    return reader.TakeString();
  }

  std::optional<DBusConnection> bus_;
  bool nobody_listens_ = false;
  std::chrono::steady_clock::time_point end_;
};

void PutValue(DBusWriter& out, const PropertyValue& value) {
  switch (value.type[0]) {
    case 'a': {
      const auto array = out.BeginArray(DBusAlignment(value.type[1]));
      for (const PropertyValue& part : value.parts) PutValue(out, part);
      out.EndArray(array);
      return;
    }
    case '(':
      out.BeginStruct();
      for (const PropertyValue& part : value.parts) PutValue(out, part);
      return;
    case 'b':
    case 'i':
    case 'u':
      out.PutUint32(static_cast<uint32_t>(value.number));
      return;
    case 'y':
      out.PutByte(static_cast<uint8_t>(value.number));
      return;
    case 'n':
    case 'q':
      out.PutUint16(static_cast<uint16_t>(value.number));
      return;
    case 'x':
    case 't':
      out.PutUint64(value.number);
      return;
    case 'd':
      out.PutUint64(std::bit_cast<uint64_t>(value.real));
      return;
    case 'g':
      out.PutSignature(value.text);
      return;
    default:
      out.PutString(value.text);
  }
}

// Properties of a unit: "a(sv)".
class Properties {
 public:
  explicit Properties(DBusWriter& out) : out_(out), array_(out.BeginArray(8)) {}

  void Text(const char* name, std::string_view value) {
    Begin(name, "s");
    out_.PutString(value);
  }
  void Flag(const char* name, bool value) {
    Begin(name, "b");
    out_.PutBool(value);
  }
  void Process(const char* name, pid_t pid) {
    Begin(name, "au");
    PutProcess(out_, pid);
  }
  void Limits(const Resources& resources) {
    for (const auto& [name, value] : ScopeLimits(resources)) {
      Begin(name.c_str(), "t");
      out_.PutUint64(value);
    }
  }
  void Given(const std::vector<SystemdProperty>& properties) {
    for (const SystemdProperty& property : properties) {
      Begin(property.name.c_str(), property.value.type.c_str());
      PutValue(out_, property.value);
    }
  }
  void End() { out_.EndArray(array_); }

  // An array of one.
  static void PutProcess(DBusWriter& out, pid_t pid) {
    const auto array = out.BeginArray(sizeof(uint32_t));
    out.PutUint32(static_cast<uint32_t>(pid));
    out.EndArray(array);
  }

 private:
  void Begin(const char* name, const char* type) {
    out_.BeginStruct();
    out_.PutString(name);
    out_.BeginVariant(type);
  }

  DBusWriter& out_;
  const DBusWriter::Array array_;
};

DBusWriter Texts(std::initializer_list<std::string_view> texts) {
  DBusWriter out;
  for (const std::string_view text : texts) out.PutString(text);
  return out;
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
  constexpr char kTypes[] = "ssa(sv)a(sa(sv))";
  DBusWriter arguments = Texts({scope.unit, "fail"});
  Properties properties(arguments);
  properties.Text("Description", scope.description);
  properties.Text("Slice", scope.slice);
  properties.Flag("Delegate", true);
  properties.Flag("DefaultDependencies", false);
  // One whose process was killed must not stay behind as failed.
  properties.Text("CollectMode", "inactive-or-failed");
  properties.Process("PIDs", pid);
  properties.Limits(resources);
  // Last: they may be another word on what stands above.
  properties.Given(scope.properties);
  properties.End();
  arguments.EndArray(arguments.BeginArray(8));  // no other units
  auto answer = manager.RunJob("StartTransientUnit", kTypes, arguments);
  if (answer.error_name == kUnitExists) {
    // One that has failed stays until it is forgotten.
    (void)manager.Call("ResetFailedUnit", "s", Texts({scope.unit}));
    answer = manager.RunJob("StartTransientUnit", kTypes, arguments);
    if (answer.error_name == kUnitExists)
      return Error(EEXIST, "another scope " + scope.unit + " exists");
  }
  return std::move(answer.status).With("making the scope " + scope.unit);
}

Status SetScopeLimits(const SystemdScope& scope, const Resources& resources) {
  if (ScopeLimits(resources).empty()) return Ok();
  Manager manager(kStartPatience);
  TRY(manager.Connect().With("the scope " + scope.unit));
  DBusWriter arguments = Texts({scope.unit});
  arguments.PutBool(true);  // until the scope's end, as the scope itself
  Properties properties(arguments);
  properties.Limits(resources);
  properties.End();
  return manager.Call("SetUnitProperties", "sba(sv)", arguments)
      .status.With("changing the scope " + scope.unit);
}

Status EnterScope(const SystemdScope& scope, const std::string& below) {
  Manager manager(kStartPatience);
  TRY(manager.Connect().With("the scope " + scope.unit));
  DBusWriter arguments = Texts({scope.unit, below});
  Properties::PutProcess(arguments, getpid());
  return manager.Call("AttachProcessesToUnit", "ssau", arguments)
      .status.With("entering the scope " + scope.unit);
}

Result<bool> IsAnothers(const SystemdScope& scope) {
  Manager manager(kStopPatience);
  if (Status connected = manager.Connect(); !connected.ok()) {
    if (manager.nobody_listens()) return false;
    return std::move(connected).error().With("the scope " + scope.unit);
  }
  auto unit = manager.Call("GetUnit", "s", Texts({scope.unit}),
                           /*gives_path=*/true);
  if (unit.error_name == kNoSuchUnit) return false;
  TRY(std::move(unit.status).With("the scope " + scope.unit));
  return TRY(manager.DescriptionOf(unit.path).With(
             "the scope " + scope.unit)) != scope.description;
}

Status StopScope(const SystemdScope& scope) {
  Manager manager(kStopPatience);
  if (!manager.Connect().ok()) return Ok();
  auto answer =
      manager.RunJob("StopUnit", "ss", Texts({scope.unit, "replace"}));
  if (answer.error_name == kNoSuchUnit) return Ok();
  // One that has failed.
  (void)manager.Call("ResetFailedUnit", "s", Texts({scope.unit}));
  return std::move(answer.status).With("stopping the scope " + scope.unit);
}

}  // namespace ufs::runtime
