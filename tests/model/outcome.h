// What an operation gave, as a program sees it (Outcome), and what the model
// says it must give (Expected). Compare tells the differences.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/harness/expect.h"
#include "tests/model/op.h"

namespace ufs::model {

struct Stat {
  dev_t dev = 0;
  ino_t ino = 0;
  mode_t mode = 0;
  nlink_t nlink = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  dev_t rdev = 0;
  int64_t size = 0;
  int64_t atime_ns = 0;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;
};

struct DirItem {
  ino_t ino = 0;
  unsigned char type = 0;  // DT_...
};

struct Outcome {
  int err = 0;
  int64_t value = 0;  // bytes, offset, number of names
  std::string data;   // bytes read, link target, xattr value, sorted names
  std::optional<Stat> stat;
  std::map<std::string, DirItem> items;  // of a directory
  std::vector<std::string> repeated;     // names listed more than once
};

// Nanoseconds since the epoch between which an event happened.
struct TimeRange {
  int64_t lo = std::numeric_limits<int64_t>::min();
  int64_t hi = std::numeric_limits<int64_t>::max();
  bool Holds(int64_t ns) const { return lo <= ns && ns <= hi; }
  static TimeRange Exactly(int64_t ns) { return {ns, ns}; }
  static TimeRange Any() { return {}; }
};

using NodeId = uint64_t;

struct ExpectedStat {
  NodeId id = 0;
  mode_t mode = 0;
  nlink_t nlink = 0;  // of anything but a directory
  uid_t uid = 0;
  gid_t gid = 0;
  dev_t rdev = 0;
  int64_t size = 0;  // of a file or symlink
  TimeRange mtime;
  TimeRange atime;
  int64_t ctime_lo = 0;
};

struct ExpectedItem {
  NodeId id = 0;
  unsigned char type = 0;
};

struct Expected {
  int err = 0;
  bool anything = false;  // nobody can know
  // A file flag forbids it. A union may fail for another reason, and where
  // `union_may_allow` not at all: it opens files without asking.
  bool by_flag = false;
  bool union_may_allow = false;
  int64_t value = 0;
  std::string data;
  // When not empty, any of them will do for `data`.
  std::vector<std::string> data_among;
  std::optional<ExpectedStat> stat;
  std::optional<std::map<std::string, ExpectedItem>> items;
  // For SEEK_DATA and SEEK_HOLE, where a file system may know less than it
  // could: the contents that the answer must agree with.
  std::optional<std::string> seek_in;

  static Expected Error(int err) {
    Expected expected;
    expected.err = err;
    return expected;
  }
};

// Remembers which inode number stands for which object of the model: an object
// keeps its number for life, and no two living objects share one.
class InodeLedger {
 public:
  // Empty, or what is wrong. `alive` tells whether an object still exists.
  template <typename IsAlive>
  std::string Check(NodeId id, ino_t ino, const IsAlive& alive) {
    auto [known, fresh] = ino_of_.emplace(id, ino);
    if (!fresh && known->second != ino)
      return "was " + std::to_string(known->second) + ", now " +
             std::to_string(ino);
    auto [owner, unused] = id_of_.emplace(ino, id);
    if (!unused && owner->second != id) {
      if (alive(owner->second)) return std::to_string(ino) + " is taken";
      ino_of_.erase(owner->second);
      owner->second = id;
    }
    return "";
  }

 private:
  std::map<NodeId, ino_t> ino_of_;
  std::map<ino_t, NodeId> id_of_;
};

struct Difference {
  std::string field;  // "err", "value", "data", "stat.mode", "ino", ...
  std::string expected;
  std::string actual;
};

class PosixModel;
using test::ErrnoName;

std::vector<Difference> Compare(const Op& op, const Expected& expected,
                                const Outcome& actual, const PosixModel& model,
                                InodeLedger* ledger);
std::vector<Difference> CompareStat(const ExpectedStat& expected,
                                    const Stat& actual, const PosixModel& model,
                                    InodeLedger* ledger);

// Long or unprintable bytes as their length, a few bytes and a checksum.
std::string Shown(const std::string& bytes);
// Where two byte strings first differ, for messages.
std::string FirstDifference(const std::string& a, const std::string& b);

}  // namespace ufs::model
