// Rename in every mixture of origins and kinds, with every flag, and what it
// must keep.
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <map>
#include <thread>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

using Rename = UnionTest;
using RenameDir = UnionTest;

// What can stand at a name. Every thing lives in a directory of its own, so
// that one mount holds all pairs.
struct Thing {
  const char* label;
  bool exists = true;
  bool is_dir = false;
  bool is_empty = true;  // of a directory
};
const Thing kThings[] = {
    {"Absent", false},
    {"WhitedOut", false},
    {"LowerFile"},
    {"UpperFile"},
    {"MetaCopiedFile"},
    {"CopiedUpFile"},
    {"LowerSymlink"},
    {"LowerFifo"},
    {"LowerDir", true, true, false},
    {"MergedDir", true, true, false},
    {"UpperDir", true, true, false},
    {"EmptyLowerDir", true, true, true},
    {"EmptyUpperDir", true, true, true},
    {"EmptiedMergedDir", true, true, true},
};

std::string PathIn(const std::string& dir, const Thing& thing) {
  return dir + "/" + thing.label;
}

void DeclareThings(const std::string& dir, Tree* bottom, Tree* top) {
  auto at = [&](const char* label) { return dir + "/" + label; };
  bottom->Dir(dir);
  bottom->File(at("WhitedOut"), "was here");
  top->Whiteout(at("WhitedOut"));
  bottom->File(at("LowerFile"), "LowerFile");
  bottom->File(at("MetaCopiedFile"), "MetaCopiedFile");
  bottom->File(at("CopiedUpFile"), "CopiedUp");
  bottom->Symlink(at("LowerSymlink"), "LowerSymlink");
  bottom->Fifo(at("LowerFifo"));
  bottom->File(at("LowerDir") + "/f", "LowerDir");
  bottom->File(at("MergedDir") + "/f", "MergedDir");
  top->File(at("MergedDir") + "/g", "MergedDir");
  bottom->Dir(at("EmptyLowerDir"));
  bottom->File(at("EmptiedMergedDir") + "/f");
  top->File(at("EmptiedMergedDir") + "/g");
}

// The things that only come to be in a mounted union.
void FinishThings(const std::string& dir) {
  auto at = [&](const char* label) { return dir + "/" + label; };
  WriteFile(at("UpperFile"), "UpperFile");
  EXPECT_OK(chmod(at("MetaCopiedFile").c_str(), 0600));
  AppendFile(at("CopiedUpFile"), "File");
  EXPECT_OK(mkdir(at("UpperDir").c_str(), 0755));
  WriteFile(at("UpperDir") + "/f", "UpperDir");
  EXPECT_OK(mkdir(at("EmptyUpperDir").c_str(), 0755));
  EXPECT_OK(unlink((at("EmptiedMergedDir") + "/f").c_str()));
  EXPECT_OK(unlink((at("EmptiedMergedDir") + "/g").c_str()));
}

// One line that tells which thing stands at a path.
std::string Describe(const std::string& path) {
  struct stat st;
  if (lstat(path.c_str(), &st) != 0) return ErrnoName(errno);
  if (S_ISREG(st.st_mode)) return "file " + ReadFile(path);
  if (S_ISLNK(st.st_mode)) return "link " + ReadLink(path);
  if (S_ISFIFO(st.st_mode)) return "fifo";
  if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0)) return "whiteout";
  std::string text = "dir";
  for (const std::string& name : List(path)) {
    text += " " + name + "=" + ReadFile(path + "/" + name);
  }
  return text;
}

// What POSIX and renameat2(2) say about moving `from` onto `to`.
int ExpectedErrno(const Thing& from, const Thing& to, unsigned flags) {
  if (!from.exists) return ENOENT;
  if ((flags & RENAME_NOREPLACE) && to.exists) return EEXIST;
  if (flags & RENAME_EXCHANGE) return to.exists ? 0 : ENOENT;
  if (to.exists && from.is_dir && !to.is_dir) return ENOTDIR;
  if (to.exists && !from.is_dir && to.is_dir) return EISDIR;
  // overlayfs, as many others, does not take the flag.
  if ((flags & RENAME_WHITEOUT) && TheSubject().is_overlay()) return EINVAL;
  return to.exists && to.is_dir && !to.is_empty ? ENOTEMPTY : 0;
}

class RenameMatrix
    : public UnionTest,
      public testing::WithParamInterface<std::tuple<Thing, unsigned>> {};

TEST_P(RenameMatrix, OntoEverything) {
  const auto& [from, flags] = GetParam();
  Tree bottom, top;
  for (const Thing& to : kThings) {
    DeclareThings(std::string("from-") + to.label, &bottom, &top);
  }
  DeclareThings("to", &bottom, &top);
  Mount({bottom, top});
  for (const Thing& to : kThings) FinishThings(std::string("from-") + to.label);
  FinishThings("to");

  // First every move, then, after a remount too, a look at the results.
  std::map<std::string, std::string> expected;
  for (const Thing& to : kThings) {
    const std::string source = PathIn(std::string("from-") + to.label, from);
    const std::string target = PathIn("to", to);
    const std::string moved = Describe(source), replaced = Describe(target);
    const int error = ExpectedErrno(from, to, flags);
    const int result =
        renameat2(AT_FDCWD, source.c_str(), AT_FDCWD, target.c_str(), flags);
    if (error == 0) {
      EXPECT_OK(result) << source << " to " << target;
      expected[target] = moved;
      expected[source] = flags & RENAME_EXCHANGE   ? replaced
                         : flags & RENAME_WHITEOUT ? "whiteout"
                                                   : "ENOENT";
    } else {
      EXPECT_ERRNO(error, result) << source << " to " << target;
      expected[target] = replaced;
      expected[source] = moved;
    }
  }
  for (const auto& [path, text] : expected)
    EXPECT_EQ(Describe(path), text) << path;
  Remount();
  for (const auto& [path, text] : expected) {
    EXPECT_EQ(Describe(path), text) << path << " after a remount";
  }
}

INSTANTIATE_TEST_SUITE_P(
    Every, RenameMatrix,
    testing::Combine(testing::ValuesIn(kThings),
                     testing::Values(0u, RENAME_NOREPLACE, RENAME_EXCHANGE,
                                     RENAME_WHITEOUT,
                                     RENAME_WHITEOUT | RENAME_NOREPLACE)),
    [](const auto& info) {
      const unsigned flags = std::get<1>(info.param);
      std::string name = std::get<0>(info.param).label;
      if (flags & RENAME_NOREPLACE) name += "NoReplace";
      if (flags & RENAME_EXCHANGE) name += "Exchange";
      if (flags & RENAME_WHITEOUT) name += "Whiteout";
      return name;
    });

TEST_F(Rename, KeepsInodeAndAttributes) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree()
             .File("f", "data")
             .Mode(0640)
             .Owner(1000, 1001)
             .Times(At(100, 1), At(200, 2))
             .Xattr("user.k", "v")
             .Dir("d")});
  const ino_t ino = Ino("f");
  EXPECT_OK(rename("f", "d/g"));
  Remount();
  const struct stat st = Stat("d/g");
  EXPECT_EQ(st.st_ino, ino);
  EXPECT_EQ(st.st_mode, S_IFREG | 0640u);
  EXPECT_EQ(st.st_uid, 1000u);
  EXPECT_EQ(st.st_mtim, At(200, 2));
  EXPECT_EQ(GetXattr("d/g", "user.k"), "v");
  EXPECT_EQ(ReadFile("d/g"), "data");
}

TEST_F(Rename, OfALowerFileCopiesNoData) {
  SKIP_ON_PLAIN("there is no upper");
  Mount({Tree().File("big", Pattern(1 << 20)).Dir("d")});
  EXPECT_OK(rename("big", "d/moved"));
  EXPECT_TRUE(ReadFile("d/moved") == Pattern(1 << 20));
  Remount();
  EXPECT_TRUE(ReadFile("d/moved") == Pattern(1 << 20));
  Unmount();
  EXPECT_LT(Stat(Upper("d/moved")).st_blocks * 512, 1 << 16);
}

TEST_F(Rename, ToItselfDoesNothing) {
  Mount({Tree().File("f", "x").Dir("d")});
  EXPECT_OK(rename("f", "f"));
  EXPECT_OK(rename("d", "d"));
  EXPECT_ERRNO(EEXIST,
               renameat2(AT_FDCWD, "f", AT_FDCWD, "f", RENAME_NOREPLACE));
  EXPECT_OK(renameat2(AT_FDCWD, "f", AT_FDCWD, "f", RENAME_EXCHANGE));
  EXPECT_EQ(ReadFile("f"), "x");
}

TEST_F(Rename, OntoAnotherNameOfTheSameFileDoesNothing) {
  Mount({Tree().File("a", "x").HardLink("b", "a")});
  WriteFile("u", "u");
  EXPECT_OK(link("u", "v"));
  EXPECT_OK(rename("a", "b"));
  EXPECT_OK(rename("u", "v"));
  EXPECT_EQ(List("."), (Names{"a", "b", "u", "v"}));
}

TEST_F(Rename, IntoItsOwnSubdirectoryIsInvalid) {
  Mount({Tree().Dir("d/sub/deep")});
  EXPECT_ERRNO(EINVAL, rename("d", "d/sub/deep/d"));
  EXPECT_ERRNO(EINVAL, rename("d", "d/x"));
  EXPECT_ERRNO(ENOTEMPTY, rename("d/sub/deep", "d"));
  EXPECT_ERRNO(EINVAL, renameat2(AT_FDCWD, "d", AT_FDCWD, "d/sub/deep",
                                 RENAME_EXCHANGE));
}

TEST_F(Rename, WrongPathsAndFlags) {
  Mount({Tree().File("f").File("g").Dir("d")});
  EXPECT_ERRNO(ENOENT, rename("f", "no/f"));
  EXPECT_ERRNO(ENOTDIR, rename("f", "g/f"));
  EXPECT_ERRNO(ENOTDIR, rename("f/", "h"));
  EXPECT_ERRNO(EINVAL, renameat2(AT_FDCWD, "f", AT_FDCWD, "h",
                                 RENAME_NOREPLACE | RENAME_EXCHANGE));
  EXPECT_ERRNO(EINVAL, renameat2(AT_FDCWD, "f", AT_FDCWD, "h", 1u << 20));
  EXPECT_ERRNO(EBUSY, rename("d", "."));
  EXPECT_EQ(List("."), (Names{"d", "f", "g"}));
}

TEST_F(Rename, NoReplaceOntoAWhitedOutName) {
  Mount({Tree().File("gone", "x").File("f", "f"), Tree().Whiteout("gone")});
  EXPECT_OK(renameat2(AT_FDCWD, "f", AT_FDCWD, "gone", RENAME_NOREPLACE));
  EXPECT_EQ(ReadFile("gone"), "f");
  Remount();
  EXPECT_EQ(List("."), Names{"gone"});
}

TEST_F(Rename, WithWhiteoutLeavesAWhiteoutOrIsRefused) {
  Mount({Tree().File("f", "x").Dir("d")});
  const int result = renameat2(AT_FDCWD, "f", AT_FDCWD, "d/f", RENAME_WHITEOUT);
  if (result != 0) {
    // overlayfs and many others do not take the flag; nothing may have moved.
    EXPECT_EQ(ErrnoName(errno), "EINVAL");
    EXPECT_EQ(ReadFile("f"), "x");
    return;
  }
  EXPECT_EQ(ReadFile("d/f"), "x");
  struct stat st;
  if (lstat("f", &st) == 0) {
    EXPECT_TRUE(S_ISCHR(st.st_mode));
    EXPECT_EQ(st.st_rdev, makedev(0, 0));
  }
}

TEST_F(Rename, BackAndForthLeavesNoTrace) {
  Mount({Tree().File("f", "x").File("d/g", "y")});
  for (int i = 0; i < 3; ++i) {
    EXPECT_OK(rename("f", "t"));
    EXPECT_OK(rename("t", "f"));
    EXPECT_OK(rename("d", "e"));
    EXPECT_OK(rename("e", "d"));
    Remount();
    EXPECT_EQ(List("."), (Names{"d", "f"}));
    EXPECT_EQ(ReadFile("f"), "x");
    EXPECT_EQ(ReadFile("d/g"), "y");
  }
}

TEST_F(Rename, AChainOfNames) {
  Mount({Tree().File("a", "a").File("b", "b").File("c", "c")});
  EXPECT_OK(rename("a", "tmp"));
  EXPECT_OK(rename("b", "a"));
  EXPECT_OK(rename("c", "b"));
  EXPECT_OK(rename("tmp", "c"));
  Remount();
  EXPECT_EQ(ReadFile("a"), "b");
  EXPECT_EQ(ReadFile("b"), "c");
  EXPECT_EQ(ReadFile("c"), "a");
}

TEST_F(Rename, ReplacesAtomicallyUnderReaders) {
  Mount({Tree().File("f", std::string(1000, 'a'))});
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::thread reader([&] {
    while (!stop) {
      int fd = open("f", O_RDONLY);
      if (fd < 0) {
        ++wrong;
        continue;
      }
      char buffer[2000];
      ssize_t n = read(fd, buffer, sizeof buffer);
      if (n != 1000 || buffer[0] != buffer[999]) ++wrong;
      close(fd);
    }
  });
  for (int i = 0; i < 50; ++i) {
    WriteFile("new", std::string(1000, static_cast<char>('b' + i % 20)));
    EXPECT_OK(rename("new", "f"));
  }
  stop = true;
  reader.join();
  EXPECT_EQ(wrong, 0) << "a reader saw no file, or half of one";
}

TEST_F(Rename, MovesAnOpenFileWithItsDescriptors) {
  Mount({Tree().File("f", "lower").Dir("d")});
  UniqueFd reader = Open("f", O_RDONLY);
  UniqueFd writer = Open("f", O_RDWR);
  EXPECT_OK(rename("f", "d/g"));
  WriteAt(writer.get(), 5, "+w");
  EXPECT_EQ(ReadAll(reader.get()), "lower+w");
  EXPECT_EQ(ReadFile("d/g"), "lower+w");
}

TEST_F(Rename, NeedsBothDirectories) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree()
             .Dir("mine")
             .Owner(1000, 1000)
             .File("mine/f")
             .Owner(1000, 1000)
             .Dir("roots")
             .Dir("mine/dir")
             .Owner(0, 0)});
  EXPECT_ERRNO_EQ(EACCES, AsUser(kAlice, [] {
                    return ErrnoOf(rename("mine/f", "roots/f"));
                  }));
  // Moving a directory rewrites its "..", which wants write access to it; a
  // rename inside one directory does not.
  EXPECT_ERRNO_EQ(0, AsUser(kAlice, [] {
                    return ErrnoOf(rename("mine/dir", "mine/dir2"));
                  }));
}

// Directories.

TEST_F(RenameDir, OfALowerLayerMovesAllItsContent) {
  Mount({Tree().File("d/f", "f").File("d/sub/g", "g").Symlink("d/l", "f")});
  EXPECT_OK(rename("d", "e"));
  EXPECT_ERRNO(ENOENT, access("d", F_OK));
  EXPECT_EQ(List("e"), (Names{"f", "l", "sub"}));
  EXPECT_EQ(ReadFile("e/sub/g"), "g");
  EXPECT_EQ(ReadLink("e/l"), "f");
  Remount();
  EXPECT_EQ(List("."), Names{"e"});
  EXPECT_EQ(ReadFile("e/f"), "f");
  EXPECT_EQ(ReadFile("e/sub/g"), "g");
}

TEST_F(RenameDir, MergedKeepsTheMerge) {
  Mount({Tree().File("d/l0", "0"), Tree().File("d/l1", "1")});
  WriteFile("d/up", "u");
  EXPECT_OK(unlink("d/l0"));
  EXPECT_OK(rename("d", "e"));
  Remount();
  EXPECT_EQ(List("e"), (Names{"l1", "up"}));
  EXPECT_OK(mkdir("d", 0755));
  EXPECT_EQ(List("d"), Names{});
  Remount();
  EXPECT_EQ(List("d"), Names{});
  EXPECT_EQ(List("e"), (Names{"l1", "up"}));
}

TEST_F(RenameDir, CopiesNothing) {
  SKIP_ON_PLAIN("there is no upper");
  Tree tree;
  for (int i = 0; i < 50; ++i) {
    tree.File("d/" + std::to_string(i), Pattern(10000));
  }
  Mount({tree});
  EXPECT_OK(rename("d", "e"));
  Unmount();
  EXPECT_EQ(List(Upper("e")), Names{}) << "the content was copied";
}

TEST_F(RenameDir, WorkGoesOnInside) {
  Mount({Tree().File("d/f", "f").File("d/sub/g", "g")});
  EXPECT_OK(rename("d", "e"));
  AppendFile("e/f", "+");
  WriteFile("e/new", "n");
  EXPECT_OK(unlink("e/sub/g"));
  WriteFile("e/sub/h", "h");
  EXPECT_OK(mkdir("e/made", 0755));
  EXPECT_OK(rename("e/sub", "e/made/sub"));
  Remount();
  EXPECT_EQ(List("e"), (Names{"f", "made", "new"}));
  EXPECT_EQ(ReadFile("e/f"), "f+");
  EXPECT_EQ(List("e/made/sub"), Names{"h"});
}

TEST_F(RenameDir, NestedMovesAddUp) {
  Mount({Tree().File("a/b/c/f", "deep").File("a/b/g", "mid")});
  EXPECT_OK(rename("a/b/c", "c"));
  EXPECT_OK(rename("a/b", "b"));
  EXPECT_OK(rename("c", "b/c2"));
  EXPECT_OK(rename("a", "b/a"));
  Remount();
  EXPECT_EQ(List("."), Names{"b"});
  EXPECT_EQ(List("b"), (Names{"a", "c2", "g"}));
  EXPECT_EQ(ReadFile("b/c2/f"), "deep");
  EXPECT_EQ(List("b/a"), Names{});
  EXPECT_OK(rename("b/c2", "b/a/c3"));
  EXPECT_OK(rename("b", "z"));
  Remount();
  EXPECT_EQ(ReadFile("z/a/c3/f"), "deep");
  EXPECT_EQ(ReadFile("z/g"), "mid");
}

TEST_F(RenameDir, ExchangeOfLowerDirectories) {
  Mount({Tree().File("a/f", "a").File("b/f", "b"), Tree().File("b/g", "b")});
  EXPECT_OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE));
  EXPECT_EQ(ReadFile("a/f"), "b");
  EXPECT_EQ(List("b"), Names{"f"});
  Remount();
  EXPECT_EQ(List("a"), (Names{"f", "g"}));
  EXPECT_EQ(ReadFile("b/f"), "a");
}

TEST_F(RenameDir, ExchangeOfFileAndDirectory) {
  Mount({Tree().File("f", "file").File("d/inside", "i")});
  EXPECT_OK(renameat2(AT_FDCWD, "f", AT_FDCWD, "d", RENAME_EXCHANGE));
  Remount();
  EXPECT_EQ(ReadFile("d"), "file");
  EXPECT_EQ(List("f"), Names{"inside"});
}

TEST_F(RenameDir, OntoAnEmptiedMergedDirectory) {
  Mount({Tree().File("d/old").File("s/new", "n"), Tree().File("d/older")});
  EXPECT_OK(unlink("d/old"));
  EXPECT_ERRNO(ENOTEMPTY, rename("s", "d"));
  EXPECT_OK(unlink("d/older"));
  EXPECT_OK(rename("s", "d"));
  Remount();
  EXPECT_EQ(List("."), Names{"d"});
  EXPECT_EQ(List("d"), Names{"new"});
}

TEST_F(RenameDir, LongPathsAreNoLimit) {
  // overlayfs falls back to EXDEV or refuses when a redirect is too long.
  std::string deep = "top";
  for (int i = 0; i < 8; ++i) deep += "/" + std::string(100, 'a' + i);
  Mount({Tree().File(deep + "/dir/f", "x")});
  EXPECT_OK(rename((deep + "/dir").c_str(), "short"));
  EXPECT_OK(rename("short", (deep + "/back").c_str()));
  EXPECT_OK(rename("top", "bottom"));
  Remount();
  deep.replace(0, 3, "bottom");
  EXPECT_EQ(ReadFile(deep + "/back/f"), "x");
}

TEST_F(RenameDir, OpenDescriptorsInsideStayValid) {
  Mount({Tree().File("d/f", "x").Dir("e")});
  UniqueFd dir = Open("d", O_RDONLY | O_DIRECTORY);
  UniqueFd file = Open("d/f", O_RDONLY);
  EXPECT_OK(rename("d", "e/d"));
  EXPECT_EQ(ReadAll(file.get()), "x");
  UniqueFd made(openat(dir.get(), "g", O_CREAT | O_WRONLY, 0644));
  EXPECT_TRUE(made.valid());
  EXPECT_EQ(List("e/d"), (Names{"f", "g"}));
  EXPECT_EQ(Fstat(dir.get()).st_ino, Ino("e/d"));
}

TEST_F(RenameDir, TheWorkingDirectoryMovesAlong) {
  Mount({Tree().File("d/f", "x")});
  ASSERT_OK(chdir("d"));
  EXPECT_OK(rename("../d", "../e"));
  EXPECT_EQ(ReadFile("f"), "x");
  WriteFile("g", "y");
  char path[PATH_MAX];
  ASSERT_NE(getcwd(path, sizeof path), nullptr);
  EXPECT_EQ(std::string(path), root() + "/e");
  ASSERT_OK(chdir(root().c_str()));
  EXPECT_EQ(List("e"), (Names{"f", "g"}));
}

TEST_F(RenameDir, DotDotFollowsTheMove) {
  Mount({Tree().Dir("a/d").File("b/mark")});
  EXPECT_OK(rename("a/d", "b/d"));
  EXPECT_OK(access("b/d/../mark", F_OK));
  EXPECT_EQ(Ino("b/d/.."), Ino("b"));
}

TEST_F(RenameDir, KeepsAttributesAndInode) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree()
             .Dir("d")
             .Mode(02750)
             .Owner(1000, 1005)
             .Xattr("user.k", "v")
             .File("d/f")});
  const ino_t ino = Ino("d"), file = Ino("d/f");
  EXPECT_OK(rename("d", "e"));
  Remount();
  EXPECT_EQ(Ino("e"), ino);
  EXPECT_EQ(Ino("e/f"), file);
  EXPECT_EQ(Stat("e").st_mode, S_IFDIR | 02750u);
  EXPECT_EQ(Stat("e").st_uid, 1000u);
  EXPECT_EQ(GetXattr("e", "user.k"), "v");
}

TEST_F(RenameDir, ANewDirectoryAtTheOldNameIsEmpty) {
  Mount({Tree().File("d/f", "old").File("d/sub/g", "old")});
  EXPECT_OK(rename("d", "e"));
  EXPECT_OK(mkdir("d", 0755));
  EXPECT_OK(mkdir("d/sub", 0755));
  EXPECT_EQ(List("d/sub"), Names{});
  WriteFile("d/f", "new");
  EXPECT_OK(rename("e", "d/e"));
  Remount();
  EXPECT_EQ(ReadFile("d/f"), "new");
  EXPECT_EQ(List("d/sub"), Names{});
  EXPECT_EQ(ReadFile("d/e/f"), "old");
  EXPECT_EQ(ReadFile("d/e/sub/g"), "old");
}

TEST_F(RenameDir, MoveSwapsTwoTreesThroughAThirdName) {
  Mount({Tree().File("v1/f", "1").File("v2/f", "2")});
  EXPECT_OK(rename("v1", "tmp"));
  EXPECT_OK(rename("v2", "v1"));
  EXPECT_OK(rename("tmp", "v2"));
  Remount();
  EXPECT_EQ(ReadFile("v1/f"), "2");
  EXPECT_EQ(ReadFile("v2/f"), "1");
  EXPECT_OK(unlink("v1/f"));
  EXPECT_OK(rmdir("v1"));
  Remount();
  EXPECT_EQ(List("."), Names{"v2"});
  EXPECT_EQ(ReadFile("v2/f"), "1");
}

TEST_F(RenameDir, RedirectsLeftByAnEarlierMountAreFollowed) {
  SKIP_ON_PLAIN("redirects are a matter of layers");
  NEEDS_REAL_ROOT("the names are trusted.");
  MountOnUpper({Tree().File("old/f", "f").File("a/b/deep/g", "g")},
               Tree()
                   .Dir("new")
                   .Xattr("trusted.overlay.redirect", "old")
                   .Whiteout("old")
                   .Dir("x/y")
                   .Xattr("trusted.overlay.redirect", "/a/b/deep")
                   .Whiteout("a/b/deep"));
  EXPECT_EQ(List("new"), Names{"f"});
  EXPECT_EQ(ReadFile("new/f"), "f");
  EXPECT_EQ(ReadFile("x/y/g"), "g");
  EXPECT_EQ(List("a/b"), Names{});
  AppendFile("x/y/g", "+");
  EXPECT_OK(rename("x/y", "z"));
  Remount();
  EXPECT_EQ(ReadFile("z/g"), "g+");
}

TEST_F(RenameDir, RedirectsInTheMiddleOfTheStackAreFollowed) {
  NEEDS_DIRECTORY_LAYERS("their import resolves redirects");
  SKIP_ON_PLAIN("redirects are a matter of layers");
  NEEDS_REAL_ROOT("the names are trusted.");
  Mount({
      Tree().File("old/f0", "0"),
      Tree()
          .Dir("new")
          .Xattr("trusted.overlay.redirect", "old")
          .Whiteout("old"),
      Tree().File("new/f2", "2"),
  });
  EXPECT_EQ(List("."), Names{"new"});
  EXPECT_EQ(List("new"), (Names{"f0", "f2"}));
}

TEST_F(RenameDir, CorruptRedirectsNeverLeaveTheLayer) {
  SKIP_ON_PLAIN("redirects are a matter of layers");
  NEEDS_REAL_ROOT("the names are trusted.");
  const std::string secret = Outside("secret");
  Tree upper;
  const std::vector<std::string> bad = {"..",
                                        "../outside",
                                        "/../../outside",
                                        "a/../../..",
                                        "/./x",
                                        "",
                                        "x/y",
                                        "/",
                                        "/bad0",
                                        std::string("x\0y", 3),
                                        std::string(5000, 'r')};
  for (size_t i = 0; i < bad.size(); ++i) {
    if (bad[i].size() > 4000) continue;  // more than ext4 keeps beside others
    upper.Dir("bad" + std::to_string(i))
        .Xattr("trusted.overlay.redirect", bad[i]);
  }
  ASSERT_OK(mkdir(secret.c_str(), 0755));
  WriteFile(secret + "/leak", "secret");
  MountOnUpper({Tree().File("good/f", "x")}, upper);
  for (size_t i = 0; i < bad.size(); ++i) {
    const std::string dir = "bad" + std::to_string(i);
    EXPECT_NE(access((dir + "/secret/leak").c_str(), F_OK), 0) << bad[i];
    EXPECT_NE(access((dir + "/leak").c_str(), F_OK), 0) << bad[i];
    EXPECT_NE(access((dir + "/l0").c_str(), F_OK), 0) << bad[i];
    int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY);
    if (fd < 0) continue;  // an error is a good answer
    UniqueFd owner(fd);
    int error = 0;
    for (const DirEntry& entry : Getdents(fd, 65536, &error)) {
      EXPECT_NE(entry.name, "leak") << bad[i];
      EXPECT_NE(entry.name, "upper") << bad[i];
    }
  }
  EXPECT_EQ(ReadFile("good/f"), "x") << "one bad directory breaks no other";
}

}  // namespace
}  // namespace ufs::test
