#include "tests/harness/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <set>
#include <sstream>
#include <vector>

#include "layerdb/base/unique_fd.h"
#include "tests/harness/expect.h"

namespace ufs::test {
namespace {

std::string HashOfFile(const std::string& path) {
  // Looking must not change the atime that a test may ask for.
  UniqueFd fd(
      ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC));
  if (!fd.valid()) return "unreadable: " + ErrnoName(errno);
  std::string buffer(1 << 16, '\0');
  size_t hash = 0;
  for (;;) {
    ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0) return "unreadable: " + ErrnoName(errno);
    if (n == 0) return std::to_string(hash);
    hash =
        hash * 1099511628211u ^ std::hash<std::string_view>()(std::string_view(
                                    buffer.data(), static_cast<size_t>(n)));
  }
}

std::string Xattrs(const std::string& path) {
  std::string list(65536, '\0');
  ssize_t n = ::llistxattr(path.c_str(), list.data(), list.size());
  if (n < 0) return "unreadable: " + ErrnoName(errno);
  std::set<std::string> pairs;
  for (const char* p = list.data(); p < list.data() + n; p += strlen(p) + 1) {
    std::string value(65536, '\0');
    ssize_t size = ::lgetxattr(path.c_str(), p, value.data(), value.size());
    value.resize(size < 0 ? 0 : static_cast<size_t>(size));
    pairs.insert(std::string(p) + "=" + testing::PrintToString(value));
  }
  std::string text;
  for (const std::string& pair : pairs) text += pair + " ";
  return text;
}

std::string TypeName(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return "file";
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "symlink";
    case S_IFIFO:
      return "fifo";
    case S_IFSOCK:
      return "socket";
    case S_IFCHR:
      return "char device";
    case S_IFBLK:
      return "block device";
  }
  return "unknown";
}

class Walker {
 public:
  Walker(std::string root, Snapshot::Detail detail,
         std::map<std::string, std::string>* lines)
      : root_(std::move(root)), detail_(detail), lines_(lines) {}

  void Visit(const std::string& path) {
    const std::string full = path.empty() ? root_ : root_ + "/" + path;
    struct stat st;
    if (::lstat(full.c_str(), &st) != 0) {
      (*lines_)[path] = "lstat: " + ErrnoName(errno);
      return;
    }
    (*lines_)[path] = Describe(path, full, st);
    if (S_ISDIR(st.st_mode)) VisitChildren(path, full);
  }

 private:
  void VisitChildren(const std::string& path, const std::string& full) {
    std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(full.c_str()),
                                            &::closedir);
    if (!dir) {
      (*lines_)[path] += " opendir: " + ErrnoName(errno);
      return;
    }
    // In an order of our own: the first name of a hard link must not depend on
    // how the file system lists.
    std::set<std::string> names;
    while (struct dirent* entry = ::readdir(dir.get())) {
      names.insert(entry->d_name);
    }
    for (const std::string& name : names) {
      if (name != "." && name != "..") {
        Visit(path.empty() ? name : path + "/" + name);
      }
    }
  }

  std::string Describe(const std::string& path, const std::string& full,
                       const struct stat& st) {
    std::ostringstream out;
    out << TypeName(st.st_mode) << " mode " << std::oct << (st.st_mode & 07777)
        << std::dec << " owner " << st.st_uid << ":" << st.st_gid;
    const bool is_dir = S_ISDIR(st.st_mode);
    if (!is_dir) out << " size " << st.st_size << " nlink " << st.st_nlink;
    if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
      out << " device " << major(st.st_rdev) << ":" << minor(st.st_rdev);
    }
    if (S_ISREG(st.st_mode)) out << " hash " << HashOfFile(full);
    if (S_ISLNK(st.st_mode)) {
      std::string target(4097, '\0');
      ssize_t n = ::readlink(full.c_str(), target.data(), target.size());
      target.resize(n < 0 ? 0 : static_cast<size_t>(n));
      out << " target " << target;
    }
    out << " xattrs { " << Xattrs(full) << "}";
    if (detail_ == Snapshot::Detail::kUnchanged) {
      out << " mtime " << st.st_mtim.tv_sec << "." << st.st_mtim.tv_nsec
          << " ctime " << st.st_ctim.tv_sec << "." << st.st_ctim.tv_nsec
          << " inode " << st.st_ino;
    } else if (!is_dir && st.st_nlink > 1) {
      out << " same object as "
          << first_name_.emplace(st.st_ino, path).first->second;
    }
    return out.str();
  }

  const std::string root_;
  const Snapshot::Detail detail_;
  std::map<std::string, std::string>* const lines_;
  std::map<ino_t, std::string> first_name_;
};

}  // namespace

Snapshot Snapshot::Take(const std::string& root, Detail detail) {
  Snapshot snapshot;
  Walker(root, detail, &snapshot.lines_).Visit("");
  return snapshot;
}

testing::AssertionResult Snapshot::SameAs(const Snapshot& after) const {
  std::vector<std::string> differences;
  for (const auto& [path, line] : lines_) {
    auto it = after.lines_.find(path);
    if (it == after.lines_.end()) {
      differences.push_back("/" + path + " is gone (was " + line + ")");
    } else if (it->second != line) {
      differences.push_back("/" + path + "\n    was " + line + "\n    is  " +
                            it->second);
    }
  }
  for (const auto& [path, line] : after.lines_) {
    if (!lines_.count(path)) {
      differences.push_back("/" + path + " is new: " + line);
    }
  }
  if (differences.empty()) return testing::AssertionSuccess();
  auto failure = testing::AssertionFailure()
                 << differences.size() << " paths differ:";
  for (size_t i = 0; i < differences.size() && i < 10; ++i) {
    failure << "\n  " << differences[i];
  }
  return failure;
}

}  // namespace ufs::test
