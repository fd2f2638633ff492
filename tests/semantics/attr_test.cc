// Attributes: owner, mode, times, size of what stat tells, and changing them.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

using Attr = UnionTest;
using Time = UnionTest;

TEST_F(Attr, OfLowerFilesShowThrough) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree()
             .File("f", "12345")
             .Mode(0640)
             .Owner(1000, 1001)
             .Times(At(1111, 222), At(3333, 444))
             .Dir("d")
             .Mode(02775)
             .Owner(1001, 1000)
             .Symlink("l", "target")
             .Owner(1000, 1000)});
  struct stat f = Stat("f");
  EXPECT_EQ(f.st_mode, S_IFREG | 0640u);
  EXPECT_EQ(f.st_uid, 1000u);
  EXPECT_EQ(f.st_gid, 1001u);
  EXPECT_EQ(f.st_size, 5);
  EXPECT_EQ(f.st_nlink, 1u);
  EXPECT_EQ(f.st_mtim, At(3333, 444));
  EXPECT_GT(f.st_blocks, 0);
  EXPECT_EQ(f.st_blksize, 4096);
  struct stat d = Stat("d");
  EXPECT_EQ(d.st_mode, S_IFDIR | 02775u);
  EXPECT_EQ(d.st_uid, 1001u);
  struct stat l = Stat("l");
  EXPECT_EQ(l.st_mode, S_IFLNK | 0777u);
  EXPECT_EQ(l.st_uid, 1000u);
  EXPECT_EQ(l.st_size, 6);
}

TEST_F(Attr, EverythingHasOneDevice) {
  Mount({
      Tree().File("l0").Dir("d0"),
      Tree().File("l1").Dir("d1").Symlink("s", "x").Fifo("p"),
  });
  WriteFile("upper", "u");
  const dev_t device = Stat(".").st_dev;
  for (const char* name : {"l0", "d0", "l1", "d1", "s", "p", "upper"}) {
    EXPECT_EQ(Stat(name).st_dev, device) << name;
  }
}

TEST_F(Attr, ChmodOfALowerFile) {
  Mount({Tree().File("f", "data").Mode(0644).Times(At(100), At(200))});
  const struct stat before = Stat("f");
  EXPECT_OK(chmod("f", 0600));
  const struct stat after = Stat("f");
  EXPECT_EQ(after.st_mode, S_IFREG | 0600u);
  EXPECT_EQ(after.st_ino, before.st_ino);
  EXPECT_EQ(after.st_mtim, At(200)) << "chmod must not touch mtime";
  EXPECT_LT(before.st_ctim, after.st_ctim);
  EXPECT_EQ(ReadFile("f"), "data");
  Remount();
  EXPECT_EQ(Mode("f"), 0600u);
  EXPECT_EQ(Stat("f").st_mtim, At(200));
  EXPECT_EQ(ReadFile("f"), "data");
}

TEST_F(Attr, ChmodOfALowerFileCopiesNoData) {
  SKIP_ON_PLAIN("there is no upper");
  Mount({Tree().File("big", Pattern(1 << 20))});
  EXPECT_OK(chmod("big", 0600));
  EXPECT_EQ(ReadFile("big"), Pattern(1 << 20));
  Unmount();
  EXPECT_LT(Stat(Upper("big")).st_blocks * 512, 1 << 16);
}

TEST_F(Attr, ChmodOfALowerDirectoryKeepsItsContent) {
  Mount({Tree().File("d/f", "x").Dir("d").Mode(0755), Tree().File("d/g", "y")});
  EXPECT_OK(chmod("d", 0711));
  EXPECT_EQ(Mode("d"), 0711u);
  EXPECT_EQ(List("d"), (Names{"f", "g"}));
  Remount();
  EXPECT_EQ(Mode("d"), 0711u);
  EXPECT_EQ(List("d"), (Names{"f", "g"}));
}

TEST_F(Attr, ChmodTakesEveryPermissionBit) {
  Mount({Tree().File("f").Dir("d")});
  for (mode_t mode : {07777u, 0u, 04755u, 02755u, 01777u, 0111u}) {
    EXPECT_OK(chmod("f", mode));
    EXPECT_EQ(Mode("f"), mode);
    EXPECT_OK(chmod("d", mode));
    EXPECT_EQ(Mode("d"), mode);
  }
  Remount();
  EXPECT_EQ(Mode("f"), 0111u);
}

TEST_F(Attr, FchmodActsOnTheOpenFile) {
  Mount({Tree().File("f", "x")});
  {
    UniqueFd fd = Open("f", O_RDONLY);
    EXPECT_OK(fchmod(fd.get(), 0640));
    EXPECT_EQ(Fstat(fd.get()).st_mode & 07777, 0640u);
    EXPECT_EQ(Mode("f"), 0640u);
    EXPECT_OK(rename("f", "g"));
    EXPECT_OK(fchmod(fd.get(), 0604));
    EXPECT_EQ(Mode("g"), 0604u);
  }
  Remount();
  EXPECT_EQ(Mode("g"), 0604u);
}

TEST_F(Attr, ChmodThroughASymlinkChangesTheTarget) {
  Mount({Tree().File("f").Symlink("l", "f")});
  EXPECT_OK(chmod("l", 0600));
  EXPECT_EQ(Mode("f"), 0600u);
  EXPECT_EQ(Mode("l"), 0777u);
}

TEST_F(Attr, ChmodByAStrangerIsRefused) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().File("mine", "x").Owner(1000, 1000).File("roots", "y")});
  EXPECT_ERRNO_EQ(0,
                  AsUser(kAlice, [] { return ErrnoOf(chmod("mine", 0600)); }));
  EXPECT_ERRNO_EQ(EPERM,
                  AsUser(kBob, [] { return ErrnoOf(chmod("mine", 0666)); }));
  EXPECT_ERRNO_EQ(EPERM,
                  AsUser(kAlice, [] { return ErrnoOf(chmod("roots", 0666)); }));
  EXPECT_EQ(Mode("mine"), 0600u);
  EXPECT_EQ(Mode("roots"), 0644u);
}

TEST_F(Attr, ChownOfALowerFile) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().File("f", "data").Times(At(100), At(200))});
  const ino_t ino = Ino("f");
  EXPECT_OK(chown("f", 1000, 1001));
  Remount();
  const struct stat st = Stat("f");
  EXPECT_EQ(st.st_uid, 1000u);
  EXPECT_EQ(st.st_gid, 1001u);
  EXPECT_EQ(st.st_ino, ino);
  EXPECT_EQ(st.st_mtim, At(200));
  EXPECT_EQ(ReadFile("f"), "data");
}

TEST_F(Attr, ChownMayChangeOneOfTheTwo) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().File("f").Owner(1000, 1000).Dir("d").Owner(1000, 1000)});
  EXPECT_OK(chown("f", 1001, static_cast<gid_t>(-1)));
  EXPECT_EQ(Stat("f").st_uid, 1001u);
  EXPECT_EQ(Stat("f").st_gid, 1000u);
  EXPECT_OK(chown("d", static_cast<uid_t>(-1), 1001));
  EXPECT_EQ(Stat("d").st_uid, 1000u);
  EXPECT_EQ(Stat("d").st_gid, 1001u);
}

TEST_F(Attr, LchownChangesTheLinkItself) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().File("f").Symlink("l", "f").Symlink("dangling", "nowhere")});
  EXPECT_OK(lchown("l", 1000, 1000));
  EXPECT_OK(lchown("dangling", 1001, 1001));
  EXPECT_EQ(Stat("l").st_uid, 1000u);
  EXPECT_EQ(Stat("f").st_uid, 0u);
  Remount();
  EXPECT_EQ(Stat("l").st_uid, 1000u);
  EXPECT_EQ(Stat("dangling").st_uid, 1001u);
  EXPECT_EQ(ReadLink("l"), "f");
}

TEST_F(Attr, ChownByAStrangerIsRefused) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().File("f").Owner(1000, 1000)});
  EXPECT_ERRNO_EQ(EPERM,
                  AsUser(kBob, [] { return ErrnoOf(chown("f", 1001, 1001)); }));
  EXPECT_ERRNO_EQ(EPERM,
                  AsUser(kAlice, [] { return ErrnoOf(chown("f", 1001, -1)); }));
  // The owner may give the file to a group it is in, and to no other.
  User alice = {1000, 1000, {1005}};
  EXPECT_ERRNO_EQ(0,
                  AsUser(alice, [] { return ErrnoOf(chown("f", -1, 1005)); }));
  EXPECT_ERRNO_EQ(EPERM,
                  AsUser(alice, [] { return ErrnoOf(chown("f", -1, 1006)); }));
  EXPECT_EQ(Stat("f").st_gid, 1005u);
}

TEST_F(Attr, PermissionsBindOtherUsers) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree()
             .File("secret", "s")
             .Mode(0600)
             .Owner(1000, 1000)
             .File("group", "g")
             .Mode(0640)
             .Owner(1000, 1005)
             .File("closed/f", "c")
             .Dir("closed")
             .Mode(0700)
             .Owner(1000, 1000)
             .File("listonly/f", "l")
             .Dir("listonly")
             .Mode(0744)});
  auto opens = [](const char* path) {
    return [path] { return ErrnoOf(open(path, O_RDONLY)); };
  };
  EXPECT_ERRNO_EQ(0, AsUser(kAlice, opens("secret")));
  EXPECT_ERRNO_EQ(EACCES, AsUser(kBob, opens("secret")));
  EXPECT_ERRNO_EQ(EACCES, AsUser(kBob, opens("group")));
  EXPECT_ERRNO_EQ(0, AsUser({1001, 1001, {1005}}, opens("group")));
  EXPECT_ERRNO_EQ(EACCES, AsUser(kBob, opens("closed/f")));
  EXPECT_ERRNO_EQ(0, AsUser(kAlice, opens("closed/f")));
  EXPECT_ERRNO_EQ(EACCES, AsUser(kBob, opens("listonly/f")));
  EXPECT_ERRNO_EQ(0, AsUser(kBob, opens("listonly")));
  EXPECT_ERRNO_EQ(EACCES, AsUser(kBob, [] {
                    return ErrnoOf(open("new", O_CREAT | O_WRONLY, 0644));
                  }));
  EXPECT_ERRNO_EQ(EACCES,
                  AsUser(kBob, [] { return ErrnoOf(unlink("secret")); }));
}

TEST_F(Attr, AccessAnswersForTheRealUser) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().File("f").Mode(0640).Owner(1000, 1000).File("x").Mode(0711)});
  EXPECT_ERRNO_EQ(EACCES,
                  AsUser(kBob, [] { return ErrnoOf(access("f", R_OK)); }));
  EXPECT_ERRNO_EQ(
      0, AsUser(kAlice, [] { return ErrnoOf(access("f", R_OK | W_OK)); }));
  EXPECT_ERRNO_EQ(EACCES,
                  AsUser(kAlice, [] { return ErrnoOf(access("f", X_OK)); }));
  EXPECT_ERRNO_EQ(0, AsUser(kBob, [] { return ErrnoOf(access("x", X_OK)); }));
  // Not even root may execute what nobody may.
  EXPECT_ERRNO(EACCES, access("f", X_OK));
}

TEST_F(Attr, SizeAndBlocksFollowWrites) {
  Mount({Tree().File("f", "abc")});
  AppendFile("f", std::string(100000, 'x'));
  EXPECT_EQ(Size("f"), 100003);
  {
    UniqueFd fd = Open("f", O_RDONLY);
    EXPECT_OK(fsync(fd.get()));
  }
  EXPECT_GE(Stat("f").st_blocks * 512, 100003);
  EXPECT_OK(truncate("f", 10));
  EXPECT_EQ(Size("f"), 10);
}

TEST_F(Attr, DirectorySizesAndLinksMakeSense) {
  Mount({Tree().Dir("d")});
  EXPECT_OK(mkdir("new", 0755));
  EXPECT_GE(Stat("d").st_nlink, 1u);
  EXPECT_GE(Stat("new").st_nlink, 1u);
  EXPECT_TRUE(S_ISDIR(Stat("new").st_mode));
}

TEST_F(Attr, FstatOfAnUnlinkedFileSaysNoLinks) {
  Mount({Tree().File("low", "l")});
  WriteFile("up", "u");
  for (const char* name : {"low", "up"}) {
    UniqueFd fd = Open(name, O_RDONLY);
    const ino_t ino = Fstat(fd.get()).st_ino;
    EXPECT_OK(unlink(name));
    const struct stat st = Fstat(fd.get());
    EXPECT_EQ(st.st_nlink, 0u) << name;
    EXPECT_EQ(st.st_ino, ino) << name;
    EXPECT_EQ(st.st_size, 1) << name;
  }
}

TEST_F(Attr, SurviveInEveryCombination) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().File("f", "content")});
  EXPECT_OK(chown("f", 1000, 1000));
  // Set-gid without group execution: truncation lets it be for everybody.
  EXPECT_OK(chmod("f", 02740));
  SetXattr("f", "user.k", "v");
  SetTimes("f", At(1, 1), At(2, 2));
  EXPECT_OK(truncate("f", 4));
  SetTimes("f", At(3, 3), At(4, 4));
  Remount();
  const struct stat st = Stat("f");
  EXPECT_EQ(st.st_mode, S_IFREG | 02740u);
  EXPECT_EQ(st.st_uid, 1000u);
  EXPECT_EQ(st.st_size, 4);
  EXPECT_EQ(st.st_atim, At(3, 3));
  EXPECT_EQ(st.st_mtim, At(4, 4));
  EXPECT_EQ(GetXattr("f", "user.k"), "v");
  EXPECT_EQ(ReadFile("f"), "cont");
}

// Times.

TEST_F(Time, UtimensSetsBothToTheNanosecond) {
  Mount({Tree().File("low", "x").Dir("d").Symlink("l", "low")});
  WriteFile("up", "y");
  for (const char* name : {"low", "d", "l", "up"}) {
    SetTimes(name, At(1234567890, 123456789), At(987654321, 987654321));
  }
  Remount();
  for (const char* name : {"low", "d", "l", "up"}) {
    const struct stat st = Stat(name);
    EXPECT_EQ(st.st_atim, At(1234567890, 123456789)) << name;
    EXPECT_EQ(st.st_mtim, At(987654321, 987654321)) << name;
  }
}

TEST_F(Time, OmitLeavesTheOtherAlone) {
  NEEDS_DIRECTORY_LAYERS("they keep no atime");
  Mount({Tree().File("f").Times(At(100, 1), At(200, 2))});
  SetTimes("f", {0, UTIME_OMIT}, At(300, 3));
  EXPECT_EQ(Stat("f").st_atim, At(100, 1));
  EXPECT_EQ(Stat("f").st_mtim, At(300, 3));
  SetTimes("f", At(400, 4), {0, UTIME_OMIT});
  EXPECT_EQ(Stat("f").st_atim, At(400, 4));
  EXPECT_EQ(Stat("f").st_mtim, At(300, 3));
}

TEST_F(Time, OmittingBothChangesNothing) {
  SKIP_ON_OVERLAY("changes ctime by copying up");
  Mount({Tree().File("f").Times(At(100, 1), At(200, 2))});
  const struct stat before = Stat("f");
  SetTimes("f", {0, UTIME_OMIT}, {0, UTIME_OMIT});
  const struct stat after = Stat("f");
  EXPECT_EQ(after.st_atim, before.st_atim);
  EXPECT_EQ(after.st_mtim, before.st_mtim);
  EXPECT_EQ(after.st_ctim, before.st_ctim);
}

TEST_F(Time, NowMeansNow) {
  Mount(
      {Tree().File("f").Times(At(100), At(200)).File("g").Times(At(1), At(2))});
  struct timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  SetTimes("f", {0, UTIME_NOW}, {0, UTIME_OMIT});
  EXPECT_LE(now, Stat("f").st_atim);
  EXPECT_EQ(Stat("f").st_mtim, At(200));
  EXPECT_OK(utimensat(AT_FDCWD, "g", nullptr, 0));
  EXPECT_LE(now, Stat("g").st_atim);
  EXPECT_LE(now, Stat("g").st_mtim);
}

TEST_F(Time, BeforeTheEpochAndFarAway) {
  Mount({Tree().File("f")});
  SetTimes("f", At(-1000, 5), At(0, 0));
  EXPECT_EQ(Stat("f").st_atim, At(-1000, 5));
  EXPECT_EQ(Stat("f").st_mtim, At(0, 0));
  SetTimes("f", At(1, 0), At(4294967296 + 7, 7));
  Remount();
  EXPECT_EQ(Stat("f").st_mtim, At(4294967296 + 7, 7));
}

TEST_F(Time, FutimensWorksOnOpenAndUnlinkedFiles) {
  Mount({Tree().File("f", "x")});
  UniqueFd fd = Open("f", O_RDONLY);
  const struct timespec times[2] = {At(10, 1), At(20, 2)};
  EXPECT_OK(futimens(fd.get(), times));
  EXPECT_EQ(Stat("f").st_mtim, At(20, 2));
  EXPECT_OK(unlink("f"));
  const struct timespec later[2] = {At(30, 3), At(40, 4)};
  EXPECT_OK(futimens(fd.get(), later));
  EXPECT_EQ(Fstat(fd.get()).st_mtim, At(40, 4));
}

TEST_F(Time, OnlyTheOwnerMaySetThemOnlyWritersMayTouch) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().File("f").Mode(0666).Owner(1000, 1000).File("g").Mode(0644)});
  EXPECT_ERRNO_EQ(0, AsUser(kBob, [] {
                    return ErrnoOf(utimensat(AT_FDCWD, "f", nullptr, 0));
                  }));
  EXPECT_ERRNO_EQ(EPERM, AsUser(kBob, [] {
                    const struct timespec times[2] = {At(1), At(2)};
                    return ErrnoOf(utimensat(AT_FDCWD, "f", times, 0));
                  }));
  EXPECT_ERRNO_EQ(EACCES, AsUser(kBob, [] {
                    return ErrnoOf(utimensat(AT_FDCWD, "g", nullptr, 0));
                  }));
}

TEST_F(Time, WritingMovesMtimeAndCtime) {
  Mount({Tree().File("f", "x").Times(At(100), At(200))});
  const struct stat before = Stat("f");
  AppendFile("f", "y");
  const struct stat after = Stat("f");
  EXPECT_LT(At(200), after.st_mtim);
  EXPECT_LE(before.st_ctim, after.st_ctim);
  SetTimes("f", At(100), At(200));
  EXPECT_EQ(Stat("f").st_mtim, At(200));
  Remount();
  EXPECT_EQ(Stat("f").st_mtim, At(200));
}

TEST_F(Time, ChangingNamesMovesTheDirectorysMtime) {
  Mount({Tree().File("d/f").Dir("e")});
  const struct timespec old = At(1000);
  auto touched = [&](const char* dir) {
    const bool moved = old < Stat(dir).st_mtim;
    SetTimes(dir, old, old);
    return moved;
  };
  touched("d");
  touched("e");
  WriteFile("d/g", "");
  EXPECT_TRUE(touched("d")) << "create";
  EXPECT_OK(unlink("d/f"));
  EXPECT_TRUE(touched("d")) << "unlink of a lower file";
  EXPECT_OK(unlink("d/g"));
  EXPECT_TRUE(touched("d")) << "unlink of an upper file";
  EXPECT_OK(mkdir("d/sub", 0755));
  EXPECT_TRUE(touched("d")) << "mkdir";
  EXPECT_OK(rename("d/sub", "e/sub"));
  EXPECT_TRUE(touched("d")) << "rename from";
  EXPECT_TRUE(touched("e")) << "rename to";
  EXPECT_OK(rmdir("e/sub"));
  EXPECT_TRUE(touched("e")) << "rmdir";
  EXPECT_OK(symlink("x", "e/l"));
  EXPECT_TRUE(touched("e")) << "symlink";
  EXPECT_OK(link("e/l", "e/m"));
  EXPECT_TRUE(touched("e")) << "link";
  EXPECT_FALSE(touched("d")) << "nothing happened there";
}

TEST_F(Time, ChangingAChildsAttributesLeavesTheDirectoryAlone) {
  Mount({Tree().File("d/f", "x").Dir("d").Times(At(100), At(200))});
  EXPECT_OK(chmod("d/f", 0600));
  EXPECT_EQ(Stat("d").st_mtim, At(200)) << "after chmod";
  AppendFile("d/f", "y");
  EXPECT_EQ(Stat("d").st_mtim, At(200)) << "after a write that copied up";
  Remount();
  EXPECT_EQ(Stat("d").st_mtim, At(200));
}

TEST_F(Time, RenameMovesCtimeOfTheFileOnly) {
  Mount({Tree().File("f", "x").Times(At(100), At(200))});
  const struct stat before = Stat("f");
  EXPECT_OK(rename("f", "g"));
  const struct stat after = Stat("g");
  EXPECT_EQ(after.st_mtim, At(200));
  EXPECT_LE(before.st_ctim, after.st_ctim);
}

TEST_F(Time, LinkingAndUnlinkingMoveCtime) {
  Mount({Tree().File("f", "x")});
  WriteFile("u", "x");
  for (const char* name : {"f", "u"}) {
    const struct stat before = Stat(name);
    usleep(20000);
    EXPECT_OK(link(name, "other"));
    const struct stat linked = Stat(name);
    EXPECT_LT(before.st_ctim, linked.st_ctim) << name;
    EXPECT_EQ(before.st_mtim, linked.st_mtim) << name;
    usleep(20000);
    EXPECT_OK(unlink("other"));
    EXPECT_LT(linked.st_ctim, Stat(name).st_ctim) << name;
  }
}

TEST_F(Time, OwnerAndModeAsTheyWereMoveCtime) {
  Mount({Tree()
             .File("file", "x")
             .Symlink("link", "x")
             .HardLink("link2", "link")
             .Fifo("fifo")
             .HardLink("fifo2", "fifo")});
  WriteFile("new", "x");
  EXPECT_OK(symlink("x", "newlink"));
  for (const char* name : {"file", "link", "fifo", "new", "newlink"}) {
    for (int i = 0; i < 2; ++i) {  // the first may have copied it up
      const struct stat before = Stat(name);
      usleep(20000);
      EXPECT_OK(lchown(name, before.st_uid, before.st_gid));
      const struct stat owned = Stat(name);
      EXPECT_LT(before.st_ctim, owned.st_ctim) << "chown " << name;
      if (S_ISLNK(before.st_mode)) continue;
      usleep(20000);
      EXPECT_OK(chmod(name, before.st_mode & 07777));
      EXPECT_LT(owned.st_ctim, Stat(name).st_ctim) << "chmod " << name;
    }
  }
}

TEST_F(Time, BirthTimeIsToldAndStays) {
  Mount({Tree().File("low", "x")});
  WriteFile("up", "x");
  for (const char* name : {"low", "up"}) {
    const struct statx before = Statx(name);
    ASSERT_TRUE(before.stx_mask & STATX_BTIME) << name;
    EXPECT_GT(before.stx_btime.tv_sec, 1600000000) << name;
    AppendFile(name, "y");
    EXPECT_OK(chmod(name, 0600));
    const struct statx after = Statx(name);
    ASSERT_TRUE(after.stx_mask & STATX_BTIME) << name;
    EXPECT_EQ(after.stx_btime.tv_sec, before.stx_btime.tv_sec) << name;
    EXPECT_EQ(after.stx_btime.tv_nsec, before.stx_btime.tv_nsec) << name;
  }
}

TEST_F(Time, StatxAgreesWithStat) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().File("low", "xyz").Owner(1000, 1001).Mode(0640)});
  WriteFile("up", "12");
  for (const char* name : {"low", "up"}) {
    const struct statx stx = Statx(name);
    const struct stat st = Stat(name);
    EXPECT_EQ(stx.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
    EXPECT_EQ(stx.stx_ino, st.st_ino);
    EXPECT_EQ(stx.stx_size, static_cast<uint64_t>(st.st_size));
    EXPECT_EQ(stx.stx_mode, st.st_mode);
    EXPECT_EQ(stx.stx_uid, st.st_uid);
    EXPECT_EQ(stx.stx_gid, st.st_gid);
    EXPECT_EQ(stx.stx_nlink, st.st_nlink);
    EXPECT_EQ(stx.stx_mtime.tv_sec, st.st_mtim.tv_sec);
    EXPECT_EQ(stx.stx_mtime.tv_nsec, st.st_mtim.tv_nsec);
    EXPECT_EQ(makedev(stx.stx_dev_major, stx.stx_dev_minor), st.st_dev);
  }
}

TEST_F(Time, StatxByDescriptorAndEmptyPath) {
  Mount({Tree().File("f", "xyz")});
  UniqueFd fd = Open("f", O_PATH);
  struct statx stx = {};
  EXPECT_OK(statx(fd.get(), "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx));
  EXPECT_EQ(stx.stx_size, 3u);
  EXPECT_EQ(stx.stx_ino, Ino("f"));
  AppendFile("f", "+");
  EXPECT_OK(statx(fd.get(), "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx));
  EXPECT_EQ(stx.stx_size, 4u);
}

TEST_F(Time, StatxForcedSyncTellsTheTruth) {
  Mount({Tree().File("f", "xyz")});
  AppendFile("f", "123");
  struct statx stx = {};
  EXPECT_OK(statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC, STATX_ALL, &stx));
  EXPECT_EQ(stx.stx_size, 6u);
  EXPECT_OK(statx(AT_FDCWD, "f", AT_STATX_DONT_SYNC, STATX_ALL, &stx));
  EXPECT_EQ(stx.stx_size, 6u);
}

}  // namespace
}  // namespace ufs::test
