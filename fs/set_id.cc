#include "fs/set_id.h"

#include <sys/stat.h>

#include "layerdb/base/privilege.h"

namespace ufs {

mode_t WithoutSetId(mode_t mode, gid_t group, const Caller& who) {
  mode &= ~S_ISUID;
  if ((mode & S_ISGID) == 0) return mode;
  // Without the right to execute it means something else (mandatory locking,
  // once), which the group's members may keep.
  const bool keeps =
      (mode & S_IXGRP) == 0 && (who.uid == 0 || who.gid == group ||
                                HasSupplementaryGroup(who.pid, group));
  return keeps ? mode : mode & ~S_ISGID;
}

}  // namespace ufs
