// The locks on files as Linux keeps them (fs/locks.c): whole-file locks of
// flock(2), and record locks of fcntl(2), which belong to the process or to an
// open file description. Nobody waits here. One thread at a time.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "tests/model/outcome.h"

namespace ufs::model {

// A record lock on [begin, end).
struct RecordLock {
  uint64_t owner = 0;
  short type = 0;  // F_RDLCK, F_WRLCK or F_UNLCK
  int64_t begin = 0;
  int64_t end = 0;
};

class LockTable {
 public:
  using Owner = uint64_t;  // an open file description
  static constexpr Owner kProcess = 0;
  static constexpr int64_t kNoEnd = std::numeric_limits<int64_t>::max();

  // `type` is LOCK_SH, LOCK_EX or LOCK_UN. False when somebody else's lock is
  // in the way; what the owner had is gone then, too.
  bool Flock(NodeId node, Owner owner, int type);

  // False, with nothing changed, when somebody else's lock is in the way.
  bool Lock(NodeId node, const RecordLock& wanted);
  // The locks of others that are in the way.
  std::vector<RecordLock> InTheWay(NodeId node, const RecordLock& wanted) const;

  // The last descriptor of a description is closed.
  void Release(Owner description);
  // Some descriptor of the file is closed, which costs the process its locks.
  void ReleaseProcess(NodeId node);
  void Clear() { *this = {}; }

 private:
  std::map<NodeId, std::map<Owner, int>> flocks_;
  std::map<NodeId, std::vector<RecordLock>> records_;
};

// What F_OFD_GETLK tells of a lock.
std::string LockText(short type, int64_t begin, int64_t end, bool of_process);

}  // namespace ufs::model
