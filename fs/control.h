// The control socket of a mount: where `ufs stat` asks. A unix stream socket in
// a directory only its owner can enter, named after the mount's device number;
// each connection is answered with one JSON document and closed.
//
// The document, format 1, is described in ufs(1).
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>

#include "layerdb/base/result.h"

namespace ufs {

// Where the socket of the mount with device number `device` is, for the calling
// user: /run/ufs, else $XDG_RUNTIME_DIR/ufs, else /tmp/ufs-UID.
std::string ControlSocketPath(dev_t device);

// What the daemon of the mount at `mountpoint` says: the JSON document.
// ENOTCONN when the daemon is dead or the mount is not one of ufs, with a
// message that says which. Never waits longer than a few seconds.
Result<std::string> QueryControl(const std::string& mountpoint);

// The process of that daemon, as this pid namespace numbers it. Waits for
// nothing: the kernel tells who listens. Errors as QueryControl; ESRCH for one
// in another pid namespace.
Result<pid_t> DaemonOf(const std::string& mountpoint);

// Takes away the socket that a killed daemon left. False while a daemon still
// holds one.
bool RemoveDeadControlSocket(dev_t device);

// The daemon's side. Its own thread answers, so that a slow or silent client
// delays nobody but the next client, and that for at most a second.
class ControlServer {
 public:
  // `answer` makes the document; called on the server's thread.
  static Result<std::unique_ptr<ControlServer>> Start(
      dev_t device, std::function<std::string()> answer);
  virtual ~ControlServer() = default;  // stops the thread, removes the socket
};

}  // namespace ufs
