#include "tools/run/user_namespace.h"

#include <unistd.h>

#include <string>

#include "runtime/channel.h"
#include "runtime/launcher.h"
#include "runtime/privileges.h"

namespace ufs {
namespace {

using runtime::ContainerSpec;
using runtime::NamespaceType;

Status InChild(const ContainerSpec& spec, const std::function<Status()>& body) {
  runtime::CgroupDoors none;  // it stays where we are
  const auto child = TRY(runtime::Launch(spec, none, [&](UniqueFd channel) {
    auto done = runtime::BecomeRoot();
    if (done.ok()) done = body();
    if (done.ok()) (void)runtime::Say(channel, runtime::Word::kReady);
    if (!done.ok()) runtime::SayError(channel, done.error());
    _exit(0);
  }));
  const auto said = runtime::Expect(child.channel, runtime::Word::kReady);
  TRY(runtime::kernel::WaitPid(child.init.pid));
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
                      const std::function<Status()>& body) {
  const std::string own = "/proc/" + std::to_string(pid) + "/ns/";
  ContainerSpec spec;
  if (user_too) spec.namespaces.push_back({NamespaceType::kUser, own + "user"});
  spec.namespaces.push_back({NamespaceType::kMount, own + "mnt"});
  return InChild(spec, body);
}

}  // namespace ufs
