// /etc/passwd and /etc/group of a container, which are the container's to
// write: bounded, never followed out of its root, never waited for.
// Threads: any.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/spec.h"

namespace ufs::runtime {

struct PasswdEntry {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
  std::string home;
};

// Lines that make no sense are skipped.
std::optional<PasswdEntry> FindUser(std::string_view passwd,
                                    std::string_view name_or_id);
std::optional<gid_t> FindGroup(std::string_view group,
                               std::string_view name_or_id);
// Every group that lists `user` as a member.
std::vector<gid_t> GroupsOf(std::string_view group, std::string_view user);

// The text of a file in the container's root; empty when there is none, or
// something other than a file of at most 1 MiB.
std::string ReadSmallFile(BorrowedFd root, const std::string& path);

// "USER[:GROUP]" by names or numbers, with the groups of USER. A number needs
// no entry.
Result<User> ResolveUser(BorrowedFd root, std::string_view text);

// "HOME=..." of the user, "/" without an entry.
std::string HomeOf(BorrowedFd root, uid_t uid);

}  // namespace ufs::runtime
