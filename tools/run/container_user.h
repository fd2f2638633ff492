// Users of a container that runs, by the names it has for them.
#pragma once

#include <string>

#include "layerdb/base/result.h"
#include "runtime/container.h"

namespace ufs {

// "USER[:GROUP]" as runtime::ResolveUser, read from within: from outside its
// user namespace a union may not even be looked at. Threads: in a process with
// one thread.
Result<runtime::User> UserInContainer(const runtime::Container& container,
                                      const std::string& text);

}  // namespace ufs
