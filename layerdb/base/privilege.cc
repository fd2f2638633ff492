#include "layerdb/base/privilege.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>

#include "layerdb/base/unique_fd.h"

namespace ufs {
namespace {

bool MapIsWhole() {
  UniqueFd map(open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC));
  char text[128] = {};
  if (!map.valid() || read(map.get(), text, sizeof(text) - 1) < 0) return false;
  unsigned inside = 1, outside = 1, length = 0;
  if (sscanf(text, "%u %u %u", &inside, &outside, &length) != 3) return false;
  return inside == 0 && outside == 0 && length == UINT32_MAX;
}

}  // namespace

bool InInitialUserNamespace() {
  static const bool initial = MapIsWhole();
  return initial;
}

bool IsHostRoot() { return InInitialUserNamespace() && geteuid() == 0; }

}  // namespace ufs
