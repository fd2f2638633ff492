#include "tools/run/scratch.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "layerdb/base/remove_tree.h"
#include "layerdb/base/syscall.h"
#include "runtime/id_map.h"
#include "runtime/kernel.h"
#include "tools/run/user_namespace.h"

namespace ufs {
namespace {

constexpr std::string_view kMark = ".draft.";

// 0 for what is no scratch.
pid_t MakerOf(std::string_view name) {
  if (!name.starts_with(kMark)) return 0;
  return static_cast<pid_t>(
      std::atol(std::string(name.substr(kMark.size())).c_str()));
}

}  // namespace

std::string ScratchName(const std::string& name) {
  return std::string(kMark) + std::to_string(getpid()) + "." + name;
}

Status RemoveTree(const std::string& path) {
  return RemoveTree({AT_FDCWD, path.c_str()}).With(path + ": removing it");
}

Status RemoveTreeOfContainers(const std::string& path) {
  runtime::IdMaps maps;
  if (geteuid() != 0) maps = runtime::RootlessMaps();
  return InUserNamespace(maps.uids, maps.gids,
                         [&] { return RemoveTree(path); });
}

void RemoveScratch(const std::string& directory) {
  const auto dir = sys::Open(directory.c_str(), O_RDONLY | O_DIRECTORY);
  if (!dir.ok()) return;
  for (const std::string& name :
       runtime::kernel::NamesOfGoneMakers(*dir, MakerOf))
    (void)RemoveTreeOfContainers(directory + "/" + name);
}

}  // namespace ufs
