// pasta: the container has the machine's own address, and pasta's sockets do
// what the container's would. It listens on the ports from its start.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "layerdb/base/cleanup.h"
#include "layerdb/base/syscall.h"
#include "runtime/namespaces.h"
#include "runtime/programs.h"
#include "tools/run/network.h"
#include "tools/run/network_helper.h"

namespace ufs {
namespace {

namespace kernel = runtime::kernel;

// Has what is sent there arrive at the machine's own address, which the
// container has, too, and so cannot reach by itself. Since 2024.
constexpr char kMapMachine[] = "--map-guest-addr";
constexpr size_t kHelpBytesMax = 256 << 10;
constexpr int kHelpPatienceMs = 10'000;

// A file that is the namespace: newer ones close all descriptors that they
// inherit before they look for it.
Status PinNamespace(BorrowedFd network, const std::string& path) {
  const UniqueFd file =
      TRY(sys::Open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
  const std::string own = "/proc/self/fd/" + std::to_string(network.get());
  const UniqueFd tree = TRY(kernel::OpenTree(
      {AT_FDCWD, own.c_str()}, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC,
      /*follow=*/true));
  return kernel::MoveMount(tree, file);
}

// "127.0.0.1/8080:80"
std::string SpecOf(const PublishedPort& port) {
  return (port.address.empty() ? "" : port.address + "/") +
         std::to_string(port.host) + ":" + std::to_string(port.container);
}

void AddPorts(const std::vector<PublishedPort>& ports,
              std::vector<std::string>& words) {
  // Else it would publish whatever the container listens on.
  words.insert(words.end(), {"--udp-ports", "none"});
  if (ports.empty()) words.insert(words.end(), {"--tcp-ports", "none"});
  for (const PublishedPort& port : ports)
    words.insert(words.end(), {"--tcp-ports", SpecOf(port)});
}

}  // namespace

bool PastaReachesMachine() {
  const std::string path = runtime::FindProgram("pasta");
  if (path.empty()) return false;
  // Where that goes to differs between versions, and so does its exit status.
  const auto help =
      runtime::AskProgram(path, {"--help"}, kHelpBytesMax, kHelpPatienceMs,
                          runtime::Errors::kWithOutput);
  return help.ok() && help->find(kMapMachine) != help->npos;
}

Result<kernel::Child> ConnectByPasta(BorrowedFd network,
                                     const std::vector<PublishedPort>& ports,
                                     const std::string& directory,
                                     bool host_gateway) {
  const std::string pin = directory + "/netns";
  // It writes its number there once it serves.
  const std::string fifo = directory + "/pasta.pid";
  const Cleanup forget([&] {
    (void)kernel::Unmount(pin.c_str(), MNT_DETACH);
    for (const std::string& path : {pin, fifo})
      (void)sys::UnlinkAt({AT_FDCWD, path.c_str()});
  });
  TRY(PinNamespace(network, pin).With(pin));
  TRY(sys::MkNodAt({AT_FDCWD, fifo.c_str()}, S_IFIFO | 0600, 0).With(fifo));
  const UniqueFd ready = TRY(sys::Open(fifo.c_str(), O_RDONLY | O_NONBLOCK));
  std::vector<std::string> words = {
      "--foreground", "--quiet", "--config-net", "--netns", pin, "--netns-only",
      "--no-netns-quit", "--pid", fifo, "--tcp-ns", "none", "--udp-ns", "none",
      "--dns-forward", NameServerOf(Network::kPasta),
      // Would lead to the machine's loopback.
      "--no-map-gw"};
  if (host_gateway) words.insert(words.end(), {kMapMachine, kMachineByPasta});
  // It would become nobody, who may not enter the namespace.
  if (runtime::InInitialUserNamespace())
    words.insert(words.end(), {"--runas", "0"});
  AddPorts(ports, words);
  NetworkHelper helper =
      TRY(NetworkHelper::Start("pasta", std::move(words), directory, {}));
  TRY(helper.Await(ready));
  return helper.Release();
}

}  // namespace ufs
