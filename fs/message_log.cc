#include "fs/message_log.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

namespace ufs {
namespace {

// Names may hold any byte; a terminal shall not be told what to do by one.
std::string Printable(std::string_view text) {
  std::string out;
  for (const unsigned char c : text) {
    char escaped[5];
    if (c >= 0x20 && c != 0x7f) {
      out.push_back(static_cast<char>(c));
    } else {
      snprintf(escaped, sizeof(escaped), "\\x%02x", c);
      out.append(escaped);
    }
  }
  return out;
}

}  // namespace

void LogMessage(Message message, NodeId node, std::string_view arguments,
                int code, std::string_view result, uint64_t ns) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);

  std::string end(result);
  if (code != 0) {
    const char* name = strerrorname_np(code);
    end = name != nullptr ? name : "errno " + std::to_string(code);
  }
  char line[1024];
  const int length =
      snprintf(line, sizeof(line),
               "%6ld.%06ld  %-15s %8" PRIu64 "  %-36s %-14s %7" PRIu64 " us\n",
               static_cast<long>(now.tv_sec), now.tv_nsec / 1000,
               NameOf(message).data(), static_cast<uint64_t>(node),
               Printable(arguments).c_str(), end.c_str(), ns / 1000);
  if (length <= 0) return;
  // The trace is a courtesy: a closed stderr must not stop the mount.
  const size_t size =
      std::min<size_t>(static_cast<size_t>(length), sizeof(line) - 1);
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line, size);
}

}  // namespace ufs
