// Set-user-id and set-group-id bits, file capabilities, and what a change of a
// file's contents or owner leaves of them.
#pragma once

#include <optional>
#include <string>

#include "fs/types.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

// Whether what `who` does may leave a file set-group-id that has this group.
bool IsOfGroup(gid_t group, const Caller& who);

// What is left of `mode`, the mode of no directory, after a change by someone
// who may not keep set-id bits. `group` is the file's, before the change.
// Compare Linux's fs/attr.c:setattr_should_drop_suidgid().
mode_t WithoutSetId(mode_t mode, gid_t group, const Caller& who);

// What the host takes from a file whose contents change: file capabilities, and
// from a daemon in a user namespace set-id bits. For contents that are copied
// where nobody has asked for a change.
class HostPrivileges {
 public:
  static Result<HostPrivileges> Of(BorrowedFd file);
  // Whether there is something to lose.
  bool any() const;
  // Gives the file again what it has lost since.
  Status Restore(BorrowedFd file) const;

 private:
  mode_t mode_ = 0;
  std::optional<std::string> capability_;
};

}  // namespace ufs
