#include "tests/model/executor.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "tests/model/check.h"
#include "tests/model/file_flags.h"
#include "tests/model/lock_table.h"
#include "tests/model/names.h"
#include "tests/model/tree_reader.h"

namespace ufs::model {
namespace {

// A mapping of a file that is shorter than its size says gives SIGBUS: that is
// a result to report, not an end.
thread_local sigjmp_buf bus_return;
thread_local volatile sig_atomic_t bus_expected = 0;

void OnBusError(int) {
  if (bus_expected) siglongjmp(bus_return, 1);
  signal(SIGBUS, SIG_DFL);
}

// memcpy that says false where a page has nothing behind it.
bool CopyThroughMapping(char* to, const char* from, size_t length) {
  if (sigsetjmp(bus_return, 1) != 0) {
    bus_expected = 0;
    return false;
  }
  bus_expected = 1;
  memcpy(to, from, length);
  bus_expected = 0;
  return true;
}

Outcome Failed() {
  Outcome outcome;
  outcome.err = errno;
  return outcome;
}

Outcome Failed(int err) {
  Outcome outcome;
  outcome.err = err;
  return outcome;
}

// For calls that give no value.
Outcome Plain(int64_t result) { return result < 0 ? Failed() : Outcome{}; }

// The calling thread as another user, by raw system calls: the library's would
// change every thread.
class AsUser {
 public:
  explicit AsUser(uid_t uid) : uid_(uid) {
    if (uid_ == 0) return;
    Must(syscall(SYS_setgroups, 0, nullptr), "setgroups");
    Must(syscall(SYS_setresgid, -1, uid_, -1), "setresgid");
    Must(syscall(SYS_setresuid, -1, uid_, -1), "setresuid");
  }
  ~AsUser() {
    if (uid_ == 0) return;
    int saved = errno;
    Must(syscall(SYS_setresuid, -1, 0, -1), "setresuid back");
    Must(syscall(SYS_setresgid, -1, 0, -1), "setresgid back");
    errno = saved;
  }

 private:
  const uid_t uid_;
};

timespec TimeArgument(int64_t seconds, uint32_t seed) {
  if (seconds == kTimeNow) return {0, UTIME_NOW};
  if (seconds == kTimeOmit) return {0, UTIME_OMIT};
  return {seconds, static_cast<long>(seed % 1000000000)};
}

FlagsCall CallOf(const Op& op) {
  bool old = op.kind == OpKind::kGetFlags || op.kind == OpKind::kSetFlags;
  return old ? FlagsCall::kFlags : FlagsCall::kXflags;
}

}  // namespace

class Executor::InRoot {
 public:
  explicit InRoot(const Executor& executor) : executor_(executor) {
    Must(fchdir(executor_.root_.get()), "enter the tree");
    Must(chroot("."), "chroot into the tree");
  }
  ~InRoot() {
    int saved = errno;
    Must(fchdir(executor_.outside_.get()), "leave the tree");
    Must(chroot("."), "leave the chroot");
    errno = saved;
  }

 private:
  const Executor& executor_;
};

void Executor::PrepareThread() {
  Must(unshare(CLONE_FS | CLONE_FILES), "unshare");
  umask(022);
  struct sigaction action = {};
  action.sa_handler = OnBusError;
  Must(sigaction(SIGBUS, &action, nullptr), "sigaction");
}

void Executor::Attach(const std::string& directory) {
  outside_.reset(Must(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), "/"));
  root_.reset(Must(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                   directory));
}

void Executor::Detach() {
  for (RunningProgram& program : programs_) program.Finish();
  for (Mapping& map : maps_) Unmap(&map);
  for (UniqueFd& handle : handles_) handle.reset();
  root_.reset();
}

Outcome Executor::Run(const Op& op) {
  InRoot in_root(*this);
  AsUser as_user(op.uid);
  return Dispatch(op);
}

RealNode Executor::ReadTree() {
  InRoot in_root(*this);
  return ReadNode(root_.get());
}

int Executor::At(const Op& op) const {
  return op.at < 0 ? AT_FDCWD : handles_[op.at].get();
}

Outcome Executor::Dispatch(const Op& op) {
  const char* path = op.path.c_str();
  const char* path2 = op.path2.c_str();
  const char* name = op.name.c_str();
  int fd = Fd(op.fd);
  switch (op.kind) {
    case OpKind::kOpen:
      return Open(op);
    case OpKind::kClose:
      if (fd < 0) return Failed(EBADF);
      return Plain(close(handles_[op.fd].release()));
    case OpKind::kRead:
    case OpKind::kPread:
    case OpKind::kWrite:
    case OpKind::kPwrite:
      return Transfer(op);
    case OpKind::kTruncate:
      return Plain(truncate(path, op.len));
    case OpKind::kFtruncate:
      return Plain(ftruncate(fd, op.len));
    case OpKind::kFallocate:
      return Plain(fallocate(fd, op.flags, op.off, op.len));
    case OpKind::kSeek: {
      bool keeps = op.flags == SEEK_DATA || op.flags == SEEK_HOLE;
      off_t before = keeps ? lseek(fd, 0, SEEK_CUR) : 0;
      Outcome outcome;
      outcome.value = lseek(fd, op.off, op.flags);
      if (outcome.value < 0) outcome = Failed();
      if (keeps) lseek(fd, before, SEEK_SET);
      return outcome;
    }
    case OpKind::kCopyRange:
      return CopyRange(op);
    case OpKind::kMmap:
      return Map(op);
    case OpKind::kMunmap:
      if (maps_[op.fd2].address == nullptr) return Failed(EBADF);
      Unmap(&maps_[op.fd2]);
      return {};
    case OpKind::kLoad:
    case OpKind::kStore:
      return Access(op);
    case OpKind::kMkdir:
      return Plain(mkdirat(At(op), path, op.mode));
    case OpKind::kRmdir:
      return Plain(unlinkat(At(op), path, AT_REMOVEDIR));
    case OpKind::kUnlink:
      return Plain(unlinkat(At(op), path, 0));
    case OpKind::kRename:
      return Plain(renameat2(AT_FDCWD, path, AT_FDCWD, path2, op.flags));
    case OpKind::kLink:
      return Plain(linkat(AT_FDCWD, path, AT_FDCWD, path2, op.flags));
    case OpKind::kLinkFd:
      return Plain(linkat(fd, "", AT_FDCWD, path2, AT_EMPTY_PATH));
    case OpKind::kSymlink:
      return Plain(symlinkat(name, At(op), path));
    case OpKind::kMknod:
      return Plain(mknodat(At(op), path, op.mode, op.off));
    case OpKind::kChmod:
      return Plain(chmod(path, op.mode));
    case OpKind::kFchmod:
      return Plain(fchmod(fd, op.mode));
    case OpKind::kChown:
      return Plain(lchown(path, op.owner, op.group));
    case OpKind::kFchown:
      return Plain(fchown(fd, op.owner, op.group));
    case OpKind::kUtimens:
    case OpKind::kFutimens: {
      timespec times[2] = {TimeArgument(op.atime, op.seed),
                           TimeArgument(op.mtime, op.seed)};
      // Raw: the library refuses a descriptor that the kernel would not look
      // at.
      if (op.kind == OpKind::kFutimens)
        return Plain(syscall(SYS_utimensat, fd, nullptr, times, 0));
      return Plain(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW));
    }
    case OpKind::kSetxattr: {
      std::string value = XattrValue(op);
      return Plain(lsetxattr(path, name, value.data(), value.size(), op.flags));
    }
    case OpKind::kFsetxattr: {
      std::string value = XattrValue(op);
      return Plain(fsetxattr(fd, name, value.data(), value.size(), op.flags));
    }
    case OpKind::kGetxattr: {
      Outcome outcome;
      outcome.data.resize(70000);
      outcome.value =
          lgetxattr(path, name, outcome.data.data(), outcome.data.size());
      if (outcome.value < 0) return Failed();
      outcome.data.resize(static_cast<size_t>(outcome.value));
      return outcome;
    }
    case OpKind::kListxattr: {
      std::string list(70000, '\0');
      ssize_t length = llistxattr(path, list.data(), list.size());
      if (length < 0) return Failed();
      Outcome outcome;
      for (const std::string& found : SplitNames(list, length)) {
        outcome.data += found + '\n';
        ++outcome.value;
      }
      return outcome;
    }
    case OpKind::kRemovexattr:
      return Plain(lremovexattr(path, name));
    case OpKind::kReaddir: {
      UniqueFd dir(openat(At(op), path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      return dir.valid() ? ListDir(dir.get()) : Failed();
    }
    case OpKind::kFreaddir: {
      if (lseek(fd, 0, SEEK_SET) < 0) return Failed();
      Outcome outcome = ListDir(fd);
      // What read(2) says about the offset at the end is ext4's own.
      lseek(fd, 0, SEEK_SET);
      return outcome;
    }
    case OpKind::kStat:
      return StatOutcome(At(op), path, AT_SYMLINK_NOFOLLOW);
    case OpKind::kFstat:
      return StatOutcome(fd, "", AT_EMPTY_PATH);
    case OpKind::kReadlink: {
      Outcome outcome;
      outcome.data.resize(5000);
      outcome.value =
          readlinkat(At(op), path, outcome.data.data(), outcome.data.size());
      if (outcome.value < 0) return Failed();
      outcome.data.resize(static_cast<size_t>(outcome.value));
      return outcome;
    }
    case OpKind::kFsync:
      return Plain(fsync(fd));
    case OpKind::kFdatasync:
      return Plain(fdatasync(fd));
    case OpKind::kFlock:
      return Plain(flock(fd, op.flags | LOCK_NB));
    case OpKind::kLock:
    case OpKind::kOfdLock:
    case OpKind::kOfdTest:
      return Lock(op);
    case OpKind::kInstall:
      return Install(op);
    case OpKind::kExec:
    case OpKind::kStart:
      return Exec(op);
    case OpKind::kStop: {
      if (!programs_[op.fd2].running()) return Failed(EBADF);
      Outcome outcome;
      outcome.value = programs_[op.fd2].Finish();
      return outcome;
    }
    case OpKind::kGetFlags:
    case OpKind::kGetXflags: {
      Outcome outcome;
      outcome.value = GetFileFlags(fd, CallOf(op));
      return outcome.value < 0 ? Failed() : outcome;
    }
    case OpKind::kSetFlags:
    case OpKind::kSetXflags:
      return Plain(SetFileFlags(fd, CallOf(op), op.flags));
    case OpKind::kRemount:
    case OpKind::kFreeze:
    case OpKind::kDropCaches:
    case OpKind::kCheckTree:
    case OpKind::kCount:
      break;
  }
  return {};
}

// Never waits for the other end of a pipe. Of what is neither file nor
// directory, only the error of the open matters.
Outcome Executor::Open(const Op& op) {
  handles_[op.fd].reset();
  int flags = op.flags | O_CLOEXEC;
  if ((flags & O_PATH) == 0) flags |= O_NONBLOCK;
  UniqueFd fd(openat(At(op), op.path.c_str(), flags, op.mode));
  if (!fd.valid()) return Failed();
  struct stat st;
  if (fstat(fd.get(), &st) != 0) return Failed();
  bool keep =
      S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || (flags & O_PATH) != 0;
  if (keep) handles_[op.fd] = std::move(fd);
  return {};
}

Outcome Executor::Transfer(const Op& op) {
  int fd = Fd(op.fd);
  Outcome outcome;
  if (op.kind == OpKind::kWrite || op.kind == OpKind::kPwrite) {
    std::string bytes = Pattern(op.seed, op.len);
    outcome.value = op.kind == OpKind::kWrite
                        ? write(fd, bytes.data(), bytes.size())
                        : pwrite(fd, bytes.data(), bytes.size(), op.off);
    return outcome.value < 0 ? Failed() : outcome;
  }
  outcome.data.resize(static_cast<size_t>(op.len));
  outcome.value =
      op.kind == OpKind::kRead
          ? read(fd, outcome.data.data(), outcome.data.size())
          : pread(fd, outcome.data.data(), outcome.data.size(), op.off);
  if (outcome.value < 0) return Failed();
  outcome.data.resize(static_cast<size_t>(outcome.value));
  return outcome;
}

// A copy may come back short; a program asks again, and so do we. But not for
// what the copy itself has added to the file that it reads.
Outcome Executor::CopyRange(const Op& op) {
  struct stat st;
  const bool open = fstat(Fd(op.fd), &st) == 0;
  Outcome outcome;
  off_t in = op.off, out = op.off2;
  do {
    ssize_t copied = copy_file_range(Fd(op.fd), &in, Fd(op.fd2), &out,
                                     op.len - outcome.value, 0);
    if (copied < 0) return Failed();
    if (copied == 0) break;
    outcome.value += copied;
  } while (open && outcome.value < op.len && in < st.st_size);
  return outcome;
}

Outcome Executor::Map(const Op& op) {
  Mapping& map = maps_[op.fd2];
  Unmap(&map);
  int protection = PROT_READ | op.flags;
  void* address =
      mmap(nullptr, op.len, protection, MAP_SHARED, Fd(op.fd), op.off);
  if (address == MAP_FAILED) return Failed();
  map.fd.reset(Must(fcntl(Fd(op.fd), F_DUPFD_CLOEXEC, 0), "dup"));
  map.address = static_cast<char*>(address);
  map.length = static_cast<size_t>(op.len);
  map.off = op.off;
  map.writable = (op.flags & PROT_WRITE) != 0;
  return {};
}

// Touches the part of the mapping that has a file behind it.
Outcome Executor::Access(const Op& op) {
  Mapping& map = maps_[op.fd2];
  bool store = op.kind == OpKind::kStore;
  if (map.address == nullptr || (store && !map.writable)) return Failed(EBADF);
  struct stat st;
  if (fstat(map.fd.get(), &st) != 0) return Failed();
  int64_t begin = store ? op.off : 0;
  int64_t end = std::min<int64_t>(map.length, st.st_size - map.off);
  if (store) end = std::min(end, begin + op.len);
  Outcome outcome;
  outcome.value = std::max<int64_t>(end - begin, 0);
  if (outcome.value == 0) return outcome;
  std::string bytes(static_cast<size_t>(outcome.value), '\0');
  if (store) bytes = Pattern(op.seed, outcome.value);
  bool fine =
      store
          ? CopyThroughMapping(map.address + begin, bytes.data(), bytes.size())
          : CopyThroughMapping(bytes.data(), map.address + begin, bytes.size());
  if (!fine) return Failed(EFAULT);
  if (!store) outcome.data = std::move(bytes);
  if (store && op.flags != 0 && msync(map.address, map.length, MS_SYNC) != 0)
    return Failed();
  return outcome;
}

Outcome Executor::Lock(const Op& op) {
  struct flock lock = {};
  lock.l_type = static_cast<short>(op.flags);
  lock.l_whence = SEEK_SET;
  lock.l_start = op.off;
  lock.l_len = op.len;
  const int command = op.kind == OpKind::kLock      ? F_SETLK
                      : op.kind == OpKind::kOfdLock ? F_OFD_SETLK
                                                    : F_OFD_GETLK;
  Outcome outcome = Plain(fcntl(Fd(op.fd), command, &lock));
  if (outcome.err != 0 || op.kind != OpKind::kOfdTest) return outcome;
  if (lock.l_type == F_UNLCK) return outcome;
  outcome.data =
      LockText(lock.l_type, lock.l_start,
               lock.l_len == 0 ? LockTable::kNoEnd : lock.l_start + lock.l_len,
               lock.l_pid == getpid());
  return outcome;
}

Outcome Executor::Install(const Op& op) {
  const std::string& bytes = ProgramBytes();
  const ssize_t put = pwrite(Fd(op.fd), bytes.data(), bytes.size(), 0);
  if (put < 0) return Failed();
  if (static_cast<size_t>(put) != bytes.size()) return Failed(ENOSPC);
  return Plain(ftruncate(Fd(op.fd), static_cast<off_t>(bytes.size())));
}

Outcome Executor::Exec(const Op& op) {
  const bool stays = op.kind == OpKind::kStart;
  RunningProgram once;
  RunningProgram& program = stays ? programs_[op.fd2] : once;
  program.Finish();
  if (int err = program.Start(At(op), op.path.c_str())) return Failed(err);
  Outcome outcome;
  if (!stays) outcome.value = program.Finish();
  return outcome;
}

void Executor::Unmap(Mapping* map) {
  if (map->address != nullptr) munmap(map->address, map->length);
  *map = {};
}

}  // namespace ufs::model
