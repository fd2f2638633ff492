#include "fs/start_trace.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <climits>
#include <utility>

#include "layerdb/store_io.h"

namespace ufs {
namespace {

constexpr std::string_view kMagic = "ufs-trace ";
constexpr std::string_view kFirstLine = "ufs-trace 1\n";
// One read of the disk costs as much as reading this for nothing.
constexpr uint64_t kNearBytes = 256 << 10;
constexpr size_t kMaxNameBytes = PATH_MAX + 32;
constexpr size_t kNumbersBytes = 44;

Error BadLine(size_t line, const char* what) {
  return Error(EINVAL, "line " + std::to_string(line) + ": " + what);
}

void AppendName(std::string_view name, std::string& text) {
  for (const char c : name) {
    if (c == '\\')
      text += "\\\\";
    else if (c == '\n')
      text += "\\n";
    else
      text += c;
  }
}

// False for a backslash before anything else than AppendName writes.
bool ReadName(std::string_view text, std::string& name) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      name += text[i];
      continue;
    }
    if (++i == text.size() || (text[i] != '\\' && text[i] != 'n')) return false;
    name += text[i] == 'n' ? '\n' : '\\';
  }
  return true;
}

// A number and the space behind it, taken off `text`.
bool TakeNumberAndSpace(std::string_view& text, uint64_t& number) {
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr == end || *parsed.ptr != ' ')
    return false;
  text.remove_prefix(parsed.ptr + 1 - text.data());
  return true;
}

}  // namespace

std::string FormatTrace(const std::vector<TraceEntry>& entries) {
  std::string text(kFirstLine);
  for (const TraceEntry& entry : entries) {
    text += std::to_string(entry.begin) + ' ' + std::to_string(entry.end) + ' ';
    AppendName(entry.contents, text);
    text += '\n';
  }
  return text;
}

Result<std::vector<TraceEntry>> ParseTrace(std::string_view text) {
  if (text.size() > kMaxTraceBytes) return Error(EINVAL, "too large");
  if (!text.starts_with(kMagic)) return Error(EINVAL, "not a trace of ufs");
  if (!text.starts_with(kFirstLine))
    return Error(EPROTO, "of a version this ufs does not know");
  text.remove_prefix(kFirstLine.size());
  std::vector<TraceEntry> entries;
  for (size_t number = 2; !text.empty(); ++number) {
    const size_t length = text.find('\n');
    if (length == text.npos) return BadLine(number, "cut short");
    std::string_view line = text.substr(0, length);
    text.remove_prefix(length + 1);
    TraceEntry entry;
    if (!TakeNumberAndSpace(line, entry.begin) ||
        !TakeNumberAndSpace(line, entry.end) || entry.begin >= entry.end ||
        entry.end > INT64_MAX)
      return BadLine(number, "no range of bytes");
    if (!ReadName(line, entry.contents) || entry.contents.empty() ||
        entry.contents.size() > kMaxNameBytes ||
        entry.contents.find('\0') != std::string::npos)
      return BadLine(number, "no name of contents");
    if (entries.size() == kMaxTraceEntries) return BadLine(number, "too many");
    entries.push_back(std::move(entry));
  }
  return entries;
}

Result<std::vector<TraceEntry>> ReadTrace(const std::string& path) {
  return ParseTrace(
      TRY(ReadSmallFile({AT_FDCWD, path.c_str()}, kMaxTraceBytes)));
}

Status WriteTrace(const std::filesystem::path& path, std::string_view trace) {
  const UniqueFd dir =
      TRY(sys::Open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY));
  return ReplaceFile(dir, path.filename(), trace);
}

void TraceRecorder::Note(const std::string& contents, uint64_t begin,
                         uint64_t end) {
  if (begin >= end || contents.empty() || contents.size() > kMaxNameBytes)
    return;
  MutexLock lock(mu_);
  const auto known = latest_.find(contents);
  if (known != latest_.end()) {
    TraceEntry& entry = entries_[known->second];
    if (begin <= entry.end + kNearBytes && entry.begin <= end + kNearBytes) {
      entry.begin = std::min(entry.begin, begin);
      entry.end = std::max(entry.end, end);
      return;
    }
  }
  // A name that is all backslashes is twice as long in the file.
  const size_t bytes = 2 * contents.size() + kNumbersBytes;
  if (entries_.size() == kMaxTraceEntries ||
      bytes_ + bytes > kMaxTraceBytes - kFirstLine.size())
    return;
  bytes_ += bytes;
  latest_[contents] = entries_.size();
  entries_.push_back({begin, end, contents});
}

std::vector<TraceEntry> TraceRecorder::Take() {
  MutexLock lock(mu_);
  latest_.clear();
  bytes_ = 0;
  return std::exchange(entries_, {});
}

}  // namespace ufs
