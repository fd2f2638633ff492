#include "runtime/loopback.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"

namespace ufs::runtime {

Status BringUpLoopback() {
  const int raw = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const auto made = kernel::Check(raw);
  if (made.code() == EAFNOSUPPORT) return Ok();
  TRY(made);
  const UniqueFd any(raw);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  TRY(sys::Ioctl(any, SIOCGIFFLAGS, &request));
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  return sys::Ioctl(any, SIOCSIFFLAGS, &request);
}

}  // namespace ufs::runtime
