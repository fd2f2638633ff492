// Hard links: counts, identity and copy-up through any of the names.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

using Link = UnionTest;

TEST_F(Link, ToFilesOfEveryOrigin) {
  Mount({Tree().File("low", "low").Dir("d").File("meta", "meta")});
  WriteFile("up", "up");
  EXPECT_OK(chmod("meta", 0600));
  for (const std::string name : {"low", "up", "meta"}) {
    const std::string other = "d/" + name;
    const ino_t ino = Ino(name);
    EXPECT_OK(link(name.c_str(), other.c_str()));
    EXPECT_EQ(Ino(name), ino) << name;
    EXPECT_EQ(Ino(other), ino) << name;
    EXPECT_EQ(Stat(name).st_nlink, 2u) << name;
    EXPECT_EQ(Stat(other).st_nlink, 2u) << name;
    AppendFile(other, "+");
    EXPECT_EQ(ReadFile(name), name + "+");
  }
  Remount();
  for (const std::string name : {"low", "up", "meta"}) {
    EXPECT_EQ(Ino(name), Ino("d/" + name)) << name;
    EXPECT_EQ(Stat(name).st_nlink, 2u) << name;
    EXPECT_EQ(ReadFile("d/" + name), name + "+");
  }
}

TEST_F(Link, OfALowerFileCopiesNoData) {
  SKIP_ON_PLAIN("there is no upper");
  Mount({Tree().File("big", Pattern(1 << 20))});
  EXPECT_OK(link("big", "other"));
  EXPECT_TRUE(ReadFile("other") == Pattern(1 << 20));
  Unmount();
  EXPECT_LT(Stat(Upper("other")).st_blocks * 512, 1 << 16);
}

TEST_F(Link, LowerLinksAreOneFile) {
  Mount({Tree().File("a", "x").HardLink("b", "a").HardLink("d/c", "a")});
  EXPECT_EQ(Ino("a"), Ino("b"));
  EXPECT_EQ(Ino("a"), Ino("d/c"));
  EXPECT_EQ(Stat("a").st_nlink, 3u);
}

TEST_F(Link, LowerLinksStayOneFileOverCopyUp) {
  Mount({Tree().File("a", "x").HardLink("b", "a").HardLink("d/c", "a")});
  const ino_t ino = Ino("a");
  AppendFile("b", "y");
  EXPECT_EQ(ReadFile("a"), "xy");
  EXPECT_EQ(ReadFile("d/c"), "xy");
  EXPECT_OK(chmod("d/c", 0600));
  EXPECT_EQ(Mode("a"), 0600u);
  for (const char* name : {"a", "b", "d/c"}) {
    EXPECT_EQ(Ino(name), ino) << name;
    EXPECT_EQ(Stat(name).st_nlink, 3u) << name;
  }
  Remount();
  for (const char* name : {"a", "b", "d/c"}) {
    EXPECT_EQ(Ino(name), ino) << name;
    EXPECT_EQ(ReadFile(name), "xy") << name;
    EXPECT_EQ(Stat(name).st_nlink, 3u) << name;
  }
}

TEST_F(Link, LowerLinksCopiedUpThroughANameNotSeenBefore) {
  Mount({Tree().File("a", "x").HardLink("b", "a")});
  AppendFile("a", "1");
  Remount();
  // Now b is looked at first, before a was ever touched in this mount.
  EXPECT_EQ(ReadFile("b"), "x1");
  AppendFile("b", "2");
  EXPECT_EQ(ReadFile("a"), "x12");
  EXPECT_EQ(Ino("a"), Ino("b"));
}

TEST_F(Link, CountsFollowEveryChange) {
  Mount({Tree().File("a", "x").HardLink("b", "a").HardLink("c", "a")});
  EXPECT_EQ(Stat("a").st_nlink, 3u);
  EXPECT_OK(unlink("b"));
  EXPECT_EQ(Stat("a").st_nlink, 2u);
  EXPECT_OK(link("a", "d"));
  EXPECT_EQ(Stat("c").st_nlink, 3u);
  EXPECT_OK(unlink("a"));
  EXPECT_EQ(Stat("c").st_nlink, 2u);
  WriteFile("other", "");
  EXPECT_OK(rename("other", "c"));
  EXPECT_EQ(Stat("d").st_nlink, 1u);
  Remount();
  EXPECT_EQ(Stat("d").st_nlink, 1u);
  EXPECT_EQ(ReadFile("d"), "x");
}

TEST_F(Link, CountsSeenThroughDescriptors) {
  Mount({Tree().File("a", "x").HardLink("b", "a")});
  UniqueFd fd = Open("a", O_RDONLY);
  EXPECT_OK(unlink("b"));
  EXPECT_EQ(Fstat(fd.get()).st_nlink, 1u);
  EXPECT_OK(link("a", "c"));
  EXPECT_EQ(Fstat(fd.get()).st_nlink, 2u);
}

TEST_F(Link, ANameHiddenByALayerDoesNotBelongAnyMore) {
  SKIP_ON_PLAIN("the hidden name was never made");
  Mount({
      Tree().File("a", "x").HardLink("b", "a"),
      Tree().File("b", "other"),
  });
  EXPECT_NE(Ino("a"), Ino("b"));
  AppendFile("a", "+");
  EXPECT_EQ(ReadFile("b"), "other");
  EXPECT_EQ(ReadFile("a"), "x+");
}

TEST_F(Link, WhatCannotBeLinked) {
  Mount({Tree().File("f").Dir("d").File("g")});
  EXPECT_ERRNO(EPERM, link("d", "e"));
  EXPECT_ERRNO(EEXIST, link("f", "g"));
  EXPECT_ERRNO(EEXIST, link("f", "f"));
  EXPECT_ERRNO(ENOENT, link("no", "x"));
  EXPECT_ERRNO(ENOENT, link("f", "no/x"));
  EXPECT_ERRNO(ENOTDIR, link("f", "g/x"));
  EXPECT_ERRNO(EXDEV, link("f", Outside("x").c_str()));
}

TEST_F(Link, ToASymlinkLinksTheSymlink) {
  Mount({Tree().File("f").Symlink("l", "f")});
  EXPECT_OK(link("l", "m"));
  EXPECT_EQ(ReadLink("m"), "f");
  EXPECT_EQ(Stat("m").st_nlink, 2u);
  EXPECT_OK(linkat(AT_FDCWD, "l", AT_FDCWD, "n", AT_SYMLINK_FOLLOW));
  EXPECT_EQ(Ino("n"), Ino("f"));
  Remount();
  EXPECT_EQ(Ino("m"), Ino("l"));
  EXPECT_EQ(Ino("n"), Ino("f"));
}

TEST_F(Link, OverAWhitedOutName) {
  Mount({Tree().File("gone", "g").File("f", "f")});
  EXPECT_OK(unlink("gone"));
  EXPECT_OK(link("f", "gone"));
  Remount();
  EXPECT_EQ(ReadFile("gone"), "f");
  EXPECT_EQ(Ino("gone"), Ino("f"));
}

TEST_F(Link, AnUnlinkedFileCannotComeBack) {
  Mount({Tree().File("low", "x")});
  WriteFile("up", "x");
  for (const char* name : {"low", "up"}) {
    UniqueFd fd = Open(name, O_RDONLY);
    EXPECT_OK(unlink(name));
    const std::string proc = "/proc/self/fd/" + std::to_string(fd.get());
    EXPECT_ERRNO(ENOENT, linkat(AT_FDCWD, proc.c_str(), AT_FDCWD, "again",
                                AT_SYMLINK_FOLLOW))
        << name;
  }
  EXPECT_EQ(List("."), Names{});
}

TEST_F(Link, SurviveARenameOfEachName) {
  Mount({Tree().File("a", "x").HardLink("b", "a").Dir("d")});
  const ino_t ino = Ino("a");
  EXPECT_OK(rename("a", "d/a2"));
  EXPECT_OK(rename("b", "b2"));
  Remount();
  EXPECT_EQ(Ino("d/a2"), ino);
  EXPECT_EQ(Ino("b2"), ino);
  EXPECT_EQ(Stat("b2").st_nlink, 2u);
  AppendFile("b2", "+");
  EXPECT_EQ(ReadFile("d/a2"), "x+");
}

TEST_F(Link, AThousandNames) {
  Mount({Tree().File("f", "x").Dir("d")});
  for (int i = 0; i < 1000; ++i) {
    EXPECT_OK(link("f", ("d/" + std::to_string(i)).c_str()));
  }
  EXPECT_EQ(Stat("f").st_nlink, 1001u);
  Remount();
  EXPECT_EQ(Stat("d/777").st_nlink, 1001u);
  EXPECT_EQ(Ino("d/1"), Ino("f"));
  for (int i = 0; i < 1000; i += 2) {
    EXPECT_OK(unlink(("d/" + std::to_string(i)).c_str()));
  }
  EXPECT_EQ(Stat("f").st_nlink, 501u);
}

TEST_F(Link, ProtectedHardlinksStillAskForOwnership) {
  NEEDS_SEVERAL_IDS();
  if (ReadFile("/proc/sys/fs/protected_hardlinks") != "1\n") {
    GTEST_SKIP() << "fs.protected_hardlinks is off on this machine";
  }
  Mount({Tree().Dir("d").Mode(0777).File("f").Mode(0600)});
  EXPECT_ERRNO_EQ(EPERM,
                  AsUser(kBob, [] { return ErrnoOf(link("f", "d/f")); }));
}

}  // namespace
}  // namespace ufs::test
