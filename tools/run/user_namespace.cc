#include "tools/run/user_namespace.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "layerdb/base/syscall.h"
#include "runtime/channel.h"
#include "runtime/launcher.h"
#include "runtime/privileges.h"

namespace ufs {
namespace {

using runtime::ContainerSpec;
using runtime::NamespaceType;

Status InChild(const ContainerSpec& spec, const std::function<Status()>& body) {
  runtime::CgroupDoors none;  // it stays where we are
  const pid_t parent = getpid();
  const auto child = TRY(runtime::Launch(spec, none, [&](UniqueFd channel) {
    auto done = runtime::BecomeRoot();
    // Not to go on for one who was killed. After what takes that back.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    if (done.ok()) done = runtime::MakeUndumpable();
    if (done.ok()) done = body();
    if (done.ok()) (void)runtime::Say(channel, runtime::Word::kReady);
    if (!done.ok()) runtime::SayError(channel, done.error());
    _exit(0);
  }));
  const auto said = runtime::Expect(child.channel, runtime::Word::kReady);
  const int status = TRY(runtime::kernel::WaitPid(child.init.pid));
  // As if it had come to us: of a pipe that nobody reads, say.
  if (WIFSIGNALED(status)) {
    signal(WTERMSIG(status), SIG_DFL);
    raise(WTERMSIG(status));
  }
  if (!said.ok()) return said.error();
  return Ok();
}

}  // namespace

Status InUserNamespace(const std::vector<runtime::IdMapping>& uids,
                       const std::vector<runtime::IdMapping>& gids,
                       const std::function<Status()>& body) {
  if (uids.empty()) return body();
  ContainerSpec spec;
  spec.namespaces = {{NamespaceType::kUser, ""}};
  spec.uid_mappings = uids;
  spec.gid_mappings = gids;
  return InChild(spec, body);
}

Status InNamespacesOf(pid_t pid, bool user_too,
                      const std::function<bool()>& is_it,
                      const std::function<Status()>& body) {
  const std::string own = "/proc/" + std::to_string(pid) + "/ns/";
  ContainerSpec spec;
  std::vector<UniqueFd> held;
  const auto join = [&](NamespaceType type, const char* name) -> Status {
    held.push_back(TRY(sys::Open((own + name).c_str(), O_RDONLY)));
    spec.namespaces.push_back(
        {type, "/proc/self/fd/" + std::to_string(held.back().get())});
    return Ok();
  };
  if (user_too) TRY(join(NamespaceType::kUser, "user"));
  TRY(join(NamespaceType::kMount, "mnt"));
  if (!is_it()) return Error(ESRCH, "the container has just ended");
  return InChild(spec, body);
}

}  // namespace ufs
