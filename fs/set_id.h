// Set-user-id and set-group-id bits, and what a change of a file's contents or
// owner leaves of them.
#pragma once

#include "fs/types.h"

namespace ufs {

// What is left of `mode`, the mode of no directory, after a change by someone
// who may not keep set-id bits. `group` is the file's, before the change.
// Compare Linux's fs/attr.c:setattr_should_drop_suidgid().
mode_t WithoutSetId(mode_t mode, gid_t group, const Caller& who);

}  // namespace ufs
