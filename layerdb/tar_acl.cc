#include "layerdb/tar_acl.h"

#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <utility>
#include <vector>

#include "layerdb/tar_pax.h"

namespace ufs::tar {
namespace {

struct Entry {
  uint16_t tag = 0;
  uint16_t permissions = 0;
  uint32_t id = UINT32_MAX;  // none
  std::pair<uint16_t, uint32_t> key() const { return {tag, id}; }
};

Error BadEntry(std::string_view entry, std::string_view why) {
  return Error(EBADMSG, "ACL entry '" + std::string(entry.substr(0, 80)) +
                            "': " + std::string(why));
}

// Off the front of `text`, up to one of `separators`, which goes with it.
std::string_view TakeUpTo(std::string_view separators, std::string_view& text) {
  const size_t end = text.find_first_of(separators);
  const std::string_view taken = text.substr(0, end);
  text.remove_prefix(end == text.npos ? text.size() : end + 1);
  return taken;
}

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r";
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

Result<uint16_t> PermissionsOf(std::string_view text) {
  if (text.empty() || text.size() > 3) return Error(EBADMSG);
  uint16_t permissions = 0;
  for (const char c : text) {
    if (c == 'r')
      permissions |= ACL_READ;
    else if (c == 'w')
      permissions |= ACL_WRITE;
    else if (c == 'x')
      permissions |= ACL_EXECUTE;
    else if (c != '-')
      return Error(EBADMSG);
  }
  return permissions;
}

// "user:NAME:rwx" with a number for the name, or behind the permissions.
Result<Entry> ParseEntry(std::string_view text) {
  std::string_view rest = text;
  const std::string_view kind = Trimmed(TakeUpTo(":", rest));
  const std::string_view who = Trimmed(TakeUpTo(":", rest));
  const auto permissions = PermissionsOf(Trimmed(TakeUpTo(":", rest)));
  const std::string_view number = Trimmed(rest);
  if (!permissions.ok()) return BadEntry(text, "no permissions such as r-x");
  Entry entry{.permissions = *permissions};
  const bool of_user = kind == "user" || kind == "u";
  if (of_user || kind == "group" || kind == "g") {
    entry.tag = of_user ? ACL_USER_OBJ : ACL_GROUP_OBJ;
    if (who.empty()) return entry;
    entry.tag = of_user ? ACL_USER : ACL_GROUP;
    const auto id = who == "root" && number.empty()
                        ? Result<uint64_t>(0)
                        : ParseDecimal(number.empty() ? who : number);
    if (!id.ok())
      return BadEntry(text,
                      "a name without a number; write the tar with --xattrs "
                      "--xattrs-include='*', and without --acls");
    if (*id >= UINT32_MAX) return BadEntry(text, "no such id");
    entry.id = static_cast<uint32_t>(*id);
    return entry;
  }
  if (kind == "mask" || kind == "m")
    entry.tag = ACL_MASK;
  else if (kind == "other" || kind == "o")
    entry.tag = ACL_OTHER;
  else
    return BadEntry(text, "neither user, group, mask nor other");
  if (!who.empty()) return BadEntry(text, "a name where none belongs");
  return entry;
}

std::string ValueOf(const std::vector<Entry>& entries) {
  const posix_acl_xattr_header header{POSIX_ACL_XATTR_VERSION};
  std::string value(reinterpret_cast<const char*>(&header), sizeof(header));
  for (const Entry& entry : entries) {
    const posix_acl_xattr_entry one{entry.tag, entry.permissions, entry.id};
    value.append(reinterpret_cast<const char*>(&one), sizeof(one));
  }
  return value;
}

}  // namespace

Result<TextAcl> AclFromText(std::string_view text) {
  std::vector<Entry> entries;
  while (!text.empty()) {
    std::string_view line = TakeUpTo("\n,", text);
    line = Trimmed(TakeUpTo("#", line));  // "#effective:r--"
    if (!line.empty()) entries.push_back(TRY(ParseEntry(line)));
  }
  // The kernel's order, which is that of the tags' numbers.
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.key() < b.key(); });
  for (size_t i = 1; i < entries.size(); ++i)
    if (entries[i].key() == entries[i - 1].key())
      return Error(EBADMSG, "an ACL that says one thing twice");
  if (entries.empty()) return TextAcl();
  const auto find = [&](uint16_t tag) -> const Entry* {
    for (const Entry& entry : entries)
      if (entry.tag == tag) return &entry;
    return nullptr;
  };
  const Entry *owner = find(ACL_USER_OBJ), *group = find(ACL_GROUP_OBJ),
              *mask = find(ACL_MASK), *other = find(ACL_OTHER);
  if (owner == nullptr || group == nullptr || other == nullptr)
    return Error(EBADMSG, "an ACL without owner, group or others");
  if (mask == nullptr && entries.size() > 3)
    return Error(EBADMSG, "an ACL with names and no mask");
  TextAcl acl;
  acl.mode = owner->permissions << 6 |
             (mask != nullptr ? mask : group)->permissions << 3 |
             other->permissions;
  if (mask != nullptr) acl.value = ValueOf(entries);
  return acl;
}

}  // namespace ufs::tar
