// StartReader: makes the host read ahead what a trace says that a start needs,
// while the start goes on. Threads of its own, which give way to others, a few
// so that the disk has several reads to choose from.
//
// Contents that no layer has, or that cannot be read, are passed over. What is
// read ahead is page cache, no more than an eighth of the machine's memory.
// Threads: any may end it.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "fs/start_trace.h"
#include "fs/union_fs.h"

namespace ufs {

class StartReader {
 public:
  // Borrows the union.
  StartReader(UnionFs& fs, std::vector<TraceEntry> entries);
  ~StartReader();  // waits for the reads being started, and for nothing else
  StartReader(const StartReader&) = delete;
  StartReader& operator=(const StartReader&) = delete;

  // Waits until all is asked for.
  void Wait();
  bool done() const { return running_ == 0; }
  // So far: entries that some layer has, and their bytes.
  size_t found() const { return found_; }
  uint64_t bytes() const { return bytes_; }

 private:
  void Run();
  bool ReadAhead(const TraceEntry& entry);
  void Finish();

  UnionFs& fs_;
  const std::vector<TraceEntry> entries_;
  const uint64_t most_bytes_;
  std::atomic<size_t> next_{0};
  std::atomic<size_t> found_{0};
  std::atomic<uint64_t> bytes_{0};
  std::atomic<bool> stop_{false};
  std::atomic<int> running_{0};
  std::vector<std::thread> threads_;
};

}  // namespace ufs
