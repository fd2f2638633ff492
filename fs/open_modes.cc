#include "fs/open_modes.h"

#include <utility>

namespace ufs {

void OpenModes::OpenThroughPages() { ++open_; }

void OpenModes::OpenPassed(int backing_id) {
  passes_ = true;
  backing_id_ = backing_id;
  ++open_;
}

int OpenModes::Release() {
  if (open_ > 0) --open_;
  return open_ == 0 ? std::exchange(backing_id_, 0) : 0;
}

}  // namespace ufs
