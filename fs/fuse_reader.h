// FuseReaders: the threads that read requests from /dev/fuse and handle them.
// With the classic transport that is all requests; beside io_uring it is the
// first one, INIT, and FORGETs.
//
// Threads: for one thread, except where noted.
#pragma once

#include <signal.h>

#include <atomic>
#include <list>
#include <memory>
#include <thread>

#include "fs/fuse_adapter.h"
#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

class FuseReaders {
 public:
  // Handles INIT, for which another thread would only be waited for. There are
  // no threads until Grow. Borrows the session.
  static Result<std::unique_ptr<FuseReaders>> Start(fuse_session* session,
                                                    const FuseAdapter& adapter);
  // Ends the session for the threads, whether or not it is unmounted.
  ~FuseReaders();
  FuseReaders(const FuseReaders&) = delete;
  FuseReaders& operator=(const FuseReaders&) = delete;

  // `threads` in all, 0 for the default of the classic transport; how many
  // there are. EAGAIN if that is none.
  Result<int> Grow(int threads);

  // Readable when the mount is gone.
  int event_fd() const { return event_.get(); }
  // Waits for that, at most `timeout_ms` (-1: for ever), and resets it.
  bool Wait(int timeout_ms);
  // Whether the mount is gone, or reading from it failed.
  bool ended() const { return ended_.load(std::memory_order_acquire); }

 private:
  struct Reader {
    std::thread thread;
    std::atomic<bool> done{false};
  };

  FuseReaders(fuse_session* session, UniqueFd event)
      : session_(session), event_(std::move(event)) {}
  // False: there will be no more messages.
  bool HandleNext(fuse_buf& buffer);
  void Add();
  void Run(Reader& reader);
  void TellEnd();

  fuse_session* const session_;
  const UniqueFd event_;
  std::atomic<bool> ended_{false};
  std::list<Reader> readers_;
};

// How many threads this process has: libfuse does not say whether it started
// those of its rings. 0 where there is no /proc to tell.
uint64_t CountThreads();

}  // namespace ufs
