#include "runtime/user_db.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"
#include "runtime/names.h"
#include "runtime/rooted_path.h"

namespace ufs::runtime {
namespace {

constexpr size_t kFileBytesMax = 1 << 20;

std::vector<std::string_view> Fields(std::string_view line, char separator) {
  std::vector<std::string_view> fields;
  while (true) {
    const size_t end = line.find(separator);
    fields.push_back(line.substr(0, end));
    if (end == line.npos) return fields;
    line.remove_prefix(end + 1);
  }
}

// Calls `visit` with the fields of each line until it returns true.
template <typename Visit>
void ForEachLine(std::string_view text, size_t fields_min, Visit visit) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const auto fields = Fields(text.substr(0, end), ':');
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    if (fields.size() >= fields_min && !fields[0].empty() && visit(fields))
      return;
  }
}

}  // namespace

std::optional<PasswdEntry> FindUser(std::string_view passwd,
                                    std::string_view name_or_id) {
  std::optional<PasswdEntry> found;
  const auto id = ParseId(name_or_id);
  ForEachLine(passwd, 6, [&](const auto& fields) {
    const auto uid = ParseId(fields[2]);
    const auto gid = ParseId(fields[3]);
    if (!uid || !gid) return false;
    // A number is a number, also where a hostile entry has it for a name.
    if (id ? *uid != *id : fields[0] != name_or_id) return false;
    found =
        PasswdEntry{std::string(fields[0]), *uid, *gid, std::string(fields[5])};
    return true;
  });
  return found;
}

std::optional<gid_t> FindGroup(std::string_view group,
                               std::string_view name_or_id) {
  if (const auto id = ParseId(name_or_id)) return id;
  std::optional<gid_t> found;
  ForEachLine(group, 3, [&](const auto& fields) {
    const auto gid = ParseId(fields[2]);
    if (!gid || fields[0] != name_or_id) return false;
    found = gid;
    return true;
  });
  return found;
}

std::vector<gid_t> GroupsOf(std::string_view group, std::string_view user) {
  constexpr size_t kGroupsMax = 65536;  // the kernel's NGROUPS_MAX
  std::vector<gid_t> groups;
  ForEachLine(group, 4, [&](const auto& fields) {
    const auto gid = ParseId(fields[2]);
    if (!gid) return false;
    for (std::string_view member : Fields(fields[3], ','))
      if (member == user) {
        groups.push_back(*gid);
        break;
      }
    return groups.size() >= kGroupsMax;
  });
  return groups;
}

std::string ReadSmallFile(BorrowedFd root, const std::string& path) {
  // Looked at first: opening a fifo or a device could do anything.
  const auto node = OpenInRoot(root, path, O_PATH);
  if (!node.ok()) return "";
  const auto stat = sys::Statx({*node});
  if (!stat.ok() || !S_ISREG(stat->stx_mode)) return "";
  const auto file = OpenInRoot(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file.ok()) return "";
  auto text = kernel::ReadAll(*file, kFileBytesMax);
  return text.ok() ? std::move(text).value() : "";
}

Result<User> ResolveUser(BorrowedFd root, std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  const std::string passwd = ReadSmallFile(root, "/etc/passwd");
  const std::string group = ReadSmallFile(root, "/etc/group");
  const auto entry = FindUser(passwd, name);
  User user;
  if (entry) {
    user.uid = entry->uid;
    user.gid = entry->gid;
    user.additional_gids = GroupsOf(group, entry->name);
  } else if (const auto id = ParseId(name)) {
    user.uid = *id;
  } else {
    return Error(ENOENT, "no user \"" + std::string(name) +
                             "\" in the container's /etc/passwd");
  }
  if (colon == text.npos) return user;
  const std::string_view group_name = text.substr(colon + 1);
  const auto gid = FindGroup(group, group_name);
  if (!gid)
    return Error(ENOENT, "no group \"" + std::string(group_name) +
                             "\" in the container's /etc/group");
  user.gid = *gid;
  user.additional_gids.clear();
  return user;
}

std::string HomeOf(BorrowedFd root, uid_t uid) {
  const auto entry =
      FindUser(ReadSmallFile(root, "/etc/passwd"), std::to_string(uid));
  return entry && entry->home.starts_with('/') ? entry->home : "/";
}

}  // namespace ufs::runtime
