#include "tests/harness/files.h"

#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <ostream>

#include "tests/harness/expect.h"

namespace ufs::test {
namespace {

// Records a failure of `call` on `path` in the running test.
void Fail(const char* call, const std::string& path) {
  const int error = errno;
  ADD_FAILURE() << call << " " << path << ": " << ErrnoName(error) << " ("
                << strerror(error) << ")";
}

void WriteWhole(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0) return Fail("write", path);
    content.remove_prefix(static_cast<size_t>(n));
  }
}

}  // namespace

UniqueFd Open(const std::string& path, int flags, mode_t mode) {
  UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd.valid()) Fail("open", path);
  return fd;
}

void WriteFile(const std::string& path, std::string_view content) {
  UniqueFd fd = Open(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (fd.valid()) WriteWhole(fd.get(), content, path);
}

void AppendFile(const std::string& path, std::string_view content) {
  UniqueFd fd = Open(path, O_WRONLY | O_APPEND);
  if (fd.valid()) WriteWhole(fd.get(), content, path);
}

void WriteAt(int fd, off_t offset, std::string_view content) {
  while (!content.empty()) {
    ssize_t n = ::pwrite(fd, content.data(), content.size(), offset);
    if (n < 0) return Fail("pwrite", "fd " + std::to_string(fd));
    content.remove_prefix(static_cast<size_t>(n));
    offset += n;
  }
}

void PatchFile(const std::string& path, off_t offset,
               std::string_view content) {
  UniqueFd fd = Open(path, O_WRONLY);
  if (fd.valid()) WriteAt(fd.get(), offset, content);
}

std::string ReadFile(const std::string& path) {
  UniqueFd fd = Open(path, O_RDONLY);
  return fd.valid() ? ReadAll(fd.get()) : std::string();
}

std::string ReadAll(int fd) {
  std::string content;
  std::string buffer(1 << 16, '\0');
  for (;;) {
    ssize_t n = ::pread(fd, buffer.data(), buffer.size(),
                        static_cast<off_t>(content.size()));
    if (n < 0) Fail("pread", "fd " + std::to_string(fd));
    if (n <= 0) return content;
    content.append(buffer, 0, static_cast<size_t>(n));
  }
}

std::string ReadAt(int fd, off_t offset, size_t length) {
  std::string content(length, '\0');
  size_t done = 0;
  while (done < length) {
    ssize_t n = ::pread(fd, content.data() + done, length - done,
                        offset + static_cast<off_t>(done));
    if (n < 0) Fail("pread", "fd " + std::to_string(fd));
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  content.resize(done);
  return content;
}

std::string ReadLink(const std::string& path) {
  std::string target(4097, '\0');
  ssize_t n = ::readlink(path.c_str(), target.data(), target.size());
  if (n < 0) {
    Fail("readlink", path);
    n = 0;
  }
  target.resize(static_cast<size_t>(n));
  return target;
}

struct stat Stat(const std::string& path) {
  struct stat st = {};
  if (::lstat(path.c_str(), &st) != 0) Fail("lstat", path);
  return st;
}

struct stat Fstat(int fd) {
  struct stat st = {};
  if (::fstat(fd, &st) != 0) Fail("fstat", "fd " + std::to_string(fd));
  return st;
}

struct statx Statx(const std::string& path, unsigned mask) {
  struct statx stx = {};
  if (::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, mask, &stx) != 0) {
    Fail("statx", path);
  }
  return stx;
}

bool Exists(const std::string& path) {
  struct stat st;
  if (::lstat(path.c_str(), &st) == 0) return true;
  if (errno != ENOENT) Fail("lstat", path);
  return false;
}

mode_t Mode(const std::string& path) { return Stat(path).st_mode & 07777; }
ino_t Ino(const std::string& path) { return Stat(path).st_ino; }
off_t Size(const std::string& path) { return Stat(path).st_size; }

Names List(const std::string& path) {
  Names names;
  UniqueFd fd = Open(path, O_RDONLY | O_DIRECTORY);
  if (!fd.valid()) return names;
  for (const DirEntry& entry : GetdentsAll(fd.get(), 1 << 16)) {
    if (entry.name != "." && entry.name != "..") names.push_back(entry.name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<DirEntry> Getdents(int fd, size_t buffer_bytes, int* error) {
  std::vector<DirEntry> entries;
  std::string buffer(buffer_bytes, '\0');
  long n = ::syscall(SYS_getdents64, fd, buffer.data(), buffer.size());
  if (n < 0) {
    if (error == nullptr) {
      Fail("getdents64", "fd " + std::to_string(fd));
    } else {
      *error = errno;
    }
    return entries;
  }
  // struct linux_dirent64: u64 ino, s64 off, u16 reclen, u8 type, char name[].
  for (long at = 0; at < n;) {
    const char* raw = buffer.data() + at;
    DirEntry entry;
    uint16_t length;
    memcpy(&entry.ino, raw, 8);
    memcpy(&entry.next_offset, raw + 8, 8);
    memcpy(&length, raw + 16, 2);
    entry.type = static_cast<unsigned char>(raw[18]);
    entry.name = raw + 19;
    entries.push_back(std::move(entry));
    at += length;
  }
  return entries;
}

std::vector<DirEntry> GetdentsAll(int fd, size_t buffer_bytes) {
  std::vector<DirEntry> all;
  for (;;) {
    std::vector<DirEntry> some = Getdents(fd, buffer_bytes);
    if (some.empty()) return all;
    for (DirEntry& entry : some) all.push_back(std::move(entry));
  }
}

void SetXattr(const std::string& path, const std::string& name,
              std::string_view value, int flags) {
  if (::lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(),
                  flags) != 0) {
    Fail(("lsetxattr " + name).c_str(), path);
  }
}

std::optional<std::string> GetXattr(const std::string& path,
                                    const std::string& name) {
  std::string value(65536, '\0');
  ssize_t n =
      ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
  if (n < 0) {
    if (errno != ENODATA) Fail(("lgetxattr " + name).c_str(), path);
    return std::nullopt;
  }
  value.resize(static_cast<size_t>(n));
  return value;
}

std::set<std::string> ListXattrs(const std::string& path) {
  std::string list(65536, '\0');
  ssize_t n = ::llistxattr(path.c_str(), list.data(), list.size());
  if (n < 0) {
    Fail("llistxattr", path);
    n = 0;
  }
  std::set<std::string> names;
  for (const char* p = list.data(); p < list.data() + n; p += strlen(p) + 1) {
    names.insert(p);
  }
  return names;
}

std::string Pattern(size_t length, unsigned seed) {
  std::string bytes(length, '\0');
  uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
  for (char& byte : bytes) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<char>(state >> 56);
  }
  return bytes;
}

struct timespec At(time_t seconds, long nanoseconds) {
  return {seconds, nanoseconds};
}

void SetTimes(const std::string& path, struct timespec atime,
              struct timespec mtime) {
  const struct timespec times[2] = {atime, mtime};
  if (::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
    Fail("utimensat", path);
  }
}

}  // namespace ufs::test

void PrintTo(const struct timespec& time, std::ostream* out) {
  char text[48];
  snprintf(text, sizeof text, "%lld.%09ld", static_cast<long long>(time.tv_sec),
           time.tv_nsec);
  *out << text;
}
