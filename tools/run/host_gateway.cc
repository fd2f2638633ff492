#include "tools/run/host_gateway.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "layerdb/base/unique_fd.h"
#include "tools/run/network.h"

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
      return OrRefuse(PastaReachesMachine() ? kMachineByPasta : "",
                      "this pasta cannot lead to the machine but by its "
                      "loopback, which stays closed (newer ones can, by "
                      "--map-guest-addr); use --network slirp4netns or host, "
                      "or give the address of another interface");
  }
  return Error(EINVAL);
}

bool WantsHostGateway(const RunOptions& options) {
  return std::any_of(
      options.hosts.begin(), options.hosts.end(),
      [](const std::string& line) { return line.starts_with(kHostGateway); });
}

}  // namespace ufs
