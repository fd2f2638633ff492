#include "runtime/host_path.h"

#include <fcntl.h>
#include <linux/openat2.h>

#include <cerrno>

#include "layerdb/base/syscall.h"
#include "runtime/channel.h"
#include "runtime/names.h"

namespace ufs::runtime {

std::string AbsolutePath(const std::string& path, const std::string& bundle) {
  return path.starts_with('/') ? path : bundle + "/" + path;
}

Result<UniqueFd> RequestHostPath(BorrowedFd channel, const std::string& which) {
  TRY(Say(channel, Word::kOpen, which));
  auto go = TRY(Expect(channel, Word::kGo));
  if (!go.fd.valid()) return Error(EPROTO);
  return std::move(go.fd);
}

Result<UniqueFd> OpenHostPath(const ContainerSpec& spec,
                              const std::string& bundle, pid_t init,
                              const std::string& which) {
  const auto number = ParseId(which);
  if (which != kRootItself && (!number || *number >= spec.mounts.size()))
    return Error(EPROTO);
  const std::string path = AbsolutePath(
      number ? spec.mounts[*number].source : spec.root_path, bundle);
  const std::string root = "/proc/" + std::to_string(init) + "/root";
  const UniqueFd base = TRY(sys::Open(root.c_str(), O_PATH | O_DIRECTORY));
  return sys::OpenAt2(base, path.c_str(), O_PATH, RESOLVE_IN_ROOT);
}

}  // namespace ufs::runtime
