// The helper that gives a private network namespace a way out, and ports of the
// machine a way in: slirp4netns or pasta, which run on the host and connect for
// the container.
// Threads: in a process with one thread.
#pragma once

#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/kernel.h"
#include "tools/run/options.h"
#include "tools/run/ports.h"

namespace ufs {

// A new network namespace with its loopback up.
Result<UniqueFd> MakeNetwork();

// Connects it to the host's network by the program that `kind` names. Returns
// when it is connected and the TCP ports are published (udp_forwarder.h has the
// others), all of which were free; the helper, a child of ours, serves until it
// is ended. The machine's own loopback is out of reach; with `host_gateway`
// pasta has an address that leads to the machine's own, see
// PastaReachesMachine. `directory` is for what the two of us say to one
// another; nothing is left in it. REQUIRES: a mount namespace of our own.
Result<runtime::kernel::Child> ConnectNetwork(
    Network kind, BorrowedFd network, const std::vector<PublishedPort>& ports,
    const std::string& directory, bool host_gateway);

// Whether the pasta that is installed can have kMachineByPasta lead to the
// machine's own address: the container has the same, and where the gateway's
// leads, with older ones, is the machine's loopback.
bool PastaReachesMachine();
// As podman has it; link-local, so that it is nobody else's.
inline constexpr char kMachineByPasta[] = "169.254.1.2";

// Where the container finds the helper's name server.
const char* NameServerOf(Network kind);

}  // namespace ufs
