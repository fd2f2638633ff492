// Operations on names and attributes.

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <memory>
#include <utility>

#include "bench/workload.h"

namespace ufs::bench {
namespace {

constexpr char kScratch[] =
    "bench-scratch";  // made and removed by create and unlink

struct Seen {
  std::string path;
  struct stat st;
};

using Dir = std::unique_ptr<DIR, int (*)(DIR*)>;

Dir OpenDirectory(int parent, const char* name, const std::string& path) {
  int fd =
      openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) Die("open directory", path);
  DIR* dir = fdopendir(fd);
  if (dir == nullptr) Die("fdopendir", path);
  return Dir(dir, closedir);
}

// Visits everything below `name` as find(1) does, with fstatat on each entry
// where `with_stat`.
void Visit(int parent, const char* name, const std::string& path,
           bool with_stat, std::vector<Seen>* seen) {
  Dir dir = OpenDirectory(parent, name, path);
  std::vector<std::string> subdirectories;
  for (;;) {
    errno = 0;
    dirent* entry = readdir(dir.get());
    if (entry == nullptr) {
      if (errno != 0) Die("readdir", path);
      break;
    }
    std::string child = entry->d_name;
    if (child == "." || child == "..") continue;
    struct stat st = {};
    st.st_mode = DTTOIF(entry->d_type);
    if (with_stat &&
        fstatat(dirfd(dir.get()), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
      Die("stat", path + "/" + child);
    if (S_ISDIR(st.st_mode)) subdirectories.push_back(child);
    seen->push_back({path + "/" + child, st});
  }
  for (const std::string& child : subdirectories) {
    Visit(dirfd(dir.get()), child.c_str(), path + "/" + child, with_stat, seen);
  }
}

// Type, mode, owner, size and mtime: what every union must show as the layer
// has it. Sizes of directories and link counts are left to tests/semantics,
// because the peers rightly differ there.
uint64_t HashSeen(const Seen& seen, bool with_stat) {
  uint64_t fields[6] = {seen.st.st_mode & (with_stat ? 0177777U : S_IFMT)};
  if (with_stat) {
    fields[1] = seen.st.st_uid;
    fields[2] = seen.st.st_gid;
    fields[3] =
        S_ISDIR(seen.st.st_mode) ? 0 : static_cast<uint64_t>(seen.st.st_size);
    fields[4] = static_cast<uint64_t>(seen.st.st_mtim.tv_sec);
    fields[5] = static_cast<uint64_t>(seen.st.st_mtim.tv_nsec);
  }
  return HashBytes(fields, sizeof fields, HashString(seen.path));
}

Measured VisitAll(const Args& args, bool with_stat) {
  Stopwatch watch;
  std::vector<Seen> seen;
  watch.Start();
  Visit(AT_FDCWD, args.root.c_str(), "", with_stat, &seen);
  watch.Stop();
  Measured m;
  m.seconds = watch.seconds();
  m.ops = seen.size();
  for (const Seen& one : seen)
    m.check += HashSeen(one, with_stat);  // a sum, as readdir has no order
  return m;
}

// Makes the scratch directory and hands its descriptor and the names to be made
// in it.
std::pair<Fd, std::vector<std::string>> MakeScratch(const Args& args) {
  Fd root = OpenRoot(args);
  if (mkdirat(root.get(), kScratch, 0755) != 0) Die("mkdir", kScratch);
  std::vector<std::string> names;
  for (uint64_t i = 0; i < args.count; ++i)
    names.push_back("file-" + std::to_string(i));
  return {OpenAt(root, kScratch, O_RDONLY | O_DIRECTORY), std::move(names)};
}

void CreateAll(const Fd& dir, const std::vector<std::string>& names,
               const std::string& content) {
  for (const std::string& name : names) {
    Fd fd = OpenAt(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0644);
    WriteAll(fd, content.data(), content.size(), name);
    fd.Close();
  }
}

void UnlinkAll(const Fd& dir, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (unlinkat(dir.get(), name.c_str(), 0) != 0) Die("unlink", name);
  }
}

// REQUIRES: the scratch directory should be empty by now; rmdir says so.
void RemoveScratch(const Args& args) {
  Fd root = OpenRoot(args);
  if (unlinkat(root.get(), kScratch, AT_REMOVEDIR) != 0) Die("rmdir", kScratch);
}

size_t CountEntries(const Args& args) {
  std::vector<Seen> seen;
  Visit(AT_FDCWD, (args.root + "/" + kScratch).c_str(), "", false, &seen);
  return seen.size();
}

}  // namespace

Measured Walk(const Args& args) { return VisitAll(args, true); }

Measured List(const Args& args) { return VisitAll(args, false); }

Measured Stat(const Args& args) {
  Fd root = OpenRoot(args);
  std::vector<Seen> seen(args.list.size());
  for (size_t i = 0; i < seen.size(); ++i) seen[i].path = args.list[i];
  Stopwatch watch;
  watch.Start();
  for (Seen& one : seen) {
    if (fstatat(root.get(), one.path.c_str(), &one.st, AT_SYMLINK_NOFOLLOW) !=
        0)
      Die("stat", one.path);
  }
  watch.Stop();
  Measured m;
  m.seconds = watch.seconds();
  m.ops = seen.size();
  for (const Seen& one : seen) m.check += HashSeen(one, true);
  return m;
}

Measured Negative(const Args& args) {
  Fd root = OpenRoot(args);
  std::vector<std::string> names;
  for (uint64_t i = 0; i < args.count; ++i) {
    names.push_back(args.list[i % args.list.size()] + "/absent-" +
                    std::to_string(i / args.list.size()));
  }
  Stopwatch watch;
  watch.Start();
  for (const std::string& name : names) {
    struct stat st;
    if (fstatat(root.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0)
      Wrong("found what is not there", name);
    if (errno != ENOENT) Die("stat", name);
  }
  watch.Stop();
  Measured m;
  m.seconds = watch.seconds();
  m.ops = names.size();
  return m;
}

Measured Create(const Args& args) {
  auto [dir, names] = MakeScratch(args);
  std::string content = SeededBytes(args.size, args.seed);
  Stopwatch watch;
  watch.Start();
  CreateAll(dir, names, content);
  watch.Stop();
  Measured m;
  m.seconds = watch.seconds();
  m.ops = names.size();
  m.bytes = names.size() * args.size;
  if (CountEntries(args) != names.size())
    Wrong("number of files created in", kScratch);
  for (const std::string& name : names) {
    if (ReadAll(OpenAt(dir, name, O_RDONLY), args.size + 1, name, nullptr) !=
        content)
      Wrong("content of new file", name);
  }
  UnlinkAll(dir, names);
  RemoveScratch(args);
  return m;
}

Measured Unlink(const Args& args) {
  auto [dir, names] = MakeScratch(args);
  CreateAll(dir, names, SeededBytes(args.size, args.seed));
  Stopwatch watch;
  watch.Start();
  UnlinkAll(dir, names);
  watch.Stop();
  Measured m;
  m.seconds = watch.seconds();
  m.ops = names.size();
  if (CountEntries(args) != 0) Wrong("entries left after unlink in", kScratch);
  RemoveScratch(args);
  return m;
}

Measured UnlinkLower(const Args& args) {
  Fd root = OpenRoot(args);
  Stopwatch watch;
  watch.Start();
  UnlinkAll(root, args.list);
  watch.Stop();
  Measured m;
  m.seconds = watch.seconds();
  m.ops = args.list.size();
  for (const std::string& name : args.list) {
    struct stat st;
    if (fstatat(root.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0)
      Wrong("still there after unlink", name);
    if (errno != ENOENT) Die("stat", name);
  }
  return m;
}

Measured Chmod(const Args& args) {
  Fd root = OpenRoot(args);
  Stopwatch watch;
  watch.Start();
  for (const std::string& name : args.list) {
    if (fchmodat(root.get(), name.c_str(), 0751, 0) != 0) Die("chmod", name);
  }
  watch.Stop();
  Measured m;
  m.seconds = watch.seconds();
  m.ops = args.list.size();
  for (const std::string& name : args.list) {
    struct stat st;
    if (fstatat(root.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
      Die("stat", name);
    if ((st.st_mode & 07777) != 0751) Wrong("mode after chmod of", name);
    std::string content =
        ReadAll(OpenAt(root, name, O_RDONLY),
                static_cast<size_t>(st.st_size) + 1, name, nullptr);
    m.check += HashString(content, HashString(name));
  }
  return m;
}

Measured Sum(const Args& args) {
  Fd root = OpenRoot(args);
  Measured m;
  struct stat st;
  if (fstatat(root.get(), args.file.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno != ENOENT) Die("stat", args.file);
    return m;
  }
  std::vector<Seen> seen;
  Visit(AT_FDCWD, (args.root + "/" + args.file).c_str(), "", true, &seen);
  m.ops = 1 + seen.size();
  for (const Seen& one : seen) {
    const std::string path = args.file + one.path;
    uint64_t hash = HashString(one.path, one.st.st_mode);
    if (S_ISREG(one.st.st_mode)) {
      const std::string content = ReadAll(
          OpenAt(root, path, O_RDONLY | O_NOFOLLOW), 1 << 20, path, nullptr);
      hash = HashString(content, hash);
      m.bytes += content.size();
    } else if (S_ISLNK(one.st.st_mode)) {
      std::string target(PATH_MAX, '\0');
      const ssize_t size =
          readlinkat(root.get(), path.c_str(), target.data(), target.size());
      if (size < 0) Die("readlink", path);
      target.resize(static_cast<size_t>(size));
      hash = HashString(target, hash);
    }
    m.check += hash;
  }
  return m;
}

}  // namespace ufs::bench
