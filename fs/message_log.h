// The trace of `-d`: one aligned line on stderr for each message.
//
//   12.034561  LOOKUP       1 "etc"                        node 2      41 us
//   12.034702  GETXATTR     2 security.capability          ENODATA      9 us
//
// Threads: any; a line is written at once.
#pragma once

#include <cstdint>
#include <string_view>

#include "fs/metrics.h"
#include "fs/types.h"

namespace ufs {

void LogMessage(Message message, NodeId node, std::string_view arguments,
                int code, std::string_view result, uint64_t ns);

}  // namespace ufs
