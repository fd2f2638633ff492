// slirp4netns: a network of its own, 10.0.2.0/24. Ports are published through
// a socket that it listens on, by a JSON object each.
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "layerdb/base/cleanup.h"
#include "layerdb/base/syscall.h"
#include "tools/print_json.h"
#include "tools/run/network_helper.h"

namespace ufs {
namespace {

namespace kernel = runtime::kernel;

constexpr char kSocket[] = "slirp4netns.sock";
constexpr size_t kReplyBytesMax = 4096;

// It listens a moment after it is ready.
Result<UniqueFd> ConnectToIt(const std::string& path) {
  constexpr int kTries = 500;
  constexpr useconds_t kStepUs = 10'000;
  for (int i = 0;; ++i) {
    auto socket = kernel::ConnectUnix(path, SOCK_STREAM);
    const bool early = socket.code() == ENOENT || socket.code() == ECONNREFUSED;
    if (!early || i == kTries) return socket;
    usleep(kStepUs);
  }
}

Status Publish(const std::string& path, const PublishedPort& port) {
  const Json request = {
      {"execute", "add_hostfwd"},
      {"arguments",
       {{"proto", "tcp"},
        {"host_addr", port.address.empty() ? "0.0.0.0" : port.address},
        {"host_port", port.host},
        {"guest_port", port.container}}}};
  const auto talk = [&]() -> Result<std::string> {
    const UniqueFd socket = TRY(ConnectToIt(path));
    TRY(kernel::WriteAll(socket, request.dump()));
    TRY(kernel::Check(shutdown(socket.get(), SHUT_WR)));
    return kernel::ReadAll(socket, kReplyBytesMax);
  };
  const std::string what = "-p " + port.ToString();
  const std::string reply = TRY(talk().With(what + ": asking slirp4netns"));
  const Json json = Json::parse(reply, nullptr, /*allow_exceptions=*/false);
  if (json.is_object() && json.contains("return")) return Ok();
  return Error(EIO, what + ": slirp4netns says " + reply);
}

}  // namespace

Result<kernel::Child> ConnectBySlirp4netns(
    BorrowedFd network, const std::vector<PublishedPort>& ports,
    const std::string& directory) {
  auto pipe = TRY(kernel::MakePipe());
  const std::string path = directory + "/" + kSocket;
  std::vector<std::string> words = {
      "--configure", "--mtu=65520",
      // The machine's own loopback is not the container's to reach.
      "--disable-host-loopback", "--netns-type=path", "--ready-fd=4"};
  // Relative: a socket's name has no room for every path.
  if (!ports.empty()) words.push_back(std::string("--api-socket=") + kSocket);
  words.insert(words.end(), {"/proc/self/fd/3", "tap0"});
  NetworkHelper helper =
      TRY(NetworkHelper::Start("slirp4netns", std::move(words), directory,
                               {network.get(), pipe.write.get()}));
  pipe.write.reset();
  const Cleanup forget([&] {
    if (!ports.empty()) (void)sys::UnlinkAt({AT_FDCWD, path.c_str()});
  });
  TRY(helper.Await(pipe.read));
  for (const PublishedPort& port : ports) TRY(Publish(path, port));
  return helper.Release();
}

}  // namespace ufs
