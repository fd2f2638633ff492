#include "tests/model/outcome.h"

#include <algorithm>
#include <cstring>

#include "tests/model/fields.h"
#include "tests/model/names.h"
#include "tests/model/posix_model.h"

namespace ufs::model {
namespace {

std::string OctalText(mode_t mode) {
  char text[32];
  snprintf(text, sizeof(text), "0%o", mode);
  return text;
}

std::string TimeText(int64_t ns) {
  char text[64];
  snprintf(text, sizeof(text), "%lld.%09lld",
           static_cast<long long>(ns / 1000000000),
           static_cast<long long>(ns % 1000000000));
  return text;
}

std::string RangeText(const TimeRange& range) {
  if (range.lo == range.hi) return TimeText(range.lo);
  return "between " + TimeText(range.lo) + " and " + TimeText(range.hi);
}

class Differences {
 public:
  void Number(const char* field, int64_t expected, int64_t actual) {
    if (expected != actual)
      list_.push_back(
          {field, std::to_string(expected), std::to_string(actual)});
  }
  void Text(const char* field, std::string expected, std::string actual) {
    if (expected != actual)
      list_.push_back({field, std::move(expected), std::move(actual)});
  }
  void Time(const char* field, const TimeRange& expected, int64_t actual) {
    if (!expected.Holds(actual))
      list_.push_back({field, RangeText(expected), TimeText(actual)});
  }
  void Add(Difference difference) { list_.push_back(std::move(difference)); }
  std::vector<Difference> Take() { return std::move(list_); }

 private:
  std::vector<Difference> list_;
};

bool AllZero(const std::string& bytes, int64_t from, int64_t to) {
  for (int64_t i = from; i < to; ++i)
    if (bytes[static_cast<size_t>(i)] != 0) return false;
  return true;
}

// A file system may call zeros data, but may not call data a hole.
std::string WrongSeek(const Op& op, const std::string& bytes,
                      const Outcome& actual) {
  int64_t size = static_cast<int64_t>(bytes.size());
  bool wants_data = op.flags == SEEK_DATA;
  if (op.off >= size) return actual.err == ENXIO ? "" : "ENXIO";
  if (wants_data && actual.err == ENXIO)
    return AllZero(bytes, op.off, size) ? "" : "an offset: data follows";
  if (actual.err != 0) return "no error";
  if (actual.value < op.off || actual.value > size) return "within the file";
  if (wants_data)
    return AllZero(bytes, op.off, actual.value) ? "" : "not to skip data";
  bool at_end = actual.value == size;
  return at_end || bytes[static_cast<size_t>(actual.value)] == 0
             ? ""
             : "a hole: this byte is data";
}

void CompareItems(const std::map<std::string, ExpectedItem>& expected,
                  const Outcome& actual, const PosixModel& model,
                  InodeLedger* ledger, Differences* out) {
  for (const std::string& name : actual.repeated)
    out->Add({"items", "each name once", "again " + Quote(name)});
  for (const auto& [name, item] : expected) {
    auto found = actual.items.find(name);
    if (found == actual.items.end()) {
      out->Add({"items", Quote(name), "missing"});
      continue;
    }
    out->Number("items.type", item.type, found->second.type);
    std::string wrong = ledger->Check(
        item.id, found->second.ino, [&](NodeId id) { return model.Alive(id); });
    if (!wrong.empty()) out->Add({"items.ino", "its own number", wrong});
  }
  for (const auto& [name, item] : actual.items)
    if (!expected.contains(name)) out->Add({"items", "absent", Quote(name)});
}

}  // namespace

std::vector<Difference> CompareStat(const ExpectedStat& expected,
                                    const Stat& actual, const PosixModel& model,
                                    InodeLedger* ledger) {
  Differences out;
  out.Text("stat.mode", OctalText(expected.mode), OctalText(actual.mode));
  out.Number("stat.uid", expected.uid, actual.uid);
  out.Number("stat.gid", expected.gid, actual.gid);
  bool is_dir = S_ISDIR(expected.mode);
  if (!is_dir) out.Number("stat.nlink", expected.nlink, actual.nlink);
  if (S_ISREG(expected.mode) || S_ISLNK(expected.mode))
    out.Number("stat.size", expected.size, actual.size);
  if (S_ISCHR(expected.mode) || S_ISBLK(expected.mode))
    out.Number("stat.rdev", expected.rdev, actual.rdev);
  out.Time("stat.mtime", expected.mtime, actual.mtime_ns);
  out.Time("stat.atime", expected.atime, actual.atime_ns);
  TimeRange since;
  since.lo = expected.ctime_lo;
  out.Time("stat.ctime", since, actual.ctime_ns);
  std::string wrong = ledger->Check(expected.id, actual.ino,
                                    [&](NodeId id) { return model.Alive(id); });
  if (!wrong.empty()) out.Add({"ino", "its own number", wrong});
  return out.Take();
}

std::vector<Difference> Compare(const Op& op, const Expected& expected,
                                const Outcome& actual, const PosixModel& model,
                                InodeLedger* ledger) {
  Differences out;
  if (expected.anything) return out.Take();
  if (expected.seek_in) {
    std::string wrong = WrongSeek(op, *expected.seek_in, actual);
    if (!wrong.empty())
      out.Add({"seek", wrong,
               ErrnoName(actual.err) + " " + std::to_string(actual.value)});
    return out.Take();
  }
  out.Text("err", ErrnoName(expected.err), ErrnoName(actual.err));
  if (expected.err != 0 || actual.err != 0) return out.Take();
  out.Number("value", expected.value, actual.value);
  const std::vector<std::string>& among = expected.data_among;
  if (!among.empty()) {
    if (std::find(among.begin(), among.end(), actual.data) == among.end())
      out.Add({"data", Shown(among.front()), Shown(actual.data)});
  } else if (expected.data != actual.data)
    out.Add({"data", Shown(expected.data),
             Shown(actual.data) + ", " +
                 FirstDifference(expected.data, actual.data)});
  if (expected.items)
    CompareItems(*expected.items, actual, model, ledger, &out);
  if (expected.stat)
    for (Difference& difference :
         CompareStat(*expected.stat, *actual.stat, model, ledger))
      out.Add(std::move(difference));
  return out.Take();
}

std::string Shown(const std::string& bytes) {
  constexpr size_t kShort = 48;
  if (bytes.size() <= kShort) return "\"" + Quote(bytes) + "\"";
  uint64_t sum = 14695981039346656037u;
  for (unsigned char byte : bytes) sum = (sum ^ byte) * 1099511628211u;
  char text[128];
  snprintf(text, sizeof(text), "%zu bytes, sum %016llx", bytes.size(),
           static_cast<unsigned long long>(sum));
  return text;
}

std::string FirstDifference(const std::string& a, const std::string& b) {
  size_t i = 0;
  while (i < a.size() && i < b.size() && a[i] == b[i]) ++i;
  size_t end = i;
  while (end < a.size() && end < b.size() && a[end] != b[end]) ++end;
  return "first different at " + std::to_string(i) + " (" +
         Quote(a.substr(i, 4)) + " against " + Quote(b.substr(i, 4)) +
         ", run of " + std::to_string(end - i) + ")";
}

}  // namespace ufs::model
