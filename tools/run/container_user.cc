#include "tools/run/container_user.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>

#include "layerdb/base/syscall.h"
#include "runtime/channel.h"
#include "runtime/kernel.h"
#include "runtime/namespaces.h"
#include "runtime/privileges.h"
#include "runtime/user_db.h"

namespace ufs {
namespace {

namespace kernel = runtime::kernel;

// In the child that goes inside: "UID GID [GID...]".
Result<std::string> LookInside(pid_t pid, BorrowedFd init,
                               const std::string& text) {
  // Whoever is in the container may look at what joins it.
  TRY(runtime::MakeUndumpable());
  TRY(runtime::JoinProcess(pid, init));
  const UniqueFd root = TRY(sys::Open("/", O_PATH | O_DIRECTORY));
  const runtime::User user = TRY(runtime::ResolveUser(root, text));
  std::string numbers =
      std::to_string(user.uid) + " " + std::to_string(user.gid);
  for (const gid_t gid : user.additional_gids)
    numbers += ' ' + std::to_string(gid);
  return numbers;
}

}  // namespace

Result<runtime::User> UserInContainer(const runtime::Container& container,
                                      const std::string& text) {
  const pid_t pid = container.state().pid;
  const UniqueFd init = TRY(kernel::PidfdOpen(pid).With("not running"));
  auto pair = TRY(kernel::MakeSocketPair());
  const auto child = TRY(kernel::Clone(0));
  if (child.pid == 0) {
    const auto numbers = LookInside(pid, init, text);
    if (numbers.ok())
      (void)runtime::Say(pair.theirs, runtime::Word::kReady, *numbers);
    else
      runtime::SayError(pair.theirs, numbers.error());
    _exit(0);
  }
  pair.theirs.reset();
  const auto said = runtime::Expect(pair.ours, runtime::Word::kReady);
  TRY(kernel::WaitPid(child.pid));
  if (!said.ok()) return said.error();
  runtime::User user;
  std::istringstream numbers(said->text);
  numbers >> user.uid >> user.gid;
  if (!numbers) return Error(EPROTO, "reading the container's users");
  gid_t gid = 0;
  while (numbers >> gid) user.additional_gids.push_back(gid);
  return user;
}

}  // namespace ufs
