#include "layerdb/checked_mark.h"

#include <fcntl.h>
#include <time.h>

#include <utility>

#include "layerdb/base/cleanup.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

constexpr char kBootId[] = "/proc/sys/kernel/random/boot_id";
constexpr size_t kMostBytes = 256;

// Ticks of the clock that files are stamped with are 1 to 10 ms; or whole
// seconds, on file systems that keep no more of a time.
constexpr int64_t kTicksNs = 100'000'000;

int64_t Nanoseconds(int64_t seconds, int64_t nanoseconds) {
  return seconds * 1'000'000'000 + nanoseconds;
}

Result<std::string> Describe(const struct statx& stat) {
  std::string text =
      TRY(ReadSmallFile({AT_FDCWD, kBootId}, kMostBytes));  // with its newline
  for (const uint64_t number :
       {uint64_t{stat.stx_dev_major}, uint64_t{stat.stx_dev_minor},
        uint64_t{stat.stx_ino}, uint64_t{stat.stx_size},
        static_cast<uint64_t>(
            Nanoseconds(stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec))})
    text += std::to_string(number) + "\n";
  return text;
}

}  // namespace

CheckedMark::CheckedMark(BorrowedFd dir, std::string name, BorrowedFd file)
    : dir_(dir), name_(std::move(name)) {
  const auto stat = sys::Statx({file});
  if (!stat.ok()) return;
  auto text = Describe(*stat);
  if (!text.ok()) return;
  text_ = std::move(text).value();
  timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return;
  settled_ = stat->stx_ctime.tv_nsec != 0 &&
             Nanoseconds(stat->stx_ctime.tv_sec, stat->stx_ctime.tv_nsec) <
                 Nanoseconds(now.tv_sec, now.tv_nsec) - kTicksNs;
}

bool CheckedMark::Holds() const {
  if (text_.empty()) return false;
  const auto there = ReadSmallFile({dir_, name_.c_str()}, kMostBytes);
  return there.ok() && *there == text_;
}

// Not synced: after a crash it would not hold.
void CheckedMark::Set() const {
  if (text_.empty() || !settled_) return;
  const std::string draft = TemporaryNameFor(name_);
  const sys::At at{dir_, draft.c_str()};
  const auto file = sys::OpenAt(at, O_WRONLY | O_CREAT | O_EXCL, 0644);
  if (!file.ok()) return;
  Cleanup remove([&] { (void)sys::UnlinkAt(at); });
  if (!WriteAll(*file, text_, 0).ok()) return;
  if (sys::RenameAt2(at, {dir_, name_.c_str()}).ok()) remove.Dismiss();
}

}  // namespace ufs
