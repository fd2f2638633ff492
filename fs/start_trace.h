// StartTrace: which contents of layers a union read first, in their order, so
// that at the next start they are in memory before they are asked for. A file
// of its own (fs/FORMAT.md), which is outside data: Parse takes any bytes.
//
// Contents are named so that the same layers have them at any mount, and other
// layers that share objects with them as well (Layer::ContentsName).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "layerdb/base/mutex.h"
#include "layerdb/base/result.h"

namespace ufs {

struct TraceEntry {
  uint64_t begin = 0;  // bytes [begin, end)
  uint64_t end = 0;
  std::string contents;
  friend bool operator==(const TraceEntry&, const TraceEntry&) = default;
};

inline constexpr size_t kMaxTraceEntries = 1 << 16;
inline constexpr size_t kMaxTraceBytes = 16 << 20;

std::string FormatTrace(const std::vector<TraceEntry>& entries);
// EINVAL for what is no trace, EPROTO for one of a later version: the context
// says which line, and what is wrong.
Result<std::vector<TraceEntry>> ParseTrace(std::string_view text);

// The same of a file; and the host's errors.
Result<std::vector<TraceEntry>> ReadTrace(const std::string& path);
// In the place of what is there, all at once. `path` is absolute.
Status WriteTrace(const std::filesystem::path& path, std::string_view trace);

// Makes a trace of reads. Threads: any.
class TraceRecorder {
 public:
  // Reads that adjoin one that was noted, nearly, become part of it. What comes
  // after kMaxTraceEntries, or makes the file too large, is not noted.
  void Note(const std::string& contents, uint64_t begin, uint64_t end);
  // What was noted so far; it begins anew.
  std::vector<TraceEntry> Take();

 private:
  Mutex mu_;
  std::vector<TraceEntry> entries_ GUARDED_BY(mu_);
  std::unordered_map<std::string, size_t> latest_ GUARDED_BY(mu_);
  size_t bytes_ GUARDED_BY(mu_) = 0;
};

}  // namespace ufs
