#include "tests/model/acl.h"

#include <charconv>
#include <cstring>
#include <utility>

#include "tests/model/op.h"

namespace ufs::model {
namespace {

constexpr std::pair<uint16_t, std::string_view> kTags[] = {
    {ACL_USER_OBJ, "u"}, {ACL_USER, "u"}, {ACL_GROUP_OBJ, "g"},
    {ACL_GROUP, "g"},    {ACL_MASK, "m"}, {ACL_OTHER, "o"}};

bool IsNamed(uint16_t tag) { return tag == ACL_USER || tag == ACL_GROUP; }

template <typename T>
bool ParseNumber(std::string_view text, T* number) {
  const char* end = text.data() + text.size();
  const auto [rest, code] = std::from_chars(text.data(), end, *number);
  return code == std::errc() && rest == end;
}

// TAG:[ID]:PERMISSIONS
std::optional<test::AclEntry> EntryFromText(std::string_view text) {
  const size_t first = text.find(':'), last = text.rfind(':');
  if (first == std::string_view::npos || first == last) return std::nullopt;
  const std::string_view id = text.substr(first + 1, last - first - 1);
  test::AclEntry entry = {};
  for (const auto& [tag, name] : kTags)
    if (text.substr(0, first) == name && IsNamed(tag) == !id.empty())
      entry.tag = tag;
  const bool fine = entry.tag != 0 &&
                    ParseNumber(text.substr(last + 1), &entry.perm) &&
                    (id.empty() || ParseNumber(id, &entry.id));
  return fine ? std::optional(entry) : std::nullopt;
}

// The entry whose permissions are the mode's group bits.
test::AclEntry* GroupClass(Acl* acl) {
  test::AclEntry* found = nullptr;
  for (test::AclEntry& entry : *acl)
    if (entry.tag == ACL_MASK ||
        (entry.tag == ACL_GROUP_OBJ && found == nullptr))
      found = &entry;
  return found;
}

// Calls `f(entry, shift)` for the entries that stand for bits of the mode.
template <typename F>
void ForEachClass(Acl* acl, const F& f) {
  for (test::AclEntry& entry : *acl) {
    if (entry.tag == ACL_USER_OBJ) f(entry, 6);
    if (entry.tag == ACL_OTHER) f(entry, 0);
  }
  if (test::AclEntry* group = GroupClass(acl)) f(*group, 3);
}

}  // namespace

bool IsAcl(std::string_view xattr) {
  return xattr == test::kAccessAcl || xattr == test::kDefaultAcl;
}

std::string AclText(const Acl& acl) {
  std::string text;
  for (const test::AclEntry& entry : acl) {
    for (const auto& [tag, name] : kTags)
      if (tag == entry.tag)
        text += (text.empty() ? "" : ",") + std::string(name);
    text += ":" + (IsNamed(entry.tag) ? std::to_string(entry.id) : "") + ":" +
            std::to_string(entry.perm);
  }
  return text;
}

std::optional<Acl> AclFromText(std::string_view text) {
  Acl acl;
  while (!text.empty()) {
    const size_t end = std::min(text.find(','), text.size());
    const auto entry = EntryFromText(text.substr(0, end));
    if (!entry) return std::nullopt;
    acl.push_back(*entry);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return acl;
}

Acl AclFromValue(std::string_view value) {
  Acl acl;
  posix_acl_xattr_entry raw;
  for (size_t at = sizeof(posix_acl_xattr_header);
       at + sizeof raw <= value.size(); at += sizeof raw) {
    memcpy(&raw, &value[at], sizeof raw);
    acl.push_back({raw.e_tag, raw.e_perm, raw.e_id});
  }
  return acl;
}

// The order of the tags is that of their numbers.
bool IsWellFormed(const Acl& acl) {
  int counts[64] = {};
  bool named = false;
  uint16_t before = 0;
  for (const test::AclEntry& entry : acl) {
    if (entry.tag < before || entry.perm > 7) return false;
    before = entry.tag;
    ++counts[entry.tag];
    named |= IsNamed(entry.tag);
  }
  return counts[ACL_USER_OBJ] == 1 && counts[ACL_GROUP_OBJ] == 1 &&
         counts[ACL_OTHER] == 1 && counts[ACL_MASK] <= 1 &&
         (!named || counts[ACL_MASK] == 1);
}

mode_t ModeOf(const Acl& acl, bool* says_all) {
  mode_t mode = 0;
  *says_all = acl.size() == 3;
  Acl copy = acl;
  ForEachClass(&copy, [&](const test::AclEntry& entry, int shift) {
    mode |= static_cast<mode_t>(entry.perm) << shift;
  });
  return mode;
}

void SetMode(Acl* acl, mode_t mode) {
  ForEachClass(acl, [&](test::AclEntry& entry, int shift) {
    entry.perm = (mode >> shift) & 7;
  });
}

mode_t Inherit(Acl* acl, mode_t mode) {
  ForEachClass(acl, [&](test::AclEntry& entry, int shift) {
    entry.perm &= (mode >> shift) & 7;
    mode = (mode & ~(7u << shift)) | static_cast<mode_t>(entry.perm) << shift;
  });
  return mode;
}

bool Grants(const Acl& acl, uid_t user, gid_t group, mode_t mask) {
  mode_t limit = 7;
  for (const test::AclEntry& entry : acl)
    if (entry.tag == ACL_MASK) limit = entry.perm;
  bool in_group = false;
  for (const test::AclEntry& entry : acl) {
    const bool all = (entry.perm & mask) == mask;
    const bool below_limit = (entry.perm & limit & mask) == mask;
    if (entry.tag == ACL_USER && entry.id == user) return below_limit;
    if ((entry.tag == ACL_GROUP_OBJ && group == user) ||
        (entry.tag == ACL_GROUP && entry.id == user)) {
      in_group = true;
      if (all) return below_limit;
    }
    if (entry.tag == ACL_OTHER) return !in_group && all;
  }
  return false;
}

Acl RandomAcl(std::mt19937_64& random) {
  auto entry = [&](uint16_t tag, uint32_t id) -> test::AclEntry {
    return {tag, static_cast<uint16_t>(random() % 8), id};
  };
  constexpr uint32_t kNobody = static_cast<uint32_t>(ACL_UNDEFINED_ID);
  constexpr uint32_t kIds[] = {kOrdinaryUser, 0, 12345};
  const size_t users = random() % 3, groups = random() % 3;
  const bool mask = users + groups > 0 || random() % 4 == 0;
  Acl acl = {entry(ACL_USER_OBJ, kNobody)};
  for (size_t i = 0; i < users; ++i) acl.push_back(entry(ACL_USER, kIds[i]));
  acl.push_back(entry(ACL_GROUP_OBJ, kNobody));
  for (size_t i = 0; i < groups; ++i) acl.push_back(entry(ACL_GROUP, kIds[i]));
  if (mask) acl.push_back(entry(ACL_MASK, kNobody));
  acl.push_back(entry(ACL_OTHER, kNobody));
  return acl;
}

}  // namespace ufs::model
