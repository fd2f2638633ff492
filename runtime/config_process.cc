// The "process" object of config.json.
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <set>

#include "runtime/config.h"
#include "runtime/names.h"

// Not in the libc's <sched.h>; from the kernel's include/uapi/linux/sched.h.
#ifndef SCHED_DEADLINE
#define SCHED_DEADLINE 6
#endif

namespace ufs::runtime {
namespace {

constexpr Named<uint32_t> kPolicies[] = {
    {"SCHED_OTHER", SCHED_OTHER},
    {"SCHED_FIFO", SCHED_FIFO},
    {"SCHED_RR", SCHED_RR},
    {"SCHED_BATCH", SCHED_BATCH},
    {"SCHED_IDLE", SCHED_IDLE},
    {"SCHED_DEADLINE", SCHED_DEADLINE},
    {"SCHED_ISO", 4},
};
constexpr Named<uint64_t> kSchedulerFlags[] = {
    {"SCHED_FLAG_RESET_ON_FORK", 0x01},  {"SCHED_FLAG_RECLAIM", 0x02},
    {"SCHED_FLAG_DL_OVERRUN", 0x04},     {"SCHED_FLAG_KEEP_POLICY", 0x08},
    {"SCHED_FLAG_KEEP_PARAMS", 0x10},    {"SCHED_FLAG_UTIL_CLAMP_MIN", 0x20},
    {"SCHED_FLAG_UTIL_CLAMP_MAX", 0x40},
};
// As <linux/ioprio.h>, which some kernels have in words that are C alone.
constexpr Named<int> kIoClasses[] = {
    {"IOPRIO_CLASS_RT", 1},
    {"IOPRIO_CLASS_BE", 2},
    {"IOPRIO_CLASS_IDLE", 3},
};

Status ReadCapabilitySet(const JsonReader& json, const char* key, uint64_t& set,
                         std::vector<std::string>& unknown) {
  for (const JsonReader& element : TRY(TRY(json.Get(key)).Elements())) {
    std::string name;
    TRY(element.Read(name));
    const auto number = ParseCapability(name);
    if (number) {
      set |= uint64_t{1} << *number;
    } else if (std::find(unknown.begin(), unknown.end(), name) ==
               unknown.end()) {
      unknown.push_back(name);
    }
  }
  return Ok();
}

Status ReadCapabilities(const JsonReader& json,
                        std::optional<Capabilities>& target) {
  Capabilities sets;
  // Without the object the process gets none, as with runc.
  TRY(ReadCapabilitySet(json, "bounding", sets.bounding, sets.unknown));
  TRY(ReadCapabilitySet(json, "effective", sets.effective, sets.unknown));
  TRY(ReadCapabilitySet(json, "inheritable", sets.inheritable, sets.unknown));
  TRY(ReadCapabilitySet(json, "permitted", sets.permitted, sets.unknown));
  TRY(ReadCapabilitySet(json, "ambient", sets.ambient, sets.unknown));
  for (size_t i = 0; i < CapabilityNames().size(); ++i)
    if (((sets.effective & ~sets.permitted) >> i & 1) != 0)
      return Error(EINVAL, json.path() + ".effective has " +
                               std::string(CapabilityNames()[i]) +
                               ", which is not in permitted");
  target = sets;
  return Ok();
}

// Programs do not agree on which of two values counts.
void KeepLastOfEach(std::vector<std::string>& env) {
  std::set<std::string> seen;
  const auto kept =
      std::remove_if(env.rbegin(), env.rend(), [&](const std::string& entry) {
        return !seen.insert(entry.substr(0, entry.find('='))).second;
      });
  env.erase(env.begin(), kept.base());
}

Status ReadUser(const JsonReader& json, User& user) {
  TRY(json.Read("uid", user.uid));
  TRY(json.Read("gid", user.gid));
  TRY(json.Read("umask", user.umask));
  TRY(json.Read("additionalGids", user.additional_gids));
  if (user.umask && *user.umask > 0777)
    return json.Invalid("has a umask above 0777");
  // (uid_t)-1 means "leave as it is" to the kernel.
  bool invalid = user.uid == UINT32_MAX || user.gid == UINT32_MAX;
  for (gid_t gid : user.additional_gids) invalid |= gid == UINT32_MAX;
  if (invalid) return json.Invalid("has the id 4294967295, which is none");
  return Ok();
}

Status ReadRlimits(const JsonReader& json, std::vector<Rlimit>& rlimits) {
  std::set<int> seen;
  for (const JsonReader& element : TRY(json.Elements())) {
    std::string type;
    TRY(element.Require("type", type));
    const auto resource = ParseRlimit(type);
    if (!resource)
      return element.Invalid("has type \"" + type + "\", which is no limit");
    if (!seen.insert(*resource).second)
      return element.Invalid("sets " + type + " a second time");
    Rlimit limit;
    limit.resource = *resource;
    TRY(element.Require("soft", limit.soft));
    TRY(element.Require("hard", limit.hard));
    if (limit.soft > limit.hard)
      return element.Invalid("has a soft limit above the hard one");
    rlimits.push_back(limit);
  }
  return Ok();
}

Status ReadScheduler(const JsonReader& json, std::optional<Scheduler>& target) {
  if (!json.present()) return Ok();
  std::string policy;
  TRY(json.Require("policy", policy));
  const auto found = ValueOf(kPolicies, policy);
  if (!found) return json.Invalid("has an unknown policy " + policy);
  Scheduler scheduler;
  scheduler.policy = *found;
  TRY(json.Read("nice", scheduler.nice));
  TRY(json.Read("priority", scheduler.priority));
  TRY(json.Read("runtime", scheduler.runtime_ns));
  TRY(json.Read("deadline", scheduler.deadline_ns));
  TRY(json.Read("period", scheduler.period_ns));
  std::vector<std::string> flags;
  TRY(json.Read("flags", flags));
  for (const std::string& flag : flags) {
    const auto bit = ValueOf(kSchedulerFlags, flag);
    if (!bit) return json.Invalid("has an unknown flag " + flag);
    scheduler.flags |= *bit;
  }
  target = scheduler;
  return Ok();
}

Status ReadIoPriority(const JsonReader& json,
                      std::optional<IoPriority>& target) {
  if (!json.present()) return Ok();
  IoPriority priority;
  std::string name;
  TRY(json.Require("class", name));
  const auto found = ValueOf(kIoClasses, name);
  if (!found) return json.Invalid("has an unknown class " + name);
  priority.io_class = *found;
  TRY(json.Read("priority", priority.priority));
  if (priority.priority < 0 || priority.priority > 7)
    return json.Invalid("has a priority that is not 0 to 7");
  target = priority;
  return Ok();
}

// "0-3,7"
Status ReadProcessors(const JsonReader& json, const char* key,
                      Processors& target) {
  constexpr unsigned kProcessorsMax = 8192;  // the kernel's own limit
  constexpr unsigned kBits = 8 * sizeof(Processors::value_type);
  std::string text;
  TRY(json.Read(key, text));
  if (text.empty()) return Ok();
  const auto invalid = [&] {
    return Error(EINVAL, json.path() + "." + key + " has \"" + text +
                             "\", which is no list of processors as 0-3,7");
  };
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    unsigned first = 0;
    auto read = std::from_chars(at, end, first);
    if (read.ec != std::errc()) return invalid();
    unsigned last = first;
    if (read.ptr != end && *read.ptr == '-')
      read = std::from_chars(read.ptr + 1, end, last);
    if (read.ec != std::errc() || last < first || last >= kProcessorsMax)
      return invalid();
    target.resize(std::max<size_t>(target.size(), last / kBits + 1));
    for (unsigned processor = first; processor <= last; ++processor)
      target[processor / kBits] |= 1UL << processor % kBits;
    if (read.ptr == end) return Ok();
    if (*read.ptr != ',') return invalid();
    at = read.ptr + 1;
  }
}

Status ReadExecAffinity(const JsonReader& json,
                        std::optional<ExecAffinity>& target) {
  if (!json.present()) return Ok();
  ExecAffinity affinity;
  TRY(ReadProcessors(json, "initial", affinity.initial));
  TRY(ReadProcessors(json, "final", affinity.final));
  if (!affinity.initial.empty() || !affinity.final.empty())
    target = std::move(affinity);
  return Ok();
}

}  // namespace

Status ReadProcess(const JsonReader& json, Process& process) {
  TRY(json.Read("terminal", process.terminal));
  if (const JsonReader size = TRY(json.Get("consoleSize")); size.present()) {
    ConsoleSize console;
    TRY(size.Read("height", console.height));
    TRY(size.Read("width", console.width));
    process.console_size = console;
  }
  TRY(ReadUser(TRY(json.Get("user")), process.user));
  TRY(json.Require("args", process.args));
  if (process.args.empty() || process.args[0].empty())
    return Error(EINVAL, json.path() + ".args names no program");
  TRY(json.Read("env", process.env));
  for (const std::string& entry : process.env)
    if (entry.find('=') == std::string::npos || entry[0] == '=')
      return Error(EINVAL, json.path() + ".env has \"" + entry +
                               "\", which is not NAME=VALUE");
  KeepLastOfEach(process.env);
  TRY(json.Require("cwd", process.cwd));
  if (!process.cwd.starts_with('/'))
    return Error(EINVAL, json.path() + ".cwd must be absolute");
  TRY(ReadCapabilities(TRY(json.Get("capabilities")), process.capabilities));
  TRY(ReadRlimits(TRY(json.Get("rlimits")), process.rlimits));
  TRY(json.Read("noNewPrivileges", process.no_new_privileges));
  TRY(json.Read("apparmorProfile", process.apparmor_profile));
  TRY(json.Read("selinuxLabel", process.selinux_label));
  TRY(json.Read("oomScoreAdj", process.oom_score_adj));
  if (process.oom_score_adj &&
      (*process.oom_score_adj < -1000 || *process.oom_score_adj > 1000))
    return Error(EINVAL, json.path() + ".oomScoreAdj must be -1000 to 1000");
  TRY(ReadScheduler(TRY(json.Get("scheduler")), process.scheduler));
  TRY(ReadIoPriority(TRY(json.Get("ioPriority")), process.io_priority));
  return ReadExecAffinity(TRY(json.Get("execCPUAffinity")),
                          process.exec_affinity);
}

}  // namespace ufs::runtime
