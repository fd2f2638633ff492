#include "fs/metrics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>

namespace ufs {
namespace {

constexpr std::string_view kNames[] = {
    "LOOKUP",          "FORGET",      "GETATTR",    "STATX",       "SETATTR",
    "READLINK",        "MKNOD",       "MKDIR",      "UNLINK",      "RMDIR",
    "SYMLINK",         "RENAME",      "LINK",       "OPEN",        "READ",
    "WRITE",           "FLUSH",       "RELEASE",    "FSYNC",       "OPENDIR",
    "READDIR",         "READDIRPLUS", "RELEASEDIR", "FSYNCDIR",    "STATFS",
    "SETXATTR",        "GETXATTR",    "LISTXATTR",  "REMOVEXATTR", "ACCESS",
    "CREATE",          "TMPFILE",     "IOCTL",      "FALLOCATE",   "LSEEK",
    "COPY_FILE_RANGE",
};
static_assert(std::size(kNames) == static_cast<size_t>(Message::kCount));

}  // namespace

std::string_view NameOf(Message message) {
  return kNames[static_cast<size_t>(message)];
}

// Values below kSteps have a bucket each. Above, the bucket is the position of
// the highest bit and the kStepBits bits that follow it.
size_t Histogram::BucketOf(uint64_t ns) {
  if (ns < kSteps) return ns;
  const int shift = std::bit_width(ns) - 1 - kStepBits;
  const size_t bucket = (static_cast<size_t>(shift) << kStepBits) +
                        static_cast<size_t>(ns >> shift);
  return std::min(bucket, kBuckets - 1);
}

uint64_t Histogram::UpperEndOf(size_t bucket) {
  if (bucket < kSteps) return bucket;
  const size_t shift = (bucket >> kStepBits) - 1;
  const uint64_t start = (kSteps + (bucket & (kSteps - 1))) << shift;
  return start + (uint64_t{1} << shift) - 1;
}

void Histogram::Record(uint64_t ns) {
  buckets_[BucketOf(ns)].fetch_add(1, std::memory_order_relaxed);
  sum_ns_.fetch_add(ns, std::memory_order_relaxed);
  count_.fetch_add(1, std::memory_order_relaxed);
}

double Histogram::MeanNs() const {
  const uint64_t n = count();
  if (n == 0) return 0;
  return static_cast<double>(sum_ns_.load(std::memory_order_relaxed)) / n;
}

uint64_t Histogram::QuantileNs(double q) const {
  // The buckets are summed here rather than taken from count_: the two may
  // differ while others record.
  uint64_t total = 0;
  for (const auto& bucket : buckets_)
    total += bucket.load(std::memory_order_relaxed);
  if (total == 0) return 0;

  const uint64_t rank =
      std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(q * total)));
  uint64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += buckets_[i].load(std::memory_order_relaxed);
    if (seen >= rank) return UpperEndOf(i);
  }
  return UpperEndOf(kBuckets - 1);
}

Metrics::~Metrics() {
  for (const auto& kind : kinds_) delete kind.load();
}

Metrics::Kind& Metrics::KindOf(Message message) {
  std::atomic<Kind*>& slot = kinds_[static_cast<size_t>(message)];
  Kind* kind = slot.load(std::memory_order_acquire);
  if (kind != nullptr) return *kind;
  auto made = std::make_unique<Kind>();
  if (slot.compare_exchange_strong(kind, made.get(), std::memory_order_acq_rel))
    return *made.release();
  return *kind;  // another thread's, which was first
}

void Metrics::Record(Message message, uint64_t ns, int code) {
  Kind& kind = KindOf(message);
  if (code != 0) kind.errors.fetch_add(1, std::memory_order_relaxed);
  kind.latency.Record(ns);
}

uint64_t Metrics::CountOf(Message message) const {
  const Kind* const kind =
      kinds_[static_cast<size_t>(message)].load(std::memory_order_acquire);
  return kind == nullptr ? 0 : kind->latency.count();
}

std::vector<MessageStats> Metrics::Snapshot() const {
  std::vector<MessageStats> stats;
  for (size_t i = 0; i < kinds_.size(); ++i) {
    const Kind* const kind = kinds_[i].load(std::memory_order_acquire);
    const uint64_t count = kind == nullptr ? 0 : kind->latency.count();
    if (count == 0) continue;
    stats.push_back({static_cast<Message>(i), count,
                     kind->errors.load(std::memory_order_relaxed),
                     kind->latency.MeanNs() / 1e3,
                     kind->latency.QuantileNs(0.50) / 1e3,
                     kind->latency.QuantileNs(0.99) / 1e3});
  }
  return stats;
}

}  // namespace ufs
