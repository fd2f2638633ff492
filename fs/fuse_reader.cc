#include "fs/fuse_reader.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <string>
#include <system_error>

#include "layerdb/base/log.h"
#include "layerdb/base/syscall.h"

namespace ufs {
namespace {

constexpr int kDefaultThreads = 2;

// Takes a thread out of a read that waits. Nothing else in the process uses it.
constexpr int kKick = SIGUSR2;

void InstallKick() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  sigemptyset(&action.sa_mask);
  sigaction(kKick, &action, nullptr);  // no SA_RESTART: that is the point
}

}  // namespace

Result<std::unique_ptr<FuseReaders>> FuseReaders::Start(
    fuse_session* session, const FuseAdapter& adapter) {
  UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.valid()) return Error(errno, "eventfd");
  InstallKick();
  std::unique_ptr<FuseReaders> readers(
      new FuseReaders(session, std::move(event)));
  fuse_buf buffer{};
  while (!adapter.initialized() && readers->HandleNext(buffer)) {
  }
  free(buffer.mem);
  if (!adapter.initialized() || fuse_session_exited(session))
    readers->TellEnd();
  return readers;
}

FuseReaders::~FuseReaders() {
  fuse_session_exit(session_);
  for (Reader& reader : readers_) {
    // A kick that comes just before the thread waits is lost, so it is
    // repeated.
    while (!reader.done.load(std::memory_order_acquire)) {
      pthread_kill(reader.thread.native_handle(), kKick);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    reader.thread.join();
  }
}

Result<int> FuseReaders::Grow(int threads) {
  if (threads <= 0) threads = kDefaultThreads;
  while (static_cast<int>(readers_.size()) < threads) {
    try {
      Add();
    } catch (const std::system_error&) {
      if (readers_.empty()) return Error(EAGAIN, "starting a thread");
      log::Warn("no more threads to be had; going on with " +
                std::to_string(readers_.size()));
      break;
    }
  }
  return static_cast<int>(readers_.size());
}

void FuseReaders::Add() {
  Reader& reader = readers_.emplace_back();
  try {
    reader.thread = std::thread([this, &reader] { Run(reader); });
  } catch (...) {
    readers_.pop_back();
    throw;
  }
}

bool FuseReaders::HandleNext(fuse_buf& buffer) {
  if (fuse_session_exited(session_)) return false;
  const int size = fuse_session_receive_buf(session_, &buffer);
  if (size == -EINTR) return true;
  if (size <= 0) return false;  // unmounted, or an error that libfuse has told
  fuse_session_process_buf(session_, &buffer);
  return true;
}

void FuseReaders::Run(Reader& reader) {
  pthread_setname_np(pthread_self(), "ufs-reader");
  fuse_buf buffer{};
  while (HandleNext(buffer)) {
  }
  TellEnd();
  free(buffer.mem);
  reader.done.store(true, std::memory_order_release);
}

void FuseReaders::TellEnd() {
  ended_.store(true, std::memory_order_release);
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written =
      write(event_.get(), &one, sizeof(one));  // cannot overflow
}

bool FuseReaders::Wait(int timeout_ms) {
  pollfd waiting{event_.get(), POLLIN, 0};
  int ready;
  do ready = poll(&waiting, 1, timeout_ms);
  while (ready < 0 && errno == EINTR);
  if (ready <= 0) return false;
  uint64_t count;
  return read(event_.get(), &count, sizeof(count)) == sizeof(count);
}

uint64_t CountThreads() {
  const auto tasks = sys::Statx({AT_FDCWD, "/proc/self/task"});
  constexpr uint64_t kOfADirectory = 2;
  return tasks.ok() && tasks->stx_nlink > kOfADirectory
             ? tasks->stx_nlink - kOfADirectory
             : 0;
}

}  // namespace ufs
