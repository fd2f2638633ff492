// What calls on a mount fail with whose daemon is gone.
#pragma once

#include <cerrno>

namespace ufs {

// The last is heard while the rings of io_uring end.
inline bool IsOfDeadDaemon(int code) {
  return code == ENOTCONN || code == ECONNABORTED || code == ECANCELED;
}

}  // namespace ufs
