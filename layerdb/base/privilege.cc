#include "layerdb/base/privilege.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <string>

#include "layerdb/base/syscall.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {
namespace {

struct IdRange {
  unsigned long inside = 0;
  unsigned long outside = 0;
  unsigned long length = 0;
};

// The first line of an id map; no range at all of anything else. sscanf would
// touch more pages than all else that asks for one, at each mount.
IdRange ParseRange(const char* text) {
  IdRange range;
  char* at = nullptr;
  range.inside = strtoul(text, &at, 10);
  range.outside = strtoul(at, &at, 10);
  range.length = strtoul(at, &at, 10);
  return range;
}

bool MapIsWhole() {
  UniqueFd map(open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC));
  char text[128] = {};
  if (!map.valid() || read(map.get(), text, sizeof(text) - 1) < 0) return false;
  const IdRange range = ParseRange(text);
  return range.inside == 0 && range.outside == 0 && range.length == UINT32_MAX;
}

// All of a file of /proc; as much as there is to read.
std::string TextOf(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return "";
  std::string text;
  char buffer[4096];
  for (;;) {
    const auto got = sys::Read(file, buffer, sizeof(buffer));
    if (!got.ok() || *got == 0) return text;
    text.append(buffer, *got);
  }
}

bool IsMapped(uint32_t id, const char* map) {
  if (id == UINT32_MAX) return false;
  const std::string text = TextOf(map);
  if (text.empty()) return true;
  for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
    const IdRange range = ParseRange(text.c_str() + at);
    if (id >= range.inside && id - range.inside < range.length) return true;
    if (text.find('\n', at) == text.npos) break;
  }
  return false;
}

// The value of a line of /proc/THREAD/status; empty if there is none.
std::string StatusOf(pid_t thread, const std::string& field) {
  const std::string text =
      TextOf("/proc/" + std::to_string(thread) + "/status");
  const size_t line = text.find("\n" + field + ":");
  if (line == text.npos) return "";
  const size_t begin = line + field.size() + 2;
  return text.substr(begin, text.find('\n', begin) - begin);
}

}  // namespace

bool HasUserId(uid_t id) { return IsMapped(id, "/proc/self/uid_map"); }
bool HasGroupId(gid_t id) { return IsMapped(id, "/proc/self/gid_map"); }

bool HasCapability(pid_t thread, int capability) {
  const uint64_t effective =
      strtoull(StatusOf(thread, "CapEff").c_str(), nullptr, 16);
  return (effective >> capability & 1) != 0;
}

bool HasSupplementaryGroup(pid_t thread, gid_t group) {
  const std::string groups = StatusOf(thread, "Groups");
  const char* at = groups.c_str();
  for (char* end = nullptr;; at = end) {
    const unsigned long found = strtoul(at, &end, 10);
    if (end == at) return false;
    if (found == group) return true;
  }
}

bool IsInChown(pid_t thread) {
  // The numbers are those of this process's machine language; no call of a
  // 32-bit caller that has such a number changes contents or owners.
  constexpr long kChowns[] = {
#ifdef SYS_chown
      SYS_chown,
      SYS_lchown,
#endif
      SYS_fchown,
      SYS_fchownat,
  };
  // It says "running" of a thread that is only about to wait.
  constexpr int kAttempts = 20;
  constexpr useconds_t kPauseUs = 100;
  const std::string path = "/proc/" + std::to_string(thread) + "/syscall";
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    char text[32] = {};
    if (!file.valid() || !sys::Read(file, text, sizeof(text) - 1).ok())
      return false;
    char* end = nullptr;
    const long number = strtol(text, &end, 10);
    if (end != text)
      return std::find(std::begin(kChowns), std::end(kChowns), number) !=
             std::end(kChowns);
    usleep(kPauseUs);
  }
  return false;
}

bool InInitialUserNamespace() {
  static const bool initial = MapIsWhole();
  return initial;
}

bool IsHostRoot() { return InInitialUserNamespace() && geteuid() == 0; }

}  // namespace ufs
