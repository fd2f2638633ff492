#include "tests/model/tree_reader.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "tests/model/check.h"
#include "tests/model/file_flags.h"

namespace ufs::model {
namespace {

int64_t Nanoseconds(const timespec& time) {
  return time.tv_sec * 1000000000 + time.tv_nsec;
}

void Note(RealNode* node, const char* what) {
  if (node->err != 0) return;
  node->err = errno;
  node->what = what;
}

void ReadContent(int fd, RealNode* node) {
  node->flags = GetFileFlags(fd, FlagsCall::kFlags);
  if (node->flags < 0) Note(node, "flags");
  node->content.resize(static_cast<size_t>(node->stat.size));
  size_t done = 0;
  while (done < node->content.size()) {
    ssize_t got = pread(fd, &node->content[done], node->content.size() - done,
                        static_cast<off_t>(done));
    if (got < 0) Note(node, "pread");
    if (got <= 0) break;
    done += static_cast<size_t>(got);
  }
  if (done == node->content.size()) return;
  node->content.resize(done);
  if (node->err == 0) {
    node->err = EIO;
    node->what = "end of file before st_size";
  }
}

// By name inside its directory, as there is no f...xattr for every type.
void ReadXattrs(const std::string& path, RealNode* node) {
  std::string list(70000, '\0');
  ssize_t length = llistxattr(path.c_str(), list.data(), list.size());
  if (length < 0) return Note(node, "listxattr");
  for (const std::string& name : SplitNames(list, length)) {
    std::string value(70000, '\0');
    ssize_t size =
        lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    if (size < 0) return Note(node, ("getxattr " + name).c_str());
    value.resize(static_cast<size_t>(size));
    node->xattrs[name] = value;
  }
}

RealNode ReadEntry(int parent, const std::string& name);

void ReadEntries(int fd, RealNode* node) {
  Outcome listing = ListDir(fd);
  if (listing.err != 0) {
    errno = listing.err;
    return Note(node, "getdents");
  }
  for (const auto& [name, item] : listing.items) {
    RealNode child = ReadEntry(fd, name);
    child.listed_ino = item.ino;
    if (item.type != IFTODT(child.stat.mode) && child.err == 0) {
      child.err = EIO;
      child.what = "d_type is not st_mode's type";
    }
    node->entries.emplace(name, std::move(child));
  }
}

RealNode ReadEntry(int parent, const std::string& name) {
  RealNode node;
  Outcome stat = StatOutcome(parent, name.c_str(), AT_SYMLINK_NOFOLLOW);
  errno = stat.err;
  if (stat.err != 0) {
    Note(&node, "stat");
    return node;
  }
  node.stat = *stat.stat;
  // Names of 255 bytes in deep directories do not fit PATH_MAX: by descriptor.
  if (fchdir(parent) != 0) Note(&node, "fchdir");
  ReadXattrs(name, &node);
  if (S_ISLNK(node.stat.mode)) {
    node.target.resize(5000);
    ssize_t length = readlinkat(parent, name.c_str(), node.target.data(), 5000);
    if (length < 0) Note(&node, "readlink");
    node.target.resize(static_cast<size_t>(std::max<ssize_t>(length, 0)));
  } else if (S_ISREG(node.stat.mode) || S_ISDIR(node.stat.mode)) {
    UniqueFd fd(openat(parent, name.c_str(),
                       O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC));
    if (!fd.valid())
      Note(&node, "open");
    else if (S_ISDIR(node.stat.mode))
      ReadEntries(fd.get(), &node);
    else
      ReadContent(fd.get(), &node);
  }
  return node;
}

}  // namespace

Outcome StatOutcome(int at, const char* path, int flags) {
  struct stat st;
  Outcome outcome;
  if (fstatat(at, path, &st, flags) != 0) {
    outcome.err = errno;
    return outcome;
  }
  Stat stat;
  stat.dev = st.st_dev;
  stat.ino = st.st_ino;
  stat.mode = st.st_mode;
  stat.nlink = st.st_nlink;
  stat.uid = st.st_uid;
  stat.gid = st.st_gid;
  stat.rdev = st.st_rdev;
  stat.size = st.st_size;
  stat.atime_ns = Nanoseconds(st.st_atim);
  stat.mtime_ns = Nanoseconds(st.st_mtim);
  stat.ctime_ns = Nanoseconds(st.st_ctim);
  outcome.stat = stat;
  return outcome;
}

Outcome ListDir(int fd) {
  Outcome outcome;
  alignas(dirent64) char buffer[4096];
  bool dot = false, dot_dot = false;
  for (;;) {
    long length = syscall(SYS_getdents64, fd, buffer, sizeof(buffer));
    if (length < 0) {
      outcome = {};
      outcome.err = errno;
      return outcome;
    }
    if (length == 0) break;
    for (long at = 0; at < length;) {
      auto* entry = reinterpret_cast<dirent64*>(buffer + at);
      at += entry->d_reclen;
      std::string name = entry->d_name;
      if (name == "." || name == "..") {
        bool& seen = name == "." ? dot : dot_dot;
        if (seen) outcome.repeated.push_back(name);
        seen = true;
        continue;
      }
      if (!outcome.items.emplace(name, DirItem{entry->d_ino, entry->d_type})
               .second)
        outcome.repeated.push_back(name);
    }
  }
  if (!dot) outcome.repeated.push_back("(no .)");
  if (!dot_dot) outcome.repeated.push_back("(no ..)");
  outcome.value = static_cast<int64_t>(outcome.items.size());
  return outcome;
}

std::vector<std::string> SplitNames(const std::string& list, ssize_t length) {
  std::vector<std::string> names;
  for (ssize_t at = 0; at < length;) {
    names.emplace_back(&list[static_cast<size_t>(at)]);
    at += static_cast<ssize_t>(names.back().size()) + 1;
  }
  std::sort(names.begin(), names.end());
  return names;
}

RealNode ReadNode(int directory) {
  RealNode node;
  Outcome stat = StatOutcome(directory, "", AT_EMPTY_PATH);
  node.stat = *stat.stat;
  node.listed_ino = node.stat.ino;
  Must(fchdir(directory), "enter the tree");
  ReadXattrs(".", &node);
  UniqueFd fd(Must(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                   "open the tree"));
  ReadEntries(fd.get(), &node);
  return node;
}

}  // namespace ufs::model
