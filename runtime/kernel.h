// The system calls of containers as Result<T>, and small files of /proc and
// cgroupfs. Beside layerdb/base/syscall.h, the only place that reads errno.
// Threads: Clone, Unshare and SetNs are called in a process with one thread.
#pragma once

#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/syscall.h"
#include "layerdb/base/unique_fd.h"

namespace ufs::runtime::kernel {

// The errno of a call that has just failed.
Error LastError();
// Ok, or the errno of a call that returned a negative number.
Status Check(long result);

struct Child {
  pid_t pid = 0;  // 0 in the child itself
  UniqueFd pidfd;
};

// clone3(2) with SIGCHLD at the child's end (unless CLONE_PARENT is asked for,
// which keeps the parent's signal). `cgroup`, if not -1, is where the child
// starts (cgroup v2).
Result<Child> Clone(uint64_t flags, int cgroup = -1);
Status Unshare(int flags);
Status SetNs(BorrowedFd fd, int flags);

Result<UniqueFd> PidfdOpen(pid_t pid);
Status PidfdSignal(BorrowedFd pidfd, int signal);
// Our own copy of a descriptor of another process.
Result<UniqueFd> PidfdGetFd(BorrowedFd pidfd, int number);
// Waits for a child; the status is as waitpid(2) gives it.
Result<int> WaitPid(pid_t pid);
// Whether the process ends within the time.
bool WaitForExit(BorrowedFd pidfd, int timeout_ms);
// What execve(2) takes; good as long as the words stay as they are.
std::vector<char*> PointersTo(const std::vector<std::string>& words);
// What a shell would report: the exit code, or 128 plus the signal.
int ExitCodeOf(int wait_status);
// When the process began, in clock ticks since boot; tells apart two processes
// that were given the same id. ESRCH when it is gone or a zombie.
Result<uint64_t> StartTimeOf(pid_t pid);
// The names in a directory that say whose process made them, where that is
// gone. `maker_of` is 0 for a name that says nothing.
std::vector<std::string> NamesOfGoneMakers(BorrowedFd directory,
                                           pid_t (*maker_of)(std::string_view));

// --- mounts ----------------------------------------------------------------

// open_tree(2). Symbolic links are followed only if `follow`.
Result<UniqueFd> OpenTree(sys::At at, unsigned flags, bool follow = false);
// Puts the detached mount `from` over what `to` refers to.
Status MoveMount(BorrowedFd from, BorrowedFd to);
struct MountAttr {
  uint64_t set = 0;
  uint64_t clear = 0;
  uint64_t propagation = 0;
  int userns = -1;
};
Status SetMountAttr(sys::At at, const MountAttr& attr, bool recursive);
Result<UniqueFd> FsOpen(const char* type);
Status FsSetString(BorrowedFd fs, const char* key, const char* value);
Status FsSetFlag(BorrowedFd fs, const char* key);
// Creates the file system and returns it as a detached mount. An error carries
// the kernel's own message where it left one.
Result<UniqueFd> FsMount(BorrowedFd fs, uint64_t attr);
Status PivotRoot(const char* new_root, const char* put_old);
// `type` is MS_PRIVATE, MS_SLAVE, MS_SHARED or MS_UNBINDABLE.
Status SetPropagation(const char* path, uint64_t type, bool recursive);
// The magic number of the file system `fd` is in, as statfs(2) gives it.
Result<uint64_t> FsTypeOf(BorrowedFd fd);
Status Unmount(const char* path, int flags);
Status ChangeDirectory(BorrowedFd directory);

// --- files -----------------------------------------------------------------

// Whole contents; EFBIG beyond `limit` bytes.
Result<std::string> ReadAll(BorrowedFd fd, size_t limit);
Result<std::string> ReadFile(sys::At at, size_t limit = 1 << 20);
// The same of a file somebody names: links are followed, as with open(2).
Result<std::string> ReadFile(const std::string& path, size_t limit = 1 << 20);
// One write(2), as /proc and cgroupfs want it.
Status WriteOnce(BorrowedFd fd, std::string_view data);
Status WriteFile(sys::At at, std::string_view data);
Status WriteAll(BorrowedFd fd, std::string_view data);
// Puts a file of mode 0600 with this text in the place of the file `at`, if
// there is one, at once for whoever reads it. What is not `lasting` may be
// empty after a crash of the machine. NAME.new beside it is ours; one at a
// time.
Status ReplaceFile(sys::At at, std::string_view text, bool lasting);
Status MakeDirectories(const std::string& path, mode_t mode);
Result<size_t> Read(BorrowedFd fd, char* buffer, size_t size);
// No other descriptor from `first` on survives an execve.
Status CloseOnExecFrom(unsigned first);
// Closes every descriptor but these.
Status CloseAllBut(std::vector<int> kept);
// Closes every descriptor but the standard streams and this one, which moves.
Result<UniqueFd> MoveAndCloseRest(UniqueFd keep);
struct Pipe {
  UniqueFd read, write;
};
Result<Pipe> MakePipe();
Status SetNonBlocking(BorrowedFd fd);
// A second descriptor, close-on-exec, of the same open file.
Result<UniqueFd> Duplicate(BorrowedFd fd);
// dup3(2) without close-on-exec.
Status DuplicateTo(BorrowedFd fd, int target);

// --- sockets ---------------------------------------------------------------

// A pair of connected sockets that keep messages apart.
struct SocketPair {
  UniqueFd ours, theirs;
};
Result<SocketPair> MakeSocketPair();
// `fd` -1: no descriptor goes along.
Status SendMessage(BorrowedFd socket, std::string_view data, int fd = -1);
struct Message {
  std::string data;
  UniqueFd fd;
  bool eof = false;
};
Result<Message> ReceiveMessage(BorrowedFd socket, size_t limit);
// Sockets at a path of any length. `type` is SOCK_STREAM or SOCK_SEQPACKET, or
// SOCK_DGRAM but for ListenUnix.
Result<UniqueFd> BindUnix(sys::At at, int type);
Result<UniqueFd> ListenUnix(sys::At at, int type);
// A listener with a full backlog is waited for: until `end`, if given, and
// ETIMEDOUT then.
using ConnectEnd = std::optional<std::chrono::steady_clock::time_point>;
Result<UniqueFd> ConnectUnix(const std::string& path, int type,
                             ConnectEnd end = {});
// The same by a name that no file system has.
Result<UniqueFd> ConnectAbstract(const std::string& name, int type,
                                 ConnectEnd end = {});
Result<UniqueFd> Accept(BorrowedFd listener);

}  // namespace ufs::runtime::kernel
