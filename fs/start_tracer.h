// StartTracer: the trace of a mount's start in a file. Where there is the file,
// what it names is read ahead; where there is none, the first minute is
// recorded into it.
//
// Nothing of it is worth failing a mount for: what goes wrong is logged.
// Threads: for one thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "fs/start_reader.h"
#include "fs/start_trace.h"
#include "fs/union_fs.h"

namespace ufs {

class StartTracer {
 public:
  // Borrows the union. `path` is absolute. Records from now on, if it does.
  StartTracer(UnionFs& fs, std::string path);
  // REQUIRES: nobody reads from the union.
  ~StartTracer();
  StartTracer(const StartTracer&) = delete;
  StartTracer& operator=(const StartTracer&) = delete;

  // Begins to read ahead. The mount is of use by then: until it is, its daemon
  // needs the disk for itself.
  void ReadAhead();
  // To be called every few seconds.
  void KeepHouse();
  // Reads no more ahead, and writes what was recorded.
  void Stop();

 private:
  UnionFs& fs_;
  const std::string path_;
  const std::chrono::steady_clock::time_point start_;
  std::vector<TraceEntry> entries_;  // until they are read ahead
  std::unique_ptr<StartReader> reader_;
  std::unique_ptr<TraceRecorder> recorder_;
  bool recording_ = false;
};

}  // namespace ufs
