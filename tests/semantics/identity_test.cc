// Who a file is: st_ino, d_ino, handles; the same before and after copy-up,
// rename and remount.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <map>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

using Identity = UnionTest;
using Handle = UnionTest;

// Inode number of every path below `dir`.
void CollectInodes(const std::string& dir, std::map<std::string, ino_t>* out) {
  for (const std::string& name : List(dir)) {
    const std::string path = dir + "/" + name;
    const struct stat st = Stat(path);
    (*out)[path] = st.st_ino;
    if (S_ISDIR(st.st_mode)) CollectInodes(path, out);
  }
}

Tree Everything() {
  return Tree()
      .File("f", "file")
      .File("d/f", "deep")
      .Dir("d/empty")
      .Symlink("l", "f")
      .Fifo("p")
      .File("h1", "hard")
      .HardLink("h2", "h1");
}

TEST_F(Identity, OfEverythingIsTheSameAfterARemount) {
  Mount({Everything(), Tree().File("d/g", "g").File("top", "t")});
  WriteFile("up", "u");
  ASSERT_OK(mkdir("updir", 0755));
  AppendFile("f", "copied");
  ASSERT_OK(chmod("d/f", 0600));
  std::map<std::string, ino_t> before, after;
  CollectInodes(".", &before);
  Remount();
  CollectInodes(".", &after);
  EXPECT_EQ(before, after);
  EXPECT_GE(before.size(), 11u);
}

TEST_F(Identity, IsUniqueAmongEverything) {
  // The layers are separate trees, so that equal numbers on disk do not arise
  // by themselves; hard links are the one reason for two names to share one.
  Mount({Everything(), Tree().File("top1").File("top2").Dir("topdir")});
  WriteFile("up", "u");
  ASSERT_OK(symlink("x", "uplink"));
  std::map<std::string, ino_t> inodes;
  CollectInodes(".", &inodes);
  std::map<ino_t, std::string> owner;
  for (const auto& [path, ino] : inodes) {
    auto [it, fresh] = owner.emplace(ino, path);
    if (!fresh) {
      EXPECT_EQ(it->second + " " + path, "./h1 ./h2");
    }
  }
}

TEST_F(Identity, SurvivesEveryKindOfCopyUp) {
  const std::vector<std::pair<std::string, std::function<void(const char*)>>>
      changes = {
          {"open", [](const char* f) { UniqueFd fd = Open(f, O_RDWR); }},
          {"write", [](const char* f) { AppendFile(f, "x"); }},
          {"chmod", [](const char* f) { EXPECT_OK(chmod(f, 0600)); }},
          {"utimens", [](const char* f) { SetTimes(f, At(1), At(2)); }},
          {"setxattr", [](const char* f) { SetXattr(f, "user.k", "v"); }},
          {"truncate", [](const char* f) { EXPECT_OK(truncate(f, 0)); }},
          {"link",
           [](const char* f) {
             EXPECT_OK(link(f, (std::string(f) + ".link").c_str()));
           }},
          {"rename",
           [](const char* f) {
             EXPECT_OK(rename(f, "moved"));
             EXPECT_OK(rename("moved", f));
           }},
      };
  Tree lower;
  for (const auto& change : changes) lower.File(change.first, "lower");
  Mount({lower});
  std::map<std::string, ino_t> before;
  for (const auto& [name, change] : changes) {
    before[name] = Ino(name);
    change(name.c_str());
    EXPECT_EQ(Ino(name), before[name]) << name;
  }
  Remount();
  for (const auto& [name, ino] : before) EXPECT_EQ(Ino(name), ino) << name;
}

TEST_F(Identity, OfDirectoriesSurvivesCopyUp) {
  Mount({Tree().File("d/sub/f").File("e/f"), Tree().File("d/sub/g")});
  const ino_t d = Ino("d"), sub = Ino("d/sub"), e = Ino("e"), top = Ino(".");
  WriteFile("d/sub/new", "");
  EXPECT_OK(chmod("e", 0700));
  auto check = [&] {
    EXPECT_EQ(Ino("d"), d);
    EXPECT_EQ(Ino("d/sub"), sub);
    EXPECT_EQ(Ino("e"), e);
    EXPECT_EQ(Ino("."), top);
  };
  check();
  Remount();
  check();
}

TEST_F(Identity, OfSymlinksAndNodesSurvivesCopyUp) {
  Mount({Tree().Symlink("l", "x").Fifo("p")});
  const ino_t l = Ino("l"), p = Ino("p");
  EXPECT_OK(lchown("l", 0, 0));
  EXPECT_OK(chmod("p", 0600));
  EXPECT_EQ(Ino("l"), l);
  EXPECT_EQ(Ino("p"), p);
  Remount();
  EXPECT_EQ(Ino("l"), l);
  EXPECT_EQ(Ino("p"), p);
}

TEST_F(Identity, OfFilesInARenamedDirectoryStays) {
  Mount({Everything()});
  const ino_t d = Ino("d"), f = Ino("d/f"), empty = Ino("d/empty");
  EXPECT_OK(rename("d", "e"));
  EXPECT_EQ(Ino("e"), d);
  EXPECT_EQ(Ino("e/f"), f);
  Remount();
  EXPECT_EQ(Ino("e"), d);
  EXPECT_EQ(Ino("e/f"), f);
  EXPECT_EQ(Ino("e/empty"), empty);
}

TEST_F(Identity, IsANewOneForANewFileOfAnOldName) {
  Mount({Tree().File("f", "old")});
  UniqueFd keeps_the_number_taken = Open("f", O_RDONLY);
  const ino_t old = Ino("f");
  EXPECT_OK(unlink("f"));
  WriteFile("f", "new");
  EXPECT_NE(Ino("f"), old);
}

TEST_F(Identity, ReaddirTellsTheNumbersStatTells) {
  Mount({Everything(), Tree().File("d/g").File("top")});
  WriteFile("up", "u");
  AppendFile("f", "copied");
  ASSERT_OK(chmod("h1", 0600));
  ASSERT_OK(rename("d", "e"));
  for (int i = 0; i < 2; ++i) {
    for (const std::string dir : {".", "e"}) {
      UniqueFd fd = Open(dir, O_RDONLY | O_DIRECTORY);
      for (const DirEntry& entry : GetdentsAll(fd.get(), 4096)) {
        if (dir == "." && entry.name == "..") continue;  // outside the union
        const struct stat st = Stat(dir + "/" + entry.name);
        EXPECT_EQ(entry.ino, st.st_ino) << dir << "/" << entry.name;
        EXPECT_EQ(entry.type, IFTODT(st.st_mode)) << dir << "/" << entry.name;
      }
    }
    Remount();
  }
}

TEST_F(Identity, ReaddirBeforeAnyStatTellsThemToo) {
  Mount({Everything(), Tree().File("d/g").File("top")});
  std::map<std::string, ino_t> listed;
  {
    UniqueFd fd = Open(".", O_RDONLY | O_DIRECTORY);
    for (const DirEntry& entry : GetdentsAll(fd.get(), 65536)) {
      listed[entry.name] = entry.ino;
    }
  }
  for (const auto& [name, ino] : listed) {
    if (name == "..") continue;
    EXPECT_EQ(ino, Ino(name)) << name;
  }
}

TEST_F(Identity, TwoLayersWithFilesOfTheSameNumberDoNotMeet) {
  // A layer copied to another file system keeps nothing; but two layers may be
  // bind mounts of one tree, or snapshots with equal numbers.
  SKIP_ON_PLAIN("there are no layers");
  Mount({Tree().File("a", "a"), Tree().File("b", "b"), Tree().File("c", "c")});
  std::set<ino_t> numbers = {Ino("a"), Ino("b"), Ino("c")};
  EXPECT_EQ(numbers.size(), 3u);
  AppendFile("a", "+");
  EXPECT_EQ(ReadFile("b"), "b");
  EXPECT_EQ(ReadFile("c"), "c");
}

// File handles.

class FileHandle {
 public:
  explicit FileHandle(const std::string& path) {
    handle()->handle_bytes = MAX_HANDLE_SZ;
    error_ = ErrnoOf(
        name_to_handle_at(AT_FDCWD, path.c_str(), handle(), &mount_id_, 0));
  }
  int error() const { return error_; }
  int OpenIn(int mount_fd, int flags) {
    return open_by_handle_at(mount_fd, handle(), flags);
  }
  std::string bytes() {
    return std::string(reinterpret_cast<char*>(handle()->f_handle),
                       handle()->handle_bytes);
  }

 private:
  struct file_handle* handle() {
    return reinterpret_cast<struct file_handle*>(buffer_);
  }
  alignas(struct file_handle) char buffer_[sizeof(struct file_handle) +
                                           MAX_HANDLE_SZ] = {};
  int mount_id_ = 0;
  int error_ = 0;
};

TEST_F(Handle, WhereGivenOpenTheFileTheyWereTakenOf) {
  Mount({Tree().File("low", "low").File("d/f", "deep")});
  WriteFile("up", "up");
  UniqueFd mount = Open(".", O_RDONLY | O_DIRECTORY);
  for (const std::string name : {"low", "up", "d/f"}) {
    FileHandle handle(name);
    if (handle.error() != 0) {
      EXPECT_ERRNO_EQ(EOPNOTSUPP, handle.error());
      GTEST_SKIP() << "no file handles here";
    }
    UniqueFd fd(handle.OpenIn(mount.get(), O_RDONLY));
    if (!fd.valid()) {
      EXPECT_TRUE(errno == EPERM && TheSubject().in_user_namespace)
          << name << ": " << ErrnoName(errno);
      GTEST_SKIP() << "open_by_handle_at needs privileges here";
    }
    EXPECT_EQ(Fstat(fd.get()).st_ino, Ino(name)) << name;
    EXPECT_EQ(ReadAll(fd.get()), ReadFile(name)) << name;
  }
}

TEST_F(Handle, SurviveCopyUpAndRename) {
  Mount({Tree().File("f", "lower").Dir("d")});
  UniqueFd mount = Open(".", O_RDONLY | O_DIRECTORY);
  FileHandle handle("f");
  if (handle.error() != 0) GTEST_SKIP() << "no file handles here";
  if (UniqueFd fd(handle.OpenIn(mount.get(), O_RDONLY)); !fd.valid()) {
    GTEST_SKIP() << "open_by_handle_at needs privileges here";
  }
  AppendFile("f", "+");
  EXPECT_OK(rename("f", "d/g"));
  UniqueFd fd(handle.OpenIn(mount.get(), O_RDONLY));
  ASSERT_TRUE(fd.valid()) << ErrnoName(errno);
  EXPECT_EQ(ReadAll(fd.get()), "lower+");
  EXPECT_EQ(FileHandle("d/g").bytes(), handle.bytes());
}

TEST_F(Handle, OfARemovedFileAreStale) {
  Mount({Tree().File("f", "lower")});
  UniqueFd mount = Open(".", O_RDONLY | O_DIRECTORY);
  FileHandle handle("f");
  if (handle.error() != 0) GTEST_SKIP() << "no file handles here";
  if (UniqueFd fd(handle.OpenIn(mount.get(), O_RDONLY)); !fd.valid()) {
    GTEST_SKIP() << "open_by_handle_at needs privileges here";
  }
  EXPECT_OK(unlink("f"));
  EXPECT_ERRNO(ESTALE, handle.OpenIn(mount.get(), O_RDONLY));
}

TEST_F(Handle, EmptyPathOperationsWorkOnOPathDescriptors) {
  Mount({Tree().File("f", "x").Dir("d").Symlink("l", "f")});
  for (const char* name : {"f", "d", "l"}) {
    UniqueFd fd = Open(name, O_PATH | O_NOFOLLOW);
    struct stat st;
    EXPECT_OK(fstatat(fd.get(), "", &st, AT_EMPTY_PATH));
    EXPECT_EQ(st.st_ino, Ino(name));
    EXPECT_OK(fchownat(fd.get(), "", 0, 0, AT_EMPTY_PATH));
  }
  UniqueFd link = Open("l", O_PATH | O_NOFOLLOW);
  char buffer[8];
  EXPECT_EQ(readlinkat(link.get(), "", buffer, sizeof buffer), 1);
  UniqueFd file = Open("f", O_PATH);
  EXPECT_OK(linkat(file.get(), "", AT_FDCWD, "hard", AT_EMPTY_PATH));
  EXPECT_EQ(Ino("hard"), Ino("f"));
}

}  // namespace
}  // namespace ufs::test
