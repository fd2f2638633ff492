#include "runtime/kernel.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ufs::runtime::kernel {
namespace {

Result<UniqueFd> FdOf(long result) {
  if (result < 0) return LastError();
  return UniqueFd(static_cast<int>(result));
}

// What the kernel wrote to the file system context about the failure.
std::string FsMessage(BorrowedFd fs) {
  char text[512];
  const ssize_t size = read(fs.get(), text, sizeof(text));
  // "e message": the first letter is the level.
  if (size <= 2) return "";
  std::string message(text + 2, size - 2);
  while (!message.empty() && message.back() == '\n') message.pop_back();
  return message;
}

}  // namespace

Error LastError() { return Error(errno); }

Status Check(long result) {
  if (result < 0) return LastError();
  return Ok();
}

Result<Child> Clone(uint64_t flags, int cgroup) {
  int pidfd = -1;
  clone_args args{};
  args.flags = flags | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  // With CLONE_PARENT the child reports as its parent does.
  args.exit_signal = (flags & CLONE_PARENT) ? 0 : SIGCHLD;
  if (cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(cgroup);
  }
  const long pid = syscall(SYS_clone3, &args, sizeof(args));
  if (pid < 0) return LastError();
  return Child{static_cast<pid_t>(pid), UniqueFd(pid == 0 ? -1 : pidfd)};
}

Status Unshare(int flags) { return Check(unshare(flags)); }
Status SetNs(BorrowedFd fd, int flags) { return Check(setns(fd.get(), flags)); }

Result<UniqueFd> PidfdOpen(pid_t pid) {
  return FdOf(syscall(SYS_pidfd_open, pid, 0U));
}

Status PidfdSignal(BorrowedFd pidfd, int signal) {
  return Check(
      syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0U));
}

Result<UniqueFd> PidfdGetFd(BorrowedFd pidfd, int number) {
  return FdOf(syscall(SYS_pidfd_getfd, pidfd.get(), number, 0U));
}

Result<int> WaitPid(pid_t pid) {
  int status = 0;
  TRY(Check(sys::Restart([&] { return waitpid(pid, &status, __WALL); })));
  return status;
}

bool WaitForExit(BorrowedFd pidfd, int timeout_ms) {
  pollfd ended{pidfd.get(), POLLIN, 0};
  return sys::Restart([&] { return poll(&ended, 1, timeout_ms); }) > 0;
}

int ExitCodeOf(int wait_status) {
  if (WIFEXITED(wait_status)) return WEXITSTATUS(wait_status);
  return 128 + WTERMSIG(wait_status);
}

Result<uint64_t> StartTimeOf(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  auto text = ReadFile(path, 4096);
  if (!text.ok()) return Error(ESRCH);
  // The name stands in parentheses and may hold any character.
  size_t at = text->rfind(')');
  if (at == std::string::npos || at + 2 >= text->size()) return Error(ESRCH);
  const char state = (*text)[at + 2];
  if (state == 'Z' || state == 'X') return Error(ESRCH);
  // The state is field 3, the start field 22.
  at += 2;
  for (int field = 3; field < 22; ++field) {
    at = text->find(' ', at);
    if (at == std::string::npos) return Error(ESRCH);
    ++at;
  }
  return std::strtoull(text->c_str() + at, nullptr, 10);
}

std::vector<std::string> NamesOfGoneMakers(
    BorrowedFd directory, pid_t (*maker_of)(std::string_view)) {
  std::vector<std::string> names;
  // Those that cannot be read are left to the next who looks.
  (void)sys::ForEachEntry(directory, [&](const char* name, uint8_t, uint64_t) {
    const pid_t maker = maker_of(name);
    if (maker > 0 && !StartTimeOf(maker).ok()) names.emplace_back(name);
    return true;
  });
  return names;
}

std::vector<char*> PointersTo(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (const std::string& word : words)
    pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

Result<UniqueFd> OpenTree(sys::At at, unsigned flags, bool follow) {
  if (at.name[0] == '\0') flags |= AT_EMPTY_PATH;
  if (!follow) flags |= AT_SYMLINK_NOFOLLOW;
  return FdOf(open_tree(at.dir.get(), at.name, flags | OPEN_TREE_CLOEXEC));
}

Status MoveMount(BorrowedFd from, BorrowedFd to) {
  return Check(move_mount(from.get(), "", to.get(), "",
                          MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

Status SetMountAttr(sys::At at, const MountAttr& attr, bool recursive) {
  mount_attr raw{};
  raw.attr_set = attr.set;
  raw.attr_clr = attr.clear;
  raw.propagation = attr.propagation;
  if (attr.userns >= 0) {
    raw.attr_set |= MOUNT_ATTR_IDMAP;
    raw.userns_fd = static_cast<uint64_t>(attr.userns);
  }
  if (raw.attr_set == 0 && raw.attr_clr == 0 && raw.propagation == 0)
    return Ok();
  unsigned flags = AT_SYMLINK_NOFOLLOW;
  if (at.name[0] == '\0') flags |= AT_EMPTY_PATH;
  if (recursive) flags |= AT_RECURSIVE;
  return Check(mount_setattr(at.dir.get(), at.name, flags, &raw, sizeof(raw)));
}

Result<UniqueFd> FsOpen(const char* type) {
  return FdOf(fsopen(type, FSOPEN_CLOEXEC));
}

Status FsSetString(BorrowedFd fs, const char* key, const char* value) {
  return Check(fsconfig(fs.get(), FSCONFIG_SET_STRING, key, value, 0));
}

Status FsSetFlag(BorrowedFd fs, const char* key) {
  return Check(fsconfig(fs.get(), FSCONFIG_SET_FLAG, key, nullptr, 0));
}

Result<UniqueFd> FsMount(BorrowedFd fs, uint64_t attr) {
  const auto created =
      Check(fsconfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0));
  if (!created.ok()) {
    std::string message = FsMessage(fs);
    if (message.empty()) return created.error();
    return Error(created.code(), std::move(message));
  }
  return FdOf(fsmount(fs.get(), FSMOUNT_CLOEXEC, static_cast<int>(attr)));
}

Status PivotRoot(const char* new_root, const char* put_old) {
  return Check(syscall(SYS_pivot_root, new_root, put_old));
}

Status Unmount(const char* path, int flags) {
  return Check(umount2(path, flags | UMOUNT_NOFOLLOW));
}

Status SetPropagation(const char* path, uint64_t type, bool recursive) {
  return SetMountAttr({AT_FDCWD, path}, {.propagation = type}, recursive);
}

Result<uint64_t> FsTypeOf(BorrowedFd fd) {
  struct statfs st;
  TRY(Check(sys::Restart([&] { return fstatfs(fd.get(), &st); })));
  return static_cast<uint64_t>(st.f_type);
}

Result<size_t> Read(BorrowedFd fd, char* buffer, size_t size) {
  const long got = sys::Restart([&] { return read(fd.get(), buffer, size); });
  TRY(Check(got));
  return static_cast<size_t>(got);
}

Status CloseOnExecFrom(unsigned first) {
  return Check(close_range(first, ~0U, CLOSE_RANGE_CLOEXEC));
}

Status CloseAllBut(std::vector<int> kept) {
  std::sort(kept.begin(), kept.end());
  unsigned next = 0;
  for (int fd : kept) {
    const auto number = static_cast<unsigned>(fd);
    if (number > next) TRY(Check(close_range(next, number - 1, 0)));
    next = number + 1;
  }
  return Check(close_range(next, ~0U, 0));
}

Result<UniqueFd> MoveAndCloseRest(UniqueFd keep) {
  constexpr int kFirst = 3;
  if (keep.get() != kFirst) {
    TRY(Check(dup3(keep.get(), kFirst, O_CLOEXEC)));
    keep = UniqueFd(kFirst);
  }
  TRY(Check(close_range(kFirst + 1, ~0U, 0)));
  return keep;
}

Result<Pipe> MakePipe() {
  int ends[2];
  TRY(Check(pipe2(ends, O_CLOEXEC)));
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Status SetNonBlocking(BorrowedFd fd) {
  const int flags = fcntl(fd.get(), F_GETFL);
  TRY(Check(flags));
  return Check(fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK));
}

Result<UniqueFd> Duplicate(BorrowedFd fd) {
  return FdOf(fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
}

Status DuplicateTo(BorrowedFd fd, int target) {
  return Check(dup2(fd.get(), target));
}

Status ChangeDirectory(BorrowedFd directory) {
  return Check(fchdir(directory.get()));
}

Result<std::string> ReadAll(BorrowedFd fd, size_t limit) {
  std::string data;
  char buffer[16 << 10];
  while (true) {
    const ssize_t got =
        sys::Restart([&] { return read(fd.get(), buffer, sizeof(buffer)); });
    if (got < 0) return LastError();
    if (got == 0) return data;
    if (data.size() + got > limit)
      return Error(EFBIG, "longer than " + std::to_string(limit) + " bytes");
    data.append(buffer, got);
  }
}

Result<std::string> ReadFile(sys::At at, size_t limit) {
  const UniqueFd fd = TRY(sys::OpenAt(at, O_RDONLY));
  return ReadAll(fd, limit);
}

Result<std::string> ReadFile(const std::string& path, size_t limit) {
  const UniqueFd fd = TRY(sys::Open(path.c_str(), O_RDONLY));
  return ReadAll(fd, limit);
}

Status WriteOnce(BorrowedFd fd, std::string_view data) {
  const long written =
      sys::Restart([&] { return write(fd.get(), data.data(), data.size()); });
  TRY(Check(written));
  if (static_cast<size_t>(written) != data.size()) return Error(EIO);
  return Ok();
}

Status WriteFile(sys::At at, std::string_view data) {
  const UniqueFd fd = TRY(sys::OpenAt(at, O_WRONLY));
  return WriteOnce(fd, data);
}

Status WriteAll(BorrowedFd fd, std::string_view data) {
  while (!data.empty()) {
    const long written =
        sys::Restart([&] { return write(fd.get(), data.data(), data.size()); });
    TRY(Check(written));
    data.remove_prefix(written);
  }
  return Ok();
}

Status ReplaceFile(sys::At at, std::string_view text, bool lasting) {
  const std::string name = std::string(at.name) + ".new";
  const sys::At draft{at.dir, name.c_str()};
  // One that a killed process has left may be the file that somebody reads.
  auto file = sys::OpenAt(draft, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (file.code() == EEXIST) {
    TRY(sys::UnlinkAt(draft));
    file = sys::OpenAt(draft, O_WRONLY | O_CREAT | O_EXCL, 0600);
  }
  TRY(WriteAll(TRY(std::move(file)), text));
  if (lasting) return sys::RenameAt2(draft, at);
  // ext4 writes a file out before it lets it take another's place by a rename,
  // and who removes it soon after waits for the disk.
  const auto exchanged = sys::RenameAt2(draft, at, RENAME_EXCHANGE);
  if (exchanged.ok()) return sys::UnlinkAt(draft);
  // ENOENT: there is none. EINVAL: the file system has no exchange.
  if (exchanged.code() != ENOENT && exchanged.code() != EINVAL)
    return exchanged;
  return sys::RenameAt2(draft, at);
}

Status MakeDirectories(const std::string& path, mode_t mode) {
  const auto made = sys::MkDirAt({AT_FDCWD, path.c_str()}, mode);
  if (made.ok() || made.code() == EEXIST) return Ok();
  const size_t slash = path.rfind('/');
  if (made.code() != ENOENT || slash == std::string::npos || slash == 0)
    return Error(made.code(), path);
  TRY(MakeDirectories(path.substr(0, slash), mode));
  const auto again = sys::MkDirAt({AT_FDCWD, path.c_str()}, mode);
  if (again.ok() || again.code() == EEXIST) return Ok();
  return Error(again.code(), path);
}

Result<SocketPair> MakeSocketPair() {
  int fds[2];
  TRY(Check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds)));
  return SocketPair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Status SendMessage(BorrowedFd socket, std::string_view data, int fd) {
  iovec part{const_cast<char*>(data.data()), data.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof(int));
  }
  return Check(sys::Restart(
      [&] { return sendmsg(socket.get(), &message, MSG_NOSIGNAL); }));
}

Result<Message> ReceiveMessage(BorrowedFd socket, size_t limit) {
  Message result;
  result.data.resize(limit);
  iovec part{result.data.data(), limit};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const auto receive = [&] {
    return sys::Restart(
        [&] { return recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC); });
  };
  long got = receive();
  // The peer went with data of ours unread. That is told once, and before what
  // it had said itself.
  if (got < 0 && errno == ECONNRESET) {
    message.msg_controllen = sizeof(control);
    got = receive();
  }
  TRY(Check(got));
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
      continue;
    int fd;
    std::memcpy(&fd, CMSG_DATA(header), sizeof(int));
    result.fd.reset(fd);
  }
  if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) return Error(EMSGSIZE);
  result.data.resize(got);
  result.eof = got == 0;
  return result;
}

namespace {

// A name in a directory that is open, through /proc: sun_path holds 107 bytes.
Result<sockaddr_un> AddressOf(sys::At at) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const int size = snprintf(address.sun_path, sizeof(address.sun_path),
                            "/proc/self/fd/%d/%s", at.dir.get(), at.name);
  if (size < 0 || static_cast<size_t>(size) >= sizeof(address.sun_path))
    return Error(ENAMETOOLONG);
  return address;
}

Result<UniqueFd> Connect(const sockaddr_un& address, size_t size, int type,
                         ConnectEnd end) {
  using std::chrono::microseconds;
  constexpr long kSecond = 1'000'000;
  UniqueFd fd = TRY(FdOf(socket(AF_UNIX, type | SOCK_CLOEXEC, 0)));
  while (true) {
    if (end) {
      // No poll(2) tells when there is a place.
      const long left = std::chrono::ceil<microseconds>(
                            *end - std::chrono::steady_clock::now())
                            .count();
      if (left <= 0) return Error(ETIMEDOUT);
      const timeval timeout{left / kSecond, left % kSecond};
      TRY(Check(setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout,
                           sizeof(timeout))));
    }
    const Status status =
        Check(connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                      static_cast<socklen_t>(size)));
    if (status.ok()) return fd;
    const bool again =
        status.code() == EINTR || (end && status.code() == EAGAIN);
    if (!again) return status.error();
  }
}

}  // namespace

Result<UniqueFd> BindUnix(sys::At at, int type) {
  const sockaddr_un address = TRY(AddressOf(at));
  UniqueFd fd = TRY(FdOf(socket(AF_UNIX, type | SOCK_CLOEXEC, 0)));
  TRY(Check(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                 sizeof(address))));
  return fd;
}

Result<UniqueFd> ListenUnix(sys::At at, int type) {
  UniqueFd fd = TRY(BindUnix(at, type));
  TRY(Check(listen(fd.get(), 1)));
  return fd;
}

Result<UniqueFd> ConnectAbstract(const std::string& name, int type,
                                 ConnectEnd end) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (name.size() >= sizeof(address.sun_path)) return Error(ENAMETOOLONG);
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  return Connect(address, offsetof(sockaddr_un, sun_path) + 1 + name.size(),
                 type, end);
}

Result<UniqueFd> ConnectUnix(const std::string& path, int type,
                             ConnectEnd end) {
  const size_t slash = path.rfind('/');
  const std::string directory =
      slash == path.npos ? "." : path.substr(0, slash + 1);
  const std::string name = path.substr(slash == path.npos ? 0 : slash + 1);
  const UniqueFd parent =
      TRY(sys::Open(directory.c_str(), O_PATH | O_DIRECTORY));
  const sockaddr_un address = TRY(AddressOf({parent, name.c_str()}));
  return Connect(address, sizeof(address), type, end);
}

Result<UniqueFd> Accept(BorrowedFd listener) {
  return FdOf(sys::Restart(
      [&] { return accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC); }));
}

}  // namespace ufs::runtime::kernel
