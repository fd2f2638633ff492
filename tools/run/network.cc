#include "tools/run/network.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>

#include "layerdb/base/syscall.h"
#include "runtime/channel.h"
#include "runtime/loopback.h"
#include "tools/run/network_helper.h"

namespace ufs {

namespace kernel = runtime::kernel;

Result<UniqueFd> MakeNetwork() {
  auto pair = TRY(kernel::MakeSocketPair());
  const auto child =
      TRY(kernel::Clone(CLONE_NEWNET).With("making a network namespace"));
  if (child.pid == 0) {
    // Its own, which nobody else may be allowed to look at.
    const auto give = [&]() -> Status {
      TRY(runtime::BringUpLoopback());
      const UniqueFd own = TRY(sys::Open("/proc/self/ns/net", O_RDONLY));
      return runtime::Say(pair.theirs, runtime::Word::kReady, "", own.get());
    };
    const auto given = give();
    if (!given.ok()) runtime::SayError(pair.theirs, given.error());
    _exit(0);
  }
  pair.theirs.reset();
  auto said = runtime::Expect(pair.ours, runtime::Word::kReady);
  TRY(kernel::WaitPid(child.pid));
  if (!said.ok())
    return std::move(said).error().With("making a network namespace");
  return std::move(said->fd);
}

Result<kernel::Child> ConnectNetwork(Network kind, BorrowedFd network,
                                     const std::vector<PublishedPort>& ports,
                                     const std::string& directory,
                                     bool host_gateway) {
  std::vector<PublishedPort> tcp;
  for (const PublishedPort& port : ports) {
    TRY(BindPort(port));
    if (!port.udp) tcp.push_back(port);
  }
  return kind == Network::kPasta
             ? ConnectByPasta(network, tcp, directory, host_gateway)
             : ConnectBySlirp4netns(network, tcp, directory);
}

const char* NameServerOf(Network kind) {
  return kind == Network::kPasta ? "169.254.1.1" : "10.0.2.3";
}

}  // namespace ufs
