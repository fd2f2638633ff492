#include "fs/lifted_flags.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "layerdb/base/fault.h"
#include "layerdb/base/log.h"
#include "layerdb/base/syscall.h"

namespace ufs {
namespace {

DonePoint kLifted("lent.flags");

}  // namespace

Result<LiftedFlags> LiftedFlags::Of(Mutex& mu, BorrowedFd notes, BorrowedFd dir,
                                    int flags) {
  UniqueFd fd = TRY(sys::Reopen(dir, O_RDONLY | O_DIRECTORY));
  mu.Lock();
  LiftedFlags lifted;
  lifted.mu_ = &mu;
  TRY(sys::Ioctl(fd, FS_IOC_GETFLAGS, &lifted.flags_));
  lifted.note_.emplace(notes, Lendable::kFlags, TRY(sys::Statx({fd})),
                       lifted.flags_);
  int left = lifted.flags_ & ~flags;
  TRY(sys::Ioctl(fd, FS_IOC_SETFLAGS, &left));
  kLifted.Visit();
  lifted.dir_ = std::move(fd);
  return lifted;
}

LiftedFlags::~LiftedFlags() {
  if (mu_ == nullptr) return;
  if (dir_.valid()) {
    const auto back = sys::Ioctl(dir_, FS_IOC_SETFLAGS, &flags_);
    if (!back.ok())
      log::Warn("a directory of the upper has lost its file flags: " +
                back.error().ToString());
  }
  note_.reset();
  mu_->Unlock();
}

}  // namespace ufs
