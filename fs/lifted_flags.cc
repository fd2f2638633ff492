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

Result<LiftedFlags> LiftedFlags::Of(BorrowedFd notes, BorrowedFd object,
                                    int flags) {
  UniqueFd fd = TRY(sys::Reopen(object, O_RDONLY));
  LiftedFlags lifted;
  TRY(sys::Ioctl(fd, FS_IOC_GETFLAGS, &lifted.flags_));
  if ((lifted.flags_ & flags) == 0) return lifted;
  lifted.note_.emplace(notes, Lendable::kFlags, TRY(sys::Statx({fd})),
                       lifted.flags_);
  int left = lifted.flags_ & ~flags;
  TRY(sys::Ioctl(fd, FS_IOC_SETFLAGS, &left));
  kLifted.Visit();
  lifted.object_ = std::move(fd);
  return lifted;
}

LiftedFlags::~LiftedFlags() {
  if (!object_.valid()) return;
  const auto back = sys::Ioctl(object_, FS_IOC_SETFLAGS, &flags_);
  if (!back.ok())
    log::Warn("an object of the upper has lost its file flags: " +
              back.error().ToString());
}

}  // namespace ufs
