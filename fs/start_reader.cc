#include "fs/start_reader.h"

#include <unistd.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "fs/background_thread.h"
#include "layerdb/base/log.h"

namespace ufs {
namespace {

// Measured on 1,018 files, cold: see bench/README.md.
constexpr int kThreads = 4;
constexpr uint64_t kPieceBytes = 16 << 20;
constexpr int kShareOfMemory = 8;

uint64_t MemoryBytes() {
  return static_cast<uint64_t>(std::max(0L, sysconf(_SC_PHYS_PAGES))) *
         static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

StartReader::StartReader(UnionFs& fs, std::vector<TraceEntry> entries)
    : fs_(fs),
      entries_(std::move(entries)),
      most_bytes_(MemoryBytes() / kShareOfMemory) {
  running_ = kThreads;
  for (int i = 0; i < kThreads; ++i) {
    try {
      threads_.emplace_back([this] { Run(); });
    } catch (const std::system_error&) {
      --running_;  // the others do, or nobody: the start is as slow as without
    }
  }
}

StartReader::~StartReader() {
  stop_ = true;
  Wait();
}

void StartReader::Wait() {
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void StartReader::Run() {
  BecomeBackgroundThread("ufs-start");
  while (!stop_) {
    const size_t at = next_++;
    if (at == 0) fs_.ReadNamesAhead();
    if (at >= entries_.size() || bytes_ > most_bytes_) break;
    if (ReadAhead(entries_[at])) ++found_;
  }
  if (--running_ == 0 && !stop_) Finish();
}

// False: no layer has it. By pieces, so that it can be ended.
bool StartReader::ReadAhead(const TraceEntry& entry) {
  bool found = false;
  for (uint64_t from = entry.begin;
       from < entry.end && !stop_ && bytes_ <= most_bytes_;) {
    const uint64_t to = from + std::min(kPieceBytes, entry.end - from);
    const auto read = fs_.ReadAheadData({from, to, entry.contents});
    if (!read.ok()) break;
    found = true;
    bytes_ += *read;
    if (*read == 0) break;  // the end of the file
    from = to;
  }
  return found;
}

void StartReader::Finish() {
  log::Debug("start trace: " + std::to_string(found_) + " of " +
             std::to_string(entries_.size()) + " read ahead, " +
             std::to_string(bytes_) + " bytes");
}

}  // namespace ufs
