// The log of a container: lines of "TIME STREAM TAG TEXT", the format of
// Kubernetes' container runtimes
// (https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md):
// TAG is F where a line ends, P where the text goes on in the next.
// Bounded: at 16 MiB the file becomes log.1, which replaces an older one.
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

inline constexpr uint64_t kLogBytesMax = 16 << 20;

class ContainerLog {
 public:
  // In the container's directory.
  static Result<ContainerLog> Create(const std::string& directory);

  // `stream` is "stdout" or "stderr". What cannot be written (a full disk) is
  // lost; the container goes on.
  void Write(const char* stream, std::string_view data);

 private:
  explicit ContainerLog(std::string directory, UniqueFd file)
      : directory_(std::move(directory)), file_(std::move(file)) {}

  std::string directory_;
  UniqueFd file_;
  uint64_t size_ = 0;
};

struct LogLine {
  std::string_view time;
  bool errors = false;   // of standard error
  bool partial = false;  // no newline follows
  std::string_view text;
};

// Nullopt when it is none.
std::optional<LogLine> ParseLogLine(std::string_view line);

}  // namespace ufs
