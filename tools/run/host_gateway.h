// The machine as a container sees it: what "host-gateway" stands for in
// --add-host. Threads: any.
#pragma once

#include <string>
#include <string_view>

#include "layerdb/base/result.h"
#include "tools/run/options.h"

namespace ufs {

// How lines of RunOptions::hosts begin in which the address is yet to come.
inline constexpr std::string_view kHostGateway = "host-gateway\t";

// An address by which a container in that network reaches the machine, as seen
// from outside: what listens on its loopback alone stays out of reach. With
// slirp4netns one of the machine's own; with pasta, which gives that to the
// container, one that is made to lead there. An error that says what to do
// where there is none.
// REQUIRES: the machine's network namespace.
Result<std::string> HostGateway(Network network);

// Whether --add-host asks for it.
bool WantsHostGateway(const RunOptions& options);

}  // namespace ufs
