#include "tests/model/lock_table.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>

namespace ufs::model {

bool LockTable::Flock(NodeId node, Owner owner, int type) {
  std::map<Owner, int>& held = flocks_[node];
  const auto mine = held.find(owner);
  if (mine != held.end() && mine->second == type) return true;
  held.erase(owner);
  if (type == LOCK_UN) return true;
  for (const auto& [other, other_type] : held)
    if (type == LOCK_EX || other_type == LOCK_EX) return false;
  held[owner] = type;
  return true;
}

std::vector<RecordLock> LockTable::InTheWay(NodeId node,
                                            const RecordLock& wanted) const {
  std::vector<RecordLock> found;
  const auto records = records_.find(node);
  if (records == records_.end() || wanted.type == F_UNLCK) return found;
  for (const RecordLock& lock : records->second) {
    const bool apart = lock.end <= wanted.begin || wanted.end <= lock.begin;
    const bool shared = lock.type == F_RDLCK && wanted.type == F_RDLCK;
    if (lock.owner != wanted.owner && !apart && !shared) found.push_back(lock);
  }
  return found;
}

bool LockTable::Lock(NodeId node, const RecordLock& wanted) {
  if (!InTheWay(node, wanted).empty()) return false;
  RecordLock whole = wanted;
  std::vector<RecordLock> left;
  for (const RecordLock& lock : records_[node]) {
    if (lock.owner != wanted.owner) {
      left.push_back(lock);
    } else if (lock.type == wanted.type && lock.end >= wanted.begin &&
               wanted.end >= lock.begin) {  // they touch, and become one
      whole.begin = std::min(whole.begin, lock.begin);
      whole.end = std::max(whole.end, lock.end);
    } else {  // what is outside stays
      RecordLock before = lock, after = lock;
      before.end = std::min(lock.end, wanted.begin);
      after.begin = std::max(lock.begin, wanted.end);
      for (const RecordLock& part : {before, after})
        if (part.begin < part.end) left.push_back(part);
    }
  }
  if (wanted.type != F_UNLCK) left.push_back(whole);
  records_[node] = std::move(left);
  return true;
}

void LockTable::Release(Owner description) {
  for (auto& [node, held] : flocks_) held.erase(description);
  for (auto& [node, locks] : records_)
    std::erase_if(locks, [&](const RecordLock& lock) {
      return lock.owner == description;
    });
}

void LockTable::ReleaseProcess(NodeId node) {
  const auto locks = records_.find(node);
  if (locks == records_.end()) return;
  std::erase_if(locks->second,
                [](const RecordLock& lock) { return lock.owner == kProcess; });
}

std::string LockText(short type, int64_t begin, int64_t end, bool of_process) {
  const bool open = end == LockTable::kNoEnd;
  return std::string(type == F_WRLCK ? "write" : "read") + " " +
         std::to_string(begin) + "-" + (open ? "" : std::to_string(end)) +
         (of_process ? " of the process" : " of a description");
}

}  // namespace ufs::model
