// Copies what a directory holds: for "tmpcopyup", and for a new volume, which
// begins with what the image has in its place. Threads: any.
#pragma once

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs::runtime {

// Everything below `from` to below `to`, an empty directory: contents with
// their holes, owners, modes, times, extended attributes with ACLs and
// capabilities, symbolic and hard links, special files; and the attributes of
// `from` itself. Left out: devices and attributes that cannot be had there, as
// in a user namespace. Symbolic links are copied, never followed; mounts are
// not entered.
Status CopyTree(BorrowedFd from, BorrowedFd to);

}  // namespace ufs::runtime
