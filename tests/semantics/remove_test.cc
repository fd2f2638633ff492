// Taking away: unlink, rmdir, sticky directories.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

using Remove = UnionTest;
using Sticky = UnionTest;
using Unlinked = UnionTest;

TEST_F(Remove, FilesOfEveryOrigin) {
  Mount(
      {Tree().File("low", "l").File("both", "b0"), Tree().File("both", "b1")});
  WriteFile("up", "u");
  AppendFile("both", "copied up");
  for (const char* name : {"low", "both", "up"}) {
    EXPECT_OK(unlink(name));
    EXPECT_ERRNO(ENOENT, access(name, F_OK));
    EXPECT_ERRNO(ENOENT, unlink(name));
  }
  EXPECT_EQ(List("."), Names{});
  Remount();
  EXPECT_EQ(List("."), Names{});
}

TEST_F(Remove, AndMakeAgainManyTimes) {
  Mount({Tree().File("f", "lower").File("d/x", "lower")});
  for (int i = 0; i < 5; ++i) {
    EXPECT_OK(unlink("f"));
    WriteFile("f", std::to_string(i));
    EXPECT_EQ(ReadFile("f"), std::to_string(i));
    EXPECT_OK(unlink("d/x"));
    EXPECT_OK(rmdir("d"));
    EXPECT_OK(mkdir("d", 0755));
    EXPECT_EQ(List("d"), Names{});
    WriteFile("d/x", std::to_string(i));
    if (i % 2) Remount();
  }
  Remount();
  EXPECT_EQ(ReadFile("f"), "4");
  EXPECT_EQ(ReadFile("d/x"), "4");
}

TEST_F(Remove, IsAChangeOfWhoeverHasItOpen) {
  Mount({Tree().File("low", "l")});
  WriteFile("up", "u");
  for (const char* name : {"low", "up"}) {
    const UniqueFd fd = Open(name, O_RDONLY);
    struct stat before, after;
    ASSERT_OK(fstat(fd.get(), &before));
    usleep(20000);  // the clock that stamps files is a coarse one
    EXPECT_OK(unlink(name));
    ASSERT_OK(fstat(fd.get(), &after));
    EXPECT_EQ(after.st_nlink, 0u) << name;
    EXPECT_TRUE(before.st_ctim < after.st_ctim) << name;
  }
}

TEST_F(Remove, UnlinkRefusesDirectoriesRmdirRefusesFiles) {
  Mount({Tree().File("f").Dir("d").Symlink("l", "d")});
  EXPECT_ERRNO(EISDIR, unlink("d"));
  EXPECT_ERRNO(ENOTDIR, rmdir("f"));
  EXPECT_ERRNO(ENOTDIR, rmdir("l"));
  EXPECT_ERRNO(EINVAL, rmdir("d/."));
  EXPECT_ERRNO(ENOTEMPTY, rmdir("d/.."));
  EXPECT_ERRNO(ENOENT, rmdir("nothing"));
  EXPECT_ERRNO(EBUSY, rmdir(root().c_str()));
}

TEST_F(Remove, OfASymlinkLeavesItsTarget) {
  Mount({Tree().File("f", "x").Symlink("l", "f").Symlink("dangling", "no")});
  EXPECT_OK(unlink("l"));
  EXPECT_OK(unlink("dangling"));
  Remount();
  EXPECT_EQ(List("."), Names{"f"});
  EXPECT_EQ(ReadFile("f"), "x");
}

TEST_F(Remove, RmdirOnlyWhenEmpty) {
  Mount({Tree().File("low/f").File("merged/a").Dir("empty"),
         Tree().File("merged/b")});
  EXPECT_ERRNO(ENOTEMPTY, rmdir("low"));
  EXPECT_ERRNO(ENOTEMPTY, rmdir("merged"));
  EXPECT_OK(rmdir("empty"));
  EXPECT_OK(unlink("merged/a"));
  EXPECT_ERRNO(ENOTEMPTY, rmdir("merged"));
  EXPECT_OK(unlink("merged/b"));
  EXPECT_OK(rmdir("merged"));
  EXPECT_OK(unlink("low/f"));
  WriteFile("low/g", "");
  EXPECT_ERRNO(ENOTEMPTY, rmdir("low"));
  EXPECT_OK(unlink("low/g"));
  EXPECT_OK(rmdir("low"));
  EXPECT_EQ(List("."), Names{});
  Remount();
  EXPECT_EQ(List("."), Names{});
}

TEST_F(Remove, RmdirAfterEverythingWasMovedAway) {
  Mount({Tree().File("d/f", "f").File("d/sub/g", "g")});
  EXPECT_OK(rename("d/f", "f"));
  EXPECT_ERRNO(ENOTEMPTY, rmdir("d"));
  EXPECT_OK(rename("d/sub", "sub"));
  EXPECT_OK(rmdir("d"));
  Remount();
  EXPECT_EQ(List("."), (Names{"f", "sub"}));
  EXPECT_EQ(ReadFile("sub/g"), "g");
}

TEST_F(Remove, AWholeTree) {
  Tree tree;
  for (int i = 0; i < 20; ++i) {
    tree.File("t/" + std::to_string(i % 4) + "/" + std::to_string(i), "x");
    tree.Symlink("t/l" + std::to_string(i), "target");
  }
  Mount({tree, Tree().File("t/0/other").File("t/new/deep/f")});
  WriteFile("t/2/upper", "u");
  EXPECT_EQ(RunProgram({"rm", "-rf", "t"}).output, "");
  EXPECT_EQ(List("."), Names{});
  Remount();
  EXPECT_EQ(List("."), Names{});
  EXPECT_OK(mkdir("t", 0755));
  EXPECT_EQ(List("t"), Names{});
}

TEST_F(Remove, UnlinkOfALowerFileCopiesNothing) {
  SKIP_ON_PLAIN("there is no upper");
  Mount({Tree().File("big", Pattern(4 << 20))});
  EXPECT_OK(unlink("big"));
  Unmount();
  EXPECT_EQ(Size(Upper("big")), 0);
}

TEST_F(Remove, NeedsWriteAccessToTheDirectory) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().File("d/f").Owner(1000, 1000).Dir("d/sub").Owner(1000, 1000)});
  EXPECT_ERRNO_EQ(EACCES,
                  AsUser(kAlice, [] { return ErrnoOf(unlink("d/f")); }));
  EXPECT_ERRNO_EQ(EACCES,
                  AsUser(kAlice, [] { return ErrnoOf(rmdir("d/sub")); }));
  EXPECT_EQ(List("d"), (Names{"f", "sub"}));
}

TEST_F(Remove, AnOpenDirectoryCanGo) {
  Mount({Tree().Dir("d")});
  EXPECT_OK(mkdir("u", 0755));
  for (const char* name : {"d", "u"}) {
    UniqueFd fd = Open(name, O_RDONLY | O_DIRECTORY);
    EXPECT_OK(rmdir(name));
    EXPECT_ERRNO(ENOENT, openat(fd.get(), "f", O_CREAT | O_WRONLY, 0644));
    EXPECT_ERRNO(ENOENT, mkdirat(fd.get(), "x", 0755));
    struct stat st;
    EXPECT_OK(fstat(fd.get(), &st));
    int error = 0;
    EXPECT_TRUE(Getdents(fd.get(), 4096, &error).empty());
    EXPECT_ERRNO_EQ(ENOENT, error);
  }
}

TEST_F(Remove, TheWorkingDirectoryCanGo) {
  Mount({Tree().Dir("d")});
  ASSERT_OK(chdir("d"));
  EXPECT_OK(rmdir("../d"));
  EXPECT_ERRNO(ENOENT, open("f", O_CREAT | O_WRONLY, 0644));
  EXPECT_ERRNO(ENOENT, access("f", F_OK));
  ASSERT_OK(chdir(root().c_str()));
  EXPECT_EQ(List("."), Names{});
}

// Sticky directories.

TEST_F(Sticky, OnlyOwnersRemoveAndRename) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree()
             .Dir("tmp")
             .Mode(01777)
             .File("tmp/alices", "a")
             .Owner(1000, 1000)
             .Mode(0666)
             .File("tmp/bobs", "b")
             .Owner(1001, 1001)
             .Mode(0666)});
  EXPECT_ERRNO_EQ(EPERM,
                  AsUser(kBob, [] { return ErrnoOf(unlink("tmp/alices")); }));
  EXPECT_ERRNO_EQ(EPERM, AsUser(kBob, [] {
                    return ErrnoOf(rename("tmp/alices", "tmp/x"));
                  }));
  EXPECT_ERRNO_EQ(EPERM, AsUser(kBob, [] {
                    return ErrnoOf(rename("tmp/bobs", "tmp/alices"));
                  }));
  EXPECT_ERRNO_EQ(0, AsUser(kBob, [] { return ErrnoOf(unlink("tmp/bobs")); }));
  EXPECT_ERRNO_EQ(
      0, AsUser(kAlice, [] { return ErrnoOf(rename("tmp/alices", "tmp/y")); }));
  EXPECT_EQ(List("tmp"), Names{"y"});
}

TEST_F(Sticky, TheDirectorysOwnerRemovesEverything) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree()
             .Dir("t")
             .Mode(01777)
             .Owner(1001, 1001)
             .File("t/f")
             .Owner(1000, 1000)});
  EXPECT_ERRNO_EQ(0, AsUser(kBob, [] { return ErrnoOf(unlink("t/f")); }));
}

TEST_F(Sticky, HoldsForNewDirectoriesAndDirectoriesInThem) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().File("low")});
  ASSERT_OK(mkdir("t", 0755));
  ASSERT_OK(chmod("t", 01777));
  EXPECT_ERRNO_EQ(0,
                  AsUser(kAlice, [] { return ErrnoOf(mkdir("t/d", 0777)); }));
  EXPECT_ERRNO_EQ(EPERM, AsUser(kBob, [] { return ErrnoOf(rmdir("t/d")); }));
  EXPECT_ERRNO_EQ(0, AsUser(kAlice, [] { return ErrnoOf(rmdir("t/d")); }));
}

// Unlinked but open, in every state a file can be in.

TEST_F(Unlinked, LowerFileStaysReadable) {
  Mount({Tree().File("f", "lower content")});
  UniqueFd fd = Open("f", O_RDONLY);
  EXPECT_OK(unlink("f"));
  EXPECT_EQ(ReadAll(fd.get()), "lower content");
  EXPECT_ERRNO(ENOENT, open("f", O_RDONLY));
  WriteFile("f", "another file");
  EXPECT_EQ(ReadAll(fd.get()), "lower content");
}

TEST_F(Unlinked, UpperFileStaysReadableAndWritable) {
  Mount({Tree()});
  WriteFile("f", "upper");
  UniqueFd fd = Open("f", O_RDWR);
  EXPECT_OK(unlink("f"));
  WriteAt(fd.get(), 5, " and more");
  EXPECT_EQ(ReadAll(fd.get()), "upper and more");
  EXPECT_EQ(Fstat(fd.get()).st_size, 14);
  EXPECT_OK(ftruncate(fd.get(), 2));
  EXPECT_EQ(ReadAll(fd.get()), "up");
  EXPECT_OK(fsync(fd.get()));
}

TEST_F(Unlinked, LowerFileOpenedForWritingStaysWritable) {
  Mount({Tree().File("f", "lower")});
  UniqueFd fd = Open("f", O_RDWR);
  EXPECT_OK(unlink("f"));
  WriteAt(fd.get(), 5, "+new");
  EXPECT_EQ(ReadAll(fd.get()), "lower+new");
  EXPECT_EQ(Fstat(fd.get()).st_nlink, 0u);
}

TEST_F(Unlinked, MetadataCopyStaysReadable) {
  Mount({Tree().File("f", "lower content")});
  EXPECT_OK(chmod("f", 0600));
  UniqueFd fd = Open("f", O_RDONLY);
  EXPECT_OK(unlink("f"));
  EXPECT_EQ(ReadAll(fd.get()), "lower content");
  EXPECT_EQ(Fstat(fd.get()).st_mode & 07777, 0600u);
}

TEST_F(Unlinked, MetadataCopyStaysWritable) {
  Mount({Tree().File("f", "lower content")});
  EXPECT_OK(chmod("f", 0600));
  UniqueFd fd = Open("f", O_RDWR);
  EXPECT_OK(unlink("f"));
  WriteAt(fd.get(), 0, "LOWER");
  EXPECT_EQ(ReadAll(fd.get()), "LOWER content");
}

TEST_F(Unlinked, PartlyWrittenFileStaysWhole) {
  const std::string content = Pattern(1 << 20);
  Mount({Tree().File("f", content)});
  UniqueFd fd = Open("f", O_RDWR);
  WriteAt(fd.get(), 500000, "HERE");
  EXPECT_OK(unlink("f"));
  std::string expected = content;
  expected.replace(500000, 4, "HERE");
  EXPECT_TRUE(ReadAll(fd.get()) == expected);
  WriteAt(fd.get(), 0, "THERE");
  expected.replace(0, 5, "THERE");
  EXPECT_TRUE(ReadAll(fd.get()) == expected);
}

TEST_F(Unlinked, AttributesOfADirectoryCanStillBeSet) {
  Mount({Tree().Dir("low").Xattr("user.k", "v").File("merged/f"),
         Tree().File("merged/g")});
  ASSERT_OK(mkdir("up", 0755));
  ASSERT_OK(unlink("merged/f"));
  ASSERT_OK(unlink("merged/g"));
  for (const char* name : {"low", "merged", "up"}) {
    UniqueFd fd = Open(name, O_RDONLY | O_DIRECTORY);
    const ino_t ino = Fstat(fd.get()).st_ino;
    ASSERT_OK(rmdir(name)) << name;
    EXPECT_OK(fchmod(fd.get(), 0700)) << name;
    EXPECT_OK(fchown(fd.get(), 0, 0)) << name;
    EXPECT_OK(fsetxattr(fd.get(), "user.new", "n", 1, 0)) << name;
    const timespec times[2] = {At(30, 3), At(40, 4)};
    EXPECT_OK(futimens(fd.get(), times)) << name;
    const struct stat st = Fstat(fd.get());
    EXPECT_EQ(st.st_mode, S_IFDIR | 0700u) << name;
    EXPECT_EQ(st.st_mtim, At(40, 4)) << name;
    EXPECT_EQ(st.st_nlink, 0u) << name;
    EXPECT_EQ(st.st_ino, ino) << name;
    char value[8];
    EXPECT_EQ(fgetxattr(fd.get(), "user.new", value, sizeof value), 1) << name;
    EXPECT_ERRNO(ENOENT, openat(fd.get(), "f", O_CREAT | O_WRONLY, 0644));
    EXPECT_ERRNO(ENOENT, mkdirat(fd.get(), "d", 0755)) << name;
    EXPECT_ERRNO(ENOENT, faccessat(fd.get(), "f", F_OK, 0)) << name;
  }
  EXPECT_EQ(List("."), Names{});
  Remount();
  EXPECT_EQ(List("."), Names{});
}

TEST_F(Unlinked, AttributesCanStillBeSet) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().File("low", "l")});
  WriteFile("up", "u");
  for (const char* name : {"low", "up"}) {
    UniqueFd fd = Open(name, O_RDONLY);
    EXPECT_OK(unlink(name));
    EXPECT_OK(fchmod(fd.get(), 0600)) << name;
    EXPECT_OK(fchown(fd.get(), 1000, 1000)) << name;
    const struct stat st = Fstat(fd.get());
    EXPECT_EQ(st.st_mode, S_IFREG | 0600u) << name;
    EXPECT_EQ(st.st_uid, 1000u) << name;
    EXPECT_EQ(ReadAll(fd.get()).size(), 1u) << name;
  }
}

TEST_F(Unlinked, RenameOverAnOpenFileKeepsTheOldOneAlive) {
  Mount({Tree().File("low", "low").File("src1", "one").File("src2", "two")});
  WriteFile("up", "up");
  UniqueFd low = Open("low", O_RDONLY);
  UniqueFd up = Open("up", O_RDWR);
  EXPECT_OK(rename("src1", "low"));
  EXPECT_OK(rename("src2", "up"));
  EXPECT_EQ(ReadAll(low.get()), "low");
  WriteAt(up.get(), 2, "!");
  EXPECT_EQ(ReadAll(up.get()), "up!");
  EXPECT_EQ(Fstat(low.get()).st_nlink, 0u);
  EXPECT_EQ(Fstat(up.get()).st_nlink, 0u);
  EXPECT_EQ(ReadFile("low"), "one");
  EXPECT_EQ(ReadFile("up"), "two");
}

TEST_F(Unlinked, OneOfTwoNamesGoneTheOtherStillWorks) {
  Mount({Tree().File("a", "x").HardLink("b", "a")});
  UniqueFd fd = Open("a", O_RDWR);
  EXPECT_OK(unlink("a"));
  EXPECT_EQ(Fstat(fd.get()).st_nlink, 1u);
  WriteAt(fd.get(), 1, "y");
  EXPECT_EQ(ReadFile("b"), "xy");
}

TEST_F(Unlinked, ManyAtOnce) {
  Tree tree;
  for (int i = 0; i < 100; ++i) tree.File("d/" + std::to_string(i), "lower");
  Mount({tree});
  std::vector<UniqueFd> fds;
  for (int i = 0; i < 100; ++i) {
    const std::string name = "d/" + std::to_string(i);
    fds.push_back(Open(name, i % 2 ? O_RDONLY : O_RDWR));
    EXPECT_OK(unlink(name.c_str()));
  }
  EXPECT_OK(rmdir("d"));
  for (UniqueFd& fd : fds) EXPECT_EQ(ReadAll(fd.get()), "lower");
}

// Of each origin; what hid the layers below it goes with it, unseen.
TEST_F(Remove, ADirectoryInUseKeepsItsTimes) {
  Mount({Tree().File("moved/f").File("emptied/f").File("replaced/f")});
  EXPECT_OK(mkdir("new", 0755));
  EXPECT_OK(rename("moved", "elsewhere"));
  EXPECT_OK(mkdir("moved", 0755));
  EXPECT_OK(unlink("emptied/f"));
  EXPECT_OK(unlink("replaced/f"));
  EXPECT_OK(mkdir("replacement", 0755));
  for (const char* name : {"new", "moved", "emptied", "replaced"}) {
    SetTimes(name, At(100), At(200));
    UniqueFd fd = Open(name, O_RDONLY | O_DIRECTORY);
    if (name == std::string("replaced")) {
      EXPECT_OK(rename("replacement", name));
    } else {
      EXPECT_OK(rmdir(name));
    }
    EXPECT_EQ(Fstat(fd.get()).st_mtim, At(200)) << name;
    EXPECT_EQ(Fstat(fd.get()).st_atim, At(100)) << name;
  }
}

}  // namespace
}  // namespace ufs::test
