#include "tools/run/trial.h"

#include <unistd.h>

#include "layerdb/base/cleanup.h"
#include "layerdb/base/syscall.h"
#include "runtime/channel.h"
#include "runtime/container.h"
#include "runtime/kernel.h"
#include "runtime/privileges.h"
#include "runtime/systemd_scope.h"
#include "tools/mount_union.h"
#include "tools/run/exit_code.h"
#include "tools/run/scratch.h"

namespace ufs {
namespace {

namespace kernel = runtime::kernel;

// In the child, which has mounts of its own; the union ends with it.
Status LookAtUsers(const SupervisorInput& input, const std::string& place) {
  if (!input.maps.uids.empty()) TRY(runtime::BecomeRoot());
  TRY(kernel::SetPropagation("/", MS_SLAVE, /*recursive=*/true)
          .With("making the mounts private"));
  MountRequest request;
  request.who = kUfsRun;
  request.failure_code = kExitNotStarted;
  request.store = input.store;
  request.options.config.layers = input.parts;
  request.options.mount.mountpoint = place;
  TRY(StartUnion(std::move(request)));
  return CheckUser(input.options, input.image, place);
}

Status TryUsers(const SupervisorInput& input) {
  // What somebody may be changing at this moment is no guide.
  const std::string& upper = input.options.upper;
  if (!upper.empty() && sys::Statx({AT_FDCWD, upper.c_str()}).ok()) return Ok();
  const std::string place =
      input.containers + "/" + ScratchName(input.options.name);
  TRY(sys::MkDirAt({AT_FDCWD, place.c_str()}, 0700).With(place));
  const Cleanup forget([&] {
    (void)sys::UnlinkAt({AT_FDCWD, place.c_str()}, AT_REMOVEDIR);
  });
  const auto child = TRY(LaunchApart(input.maps, [&](UniqueFd channel) {
    const auto looked = LookAtUsers(input, place);
    if (looked.ok()) (void)runtime::Say(channel, runtime::Word::kReady);
    if (!looked.ok()) runtime::SayError(channel, looked.error());
    _exit(0);
  }));
  const auto said = runtime::Expect(child.channel, runtime::Word::kReady);
  TRY(kernel::WaitPid(child.init.pid));
  if (!said.ok()) return said.error();
  return Ok();
}

}  // namespace

Status TryToMake(const SupervisorInput& input) {
  const auto spec = TRY(CheckRunConfig(input.options, input.image));
  // A user's manager makes a scope for a process alone, and this one's is not
  // to be moved.
  if (!runtime::HasUserManager())
    TRY(runtime::Container::CheckLimits(spec.resources, input.options.name,
                                        /*limit_swap=*/true));
  return NamesUsers(input.options, input.image) ? TryUsers(input) : Ok();
}

}  // namespace ufs
