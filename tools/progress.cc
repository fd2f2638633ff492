#include "tools/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "tools/output.h"

namespace ufs {
namespace {

constexpr int64_t kBetweenDrawsMs = 100;
constexpr int64_t kFirstLineMs = 5'000;
constexpr int64_t kBetweenLinesMs = 10'000;
constexpr size_t kBarColumns = 24;
constexpr char kEraseLine[] = "\r\x1b[K";

size_t TerminalColumns() {
  struct winsize size {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
    return 80;
  return size.ws_col;
}

std::string Rate(uint64_t bytes, double seconds) {
  return FormatBytes(
             static_cast<uint64_t>(static_cast<double>(bytes) / seconds)) +
         "/s";
}

double PartOf(uint64_t done, uint64_t total) {
  return std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
}

}  // namespace

std::string ProgressLine(const std::string& what, uint64_t done, uint64_t total,
                         double seconds, const std::string& detail,
                         size_t columns) {
  std::string line = what + "  ";
  if (total > 0) {
    const double part = PartOf(done, total);
    const auto full = static_cast<size_t>(part * kBarColumns);
    line += '[' + std::string(full, '#') +
            std::string(kBarColumns - full, '.') + "] ";
    line += std::to_string(static_cast<int>(part * 100)) + " %  ";
  }
  line += FormatBytes(done);
  if (seconds >= 0.5) line += "  " + Rate(done, seconds);
  if (!detail.empty()) line += "  " + EscapePath(detail);
  if (columns > 0 && line.size() >= columns) line.resize(columns - 1);
  return line;
}

std::string PlainProgressLine(const std::string& what, uint64_t done,
                              uint64_t total, double seconds,
                              const std::string& detail) {
  std::string line = what + ": ";
  if (total > 0)
    line +=
        std::to_string(static_cast<int>(PartOf(done, total) * 100)) + " %, ";
  line += FormatBytes(done);
  if (total > 0) line += " of " + FormatBytes(std::max(done, total));
  if (seconds >= 0.5) line += ", " + Rate(done, seconds);
  if (!detail.empty()) line += ", " + EscapePath(detail);
  return line;
}

Progress::Style Progress::StyleOfStderr(bool for_programs) {
  if (isatty(STDERR_FILENO) == 1) return Style::kBar;
  return for_programs ? Style::kSilent : Style::kLines;
}

Progress::Progress(std::string what, uint64_t total_bytes, Style style,
                   std::FILE* out, Clock clock)
    : what_(std::move(what)),
      total_(total_bytes),
      style_(style),
      out_(out),
      clock_(std::move(clock)),
      start_(clock_()),
      next_draw_ms_(style == Style::kBar ? kBetweenDrawsMs : kFirstLineMs) {}

void Progress::Add(uint64_t bytes) {
  done_.fetch_add(bytes, std::memory_order_relaxed);
  if (style_ == Style::kSilent) return;
  const auto now = clock_();
  const int64_t ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now - start_)
          .count();
  int64_t due = next_draw_ms_.load(std::memory_order_relaxed);
  if (ms < due) return;
  const int64_t pause =
      style_ == Style::kBar ? kBetweenDrawsMs : kBetweenLinesMs;
  // One of the threads that come now draws.
  if (next_draw_ms_.compare_exchange_strong(due, ms + pause)) Draw(now);
}

void Progress::SetDetail(std::string detail) {
  const MutexLock lock(mu_);
  detail_ = std::move(detail);
}

void Progress::Draw(std::chrono::steady_clock::time_point now) {
  const MutexLock lock(mu_);
  if (finished_) return;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  if (style_ == Style::kLines) {
    const std::string line =
        PlainProgressLine(what_, done_.load(), total_, seconds, detail_);
    std::fprintf(out_, "%s\n", line.c_str());
    std::fflush(out_);
    return;
  }
  const std::string line = ProgressLine(what_, done_.load(), total_, seconds,
                                        detail_, TerminalColumns());
  std::fprintf(out_, "%s%s", kEraseLine, line.c_str());
  std::fflush(out_);
  shown_ = true;
}

void Progress::Clear() {
  const MutexLock lock(mu_);
  if (!shown_) return;
  std::fputs(kEraseLine, out_);
  std::fflush(out_);
  shown_ = false;
}

void Progress::Finish() {
  Clear();
  const MutexLock lock(mu_);
  finished_ = true;
}

}  // namespace ufs
