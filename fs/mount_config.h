// How a union is served: what the session needs to know beside the union
// itself. The result of parsing a command line, plain data.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace ufs {

// How requests travel between the kernel and the daemon.
enum class Transport {
  kAuto,     // io_uring where the kernel takes it, else classic
  kIoUring,  // io_uring, and an error that says why where it cannot be had
  kClassic,  // reads and writes of /dev/fuse
};

// Whether the kernel reads and writes files of the upper by itself.
enum class Passthrough {
  kOff,
  kAuto,  // where it can be had
  kOn,    // and an error that says why where it cannot
};

struct MountConfig {
  std::string mountpoint;       // absolute
  std::string source = "ufs";   // the first column of /proc/mounts
  std::string subtype = "ufs";  // the type there is "fuse.SUBTYPE"

  // Generic mount options as given and in their order, each as mount(8) spells
  // it: "ro", "noexec", "nosuid", "nodev", "noatime", "sync", "dirsync",
  // "context=...", ... The session adds its defaults around them: what is here
  // wins.
  std::vector<std::string> mount_options;
  bool read_only = false;
  // Whether other users may enter. Not set: yes for root and within a user
  // namespace, else no, as fusermount3 asks for a line in /etc/fuse.conf.
  std::optional<bool> allow_other;

  Transport transport = Transport::kAuto;
  // Threads that read requests on the classic transport; 0: the default.
  int threads = 0;
  // The threads of rings may be SCHED_IDLE where more is answered then.
  bool rings_may_idle = true;
  // How long the kernel may answer from what it knows. All changes come through
  // the mount, so the default is long.
  std::chrono::milliseconds cache_timeout = std::chrono::hours(24);
  bool acl = true;     // POSIX ACLs, enforced by the kernel
  bool xattrs = true;  // without them no ACLs either
  // The kernel keeps what is written and sends it later, in larger pieces.
  bool writeback = false;
  // Bytes a second that may be copied to complete files that are partly in the
  // upper; 0: only who asks completes them.
  uint64_t complete_rate = 0;
  // The file with what the start of the mount reads; empty: none.
  std::string start_trace;
  Passthrough passthrough = Passthrough::kOff;
  bool debug = false;  // one line on stderr for each message
  // Whoever mounts keeps an UnmountGuard.
  bool auto_unmount = false;
};

}  // namespace ufs
