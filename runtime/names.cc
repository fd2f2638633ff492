#include "runtime/names.h"

#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstring>
#include <iterator>

namespace ufs::runtime {
namespace {

constexpr Named<int> kRlimits[] = {
    {"RLIMIT_AS", RLIMIT_AS},
    {"RLIMIT_CORE", RLIMIT_CORE},
    {"RLIMIT_CPU", RLIMIT_CPU},
    {"RLIMIT_DATA", RLIMIT_DATA},
    {"RLIMIT_FSIZE", RLIMIT_FSIZE},
    {"RLIMIT_LOCKS", RLIMIT_LOCKS},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
    {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
    {"RLIMIT_NICE", RLIMIT_NICE},
    {"RLIMIT_NOFILE", RLIMIT_NOFILE},
    {"RLIMIT_NPROC", RLIMIT_NPROC},
    {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
    {"RLIMIT_RTTIME", RLIMIT_RTTIME},
    {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    {"RLIMIT_STACK", RLIMIT_STACK},
};

template <typename Number>
bool ParseWhole(std::string_view text, Number& number) {
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number);
  return !text.empty() && error == std::errc() &&
         end == text.data() + text.size();
}

}  // namespace

const std::vector<std::string_view>& CapabilityNames() {
  static const std::vector<std::string_view> names = {
      "CAP_CHOWN",
      "CAP_DAC_OVERRIDE",
      "CAP_DAC_READ_SEARCH",
      "CAP_FOWNER",
      "CAP_FSETID",
      "CAP_KILL",
      "CAP_SETGID",
      "CAP_SETUID",
      "CAP_SETPCAP",
      "CAP_LINUX_IMMUTABLE",
      "CAP_NET_BIND_SERVICE",
      "CAP_NET_BROADCAST",
      "CAP_NET_ADMIN",
      "CAP_NET_RAW",
      "CAP_IPC_LOCK",
      "CAP_IPC_OWNER",
      "CAP_SYS_MODULE",
      "CAP_SYS_RAWIO",
      "CAP_SYS_CHROOT",
      "CAP_SYS_PTRACE",
      "CAP_SYS_PACCT",
      "CAP_SYS_ADMIN",
      "CAP_SYS_BOOT",
      "CAP_SYS_NICE",
      "CAP_SYS_RESOURCE",
      "CAP_SYS_TIME",
      "CAP_SYS_TTY_CONFIG",
      "CAP_MKNOD",
      "CAP_LEASE",
      "CAP_AUDIT_WRITE",
      "CAP_AUDIT_CONTROL",
      "CAP_SETFCAP",
      "CAP_MAC_OVERRIDE",
      "CAP_MAC_ADMIN",
      "CAP_SYSLOG",
      "CAP_WAKE_ALARM",
      "CAP_BLOCK_SUSPEND",
      "CAP_AUDIT_READ",
      "CAP_PERFMON",
      "CAP_BPF",
      "CAP_CHECKPOINT_RESTORE",
  };
  return names;
}

std::optional<int> ParseCapability(std::string_view name) {
  const auto& names = CapabilityNames();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return std::nullopt;
  return static_cast<int>(found - names.begin());
}

std::optional<int> ParseRlimit(std::string_view name) {
  return ValueOf(kRlimits, name);
}

std::string RlimitName(int resource) {
  for (const Named<int>& row : kRlimits)
    if (row.value == resource) return std::string(row.name);
  return std::to_string(resource);
}

std::optional<int> ParseSignal(std::string_view text) {
  int number = 0;
  if (ParseWhole(text, number))
    return number >= 0 && number < NSIG ? std::optional(number) : std::nullopt;
  std::string name(text);
  for (char& c : name)
    c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (name.starts_with("SIG")) name.erase(0, 3);
  const auto real_time = [&](std::string_view base,
                             int from) -> std::optional<int> {
    const std::string_view rest = std::string_view(name).substr(base.size());
    if (rest.empty()) return from;
    int offset = 0;
    if (rest[0] == '+' && !ParseWhole(rest.substr(1), offset))
      return std::nullopt;
    if (rest[0] == '-' && !ParseWhole(rest, offset)) return std::nullopt;
    if (rest[0] != '+' && rest[0] != '-') return std::nullopt;
    const int signal = from + offset;
    if (signal < SIGRTMIN || signal > SIGRTMAX) return std::nullopt;
    return signal;
  };
  if (name.starts_with("RTMIN")) return real_time("RTMIN", SIGRTMIN);
  if (name.starts_with("RTMAX")) return real_time("RTMAX", SIGRTMAX);
  for (int signal = 1; signal < SIGRTMIN; ++signal)
    if (const char* abbreviation = sigabbrev_np(signal);
        abbreviation != nullptr && name == abbreviation)
      return signal;
  return std::nullopt;
}

std::optional<uint32_t> ParseId(std::string_view text) {
  uint32_t id = 0;
  if (!ParseWhole(text, id) || id == UINT32_MAX) return std::nullopt;
  return id;
}

}  // namespace ufs::runtime
