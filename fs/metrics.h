// Counters and latency histograms of the messages a mount answers: what
// `ufs stat` shows, and what the tests of the message budget read.
//
// Threads: Record may be called from any thread at any time and takes no lock;
// a snapshot is not one instant, but no count in it is ever lost.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace ufs {

// One kind of message from the kernel. The names are those of <linux/fuse.h>.
enum class Message : uint8_t {
  kLookup,
  kForget,
  kGetAttr,
  kStatx,
  kSetAttr,
  kReadLink,
  kMkNod,
  kMkDir,
  kUnlink,
  kRmDir,
  kSymlink,
  kRename,
  kLink,
  kOpen,
  kRead,
  kWrite,
  kFlush,
  kRelease,
  kFSync,
  kOpenDir,
  kReadDir,
  kReadDirPlus,
  kReleaseDir,
  kFSyncDir,
  kStatFs,
  kSetXattr,
  kGetXattr,
  kListXattr,
  kRemoveXattr,
  kAccess,
  kCreate,
  kTmpFile,
  kIoctl,
  kFallocate,
  kLSeek,
  kCopyFileRange,
  kCount,
};

// "LOOKUP", "GETATTR", ...
std::string_view NameOf(Message message);

// Durations in buckets of at most 12.5 % width: eight to each power of two.
class Histogram {
 public:
  void Record(uint64_t ns);

  uint64_t count() const { return count_.load(std::memory_order_relaxed); }
  double MeanNs() const;
  // The duration that a share `q` of the recorded ones does not exceed, as the
  // upper end of its bucket; 0 when nothing was recorded. 0 <= q <= 1.
  uint64_t QuantileNs(double q) const;

 private:
  static constexpr int kStepBits = 3;
  static constexpr size_t kSteps = size_t{1} << kStepBits;
  // 2^36 ns is over a minute; whatever is longer is in the last bucket.
  static constexpr size_t kBuckets = (36 - kStepBits + 1) * kSteps;

  static size_t BucketOf(uint64_t ns);
  static uint64_t UpperEndOf(size_t bucket);

  std::atomic<uint64_t> count_{0};
  std::atomic<uint64_t> sum_ns_{0};
  std::array<std::atomic<uint64_t>, kBuckets> buckets_{};
};

struct MessageStats {
  Message message;
  uint64_t count;
  uint64_t errors;  // answered with an errno
  double mean_us;
  double p50_us;
  double p99_us;
};

class Metrics {
 public:
  Metrics() = default;
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // One message that took `ns` from its arrival to its answer; `code` is the
  // errno it was answered with, or 0. Called before the answer is sent, so that
  // who has the answer finds it counted.
  void Record(Message message, uint64_t ns, int code);

  uint64_t CountOf(Message message) const;
  // The kinds that were seen, in the order of Message.
  std::vector<MessageStats> Snapshot() const;

 private:
  struct Kind {
    Histogram latency;
    std::atomic<uint64_t> errors{0};
  };
  Kind& KindOf(Message message);

  // Made for the first message of a kind, never changed then: most kinds never
  // come, and a mount that begins has no pages of zeros to fill.
  std::array<std::atomic<Kind*>, static_cast<size_t>(Message::kCount)> kinds_{};
};

}  // namespace ufs
