#include "tools/run/host_gateway.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <sstream>

#include "layerdb/base/unique_fd.h"
#include "runtime/kernel.h"

namespace ufs {
namespace {

std::string TextOf(in_addr address) {
  char text[INET_ADDRSTRLEN] = "";
  inet_ntop(AF_INET, &address, text, sizeof(text));
  return text;
}

// From where it would send to far away: a UDP socket sends nothing to connect.
// Empty without a route.
std::string SourceAddress() {
  const UniqueFd probe(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in there{};
  there.sin_family = AF_INET;
  there.sin_port = htons(9);
  inet_pton(AF_INET, "203.0.113.1", &there.sin_addr);  // nobody's, RFC 5737
  sockaddr_in own{};
  socklen_t size = sizeof(own);
  if (connect(probe.get(), reinterpret_cast<sockaddr*>(&there),
              sizeof(there)) != 0 ||
      getsockname(probe.get(), reinterpret_cast<sockaddr*>(&own), &size) != 0)
    return "";
  return TextOf(own.sin_addr);
}

// Of the first interface that is up, but loopback.
std::string AnyAddress() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return "";
  std::string found;
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET ||
        (one->ifa_flags & IFF_UP) == 0 || (one->ifa_flags & IFF_LOOPBACK) != 0)
      continue;
    found =
        TextOf(reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr);
    break;
  }
  freeifaddrs(list);
  return found;
}

// That of the default route, of the best if there are several.
std::string Gateway() {
  const auto table = runtime::kernel::ReadFile("/proc/self/net/route");
  if (!table.ok()) return "";
  std::istringstream lines(*table);
  std::string found;
  unsigned best = UINT32_MAX;
  for (std::string line; std::getline(lines, line);) {
    unsigned destination = 0, gateway = 0, flags = 0, metric = 0, mask = 0;
    // Addresses are in hexadecimal, in the order of the wire.
    if (std::sscanf(line.c_str(), "%*s %x %x %x %*d %*d %u %x", &destination,
                    &gateway, &flags, &metric, &mask) != 5)
      continue;
    if (destination != 0 || mask != 0 || (flags & RTF_GATEWAY) == 0 ||
        metric >= best)
      continue;
    best = metric;
    found = TextOf(in_addr{gateway});
  }
  return found;
}

Result<std::string> OrRefuse(std::string address, const char* why) {
  if (!address.empty()) return address;
  return Error(ENOTSUP, std::string("host-gateway: ") + why);
}

}  // namespace

Result<std::string> HostGateway(Network network) {
  switch (network) {
    case Network::kNone:
      return OrRefuse("",
                      "--network none leads nowhere; use --network private or "
                      "host");
    case Network::kHost:
      return std::string("127.0.0.1");
    case Network::kSlirp4netns: {
      const std::string own = SourceAddress();
      return OrRefuse(own.empty() ? AnyAddress() : own,
                      "the machine has no IPv4 address but its loopback's; use "
                      "--network host");
    }
    case Network::kPasta:
      return OrRefuse(Gateway(),
                      "with pasta it is the gateway of the default route of "
                      "IPv4, and the machine has none; use --network "
                      "slirp4netns or host");
  }
  return Error(EINVAL);
}

bool WantsHostGateway(const RunOptions& options) {
  return std::any_of(
      options.hosts.begin(), options.hosts.end(),
      [](const std::string& line) { return line.starts_with(kHostGateway); });
}

}  // namespace ufs
