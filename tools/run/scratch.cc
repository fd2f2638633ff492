#include "tools/run/scratch.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>
#include <vector>

#include "layerdb/base/remove_tree.h"
#include "layerdb/base/syscall.h"
#include "runtime/id_map.h"
#include "runtime/kernel.h"
#include "tools/run/user_namespace.h"

namespace ufs {
namespace {

constexpr std::string_view kMark = ".draft.";

// 0 for what is no scratch.
pid_t MakerOf(const std::string& name) {
  if (!name.starts_with(kMark)) return 0;
  return static_cast<pid_t>(std::atol(name.c_str() + kMark.size()));
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
  std::vector<std::string> names;
  (void)sys::ForEachEntry(*dir, [&](const char* name, uint8_t, uint64_t) {
    const pid_t maker = MakerOf(name);
    if (maker > 0 && !runtime::kernel::StartTimeOf(maker).ok())
      names.emplace_back(name);
    return true;
  });
  for (const std::string& name : names)
    (void)RemoveTreeOfContainers(directory + "/" + name);
}

}  // namespace ufs
