// Fault points: named places beside the steps between two durable states, where
// a test may kill the process, make the step fail, or make it wait. Each is
// declared once, at namespace scope, and stands before a step, which then
// fails,
//
//   FaultPoint kPublish("copy_up.publish");
//   TRY(kPublish.Visit());
//
// or after one. What is done cannot fail any more: there it can only be killed.
//
//   DonePoint kPublished("copy_up.published");
//   kPublished.Visit();
//
// Armed by ArmFault, which `ufs mount` calls with the environment's UFS_FAULT:
//   UFS_FAULT=copy_up.publish:kill[:nth]     SIGKILL ourselves at the nth visit
//   UFS_FAULT=copy_up.publish:ENOSPC[:nth]   fail the nth visit with that errno
//   UFS_FAULT=copy_up.publish:sleep=MS[:nth] wait there, at the nth visit; no
//                                            longer than until all are disarmed
//   UFS_FAULT=trace:FILE                     append the name of every visit
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
  explicit FaultPoint(const char* name) : FaultPoint(name, /*may_fail=*/true) {}
  FaultPoint(const FaultPoint&) = delete;
  FaultPoint& operator=(const FaultPoint&) = delete;

  const char* name() const { return name_; }
  bool may_fail() const { return may_fail_; }
  // Until what was armed happens.
  bool armed() const { return armed_.load(std::memory_order_acquire); }

  Status Visit() {
    if (!armed()) [[likely]]
      return Ok();
    return VisitArmed();
  }

  // Every point linked into this program, sorted by name.
  static std::vector<const FaultPoint*> All();

 protected:
  FaultPoint(const char* name, bool may_fail);

 private:
  friend Status ArmFault(std::string_view spec);
  Status VisitArmed();

  const char* const name_;
  const bool may_fail_;
  FaultPoint* const next_;  // all points of the program, most recent first
  std::atomic<bool> armed_{false};
  std::atomic<int> countdown_{0};
  // What happens. Written before armed_ is set.
  int errno_ = 0;
  int sleep_ms_ = 0;
};

// A point after a step.
class DonePoint : private FaultPoint {
 public:
  explicit DonePoint(const char* name) : FaultPoint(name, /*may_fail=*/false) {}
  void Visit() { (void)FaultPoint::Visit(); }
};

// Arms one point, or all for a trace; an empty spec disarms all. EINVAL, naming
// what is wrong, for a spec that cannot be met.
Status ArmFault(std::string_view spec);

}  // namespace ufs
