#include "tools/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "tools/output.h"

namespace ufs {
namespace {

constexpr int64_t kBetweenDrawsMs = 100;
constexpr size_t kBarColumns = 24;
constexpr char kEraseLine[] = "\r\x1b[K";

size_t TerminalColumns() {
  struct winsize size {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
    return 80;
  return size.ws_col;
}

}  // namespace

std::string ProgressLine(const std::string& what, uint64_t done, uint64_t total,
                         double seconds, const std::string& detail,
                         size_t columns) {
  std::string line = what + "  ";
  if (total > 0) {
    const double part =
        std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
    const auto full = static_cast<size_t>(part * kBarColumns);
    line += '[' + std::string(full, '#') +
            std::string(kBarColumns - full, '.') + "] ";
    line += std::to_string(static_cast<int>(part * 100)) + " %  ";
  }
  line += FormatBytes(done);
  if (seconds >= 0.5)
    line += "  " +
            FormatBytes(
                static_cast<uint64_t>(static_cast<double>(done) / seconds)) +
            "/s";
  if (!detail.empty()) line += "  " + EscapePath(detail);
  if (columns > 0 && line.size() >= columns) line.resize(columns - 1);
  return line;
}

Progress::Progress(std::string what, uint64_t total_bytes)
    : what_(std::move(what)),
      total_(total_bytes),
      on_(isatty(STDERR_FILENO) == 1),
      start_(std::chrono::steady_clock::now()),
      next_draw_ms_(kBetweenDrawsMs) {}

void Progress::Add(uint64_t bytes) {
  done_.fetch_add(bytes, std::memory_order_relaxed);
  if (!on_) return;
  const auto now = std::chrono::steady_clock::now();
  const int64_t ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now - start_)
          .count();
  int64_t due = next_draw_ms_.load(std::memory_order_relaxed);
  if (ms < due) return;
  // One of the threads that come now draws.
  if (next_draw_ms_.compare_exchange_strong(due, ms + kBetweenDrawsMs))
    Draw(now);
}

void Progress::SetDetail(std::string detail) {
  const MutexLock lock(mu_);
  detail_ = std::move(detail);
}

void Progress::Draw(std::chrono::steady_clock::time_point now) {
  const MutexLock lock(mu_);
  if (finished_) return;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const std::string line = ProgressLine(what_, done_.load(), total_, seconds,
                                        detail_, TerminalColumns());
  std::fprintf(stderr, "%s%s", kEraseLine, line.c_str());
  std::fflush(stderr);
  shown_ = true;
}

void Progress::Clear() {
  const MutexLock lock(mu_);
  if (!shown_) return;
  std::fputs(kEraseLine, stderr);
  std::fflush(stderr);
  shown_ = false;
}

void Progress::Finish() {
  Clear();
  const MutexLock lock(mu_);
  finished_ = true;
}

}  // namespace ufs
