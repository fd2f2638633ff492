#include "tools/run/user_namespace.h"

#include <unistd.h>

#include "runtime/channel.h"
#include "runtime/launcher.h"
#include "runtime/privileges.h"

namespace ufs {

Status InUserNamespace(const std::vector<runtime::IdMapping>& uids,
                       const std::vector<runtime::IdMapping>& gids,
                       const std::function<Status()>& body) {
  if (uids.empty()) return body();
  runtime::ContainerSpec spec;
  spec.namespaces = {{runtime::NamespaceType::kUser, ""}};
  spec.uid_mappings = uids;
  spec.gid_mappings = gids;
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

}  // namespace ufs
