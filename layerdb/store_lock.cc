#include "layerdb/store_lock.h"

#include <sys/file.h>

#include <cerrno>

namespace ufs {
namespace {

Result<HeldLock> Lock(sys::At at, int operation) {
  UniqueFd fd = TRY(sys::OpenAt(at, O_RDONLY));
  const auto locked = sys::FLock(fd, operation);
  if (locked.code() == EWOULDBLOCK) return Error(EBUSY);
  TRY(locked);
  return fd;
}

}  // namespace

Result<HeldLock> LockShared(sys::At at) { return Lock(at, LOCK_SH); }
Result<HeldLock> LockExclusive(sys::At at) { return Lock(at, LOCK_EX); }
Result<HeldLock> TryLockExclusive(sys::At at) {
  return Lock(at, LOCK_EX | LOCK_NB);
}

Result<UniqueFd> OpenPinned(sys::At at) {
  UniqueFd fd = TRY(Lock(at, LOCK_SH));
  // Removed between the opening and the lock.
  if (TRY(sys::Statx({fd})).stx_nlink == 0) return Error(ENOENT);
  return fd;
}

}  // namespace ufs
