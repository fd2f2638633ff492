#include "runtime/exec.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"
#include "runtime/privileges.h"
#include "runtime/rooted_path.h"
#include "runtime/user_db.h"

namespace ufs::runtime {
namespace {

std::string_view Variable(const Process& process, std::string_view name) {
  for (const std::string& entry : process.env)
    if (entry.size() > name.size() && entry.starts_with(name) &&
        entry[name.size()] == '=')
      return std::string_view(entry).substr(name.size() + 1);
  return {};
}

// EACCES for what is there and cannot be run, ENOENT otherwise.
Status CheckExecutable(const std::string& path) {
  struct stat st;
  TRY(kernel::Check(stat(path.c_str(), &st)));
  if (!S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0) return Error(EACCES);
  return Ok();
}

// A directory outside the root, kept open by whoever began all this, would be a
// way out (CVE-2024-21626).
Status CheckWorkingDirectory() {
  char path[PATH_MAX];
  const char* const got = getcwd(path, sizeof(path));
  if (got == nullptr || *got != '/')
    return Error(EPERM, "process.cwd is outside of the container's root");
  return Ok();
}

Status ChangeTo(const std::string& cwd) {
  return kernel::Check(chdir(cwd.c_str())).With("process.cwd " + cwd);
}

Status ResetSignals() {
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  return kernel::Check(sigprocmask(SIG_SETMASK, &none, nullptr));
}

// So that the user can open them again by /dev/stdout and the like. Pipes
// alone, which are made for it: a file, a device or a directory that a caller
// names is his.
void GiveStreamsTo(uid_t uid) {
  for (int stream = 0; stream < 3; ++stream) {
    struct stat st;
    if (fstat(stream, &st) == 0 && st.st_uid != uid && S_ISFIFO(st.st_mode))
      (void)kernel::Check(fchown(stream, uid, static_cast<gid_t>(-1)));
  }
}

}  // namespace

Status BecomeProcess(const Process& process, const SeccompProgram* seccomp,
                     int preserve_fds,
                     const std::function<Status(UniqueFd)>& listening) {
  const auto filter = [&]() -> Status {
    UniqueFd listener = TRY(LoadSeccomp(*seccomp));
    return listener.valid() ? listening(std::move(listener)) : Ok();
  };
  TRY(ResetSignals());
  TRY(SetLimits(process));
  TRY(kernel::CloseOnExecFrom(static_cast<unsigned>(3 + preserve_fds)));
  GiveStreamsTo(process.user.uid);
  // As root first, for a directory that the user may enter but not find; as
  // the user else, for one on a file system that knows users only.
  const bool entered = ChangeTo(process.cwd).ok();
  // Without no_new_privs only a capability allows a filter, so that the steps
  // that follow have to be in it.
  const bool filter_first = seccomp != nullptr && !process.no_new_privileges;
  if (filter_first) TRY(filter());
  TRY(DropPrivileges(process));
  if (!entered) TRY(ChangeTo(process.cwd));
  TRY(CheckWorkingDirectory());
  if (process.no_new_privileges) TRY(SetNoNewPrivileges());
  if (seccomp != nullptr && !filter_first) TRY(filter());
  return Ok();
}

Result<std::string> FindExecutable(const Process& process) {
  const std::string& name = process.args[0];
  const auto quoted = "exec: \"" + name + "\"";
  if (name.find('/') != name.npos) {
    // Relative to where it will start.
    const std::string path =
        name.starts_with('/') ? name : process.cwd + "/" + name;
    TRY(CheckExecutable(path).With(quoted + ": " + path));
    return name;
  }
  std::string_view path = Variable(process, "PATH");
  if (path.empty()) path = kDefaultPath;
  bool forbidden = false;
  while (!path.empty()) {
    const size_t end = path.find(':');
    std::string candidate(path.substr(0, end));
    path.remove_prefix(end == path.npos ? path.size() : end + 1);
    if (candidate.empty()) candidate = process.cwd;
    candidate += "/" + name;
    const auto there = CheckExecutable(candidate);
    if (there.ok()) return candidate;
    forbidden |= there.code() == EACCES;
  }
  if (forbidden) return Error(EACCES, quoted);
  return Error(ENOENT, quoted + ": executable file not found in $PATH");
}

std::vector<std::string> EnvironmentOf(const Process& process) {
  std::vector<std::string> env = process.env;
  if (!Variable(process, "HOME").empty()) return env;
  std::erase(env, "HOME=");
  const auto root = sys::Open("/", O_PATH | O_DIRECTORY);
  env.push_back("HOME=" + (root.ok() ? HomeOf(*root, process.user.uid) : "/"));
  return env;
}

Error ExecuteProcess(const Process& process, const SeccompProgram* seccomp,
                     int preserve_fds, const std::string& executable,
                     const std::function<Status(UniqueFd)>& listening) {
  const auto argv = kernel::PointersTo(process.args);
  const std::vector<std::string> environment = EnvironmentOf(process);
  const auto env = kernel::PointersTo(environment);
  auto become = BecomeProcess(process, seccomp, preserve_fds, listening);
  if (!become.ok()) return std::move(become).error();
  execve(executable.c_str(), argv.data(), env.data());
  return kernel::LastError().With("exec " + executable);
}

}  // namespace ufs::runtime
