// Mount points on a command line.
#pragma once

#include <string>

#include "layerdb/base/mount_info.h"
#include "layerdb/base/result.h"
#include "tools/print_json.h"

namespace ufs {

// `path` as the mount table spells it: absolute, symbolic links resolved, all
// without asking what is mounted there, whose daemon may be dead.
std::string ResolveMountpoint(const std::string& path);

// What is mounted there, as ResolveMountpoint spells it. EINVAL, in words, for
// nothing, and for no mount of FUSE's, of which `program` is to be used.
Result<MountInfo> FindUnionMount(const std::string& mountpoint,
                                 const char* program);

// What its daemon says of it, as `ufs stat --json` prints it: an object that
// has "union" and "messages". Errors as QueryControl (fs/control.h); EPROTO for
// a daemon that says something else.
Result<Json> AskDaemon(const std::string& mountpoint);

}  // namespace ufs
