// Short words for what tests do with files all the time. Each of them fails the
// running test, naming the call and the path, when the system call under it
// fails; a test that expects a failure makes the system call itself.
#pragma once

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "layerdb/base/unique_fd.h"

namespace ufs::test {

using Names = std::vector<std::string>;

UniqueFd Open(const std::string& path, int flags, mode_t mode = 0644);

// Replaces the content of `path`, creating it with mode 0644 where missing.
void WriteFile(const std::string& path, std::string_view content);
void AppendFile(const std::string& path, std::string_view content);
void WriteAt(int fd, off_t offset, std::string_view content);
// Overwrites in place, without truncation.
void PatchFile(const std::string& path, off_t offset, std::string_view content);

std::string ReadFile(const std::string& path);
// The whole file behind a descriptor, from offset 0, by pread.
std::string ReadAll(int fd);
std::string ReadAt(int fd, off_t offset, size_t length);
std::string ReadLink(const std::string& path);

// Never follows a last symlink.
struct stat Stat(const std::string& path);
struct stat Fstat(int fd);
struct statx Statx(const std::string& path,
                   unsigned mask = STATX_BASIC_STATS | STATX_BTIME);
bool Exists(const std::string& path);
mode_t Mode(const std::string& path);  // permission and special bits only
ino_t Ino(const std::string& path);
off_t Size(const std::string& path);

// Names of a directory, sorted, without "." and "..".
Names List(const std::string& path);

struct DirEntry {
  uint64_t ino;
  int64_t next_offset;
  unsigned char type;
  std::string name;
};
// One getdents64 call with a buffer of `buffer_bytes`. Empty at the end, and
// also on failure, with *error (where given) set to the errno.
std::vector<DirEntry> Getdents(int fd, size_t buffer_bytes,
                               int* error = nullptr);
// Every entry of a directory from its current offset on.
std::vector<DirEntry> GetdentsAll(int fd, size_t buffer_bytes);

void SetXattr(const std::string& path, const std::string& name,
              std::string_view value, int flags = 0);
std::optional<std::string> GetXattr(const std::string& path,
                                    const std::string& name);
std::set<std::string> ListXattrs(const std::string& path);

// `length` bytes that differ from place to place and from seed to seed.
std::string Pattern(size_t length, unsigned seed = 1);

struct timespec At(time_t seconds, long nanoseconds = 0);
void SetTimes(const std::string& path, struct timespec atime,
              struct timespec mtime);

}  // namespace ufs::test

// Lets EXPECT_EQ compare and print times.
inline bool operator==(const struct timespec& a, const struct timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}
inline bool operator<(const struct timespec& a, const struct timespec& b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}
inline bool operator<=(const struct timespec& a, const struct timespec& b) {
  return !(b < a);
}
void PrintTo(const struct timespec& time, std::ostream* out);
