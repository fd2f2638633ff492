#include "tools/run/processes.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"

namespace ufs {
namespace {

namespace kernel = runtime::kernel;

std::string ProcPath(pid_t pid, const char* name) {
  return "/proc/" + std::to_string(pid) + "/" + name;
}

Result<std::vector<pid_t>> PidsInNamespaceOf(pid_t init) {
  const std::string own =
      TRY(sys::ReadLinkAt({AT_FDCWD, ProcPath(init, "ns/pid").c_str()}));
  const UniqueFd proc = TRY(sys::Open("/proc", O_RDONLY | O_DIRECTORY));
  std::vector<pid_t> all;
  TRY(sys::ForEachEntry(proc, [&](const char* name, uint8_t, uint64_t) {
    if (const pid_t pid = std::atoi(name); pid > 0) all.push_back(pid);
    return true;
  }));
  std::vector<pid_t> pids;
  for (const pid_t pid : all) {
    const auto link =
        sys::ReadLinkAt({AT_FDCWD, ProcPath(pid, "ns/pid").c_str()});
    if (link.ok() && *link == own) pids.push_back(pid);
  }
  return pids;
}

// Nothing once it has ended.
Result<ProcessInfo> Look(pid_t pid) {
  ProcessInfo info;
  info.pid = pid;
  const std::string stat = TRY(kernel::ReadFile(ProcPath(pid, "stat")));
  // The name stands in parentheses and may hold any character, see proc(5).
  const size_t open = stat.find('('), close = stat.rfind(')');
  if (open == stat.npos || close == stat.npos || close < open)
    return Error(ESRCH);
  char state = '?';
  int parent = 0;
  unsigned long user = 0, system = 0;
  long resident = 0;
  if (std::sscanf(stat.c_str() + close + 1,
                  " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d "
                  "%*d %*d %*d %*d %*u %*u %ld",
                  &state, &parent, &user, &system, &resident) != 5)
    return Error(ESRCH);
  info.state = state;
  info.parent = parent;
  info.cpu_s = static_cast<double>(user + system) /
               static_cast<double>(sysconf(_SC_CLK_TCK));
  info.memory = static_cast<uint64_t>(resident) *
                static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  info.uid = TRY(sys::Statx({AT_FDCWD, ProcPath(pid, "").c_str()})).stx_uid;
  const auto line = kernel::ReadFile(ProcPath(pid, "cmdline"));
  info.command = line.ok() ? *line : "";
  while (!info.command.empty() && info.command.back() == '\0')
    info.command.pop_back();
  std::replace(info.command.begin(), info.command.end(), '\0', ' ');
  // A zombie has no arguments any more.
  if (info.command.empty())
    info.command = '[' + stat.substr(open + 1, close - open - 1) + "]";
  return info;
}

}  // namespace

Result<std::vector<ProcessInfo>> ProcessesOf(runtime::Container& container) {
  std::vector<pid_t> pids = container.cgroup().empty()
                                ? TRY(PidsInNamespaceOf(container.state().pid))
                                : TRY(container.cgroup().Pids());
  std::sort(pids.begin(), pids.end());
  std::vector<ProcessInfo> list;
  for (const pid_t pid : pids)
    if (auto info = Look(pid); info.ok())
      list.push_back(std::move(info).value());
  return list;
}

}  // namespace ufs
