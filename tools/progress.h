// Progress: one line on a terminal's stderr that says how far something is.
// Where stderr is no terminal it says nothing.
// Threads: Add from any; the rest from one.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "layerdb/base/mutex.h"

namespace ufs {

class Progress {
 public:
  // `total_bytes` 0: not known. Shown after the first tenth of a second, so
  // that what is quick stays silent.
  Progress(std::string what, uint64_t total_bytes);
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
  const bool on_;
  const std::chrono::steady_clock::time_point start_;
  std::atomic<uint64_t> done_{0};
  std::atomic<int64_t> next_draw_ms_;

  Mutex mu_;  // leaf
  std::string detail_ GUARDED_BY(mu_);
  bool shown_ GUARDED_BY(mu_) = false;
  bool finished_ GUARDED_BY(mu_) = false;
};

// The line itself, as wide as `columns` at most.
std::string ProgressLine(const std::string& what, uint64_t done, uint64_t total,
                         double seconds, const std::string& detail,
                         size_t columns);

}  // namespace ufs
