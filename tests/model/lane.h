// Lane runs operations, one after the other, on three trees that must agree:
// the union, a plain directory and the model. A failure tells which disagreed:
// when the plain directory does, the model is wrong.
//
// Belongs to one thread, which must have called Executor::PrepareThread.
#pragma once

#include <functional>
#include <string>

#include "tests/model/executor.h"
#include "tests/model/outcome.h"
#include "tests/model/posix_model.h"
#include "tests/model/tree_compare.h"

namespace ufs::model {

// How a remount went.
struct Remounted {
  std::string error;       // empty, or what went wrong
  bool looked_at = false;  // the upper was read
  bool new_layer = false;  // and became a layer
};

class Lane {
 public:
  // `remount` mounts the union anew; with `commit`, its upper may become a
  // layer. Nothing of the union is open during the call.
  using Remount = std::function<Remounted(bool commit)>;

  // The union's upper becomes a layer below an empty one; what is open stays
  // so. Empty, or what went wrong.
  using Freeze = std::function<std::string()>;

  // The lane sees the directory `prefix` of both trees as its root.
  Lane(const LayerSpec& merged, const std::string& union_root,
       const std::string& plain_root, const std::string& prefix,
       Remount remount, Freeze freeze);

  // Empty, or how the three disagree.
  std::string Step(const Op& op);

  const PosixModel& model() const { return model_; }

 private:
  struct Side {
    const char* name;
    std::string root;
    Executor executor;
    InodeLedger ledger;
  };
  std::string Judge(Side& side, const Op& op, const Expected& expected,
                    const Outcome& actual);
  std::string TakeBack(const Op& op);
  std::string CheckTree(Side& side);
  std::string StepRemount(const Op& op);

  const Remount remount_;
  const Freeze freeze_;
  PosixModel model_;
  Side union_;
  Side plain_;
};

}  // namespace ufs::model
