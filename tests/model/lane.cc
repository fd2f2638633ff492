#include "tests/model/lane.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "tests/harness/subject.h"
#include "tests/model/check.h"

namespace ufs::model {
namespace {

constexpr int64_t kFarOff = 123456789;  // behind the end of every file

int64_t Now(clockid_t clock) {
  timespec now;
  Must(clock_gettime(clock, &now), "clock_gettime");
  return now.tv_sec * 1000000000 + now.tv_nsec;
}

// The kernel's coarse clock, which stamps files, at or before now; and the fine
// one, at or after.
int64_t ClockBefore() { return Now(CLOCK_REALTIME_COARSE); }
int64_t ClockAfter() { return Now(CLOCK_REALTIME); }

void DropCaches() {
  UniqueFd fd(Must(open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC),
                   "drop_caches"));
  Must(write(fd.get(), "2", 1), "drop_caches");
}

std::string Line(const char* side, const std::string& where,
                 const Difference& difference) {
  return std::string(side) + ": " + where + difference.field + ": expected " +
         difference.expected + ", got " + difference.actual + "\n";
}

}  // namespace

Lane::Lane(const LayerSpec& merged, const std::string& union_root,
           const std::string& plain_root, const std::string& prefix,
           Remount remount, Freeze freeze)
    : remount_(std::move(remount)),
      freeze_(std::move(freeze)),
      model_(merged, prefix),
      union_{"union", union_root + "/" + prefix, {}, {}},
      plain_{"plain directory", plain_root + "/" + prefix, {}, {}} {
  union_.executor.Attach(union_.root);
  plain_.executor.Attach(plain_.root);
}

std::string Lane::Step(const Op& op) {
  if (op.kind == OpKind::kRemount) return StepRemount(op);
  if (op.kind == OpKind::kCheckTree) {
    std::string text = CheckTree(plain_) + CheckTree(union_);
    model_.TreeWasRead();
    return text;
  }
  if (op.kind == OpKind::kFreeze) {
    const std::string error = freeze_();
    // What becomes a layer is read.
    model_.ForgetAccessTimes();
    return error.empty() ? "" : "freeze: " + error + "\n";
  }
  if (op.kind == OpKind::kDropCaches) {
    DropCaches();
    return "";
  }
  TimeRange when;
  when.lo = ClockBefore();
  Outcome on_union = union_.executor.Run(op);
  Outcome on_plain = plain_.executor.Run(op);
  when.hi = ClockAfter();
  Expected expected = model_.Apply(op, when);
  std::string text = Judge(plain_, op, expected, on_plain);
  if (!expected.by_flag || !test::TheSubject().is_ufs())
    return text + Judge(union_, op, expected, on_union);
  if (on_union.err == 0 && expected.union_may_allow) return text + TakeBack(op);
  if (on_union.err == 0)
    text += Line(union_.name, "", {"err", ErrnoName(expected.err), "success"});
  return text;
}

// The union has opened what may not be written: the write is refused, unless
// the kernel keeps it, and would show it meanwhile. Then it is closed, as for
// the model it was never open.
std::string Lane::TakeBack(const Op& op) {
  Op undo;
  if (op.kind == OpKind::kMmap) {
    undo.kind = OpKind::kMunmap;
    undo.fd2 = op.fd2;
    union_.executor.Run(undo);
  }
  if (op.kind != OpKind::kOpen) return "";
  Op write;
  write.kind = OpKind::kPwrite;
  write.fd = op.fd;
  write.off = kFarOff;
  write.len = 1;
  Outcome written;
  written.err = EPERM;
  if (!test::TheSubject().writes_late) written = union_.executor.Run(write);
  undo.kind = OpKind::kClose;
  undo.fd = op.fd;
  union_.executor.Run(undo);
  if (written.err == EPERM) return "";
  return Line(union_.name,
              "write: ", {"err", ErrnoName(EPERM), ErrnoName(written.err)});
}

std::string Lane::Judge(Side& side, const Op& op, const Expected& expected,
                        const Outcome& actual) {
  std::string text;
  for (const Difference& difference :
       Compare(op, expected, actual, model_, &side.ledger))
    text += Line(side.name, "", difference);
  return text;
}

std::string Lane::CheckTree(Side& side) {
  std::string text;
  for (const TreeDifference& found :
       CompareTree(model_, side.executor.ReadTree(), &side.ledger))
    text += Line(side.name, found.path + ": ", found.difference);
  return text;
}

std::string Lane::StepRemount(const Op& op) {
  union_.executor.Detach();
  plain_.executor.Detach();
  model_.Apply(op, {});
  const Remounted done = remount_((op.flags & kCommit) != 0);
  if (!done.error.empty()) return "remount: " + done.error + "\n";
  if (done.new_layer) {
    // What was born in the upper now comes from a layer, and is numbered so.
    union_.ledger = {};
  }
  if (done.looked_at) model_.ForgetAccessTimes();
  union_.executor.Attach(union_.root);
  plain_.executor.Attach(plain_.root);
  return "";
}

}  // namespace ufs::model
