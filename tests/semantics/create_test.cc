// Making things: files, directories, symlinks, nodes, temporary files.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

using Create = UnionTest;
using Umask = UnionTest;
using Tmpfile = UnionTest;

TEST_F(Create, AFileInEveryKindOfDirectory) {
  Mount({Tree().Dir("lower").File("merged/l0"),
         Tree().File("merged/l1").Dir("deep/a/b/c")});
  ASSERT_OK(mkdir("upper", 0755));
  for (const char* dir : {".", "lower", "merged", "upper", "deep/a/b/c"}) {
    const std::string path = std::string(dir) + "/new";
    WriteFile(path, path);
    EXPECT_EQ(ReadFile(path), path);
  }
  EXPECT_EQ(List("merged"), (Names{"l0", "l1", "new"}));
  Remount();
  for (const char* dir : {".", "lower", "merged", "upper", "deep/a/b/c"}) {
    const std::string path = std::string(dir) + "/new";
    EXPECT_EQ(ReadFile(path), path);
  }
}

TEST_F(Create, ExclusivelyFailsOnAnythingThatShows) {
  Mount({Tree().File("f").Dir("d").Symlink("dangling", "nowhere").Fifo("p")});
  WriteFile("u", "");
  for (const char* name : {"f", "d", "dangling", "p", "u"}) {
    EXPECT_ERRNO(EEXIST, open(name, O_CREAT | O_EXCL | O_WRONLY, 0644));
    EXPECT_ERRNO(EEXIST, mkdir(name, 0755));
    EXPECT_ERRNO(EEXIST, symlink("x", name));
    EXPECT_ERRNO(EEXIST, mknod(name, S_IFREG | 0644, 0));
    EXPECT_ERRNO(EEXIST, mknod(name, S_IFIFO | 0644, 0));
    EXPECT_ERRNO(EEXIST, link("u", name));
  }
  EXPECT_ERRNO(ENOENT, access("nowhere", F_OK));
}

TEST_F(Create, NonExclusivelyOpensWhatIsThere) {
  Mount({Tree().File("f", "lower content")});
  UniqueFd fd = Open("f", O_CREAT | O_RDWR);
  EXPECT_EQ(ReadAll(fd.get()), "lower content");
  EXPECT_ERRNO(EISDIR, open(".", O_CREAT | O_WRONLY, 0644));
}

TEST_F(Create, ThroughADanglingSymlinkMakesItsTarget) {
  Mount({Tree().Symlink("l", "d/made").Dir("d")});
  WriteFile("l", "via link");
  EXPECT_EQ(ReadFile("d/made"), "via link");
  EXPECT_EQ(ReadLink("l"), "d/made");
}

TEST_F(Create, WithO_TRUNCEmptiesALowerFile) {
  Mount({Tree().File("f", "lower content").Mode(0600)});
  { UniqueFd fd = Open("f", O_CREAT | O_TRUNC | O_WRONLY, 0644); }
  EXPECT_EQ(ReadFile("f"), "");
  EXPECT_EQ(Mode("f"), 0600u) << "an existing file keeps its mode";
  Remount();
  EXPECT_EQ(ReadFile("f"), "");
}

TEST_F(Create, InAMissingOrWrongPlace) {
  Mount({Tree().File("f").Dir("d")});
  EXPECT_ERRNO(ENOENT, open("no/f", O_CREAT | O_WRONLY, 0644));
  EXPECT_ERRNO(ENOTDIR, open("f/x", O_CREAT | O_WRONLY, 0644));
  EXPECT_ERRNO(ENOTDIR, mkdir("f/x", 0755));
  EXPECT_ERRNO(ENOENT, mkdir("no/x", 0755));
  EXPECT_ERRNO(EEXIST, mkdir(".", 0755));
  EXPECT_ERRNO(EISDIR, open("newdir/", O_CREAT | O_WRONLY, 0644));
}

TEST_F(Create, AReadOnlyFileStaysWritableForItsCreator) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().Dir("d").Mode(0777)});
  EXPECT_ERRNO_EQ(0, AsUser(kAlice, [] {
                    int fd = open("d/f", O_CREAT | O_EXCL | O_RDWR, 0);
                    if (fd < 0) return errno;
                    if (write(fd, "abc", 3) != 3) return errno;
                    char c;
                    return pread(fd, &c, 1, 2) == 1 && c == 'c' ? 0 : EIO;
                  }));
  EXPECT_EQ(Mode("d/f"), 0u);
  EXPECT_EQ(Stat("d/f").st_uid, 1000u);
  EXPECT_EQ(ReadFile("d/f"), "abc");
}

TEST_F(Create, BelongsToItsCreator) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().Dir("d").Mode(0777)});
  EXPECT_ERRNO_EQ(0, AsUser(kAlice, [] {
                    int fd = open("d/f", O_CREAT | O_WRONLY, 0640);
                    if (fd < 0) return errno;
                    if (mkdir("d/dir", 0750) != 0) return errno;
                    if (symlink("f", "d/link") != 0) return errno;
                    return ErrnoOf(mkfifo("d/pipe", 0620));
                  }));
  Remount();
  for (const char* path : {"d/f", "d/dir", "d/link", "d/pipe"}) {
    EXPECT_EQ(Stat(path).st_uid, 1000u) << path;
    EXPECT_EQ(Stat(path).st_gid, 1000u) << path;
  }
  EXPECT_EQ(Mode("d/f"), 0640u);
  EXPECT_EQ(Mode("d/dir"), 0750u);
}

TEST_F(Create, InASetgidDirectoryInheritsTheGroup) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().Dir("d").Mode(02777).Owner(0, 1005)});
  EXPECT_ERRNO_EQ(0, AsUser(kAlice, [] {
                    int fd = open("d/f", O_CREAT | O_WRONLY, 0644);
                    if (fd < 0) return errno;
                    if (symlink("f", "d/link") != 0) return errno;
                    return ErrnoOf(mkdir("d/dir", 0755));
                  }));
  EXPECT_EQ(Stat("d/f").st_gid, 1005u);
  EXPECT_EQ(Stat("d/link").st_gid, 1005u);
  EXPECT_EQ(Stat("d/dir").st_gid, 1005u);
  EXPECT_EQ(Mode("d/dir"), 02755u) << "a directory inherits the bit as well";
  EXPECT_EQ(Mode("d/f"), 0644u);
  Remount();
  EXPECT_EQ(Stat("d/f").st_gid, 1005u);
  EXPECT_EQ(Mode("d/dir"), 02755u);
}

TEST_F(Create, SetgidWithoutTheGroupIsDropped) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().Dir("d").Mode(02777).Owner(0, 1005)});
  EXPECT_ERRNO_EQ(0, AsUser(kAlice, [] {
                    return ErrnoOf(open("d/f", O_CREAT | O_WRONLY, 02775));
                  }));
  EXPECT_EQ(Mode("d/f"), 0755u) << "alice is not in group 1005";
}

TEST_F(Create, MkdirThenUseAtOnce) {
  Mount({Tree().Dir("low")});
  EXPECT_OK(mkdir("low/a", 0755));
  EXPECT_OK(mkdir("low/a/b", 0700));
  WriteFile("low/a/b/f", "x");
  EXPECT_EQ(List("low/a"), Names{"b"});
  Remount();
  EXPECT_EQ(ReadFile("low/a/b/f"), "x");
  EXPECT_EQ(Mode("low/a/b"), 0700u);
}

TEST_F(Create, MkdirOverADeletedLowerDirectoryStartsEmpty) {
  Mount({Tree().File("d/old").File("d/sub/older")});
  EXPECT_OK(unlink("d/sub/older"));
  EXPECT_OK(rmdir("d/sub"));
  EXPECT_OK(unlink("d/old"));
  EXPECT_OK(rmdir("d"));
  EXPECT_OK(mkdir("d", 0755));
  EXPECT_EQ(List("d"), Names{});
  EXPECT_OK(mkdir("d/sub", 0755));
  EXPECT_EQ(List("d/sub"), Names{});
  Remount();
  EXPECT_EQ(List("d"), Names{"sub"});
  EXPECT_EQ(List("d/sub"), Names{});
}

TEST_F(Create, AFileOverADeletedDirectoryAndBack) {
  Mount({Tree().File("x/inside", "i")});
  EXPECT_OK(unlink("x/inside"));
  EXPECT_OK(rmdir("x"));
  WriteFile("x", "file");
  Remount();
  EXPECT_EQ(ReadFile("x"), "file");
  EXPECT_OK(unlink("x"));
  EXPECT_OK(mkdir("x", 0755));
  Remount();
  EXPECT_EQ(List("x"), Names{});
}

TEST_F(Create, SymlinksKeepTheirTargetByteForByte) {
  Mount({Tree().Symlink("low", "a/../b//c")});
  const std::string longest(4095, 't');
  EXPECT_OK(symlink("../out/of/here", "rel"));
  EXPECT_OK(symlink("/absolute", "abs"));
  EXPECT_OK(symlink(longest.c_str(), "long"));
  EXPECT_OK(symlink("\xff\x01 :,\\", "odd"));
  EXPECT_ERRNO(ENOENT, symlink("", "empty"));
  EXPECT_ERRNO(ENAMETOOLONG, symlink((longest + "x").c_str(), "toolong"));
  Remount();
  EXPECT_EQ(ReadLink("low"), "a/../b//c");
  EXPECT_EQ(ReadLink("rel"), "../out/of/here");
  EXPECT_EQ(ReadLink("abs"), "/absolute");
  EXPECT_EQ(ReadLink("long"), longest);
  EXPECT_EQ(ReadLink("odd"), "\xff\x01 :,\\");
  EXPECT_EQ(Size("long"), 4095);
  EXPECT_EQ(Size("rel"), 14);
}

TEST_F(Create, SymlinkLoopsEndInELOOP) {
  Mount({Tree().Symlink("a", "b").Symlink("b", "a")});
  EXPECT_ERRNO(ELOOP, open("a", O_RDONLY));
  EXPECT_ERRNO(ELOOP, open("a", O_CREAT | O_WRONLY, 0644));
  EXPECT_ERRNO(ELOOP, open("a", O_RDONLY | O_NOFOLLOW));
  char buffer[8];
  EXPECT_ERRNO(EINVAL, readlink(".", buffer, sizeof buffer));
}

TEST_F(Create, ReadlinkCutsAtTheBuffer) {
  Mount({Tree().Symlink("l", "0123456789")});
  char buffer[4];
  EXPECT_EQ(readlink("l", buffer, sizeof buffer), 4);
  EXPECT_EQ(std::string(buffer, 4), "0123");
}

TEST_F(Create, ManyThreadsMakeFilesInOneLowerDirectory) {
  Mount({Tree().File("d/low", "l")});
  constexpr int kThreads = 4, kFiles = 50;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < kFiles; ++i) {
        const std::string name =
            "d/" + std::to_string(t) + "." + std::to_string(i);
        WriteFile(name, name);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(List("d").size(), kThreads * kFiles + 1u);
  Remount();
  EXPECT_EQ(List("d").size(), kThreads * kFiles + 1u);
  EXPECT_EQ(ReadFile("d/3.49"), "d/3.49");
}

TEST_F(Create, OnlyOneOfManyExclusiveCreatorsWins) {
  Mount({Tree().File("gone/x").Dir("d")});
  EXPECT_OK(unlink("gone/x"));
  for (int round = 0; round < 20; ++round) {
    const std::string name =
        round % 2 ? "gone/x" : "d/" + std::to_string(round);
    std::atomic<int> winners = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        UniqueFd fd(open(name.c_str(), O_CREAT | O_EXCL | O_WRONLY, 0644));
        if (fd.valid()) ++winners;
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(winners, 1) << name;
    EXPECT_OK(unlink(name.c_str()));
  }
}

// umask and default ACLs.

TEST_F(Umask, CutsTheModeOfEverythingNew) {
  Mount({Tree().Dir("d")});
  umask(027);
  { UniqueFd fd = Open("d/f", O_CREAT | O_WRONLY, 0666); }
  EXPECT_OK(mkdir("d/dir", 0777));
  EXPECT_OK(mkfifo("d/pipe", 0666));
  EXPECT_OK(mknod("d/node", S_IFREG | 0777, 0));
  EXPECT_EQ(Mode("d/f"), 0640u);
  EXPECT_EQ(Mode("d/dir"), 0750u);
  EXPECT_EQ(Mode("d/pipe"), 0640u);
  EXPECT_EQ(Mode("d/node"), 0750u);
  umask(0);
  { UniqueFd fd = Open("d/all", O_CREAT | O_WRONLY, 0666); }
  EXPECT_EQ(Mode("d/all"), 0666u);
}

TEST_F(Umask, IsReplacedByADefaultAcl) {
  NEEDS_SEVERAL_IDS();
  const std::string acl = AclValue({{ACL_USER_OBJ, 7},
                                    {ACL_USER, 6, 1000},
                                    {ACL_GROUP_OBJ, 5},
                                    {ACL_MASK, 7},
                                    {ACL_OTHER, 0}});
  Mount({Tree().Dir("low").Xattr(kDefaultAcl, acl).Mode(0777)});
  EXPECT_OK(mkdir("up", 0777));
  SetXattr("up", kDefaultAcl, acl);
  umask(077);
  for (const std::string dir : {"low", "up"}) {
    { UniqueFd fd = Open(dir + "/f", O_CREAT | O_WRONLY, 0666); }
    EXPECT_OK(mkdir((dir + "/sub").c_str(), 0777));
    EXPECT_EQ(Mode(dir + "/f"), 0660u) << dir;
    EXPECT_EQ(Mode(dir + "/sub"), 0770u) << dir;
    EXPECT_EQ(GetXattr(dir + "/f", kAccessAcl), AclValue({{ACL_USER_OBJ, 6},
                                                          {ACL_USER, 6, 1000},
                                                          {ACL_GROUP_OBJ, 5},
                                                          {ACL_MASK, 6},
                                                          {ACL_OTHER, 0}}))
        << dir;
    EXPECT_EQ(GetXattr(dir + "/sub", kDefaultAcl), acl) << dir;
    EXPECT_EQ(GetXattr(dir + "/f", kDefaultAcl), std::nullopt) << dir;
  }
  Remount();
  EXPECT_EQ(Mode("low/f"), 0660u);
  EXPECT_EQ(GetXattr("low/sub", kDefaultAcl), acl);
}

// Temporary files without a name.

TEST_F(Tmpfile, HasNoNameAndNoLinks) {
  Mount({Tree().File("d/low")});
  for (const char* dir : {".", "d"}) {
    UniqueFd fd = Open(dir, O_TMPFILE | O_RDWR, 0600);
    WriteAt(fd.get(), 0, "temporary");
    EXPECT_EQ(ReadAll(fd.get()), "temporary");
    EXPECT_EQ(Fstat(fd.get()).st_nlink, 0u);
    EXPECT_EQ(Fstat(fd.get()).st_mode, S_IFREG | 0600u);
    EXPECT_EQ(Fstat(fd.get()).st_size, 9);
  }
  EXPECT_EQ(List("d"), Names{"low"});
}

TEST_F(Tmpfile, CanBeGivenAName) {
  Mount({Tree().File("d/low").File("gone")});
  EXPECT_OK(unlink("gone"));
  for (const char* name : {"d/named", "gone"}) {
    UniqueFd fd = Open("d", O_TMPFILE | O_RDWR, 0640);
    WriteAt(fd.get(), 0, "content");
    const std::string proc = "/proc/self/fd/" + std::to_string(fd.get());
    EXPECT_OK(
        linkat(AT_FDCWD, proc.c_str(), AT_FDCWD, name, AT_SYMLINK_FOLLOW));
    EXPECT_EQ(Stat(name).st_ino, Fstat(fd.get()).st_ino);
    EXPECT_EQ(Stat(name).st_nlink, 1u);
    EXPECT_EQ(ReadFile(name), "content");
  }
  Remount();
  EXPECT_EQ(ReadFile("d/named"), "content");
  EXPECT_EQ(ReadFile("gone"), "content");
  EXPECT_EQ(Mode("d/named"), 0640u);
}

TEST_F(Tmpfile, WithEXCLStaysNameless) {
  SKIP_ON_OVERLAY("links it all the same");
  Mount({Tree().Dir("d")});
  UniqueFd fd = Open("d", O_TMPFILE | O_EXCL | O_RDWR, 0640);
  const std::string proc = "/proc/self/fd/" + std::to_string(fd.get());
  EXPECT_ERRNO(ENOENT, linkat(AT_FDCWD, proc.c_str(), AT_FDCWD, "d/f",
                              AT_SYMLINK_FOLLOW));
}

TEST_F(Tmpfile, NeedsADirectoryAndWriteAccess) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().File("f").Dir("d")});
  EXPECT_ERRNO(ENOTDIR, open("f", O_TMPFILE | O_RDWR, 0600));
  EXPECT_ERRNO(EINVAL, open("d", O_TMPFILE | O_RDONLY, 0600));
  EXPECT_ERRNO_EQ(EACCES, AsUser(kBob, [] {
                    return ErrnoOf(open("d", O_TMPFILE | O_RDWR, 0600));
                  }));
}

}  // namespace
}  // namespace ufs::test
