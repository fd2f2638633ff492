#include "fs/transport.h"

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <mutex>
#include <string>
#include <string_view>

#include "layerdb/base/syscall.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {
namespace {

constexpr char kSwitch[] = "/sys/module/fuse/parameters/enable_uring";
constexpr char kPossible[] = "/sys/devices/system/cpu/possible";

Result<std::string> ReadLine(const char* path) {
  const UniqueFd fd = TRY(sys::Open(path, O_RDONLY).With(path));
  char buffer[256];
  const size_t got = TRY(sys::Read(fd, buffer, sizeof(buffer)).With(path));
  std::string_view text(buffer, got);
  return std::string(text.substr(0, text.find('\n')));
}

// "0-3" or "0": the last number, and one more.
Result<unsigned> PossibleCpus() {
  const std::string text = TRY(ReadLine(kPossible));
  const size_t start = text.find_last_of("-,") + 1;  // npos + 1 is 0
  unsigned last = 0;
  const auto parsed =
      std::from_chars(text.data() + start, text.data() + text.size(), last);
  if (parsed.ec != std::errc())
    return Error(EINVAL, std::string(kPossible) + " says '" + text + "'");
  return last + 1;
}

// Asks for a ring of no entries: who may have none at all hears of that first.
// What else is in the way shows when libfuse makes its rings.
Status TryRing() {
  io_uring_params params{};
  const long made = syscall(SYS_io_uring_setup, 0, &params);
  if (made < 0 && errno == EINVAL) return Ok();
  return Error(errno,
               "io_uring is not permitted to this process (sysctl "
               "kernel.io_uring_disabled, or a seccomp filter)");
}

}  // namespace

Result<unsigned> ProbeIoUring() {
  const Result<std::string> enabled = ReadLine(kSwitch);
  if (!enabled.ok())
    return Error(ENOSYS, "this kernel has no FUSE over io_uring (Linux 6.14)");
  if (*enabled != "Y")
    return Error(EOPNOTSUPP,
                 std::string("FUSE over io_uring is switched off; as root: "
                             "echo 1 > ") +
                     kSwitch);
  TRY(TryRing());
  // The kernel waits for a ring on each CPU that could ever be there; libfuse
  // makes one for each that the C library counts.
  const unsigned possible = TRY(PossibleCpus());
  const unsigned counted = static_cast<unsigned>(get_nprocs_conf());
  if (possible != counted)
    return Error(EOPNOTSUPP, "the kernel may bring up " +
                                 std::to_string(possible) +
                                 " CPUs, of which only " +
                                 std::to_string(counted) + " can have a ring");
  return counted;
}

// Deep enough that a few fsyncs do not hold up the lookups behind them; bounded
// over all rings, as each request keeps a buffer of one transfer.
unsigned RingDepth(unsigned cpus) {
  return std::clamp(64u / std::max(cpus, 1u), 4u, 16u);
}

}  // namespace ufs

// What libfuse's rings ask of libnuma, which reads /sys and /proc whenever a
// program starts that is linked with it, mount or not. Memory is the node's
// whose processor touches it first, and a ring stays on its own.
extern "C" {

// A ring asks for some thirty pieces, in whole pages, which it gives back one
// by one: they are cut from mappings that all rings share, or their threads
// would wait for each other to change what the process has mapped.
void* numa_alloc_local(size_t size) {
  constexpr size_t kMappingBytes = 64 << 20;
  static std::mutex mu;
  static char* next = nullptr;
  static size_t left = 0;
  const std::lock_guard lock(mu);
  if (size > left) {
    const auto map = [](size_t bytes) {
      return mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    };
    size_t bytes = std::max(size, kMappingBytes);
    void* made = map(bytes);
    if (made == MAP_FAILED) made = map(bytes = size);  // little may be had
    if (made == MAP_FAILED) return nullptr;
    if (left > 0) munmap(next, left);
    next = static_cast<char*>(made);
    left = bytes;
  }
  char* const memory = next;
  next += size;
  left -= size;
  return memory;
}

void numa_free(void* memory, size_t size) { munmap(memory, size); }

int numa_node_of_cpu(int) { return 0; }  // is kept, and never asked for

}  // extern "C"
