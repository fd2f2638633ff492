// UniqueFd owns a file descriptor; BorrowedFd looks at one that somebody else
// keeps open for at least as long. As std::string and std::string_view.
#pragma once

#include <unistd.h>

#include <utility>

namespace ufs {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(std::exchange(other.fd_, -1));
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

  // Never retried on EINTR: Linux has closed the descriptor by then, and a
  // second close could hit one that another thread has just been given.
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

class BorrowedFd {
 public:
  BorrowedFd(int fd) : fd_(fd) {}                          // NOLINT: implicit
  BorrowedFd(const UniqueFd& owner) : fd_(owner.get()) {}  // NOLINT: implicit
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace ufs
