#include "tools/run/ports.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <utility>

#include "layerdb/base/unique_fd.h"
#include "runtime/kernel.h"

namespace ufs {
namespace {

namespace kernel = runtime::kernel;

struct Range {
  uint16_t first = 0, last = 0;
  int count() const { return last - first + 1; }
};

Result<uint16_t> ParsePort(const std::string& text) {
  unsigned port = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc() || rest != end || port < 1 || port > 65535)
    return Error(EINVAL, "'" + text + "' is no port, 1 to 65535");
  return static_cast<uint16_t>(port);
}

// "80" or "80-89".
Result<Range> ParseRange(const std::string& text) {
  const size_t dash = text.find('-');
  Range range;
  range.first = range.last = TRY(ParsePort(text.substr(0, dash)));
  if (dash != text.npos) range.last = TRY(ParsePort(text.substr(dash + 1)));
  if (range.last < range.first)
    return Error(EINVAL, "'" + text + "': the first port comes first");
  return range;
}

// What stands before the last two colons, brackets taken off.
Result<std::string> ParseAddress(std::string text) {
  if (text.size() > 2 && text.front() == '[' && text.back() == ']')
    text = text.substr(1, text.size() - 2);
  if (!IsAddress(text))
    return Error(EINVAL, "'" + text + "' is no address of the machine");
  return text;
}

// Takes "/tcp" or "/udp" off the end.
Status TakeProtocol(std::string& text, bool& udp) {
  const size_t slash = text.find('/');
  if (slash == text.npos) return Ok();
  const std::string protocol = text.substr(slash + 1);
  if (protocol != "tcp" && protocol != "udp")
    return Error(EINVAL, "the protocol is tcp or udp");
  udp = protocol == "udp";
  text.resize(slash);
  return Ok();
}

// What stands before the last colon: "[IP:]HOST", "IP:" or nothing.
Status ParseHost(const std::string& text, PublishedPort& port,
                 std::optional<Range>& host) {
  const size_t colon = text.rfind(':');
  const size_t begin = colon == text.npos ? 0 : colon + 1;
  if (colon != text.npos)
    port.address = TRY(ParseAddress(text.substr(0, colon)));
  const std::string range = text.substr(begin);
  // "127.0.0.1::80"; but ":80" is a slip.
  if (range.empty() && colon != text.npos) return Ok();
  host = TRY(ParseRange(range));
  return Ok();
}

// One for each number of a range; without `host`, any port of the machine.
std::vector<PublishedPort> EachOf(Range container, std::optional<Range> host,
                                  PublishedPort port) {
  std::vector<PublishedPort> ports;
  for (int i = 0; i < container.count(); ++i) {
    port.host = host ? static_cast<uint16_t>(host->first + i) : uint16_t{0};
    port.container = static_cast<uint16_t>(container.first + i);
    ports.push_back(port);
  }
  return ports;
}

Result<std::vector<PublishedPort>> Parse(std::string text) {
  PublishedPort port;
  TRY(TakeProtocol(text, port.udp));
  const size_t last = text.rfind(':');
  std::optional<Range> host;
  if (last != text.npos) TRY(ParseHost(text.substr(0, last), port, host));
  const Range container =
      TRY(ParseRange(last == text.npos ? text : text.substr(last + 1)));
  if (host && host->count() != container.count())
    return Error(EINVAL, "the two ranges differ in length");
  return EachOf(container, host, std::move(port));
}

uint16_t PortOf(BorrowedFd socket) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  if (getsockname(socket.get(), reinterpret_cast<sockaddr*>(&storage), &size) !=
      0)
    return 0;
  return ntohs(storage.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6&>(storage).sin6_port
                   : reinterpret_cast<const sockaddr_in&>(storage).sin_port);
}

Result<UniqueFd> Bind(const PublishedPort& port) {
  sockaddr_storage storage{};
  socklen_t size = 0;
  if (port.is_ipv6()) {
    auto& address = reinterpret_cast<sockaddr_in6&>(storage);
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port.host);
    (void)inet_pton(AF_INET6, port.address.c_str(), &address.sin6_addr);
    size = sizeof(address);
  } else {
    auto& address = reinterpret_cast<sockaddr_in&>(storage);
    address.sin_family = AF_INET;
    address.sin_port = htons(port.host);
    if (!port.address.empty())
      (void)inet_pton(AF_INET, port.address.c_str(), &address.sin_addr);
    size = sizeof(address);
  }
  const int type = (port.udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC;
  const int raw = socket(storage.ss_family, type, 0);
  TRY(kernel::Check(raw));
  UniqueFd fd(raw);
  // As the helpers do: connections that linger are no obstacle.
  const int one = 1;
  if (!port.udp)
    TRY(kernel::Check(
        setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one))));
  TRY(kernel::Check(
      bind(fd.get(), reinterpret_cast<const sockaddr*>(&storage), size)));
  return fd;
}

}  // namespace

bool IsAddress(const std::string& text) {
  in6_addr parsed;
  return inet_pton(AF_INET, text.c_str(), &parsed) == 1 ||
         inet_pton(AF_INET6, text.c_str(), &parsed) == 1;
}

std::string PublishedPort::ToString() const {
  const std::string shown = address.empty() ? "0.0.0.0"
                            : is_ipv6()     ? "[" + address + "]"
                                            : address;
  return shown + ":" + std::to_string(host) + "->" + std::to_string(container) +
         "/" + protocol();
}

Result<std::vector<PublishedPort>> ParsePublish(const std::string& text) {
  return Parse(text).With("-p '" + text + "'");
}

Result<std::vector<PublishedPort>> ParseExposed(const std::string& text) {
  const auto parse =
      [](std::string rest) -> Result<std::vector<PublishedPort>> {
    PublishedPort port;
    TRY(TakeProtocol(rest, port.udp));
    const Range range = TRY(ParseRange(rest));
    return EachOf(range, std::nullopt, std::move(port));
  };
  return parse(text).With("the exposed port '" + text + "'");
}

Status AddExposed(const std::vector<std::string>& exposed,
                  std::vector<PublishedPort>& ports) {
  for (const std::string& text : exposed)
    for (const PublishedPort& wanted : TRY(ParseExposed(text)))
      if (std::none_of(ports.begin(), ports.end(),
                       [&](const PublishedPort& port) {
                         return port.container == wanted.container &&
                                port.udp == wanted.udp;
                       }))
        ports.push_back(wanted);
  return Ok();
}

Status PickPorts(std::vector<PublishedPort>& ports) {
  std::vector<UniqueFd> held;  // so that none is picked twice
  for (PublishedPort& port : ports) {
    if (port.host != 0) continue;
    held.push_back(TRY(BindPort(port)));
    port.host = PortOf(held.back());
    if (port.host == 0) return Error(EIO, "-p: the machine gives no port");
  }
  return Ok();
}

Result<UniqueFd> BindPort(const PublishedPort& port) {
  auto bound = Bind(port);
  if (bound.ok()) return bound;
  const std::string what = "-p " + port.ToString() + ": ";
  switch (bound.code()) {
    case EADDRINUSE:
      return Error(EADDRINUSE, what + "something listens on port " +
                                   std::to_string(port.host) +
                                   " of the machine already");
    case EACCES:
      return Error(EACCES, what +
                               "ports below 1024 are root's; use a higher "
                               "one, or lower the sysctl "
                               "net.ipv4.ip_unprivileged_port_start");
    case EADDRNOTAVAIL:
      return Error(EADDRNOTAVAIL,
                   what + port.address + " is no address of this machine");
    default:
      return Error(bound.code(), what + "cannot be had");
  }
}

}  // namespace ufs
