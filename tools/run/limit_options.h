// The options of ufs run and ufs update that limit what a container uses.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "tools/command.h"
#include "tools/run/options.h"

namespace ufs {

// The words as they came; what they mean is found out by CombineLimits.
struct LimitWords {
  std::string memory, memory_swap, memory_reservation, cpus, cpuset_cpus,
      cpuset_mems;
  // DEVICE:RATE each.
  std::vector<std::string> read_bps, write_bps, read_iops, write_iops;
  std::optional<int64_t> memory_swappiness;
  // Where a container has limits already, none is one to be said: 0, -1.
  bool can_lift = false;
  int64_t pids_limit = 0, cpu_shares = 0, cpu_quota = 0, cpu_period = 0,
          blkio_weight = 0;
};

void DeclareLimits(ArgumentParser& parser, LimitWords& words);
// Adds them to `resources`, the "linux.resources" of a config.json.
Status CombineLimits(const LimitWords& words, Json& resources);

// Completes what was said of memory, or of memory and swap, alone by what
// `now`, the same of a container, says of the other. EINVAL, as a sentence,
// where the two do not go together.
Status CompleteMemory(const Json& now, Json& resources);

// What `ufs update` has changed of a container's limits, for when it is
// restarted: in its directory, over what `ufs run` was told.
Status AddUpdates(const std::string& directory, Json& resources);
Status SaveUpdates(const std::string& directory, const Json& resources);

}  // namespace ufs
