// What a daemon tells of itself over the control socket: one JSON document.
// The fields are listed in ufs(1); `format` counts their changes.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "fs/metrics.h"
#include "fs/union_fs.h"

namespace ufs {

// What does not change while a session is live, but for `rings_idle`.
struct SessionFacts {
  std::string mountpoint;
  std::string source;
  unsigned connection = 0;       // as in /sys/fs/fuse/connections
  std::string transport;         // "io_uring" or "classic"
  std::string transport_reason;  // why not io_uring; empty when it is
  bool rings_idle = false;       // whether some are SCHED_IDLE at the moment
  std::string data_path;
  std::string data_path_reason;  // why not passthrough
  unsigned readers = 0;          // threads that take requests
  unsigned workers = 0;          // threads for what takes long, at most
  double cache_timeout_s = 0;
  std::chrono::steady_clock::time_point start;
};

std::string StatusReport(const SessionFacts& facts, const UnionInfo& info,
                         const UnionStats& stats,
                         const std::vector<MessageStats>& messages);

}  // namespace ufs
