// Fault points: named places between two durable states where a test may kill
// the process or make the step fail. Each is declared once, at namespace scope,
// and visited where it stands:
//
//   FaultPoint kPublish("copy_up.publish");
//   ...
//   TRY(kPublish.Visit());
//
// Armed by ArmFault, which `ufs mount` calls with the environment's UFS_FAULT:
//   UFS_FAULT=copy_up.publish:kill[:nth]     SIGKILL ourselves at the nth visit
//   UFS_FAULT=copy_up.publish:ENOSPC[:nth]   fail the nth visit with that errno
// Without UFS_FAULT a visit is one relaxed load. Threads: any.
#pragma once

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

#include "layerdb/base/result.h"

namespace ufs {

class FaultPoint {
 public:
  // REQUIRES: static storage duration; `name` is a literal, unique.
  explicit FaultPoint(const char* name);
  FaultPoint(const FaultPoint&) = delete;
  FaultPoint& operator=(const FaultPoint&) = delete;

  const char* name() const { return name_; }

  Status Visit() {
    if (!armed_.load(std::memory_order_relaxed)) [[likely]]
      return Ok();
    return VisitArmed();
  }

 private:
  friend Status ArmFault(std::string_view spec);
  Status VisitArmed();

  const char* const name_;
  FaultPoint* const next_;  // all points of the program, most recent first
  std::atomic<bool> armed_{false};
  std::atomic<int> countdown_{0};
  int errno_ = 0;  // 0: kill. Written before armed_ is set.

  friend std::vector<std::string> FaultPointNames();
};

// Arms one point from "name:kill[:nth]" or "name:ERRNO[:nth]"; an empty spec
// disarms all. EINVAL, naming what is wrong, for a spec that cannot be met.
Status ArmFault(std::string_view spec);

// Every point linked into this program, sorted.
std::vector<std::string> FaultPointNames();

}  // namespace ufs
