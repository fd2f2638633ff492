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
FaultPoint kFlagsBack("lent.flags_back");

}  // namespace

Result<LiftedFlags> LiftedFlags::Of(BorrowedFd notes, BorrowedFd object,
                                    int flags) {
  UniqueFd fd = TRY(sys::Reopen(object, O_RDONLY));
  LiftedFlags lifted;
  int has = 0;
  TRY(sys::Ioctl(fd, FS_IOC_GETFLAGS, &has));
  if ((has & flags) == 0) return lifted;
  lifted.note_.emplace(notes, Lendable::kFlags, TRY(sys::Statx({fd})), has);
  int left = has & ~flags;
  TRY(sys::Ioctl(fd, FS_IOC_SETFLAGS, &left));
  kLifted.Visit();
  lifted.object_ = std::move(fd);
  return lifted;
}

LiftedFlags::~LiftedFlags() {
  if (!object_.valid()) return;
  int own = static_cast<int>(note_->own());
  const auto give_back = [&]() -> Status {
    TRY(kFlagsBack.Visit());
    return sys::Ioctl(object_, FS_IOC_SETFLAGS, &own);
  };
  const Status back = give_back();
  if (back.ok()) {
    note_->Remove();
    return;
  }
  note_->Keep();
  log::Warn(
      "an object of the upper is without its file flags (chattr) until the "
      "next mount: " +
      back.error().ToString());
}

}  // namespace ufs
