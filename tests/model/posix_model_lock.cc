// Locks, and what closing a descriptor does to them. Compare Linux's
// fs/locks.c and fs/open.c:filp_flush().
#include <fcntl.h>
#include <sys/file.h>

#include "tests/model/posix_model.h"

namespace ufs::model {

Expected PosixModel::Flock(const Op& op, const NodePtr& node) {
  if (!locks_.Flock(node->id, handles_[op.fd].description, op.flags))
    return Expected::Error(EAGAIN);
  return {};
}

Expected PosixModel::RecordLocks(const Op& op, const NodePtr& node) {
  const Handle& handle = handles_[op.fd];
  if (op.off < 0) return Expected::Error(EINVAL);
  RecordLock lock;
  if (op.kind != OpKind::kLock) lock.owner = handle.description;
  lock.type = static_cast<short>(op.flags);
  lock.begin = op.off;
  lock.end = op.len == 0 ? LockTable::kNoEnd : op.off + op.len;
  if (op.kind == OpKind::kOfdTest) {
    Expected expected;
    expected.data_among = {""};
    for (const RecordLock& found : locks_.InTheWay(node->id, lock)) {
      if (expected.data_among.front().empty()) expected.data_among.clear();
      expected.data_among.push_back(
          LockText(found.type, found.begin, found.end,
                   found.owner == LockTable::kProcess));
    }
    return expected;
  }
  if ((lock.type == F_RDLCK && !handle.readable()) ||
      (lock.type == F_WRLCK && !handle.writable()))
    return Expected::Error(EBADF);
  return Expected::Error(locks_.Lock(node->id, lock) ? 0 : EAGAIN);
}

// A mapping keeps its description open.
bool PosixModel::IsOpen(LockTable::Owner description) const {
  for (const Handle& handle : handles_)
    if (handle.open() && handle.description == description) return true;
  for (const Mapping& map : maps_)
    if (map.node != nullptr && map.description == description) return true;
  return false;
}

void PosixModel::CloseHandle(int slot) {
  const Handle closed = std::exchange(handles_[slot], {});
  if (!closed.open()) return;
  if (!closed.path_only()) locks_.ReleaseProcess(closed.node->id);
  if (!IsOpen(closed.description)) locks_.Release(closed.description);
}

// With the descriptor that the executor keeps for it.
void PosixModel::Unmap(int slot) {
  const Mapping closed = std::exchange(maps_[slot], {});
  if (closed.node == nullptr) return;
  locks_.ReleaseProcess(closed.node->id);
  if (!IsOpen(closed.description)) locks_.Release(closed.description);
}

}  // namespace ufs::model
