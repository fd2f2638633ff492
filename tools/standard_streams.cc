#include "tools/standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "layerdb/base/syscall.h"

namespace ufs {

bool FillStandardStreams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(stream, F_GETFD) >= 0 || errno != EBADF) continue;
    auto null =
        sys::Open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    // The lowest number that is free is this one, and it is to stay open over
    // an exec.
    if (!null.ok() || null->get() != stream || fcntl(stream, F_SETFD, 0) != 0)
      return false;
    (void)null->release();
  }
  return true;
}

}  // namespace ufs
