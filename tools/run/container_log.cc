#include "tools/run/container_log.h"

#include <fcntl.h>

#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"
#include "runtime/state.h"

namespace ufs {

Result<ContainerLog> ContainerLog::Create(const std::string& directory) {
  const std::string path = directory + "/log";
  UniqueFd file = TRY(
      sys::Open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600).With(path));
  return ContainerLog(directory, std::move(file));
}

void ContainerLog::Write(const char* stream, std::string_view data) {
  const std::string head = runtime::NowRfc3339() + " " + stream + " ";
  std::string text;
  while (!data.empty()) {
    const size_t end = data.find('\n');
    text += head + (end == data.npos ? "P " : "F ");
    text += data.substr(0, end);
    text += '\n';
    data.remove_prefix(end == data.npos ? data.size() : end + 1);
  }
  if (runtime::kernel::WriteAll(file_, text).ok()) size_ += text.size();
  if (size_ < kLogBytesMax) return;
  const std::string path = directory_ + "/log";
  const std::string older = path + ".1";
  if (!sys::RenameAt2({AT_FDCWD, path.c_str()}, {AT_FDCWD, older.c_str()}).ok())
    return;
  auto next =
      sys::Open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_EXCL, 0600);
  if (!next.ok()) return;
  file_ = std::move(next).value();
  size_ = 0;
}

std::optional<LogLine> ParseLogLine(std::string_view line) {
  LogLine parsed;
  const size_t first = line.find(' ');
  if (first == line.npos) return std::nullopt;
  parsed.time = line.substr(0, first);
  line.remove_prefix(first + 1);
  if (!line.starts_with("stdout ") && !line.starts_with("stderr "))
    return std::nullopt;
  parsed.errors = line.starts_with("stderr");
  line.remove_prefix(7);
  if (!line.starts_with("F ") && !line.starts_with("P ")) return std::nullopt;
  parsed.partial = line[0] == 'P';
  parsed.text = line.substr(2);
  return parsed;
}

}  // namespace ufs
