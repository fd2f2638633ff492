// The measured inner loops of bench/compare, one process per measurement, so
// that no interpreter noise is in the figures.
//
// An operation does its work under a stopwatch, checks afterwards and off the
// clock that what it read or wrote is right, and returns what it measured. An
// operation that finds a wrong byte, or a system call that fails, ends the
// process with a message and status 1: a benchmark that measures wrong answers
// measures nothing.
#pragma once

#include <fcntl.h>

#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace ufs::bench {

// What the command line gives an operation. Paths in `list` are relative to
// `root`.
struct Args {
  std::string root;  // the mounted union, or the plain directory
  std::vector<std::string>
      list;                    // --list: NUL-separated file, shuffled by --seed
  std::string file;            // --file: one path relative to root
  uint64_t count = 1000;       // --count
  uint64_t size = 1024;        // --size, bytes
  uint64_t block = 128 << 10;  // --block, bytes
  uint64_t seed = 1;           // --seed
  bool chroot = false;         // --chroot: exec inside root
  std::vector<std::string> command;
};

// What an operation measured. `check` is a hash over everything that was read,
// the same on every right filesystem.
struct Measured {
  double seconds = 0;
  uint64_t ops = 0;
  uint64_t bytes = 0;
  uint64_t check = 0;
  std::string output;  // of exec: what the command printed
};

// Accumulates the time between Start and Stop.
class Stopwatch {
 public:
  void Start() { begin_ = Clock::now(); }
  void Stop() { total_ += Clock::now() - begin_; }
  double seconds() const {
    return std::chrono::duration<double>(total_).count();
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point begin_;
  Clock::duration total_{};
};

// Owns a descriptor of the benchmark. (The project's UniqueFd reports errors as
// values; here every error is the end.)
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&&) = delete;
  ~Fd() { Close(); }
  int get() const { return fd_; }
  void Close();

 private:
  int fd_;
};

// Ends the process: "ufs_bench_workload: WHAT PATH: strerror(errno)".
[[noreturn]] void Die(const std::string& what, const std::string& path);
// Ends the process: "ufs_bench_workload: wrong: WHAT PATH".
[[noreturn]] void Wrong(const std::string& what, const std::string& path);

Fd OpenRoot(const Args& args);
Fd OpenAt(const Fd& dir, const std::string& path, int flags, mode_t mode = 0);
void WriteAll(const Fd& fd, const char* data, size_t size,
              const std::string& path);
// Reads to the end of the file, in blocks; the stopwatch runs during the reads
// alone.
std::string ReadAll(const Fd& fd, size_t block, const std::string& path,
                    Stopwatch* watch);

uint64_t HashBytes(const void* data, size_t size, uint64_t seed = 0);
inline uint64_t HashString(const std::string& text, uint64_t seed = 0) {
  return HashBytes(text.data(), text.size(), seed);
}
// `size` bytes that look like nothing in particular and follow from the seed.
std::string SeededBytes(size_t size, uint64_t seed);

// Metadata (meta_ops.cc).
Measured Walk(const Args& args);
Measured List(const Args& args);
Measured Stat(const Args& args);
Measured Negative(const Args& args);
Measured Create(const Args& args);
Measured Unlink(const Args& args);
Measured UnlinkLower(const Args& args);
Measured Chmod(const Args& args);
// What lies at --file and below it: names, types, permissions, contents and
// link targets. Nothing there is no error, and no ops.
Measured Sum(const Args& args);

// Data (data_ops.cc).
Measured OpenRead(const Args& args);
Measured Append(const Args& args);
Measured SequentialRead(const Args& args);
Measured RandomRead(const Args& args);
Measured MmapRead(const Args& args);
Measured SequentialWrite(const Args& args);
Measured RandomWrite(const Args& args);
Measured Fsync(const Args& args);
Measured OneByte(const Args& args);
Measured Generate(const Args& args);

// Programs and the places they run in (program_ops.cc).
Measured Exec(const Args& args);
Measured HoldUserNamespace(const Args& args);
Measured MountOverlay(const Args& args);

}  // namespace ufs::bench
