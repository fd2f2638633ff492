// POSIX ACLs as tars of star, GNU tar and libarchive say them: in text, one
// entry after the other. star(5), SCHILY.acl.access and SCHILY.acl.default;
// acl(5), long and short text forms.
// Threads: pure functions.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "layerdb/base/result.h"

namespace ufs::tar {

struct TextAcl {
  // Of the extended attribute that holds it (base/posix_acl.h); empty for one
  // that says no more than a mode does.
  std::string value;
  mode_t mode = 0;  // the permission bits that go with it
};

// EBADMSG says what is wrong: also a user or group without a number, as a name
// is somebody else on another machine; only root is known by name.
Result<TextAcl> AclFromText(std::string_view text);

}  // namespace ufs::tar
