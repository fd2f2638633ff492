// Progress: says on stderr how far something is. On a terminal it is one line,
// drawn anew; elsewhere a line now and then, for logs, of what takes long.
// Threads: Add from any; the rest from one.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>

#include "layerdb/base/mutex.h"

namespace ufs {

class Progress {
 public:
  enum class Style {
    kBar,    // after the first tenth of a second: what is quick stays silent
    kLines,  // the first after five seconds, then every ten
    kSilent,
  };
  // What stderr is for. Programs that read our output get no lines in logs.
  static Style StyleOfStderr(bool for_programs);
  using Clock = std::function<std::chrono::steady_clock::time_point()>;

  // `total_bytes` 0: not known. `out` is borrowed.
  Progress(std::string what, uint64_t total_bytes, Style style,
           std::FILE* out = stderr,
           Clock clock = std::chrono::steady_clock::now);
  ~Progress() { Finish(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Add(uint64_t bytes);
  // What is being worked on, at the end of the line.
  void SetDetail(std::string detail);

  // Takes the line away, so that something else can be printed; the next Add
  // brings it back.
  void Clear();
  // The same, for good.
  void Finish();

 private:
  void Draw(std::chrono::steady_clock::time_point now);

  const std::string what_;
  const uint64_t total_;
  const Style style_;
  std::FILE* const out_;
  const Clock clock_;
  const std::chrono::steady_clock::time_point start_;
  std::atomic<uint64_t> done_{0};
  std::atomic<int64_t> next_draw_ms_;

  Mutex mu_;  // leaf
  std::string detail_ GUARDED_BY(mu_);
  bool shown_ GUARDED_BY(mu_) = false;
  bool finished_ GUARDED_BY(mu_) = false;
};

// The line that is drawn, as wide as `columns` at most.
std::string ProgressLine(const std::string& what, uint64_t done, uint64_t total,
                         double seconds, const std::string& detail,
                         size_t columns);
// The line for logs.
std::string PlainProgressLine(const std::string& what, uint64_t done,
                              uint64_t total, double seconds,
                              const std::string& detail);

}  // namespace ufs
