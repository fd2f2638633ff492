#include "tools/run/udp_forwarder.h"

#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <list>
#include <map>
#include <string>

namespace ufs {
namespace {

namespace kernel = runtime::kernel;
using Clock = std::chrono::steady_clock;

// As long as docker's proxy remembers who has asked.
constexpr auto kIdle = std::chrono::seconds(90);
// Who asks from forged addresses shall not have us hold any number of sockets.
constexpr size_t kFlowsMax = 2000;
constexpr size_t kDatagramBytesMax = 64 << 10;
// In a row from one socket, so that none keeps the others waiting.
constexpr int kBatch = 32;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  sockaddr_in& v4() { return reinterpret_cast<sockaddr_in&>(storage); }
  sockaddr_in6& v6() { return reinterpret_cast<sockaddr_in6&>(storage); }
  std::string Bytes() const {
    return {reinterpret_cast<const char*>(&storage), size};
  }
};

Address Loopback(bool ipv6) {
  Address address;
  address.storage.ss_family = ipv6 ? AF_INET6 : AF_INET;
  address.size = ipv6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  if (ipv6)
    address.v6().sin6_addr = in6addr_loopback;
  else
    address.v4().sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

Result<UniqueFd> MakeSocket(int family) {
  const int raw = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  TRY(kernel::Check(raw));
  return UniqueFd(raw);
}

// What the container would send from to the world. Connecting sends nothing.
Result<Address> OutwardAddress(bool ipv6) {
  Address address = Loopback(ipv6);
  // Of documentation (RFC 5737, RFC 3849): nobody's.
  if (ipv6) {
    constexpr unsigned char kNobody[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0,
                                           0,    0,    0,    0,    0, 0, 0, 1};
    std::memcpy(&address.v6().sin6_addr, kNobody, sizeof(kNobody));
    address.v6().sin6_port = htons(9);
  } else {
    address.v4().sin_addr.s_addr = htonl(0xcb007101);  // 203.0.113.1
    address.v4().sin_port = htons(9);
  }
  const UniqueFd any = TRY(MakeSocket(address.storage.ss_family));
  TRY(kernel::Check(connect(any.get(), address.get(), address.size)));
  TRY(kernel::Check(getsockname(any.get(), address.get(), &address.size)));
  return address;
}

// Where the container's services are, in the namespace that we are in.
Address ServiceAddress(uint16_t port) {
  auto found = OutwardAddress(/*ipv6=*/false);
  if (!found.ok()) found = OutwardAddress(/*ipv6=*/true);
  Address address = found.ok() ? *found : Loopback(/*ipv6=*/false);
  if (address.storage.ss_family == AF_INET6)
    address.v6().sin6_port = htons(port);
  else
    address.v4().sin_port = htons(port);
  return address;
}

// A datagram, and the address of ours it came to, as the control message that
// has the answer come from there.
struct Received {
  size_t size = 0;
  Address from;
  std::string to;
};

class Forwarder {
 public:
  Forwarder(std::vector<PublishedPort> ports, std::vector<UniqueFd> sockets)
      : buffer_(kDatagramBytesMax) {
    for (size_t i = 0; i < ports.size(); ++i) {
      Source source;
      source.port = std::move(ports[i]);
      source.fd = std::move(sockets[i]);
      ports_.push_back(std::move(source));
    }
  }

  Status Run() {
    const int raw = epoll_create1(EPOLL_CLOEXEC);
    TRY(kernel::Check(raw));
    epoll_.reset(raw);
    for (Source& port : ports_) TRY(Watch(port));
    while (true) {
      // One at a time: what is behind a second could be gone after the first.
      epoll_event event{};
      const int timeout_ms = flows_.empty() ? -1 : 1000;
      const int found = epoll_wait(epoll_.get(), &event, 1, timeout_ms);
      if (found < 0 && errno != EINTR) return kernel::LastError();
      if (found > 0) Serve(*static_cast<Source*>(event.data.ptr));
      const auto now = Clock::now();
      while (!flows_.empty() && now - flows_.back().used > kIdle) DropOldest();
    }
  }

 private:
  // A port of the machine, or one who has asked it.
  struct Source {
    PublishedPort port;
    UniqueFd fd;
    // Of an asker alone:
    Source* asked = nullptr;
    std::string key;
    Address asker;
    std::string local;  // a control message, see Received
    Clock::time_point used;
    std::list<Source>::iterator self;
  };

  Status Watch(Source& source) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &source;
    return kernel::Check(
        epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, source.fd.get(), &event));
  }

  void Serve(Source& source) {
    for (int i = 0; i < kBatch; ++i)
      if (!(source.asked == nullptr ? PassIn(source) : PassBack(source)))
        return;
  }

  // False when there is nothing more.
  bool PassIn(Source& port) {
    Received received;
    if (!Receive(port.fd, received)) return false;
    const std::string key = std::to_string(port.fd.get()) + " " +
                            received.from.Bytes() + received.to;
    auto found = by_key_.find(key);
    if (found == by_key_.end()) {
      if (!AddFlow(port, key, received)) return true;
      found = by_key_.find(key);
    }
    Source& flow = *found->second;
    Touch(flow);
    // What cannot be delivered is lost, as on any network.
    (void)!send(flow.fd.get(), buffer_.data(), received.size, 0);
    return true;
  }

  bool PassBack(Source& flow) {
    const ssize_t got = recv(flow.fd.get(), buffer_.data(), buffer_.size(), 0);
    // That nobody listens inside is heard once for each datagram.
    if (got < 0) return errno == ECONNREFUSED || errno == EINTR;
    Touch(flow);
    iovec data = {buffer_.data(), static_cast<size_t>(got)};
    msghdr message{};
    message.msg_name = flow.asker.get();
    message.msg_namelen = flow.asker.size;
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = flow.local.empty() ? nullptr : flow.local.data();
    message.msg_controllen = flow.local.size();
    (void)!sendmsg(flow.asked->fd.get(), &message, 0);
    return true;
  }

  bool Receive(BorrowedFd fd, Received& received) {
    alignas(cmsghdr) std::array<char, 256> control{};
    iovec data = {buffer_.data(), buffer_.size()};
    msghdr message{};
    message.msg_name = received.from.get();
    message.msg_namelen = sizeof(received.from.storage);
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = recvmsg(fd.get(), &message, 0);
    if (got < 0) return false;
    received.size = static_cast<size_t>(got);
    received.from.size = message.msg_namelen;
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
         part = CMSG_NXTHDR(&message, part))
      Keep(*part, received);
    return true;
  }

  // The address it came to, in the form in which it is one to send from.
  static void Keep(cmsghdr& part, Received& received) {
    if (part.cmsg_level == IPPROTO_IP && part.cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      std::memcpy(&info, CMSG_DATA(&part), sizeof(info));
      // The routes say which interface; this is no broadcast address.
      info.ipi_ifindex = 0;
      info.ipi_addr.s_addr = 0;
      std::memcpy(CMSG_DATA(&part), &info, sizeof(info));
    } else if (part.cmsg_level == IPPROTO_IPV6 &&
               part.cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      std::memcpy(&info, CMSG_DATA(&part), sizeof(info));
      if (IN6_IS_ADDR_MULTICAST(&info.ipi6_addr)) info.ipi6_addr = in6addr_any;
      if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) info.ipi6_ifindex = 0;
      std::memcpy(CMSG_DATA(&part), &info, sizeof(info));
    } else {
      return;
    }
    received.to.assign(reinterpret_cast<const char*>(&part),
                       CMSG_ALIGN(part.cmsg_len));
  }

  bool AddFlow(Source& port, const std::string& key, const Received& received) {
    if (flows_.size() >= kFlowsMax) DropOldest();
    auto socket = Reach(port.port);
    while (socket.code() == EMFILE && !flows_.empty()) {
      DropOldest();
      socket = Reach(port.port);
    }
    if (!socket.ok()) return false;
    Source& flow = flows_.emplace_front();
    flow.fd = std::move(socket).value();
    flow.asked = &port;
    flow.key = key;
    flow.asker = received.from;
    flow.local = received.to;
    flow.self = flows_.begin();
    by_key_[key] = &flow;
    if (Watch(flow).ok()) return true;
    Touch(flow);
    Drop(flow.self);
    return false;
  }

  // A socket of the container's network to that port of it.
  static Result<UniqueFd> Reach(const PublishedPort& port) {
    Address service = ServiceAddress(port.container);
    UniqueFd socket = TRY(MakeSocket(service.storage.ss_family));
    TRY(kernel::Check(connect(socket.get(), service.get(), service.size)));
    return socket;
  }

  void Touch(Source& flow) {
    flow.used = Clock::now();
    flows_.splice(flows_.begin(), flows_, flow.self);
  }
  void DropOldest() { Drop(std::prev(flows_.end())); }
  void Drop(std::list<Source>::iterator flow) {
    by_key_.erase(flow->key);
    flows_.erase(flow);  // which closes it, and so ends the watch
  }

  UniqueFd epoll_;
  std::list<Source> ports_;
  std::list<Source> flows_;  // the last used first
  std::map<std::string, Source*> by_key_;
  std::vector<char> buffer_;
};

Status AskForAddresses(BorrowedFd fd, bool ipv6) {
  const int one = 1;
  return kernel::Check(
      ipv6 ? setsockopt(fd.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO, &one,
                        sizeof(one))
           : setsockopt(fd.get(), IPPROTO_IP, IP_PKTINFO, &one, sizeof(one)));
}

// Nothing of the supervisor's stays open.
Status CloseAllBut(std::vector<int> kept) {
  std::sort(kept.begin(), kept.end());
  unsigned next = 0;
  for (const int fd : kept) {
    const auto number = static_cast<unsigned>(fd);
    if (number > next) TRY(kernel::Check(close_range(next, number - 1, 0)));
    next = number + 1;
  }
  return kernel::Check(close_range(next, ~0U, 0));
}

void AllowManyFiles() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);  // fewer askers at a time, else
}

Status ServeAsChild(BorrowedFd network, std::vector<PublishedPort> ports,
                    std::vector<UniqueFd> sockets) {
  TRY(kernel::Check(prctl(PR_SET_PDEATHSIG, SIGKILL)));
  TRY(kernel::SetNs(network, CLONE_NEWNET));
  std::vector<int> kept;
  for (const UniqueFd& socket : sockets) kept.push_back(socket.get());
  TRY(CloseAllBut(std::move(kept)));
  AllowManyFiles();
  return Forwarder(std::move(ports), std::move(sockets)).Run();
}

}  // namespace

Result<kernel::Child> ForwardUdp(BorrowedFd network,
                                 const std::vector<PublishedPort>& ports) {
  std::vector<PublishedPort> own;
  std::vector<UniqueFd> sockets;
  for (const PublishedPort& port : ports) {
    if (!port.udp) continue;
    UniqueFd socket = TRY(BindPort(port));
    TRY(kernel::SetNonBlocking(socket));
    TRY(AskForAddresses(socket, port.is_ipv6()));
    own.push_back(port);
    sockets.push_back(std::move(socket));
  }
  auto child = TRY(kernel::Clone(0));
  if (child.pid == 0) {
    (void)ServeAsChild(network, std::move(own), std::move(sockets));
    _exit(1);
  }
  return child;
}

}  // namespace ufs
