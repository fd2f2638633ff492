#include "runtime/id_map.h"

#include <spawn.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "layerdb/base/syscall.h"
#include "runtime/host_user.h"
#include "runtime/kernel.h"
#include "runtime/programs.h"

namespace ufs::runtime {
namespace {

template <typename Number>
bool ParseNumber(std::string_view text, Number& number) {
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

std::string UserName() {
  const auto entry = FindHostUser(geteuid());
  return entry ? entry->name : "";
}

std::vector<IdMapping> WithRanges(uint32_t self,
                                  const std::vector<IdRange>& ranges) {
  std::vector<IdMapping> maps = {{0, self, 1}};
  uint32_t next = 1;
  for (const IdRange& range : ranges) {
    maps.push_back({next, range.first, range.count});
    next += range.count;
  }
  return maps;
}

Status RunHelper(const char* name, pid_t pid,
                 const std::vector<IdMapping>& mappings) {
  const std::string path = FindProgram(name);
  if (path.empty())
    return Error(ENOENT, std::string(name) +
                             " is not installed; install the uidmap package");
  std::vector<std::string> words = {name, std::to_string(pid)};
  for (const IdMapping& map : mappings) {
    words.push_back(std::to_string(map.container_id));
    words.push_back(std::to_string(map.host_id));
    words.push_back(std::to_string(map.size));
  }
  const auto argv = kernel::PointersTo(words);
  char* no_environment[] = {nullptr};
  pid_t helper;
  const int error = posix_spawn(&helper, path.c_str(), nullptr, nullptr,
                                argv.data(), no_environment);
  if (error != 0) return Error(error, path);
  const int status = TRY(kernel::WaitPid(helper));
  if (status != 0)
    return Error(EPERM, path +
                            " refused the map; check its set-uid bit or file "
                            "capabilities, and the ranges in /etc/subuid and "
                            "/etc/subgid");
  return Ok();
}

Status WriteDirectly(pid_t pid, const char* file,
                     const std::vector<IdMapping>& mappings) {
  const std::string path = "/proc/" + std::to_string(pid) + "/" + file;
  return kernel::WriteFile({AT_FDCWD, path.c_str()}, FormatIdMap(mappings))
      .With("writing " + path);
}

bool MapsOnlySelf(const std::vector<IdMapping>& mappings, uint32_t self) {
  return mappings.size() == 1 && mappings[0].size == 1 &&
         mappings[0].host_id == self;
}

}  // namespace

std::vector<IdRange> ParseSubIds(std::string_view text, std::string_view name,
                                 std::string_view number) {
  std::vector<IdRange> ranges;
  uint64_t total = 1;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    const size_t first_colon = line.find(':');
    if (first_colon == line.npos) continue;
    const size_t second_colon = line.find(':', first_colon + 1);
    if (second_colon == line.npos) continue;
    const std::string_view owner = line.substr(0, first_colon);
    if (owner != number && (name.empty() || owner != name)) continue;
    IdRange range;
    if (!ParseNumber(
            line.substr(first_colon + 1, second_colon - first_colon - 1),
            range.first) ||
        !ParseNumber(line.substr(second_colon + 1), range.count) ||
        range.count == 0)
      continue;
    // All of it must exist on both sides.
    total += range.count;
    if (uint64_t{range.first} + range.count > UINT32_MAX || total > UINT32_MAX)
      continue;
    ranges.push_back(range);
  }
  return ranges;
}

std::string FormatIdMap(const std::vector<IdMapping>& mappings) {
  std::string text;
  for (const IdMapping& map : mappings)
    text += std::to_string(map.container_id) + " " +
            std::to_string(map.host_id) + " " + std::to_string(map.size) + "\n";
  return text;
}

bool IsMapped(const std::vector<IdMapping>& mappings, uint32_t id) {
  for (const IdMapping& map : mappings)
    if (id >= map.container_id && id - map.container_id < map.size) return true;
  return false;
}

IdMaps RootlessMaps() {
  IdMaps maps;
  maps.uids = {{0, geteuid(), 1}};
  maps.gids = {{0, getegid(), 1}};
  if (FindProgram("newuidmap").empty() || FindProgram("newgidmap").empty()) {
    maps.fallback_reason =
        "newuidmap and newgidmap are not installed; install the uidmap package";
    return maps;
  }
  const std::string name = UserName();
  const std::string number = std::to_string(geteuid());
  const auto read = [&](const char* path) {
    const auto text = kernel::ReadFile(path, 4 << 20);
    return text.ok() ? ParseSubIds(*text, name, number)
                     : std::vector<IdRange>();
  };
  const auto uids = read("/etc/subuid");
  const auto gids = read("/etc/subgid");
  if (uids.empty() || gids.empty()) {
    const std::string who = name.empty() ? number : name;
    maps.fallback_reason =
        "no range for " + who +
        " in /etc/subuid and /etc/subgid; add one with "
        "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 " +
        who;
    return maps;
  }
  maps.uids = WithRanges(geteuid(), uids);
  maps.gids = WithRanges(getegid(), gids);
  return maps;
}

Status WriteIdMaps(pid_t pid, const std::vector<IdMapping>& uids,
                   const std::vector<IdMapping>& gids) {
  auto direct = WriteDirectly(pid, "gid_map", gids);
  if (direct.ok()) return WriteDirectly(pid, "uid_map", uids);
  if (direct.code() != EPERM) return direct;
  // Without privilege the kernel takes a map of one's own id alone, and only
  // once setgroups is given up for good. In the order of user_namespaces(7).
  if (MapsOnlySelf(uids, geteuid()) && MapsOnlySelf(gids, getegid())) {
    const std::string setgroups = "/proc/" + std::to_string(pid) + "/setgroups";
    TRY(kernel::WriteFile({AT_FDCWD, setgroups.c_str()}, "deny")
            .With("writing " + setgroups));
    TRY(WriteDirectly(pid, "gid_map", gids));
    return WriteDirectly(pid, "uid_map", uids);
  }
  TRY(RunHelper("newgidmap", pid, gids));
  return RunHelper("newuidmap", pid, uids);
}

}  // namespace ufs::runtime
