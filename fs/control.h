// The control socket of a mount: where `ufs stat` asks. A unix stream socket in
// a directory only its owner can enter, named after the mount's device number.
// What a client says first decides:
//   nothing   it is answered with one JSON document, format 1, described in
//             ufs(1)
//   "hold\n"  the mount stands still: no request is begun, and what was
//             answered is in the upper, all of it. Answered with "held\n", or
//             "error ERRNO MESSAGE\n". It goes on when the client says
//             "release\n", or goes, or has taken longer than its time. The
//             first is answered with "released\n", or with "expired\n" where
//             the time was over. One holds at a time. While he does he may say
//             "hold\n" again, which tells whether he still does, and
//             "freeze\n": the upper begins afresh, and what was in it is a
//             layer (frozen_upper.h). He has completed the files that were not
//             used since the mount (`ufs complete`). Answered with
//             "frozen\n", or as above.
//   "trace\n" what is read of the layers is noted until the client says
//             "end\n", or goes. Answered with "tracing\n", or an error as
//             above; then with a trace (start_trace.h) and "end\n". One traces
//             at a time.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

// Where the socket of the mount with device number `device` is, for the calling
// user: /run/ufs, else $XDG_RUNTIME_DIR/ufs, else /tmp/ufs-UID.
std::string ControlSocketPath(dev_t device);

// What the daemon of the mount at `mountpoint` says: the JSON document.
// ENOTCONN when the daemon is dead or the mount is not one of ufs, with a
// message that says which. Never waits longer than a few seconds.
Result<std::string> QueryControl(const std::string& mountpoint);

// A mount that stands still, for as long as this lives: whoever asks it for
// anything waits. So its holder must not, and should be quick.
class MountHold {
 public:
  // EBUSY while requests under way do not end or another holds it, EPROTO for a
  // daemon that knows no such thing; errors as QueryControl.
  static Result<MountHold> Begin(const std::string& mountpoint);
  // ETIMEDOUT: the mount was let go before, and may have changed.
  Status Check();
  // The upper begins afresh, and what was in it is the mount's topmost layer.
  // ETIMEDOUT: the mount was let go before. Else as UnionFs::Freeze.
  Status Freeze();
  // Lets it go. ETIMEDOUT: it was let go before, for it took too long.
  Status End();

 private:
  explicit MountHold(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// Notes what a mount reads of its layers, for as long as this lives.
class MountTrace {
 public:
  // EBUSY while another does, or the mount itself (trace=); EPROTO for a daemon
  // that knows no such thing; errors as QueryControl.
  static Result<MountTrace> Begin(const std::string& mountpoint);
  // What was read, as a trace file has it. EIO: the daemon went away.
  Result<std::string> End();

 private:
  explicit MountTrace(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// The process of that daemon, as this pid namespace numbers it. Waits for
// nothing: the kernel tells who listens. Errors as QueryControl; ESRCH for one
// in another pid namespace.
Result<pid_t> DaemonOf(const std::string& mountpoint);

// Takes away the socket that a killed daemon left. False while a daemon still
// holds one.
bool RemoveDeadControlSocket(dev_t device);

// How a mount is held; called on the server's thread.
struct Holding {
  std::function<Status()> hold;
  std::function<void()> release;       // after each `hold` that was right, once
  std::chrono::milliseconds limit{0};  // on the time between
  std::function<Status()> freeze = nullptr;  // in that time
};

// How what is read is noted; called on the server's thread.
struct Tracing {
  std::function<Status()> begin = nullptr;
  std::function<std::string()> end =
      nullptr;  // after each that was right, once
};

// The daemon's side. Its own thread answers, so that a slow or silent client
// delays nobody but the next client, and that for a few seconds at most.
class ControlServer {
 public:
  // `answer` makes the document; called on the server's thread. Who asks waits
  // until Serve.
  static Result<std::unique_ptr<ControlServer>> Listen(
      dev_t device, std::function<std::string()> answer, Holding holding = {},
      Tracing tracing = {});
  virtual ~ControlServer() = default;  // stops the thread, removes the socket
  // Starts the thread, once; throws std::system_error where none can be had.
  virtual void Serve() = 0;
};

}  // namespace ufs
