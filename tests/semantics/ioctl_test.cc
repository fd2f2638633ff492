// File flags (chattr) and the ioctls behind them.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <initializer_list>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

using Flags = UnionTest;

unsigned GetFlags(const std::string& path) {
  UniqueFd fd = Open(path, O_RDONLY);
  int flags = 0;
  EXPECT_OK(ioctl(fd.get(), FS_IOC_GETFLAGS, &flags)) << path;
  return static_cast<unsigned>(flags);
}

// Opens for writing and writes. A union that hears of no opens learns only at
// the write that a file may not change.
int TryWrite(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return fd.valid() ? static_cast<int>(pwrite(fd.get(), "!", 1, 0)) : -1;
}

int SetFlags(const std::string& path, unsigned flags) {
  UniqueFd fd = Open(path, O_RDONLY);
  const int value = static_cast<int>(flags);
  return ioctl(fd.get(), FS_IOC_SETFLAGS, &value);
}

TEST_F(Flags, CanBeReadOnEveryOrigin) {
  Mount({Tree().File("low").Dir("d")});
  WriteFile("up", "");
  for (const char* name : {"low", "up", "d"}) {
    EXPECT_EQ(GetFlags(name) & (FS_IMMUTABLE_FL | FS_APPEND_FL), 0u) << name;
  }
}

TEST_F(Flags, ImmutableFilesCannotChange) {
  NEEDS_WRITES_AT_ONCE("writes are refused when they come");
  NEEDS_REAL_ROOT("setting flags needs CAP_LINUX_IMMUTABLE of the machine");
  Mount({Tree().File("low", "x").Dir("d")});
  WriteFile("up", "x");
  WriteFile("d/own", "");
  const timespec changed = Stat("d").st_mtim;
  for (const char* name : {"low", "up"}) {
    ASSERT_OK(SetFlags(name, GetFlags(name) | FS_IMMUTABLE_FL)) << name;
    EXPECT_ERRNO(EPERM, rename(name, "d/moved")) << name;
    EXPECT_TRUE(GetFlags(name) & FS_IMMUTABLE_FL) << name;
    EXPECT_ERRNO(EPERM, TryWrite(name)) << name;
    EXPECT_ERRNO(EPERM, unlink(name)) << name;
    EXPECT_ERRNO(EPERM, rename(name, "moved")) << name;
    EXPECT_ERRNO(EPERM, chmod(name, 0600)) << name;
    EXPECT_ERRNO(EPERM, link(name, "linked")) << name;
    EXPECT_EQ(ReadFile(name), "x");
  }
  Remount();
  EXPECT_EQ(Stat("d").st_mtim.tv_sec, changed.tv_sec);
  EXPECT_EQ(Stat("d").st_mtim.tv_nsec, changed.tv_nsec);
  for (const char* name : {"low", "up"}) {
    EXPECT_TRUE(GetFlags(name) & FS_IMMUTABLE_FL) << name;
    EXPECT_EQ(ReadFile(name), "x") << name;
    EXPECT_ERRNO(EPERM, TryWrite(name)) << name;
    EXPECT_ERRNO(EPERM, truncate(name, 0)) << name;
    ASSERT_OK(SetFlags(name, GetFlags(name) & ~unsigned{FS_IMMUTABLE_FL}));
    AppendFile(name, "y");
    EXPECT_OK(unlink(name)) << name;
  }
}

// What had to be made ready for the rename shows nowhere.
TEST_F(Flags, ARenameOverAnImmutableFileChangesNothing) {
  NEEDS_REAL_ROOT("setting flags needs CAP_LINUX_IMMUTABLE of the machine");
  Mount({Tree().File("f", "x").HardLink("d/second", "f")});
  const timespec changed = Stat("d").st_mtim;
  ASSERT_OK(unlink("f"));
  WriteFile("f", "new");
  ASSERT_OK(SetFlags("f", GetFlags("f") | FS_IMMUTABLE_FL));
  EXPECT_ERRNO(EPERM, rename("d/second", "f"));
  EXPECT_EQ(Stat("d").st_mtim.tv_sec, changed.tv_sec);
  EXPECT_EQ(Stat("d").st_mtim.tv_nsec, changed.tv_nsec);
  EXPECT_EQ(ReadFile("d/second"), "x");
  EXPECT_EQ(ReadFile("f"), "new");
  ASSERT_OK(SetFlags("f", GetFlags("f") & ~unsigned{FS_IMMUTABLE_FL}));
}

// None of the names goes, nor does "other" take its place.
void ExpectHeld(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    EXPECT_ERRNO(EPERM, unlink(name)) << name;
    EXPECT_ERRNO(EPERM, rename(name, "moved")) << name;
    EXPECT_ERRNO(EPERM, rename("other", name)) << name;
  }
}

TEST_F(Flags, HoldANameThatIsInALayerOnly) {
  NEEDS_REAL_ROOT("setting flags needs CAP_LINUX_IMMUTABLE of the machine");
  Mount({Tree().File("f", "x").HardLink("second", "f").File("other")});
  for (const unsigned flag : {FS_IMMUTABLE_FL, FS_APPEND_FL}) {
    ASSERT_OK(SetFlags("f", GetFlags("f") | flag));
    ExpectHeld({"f", "second"});
    EXPECT_OK(SetFlags("f", GetFlags("f") & ~flag));
  }
  EXPECT_EQ(Stat("f").st_nlink, 2u);
  EXPECT_OK(unlink("second"));
  EXPECT_OK(rename("other", "f"));
}

// Also when the file was found by a name that the upper has.
TEST_F(Flags, HoldANameThatIsInALayerOnlyAfterARemount) {
  NEEDS_REAL_ROOT("setting flags needs CAP_LINUX_IMMUTABLE of the machine");
  Mount({Tree().File("f", "x").HardLink("second", "f").File("other")});
  ASSERT_OK(link("f", "up"));
  for (const unsigned flag : {FS_IMMUTABLE_FL, FS_APPEND_FL}) {
    ASSERT_OK(SetFlags("up", GetFlags("up") | flag));
    Remount();
    EXPECT_EQ(Stat("up").st_nlink, 3u);
    ExpectHeld({"up", "f", "second"});
    EXPECT_OK(SetFlags("up", GetFlags("up") & ~flag));
  }
  EXPECT_EQ(Stat("f").st_nlink, 3u);
  EXPECT_OK(unlink("second"));
  EXPECT_OK(rename("other", "f"));
  EXPECT_EQ(Stat("up").st_nlink, 1u);
}

TEST_F(Flags, AppendOnlyFilesOnlyGrow) {
  NEEDS_WRITES_AT_ONCE("writes are refused when they come");
  NEEDS_REAL_ROOT("setting flags needs CAP_LINUX_IMMUTABLE of the machine");
  Mount({Tree().File("low", "x")});
  WriteFile("up", "x");
  for (const char* name : {"low", "up"}) {
    ASSERT_OK(SetFlags(name, GetFlags(name) | FS_APPEND_FL)) << name;
    EXPECT_ERRNO(EPERM, TryWrite(name)) << name;
    EXPECT_ERRNO(EPERM, truncate(name, 0)) << name;
    EXPECT_ERRNO(EPERM, unlink(name)) << name;
    AppendFile(name, "y");
    EXPECT_EQ(ReadFile(name), "xy") << name;
    UniqueFd fd = Open(name, O_WRONLY | O_APPEND);
    EXPECT_OK(fallocate(fd.get(), 0, 2, 2)) << name;
    EXPECT_ERRNO(EPERM, fallocate(fd.get(), FALLOC_FL_ZERO_RANGE, 0, 1))
        << name;
    EXPECT_EQ(ReadFile(name), std::string("xy\0\0", 4)) << name;
    ASSERT_OK(SetFlags(name, GetFlags(name) & ~unsigned{FS_APPEND_FL}));
    EXPECT_OK(unlink(name)) << name;
  }
}

// Names may come into it and none may go, whichever layer they are of; what is
// under them may change.
TEST_F(Flags, AnAppendOnlyDirectoryOnlyGains) {
  NEEDS_REAL_ROOT("setting flags needs CAP_LINUX_IMMUTABLE of the machine");
  Mount({Tree()
             .File("d/low", "x")
             .Dir("d/sub")
             .File("d/gone1")
             .File("d/gone2")
             .File("d/gone3")
             .Dir("d/gone4")
             .File("e/moves")
             .File("e/moves_too")
             .File("e/linked")});
  WriteFile("d/up", "x");
  for (const char* name : {"d/gone1", "d/gone2", "d/gone3"})
    ASSERT_OK(unlink(name));
  ASSERT_OK(rmdir("d/gone4"));
  ASSERT_OK(SetFlags("d", GetFlags("d") | FS_APPEND_FL));
  for (const bool again : {false, true}) {
    if (again) Remount();
    for (const char* name : {"d/low", "d/up"}) {
      EXPECT_ERRNO(EPERM, unlink(name)) << name;
      EXPECT_ERRNO(EPERM, rename(name, "e/moved")) << name;
      EXPECT_ERRNO(EPERM, rename(name, "d/moved")) << name;
      EXPECT_ERRNO(EPERM, rename("e/linked", name)) << name;
      EXPECT_ERRNO(EPERM, renameat2(AT_FDCWD, "e/linked", AT_FDCWD, name,
                                    RENAME_EXCHANGE))
          << name;
    }
    EXPECT_ERRNO(EPERM, rmdir("d/sub"));
    EXPECT_ERRNO(EPERM, chmod("d", 0700));
    EXPECT_TRUE(GetFlags("d") & FS_APPEND_FL);
  }
  const timespec changed = Stat("d").st_mtim;
  EXPECT_OK(chmod("d/low", 0600));
  EXPECT_OK(chmod("d/sub", 0700));
  AppendFile("d/low", "y");
  EXPECT_EQ(ReadFile("d/low"), "xy");
  EXPECT_EQ(Stat("d").st_mtim.tv_sec, changed.tv_sec);
  EXPECT_EQ(Stat("d").st_mtim.tv_nsec, changed.tv_nsec);

  WriteFile("d/new", "");
  EXPECT_OK(mkdir("d/new_dir", 0755));
  EXPECT_OK(link("e/linked", "d/linked"));
  WriteFile("d/gone1", "again");
  EXPECT_OK(rename("e/moves", "d/gone2"));
  EXPECT_OK(link("e/linked", "d/gone3"));
  EXPECT_OK(mkdir("d/gone4", 0755));
  EXPECT_OK(rename("e/moves_too", "d/moves_too"));
  EXPECT_TRUE(GetFlags("d") & FS_APPEND_FL);
  EXPECT_ERRNO(EPERM, unlink("d/gone1"));
  EXPECT_OK(SetFlags("d", GetFlags("d") & ~unsigned{FS_APPEND_FL}));
  EXPECT_OK(unlink("d/low"));
  EXPECT_OK(unlink("d/gone1"));
}

TEST_F(Flags, AnImmutableDirectoryKeepsItsNames) {
  NEEDS_REAL_ROOT("setting flags needs CAP_LINUX_IMMUTABLE of the machine");
  Mount({Tree()
             .File("d/low", "x")
             .Dir("d/empty")
             .File("d/sub/inner", "x")
             .File("d/gone")
             .File("e/f")});
  WriteFile("d/up", "x");
  ASSERT_OK(unlink("d/gone"));
  ASSERT_OK(SetFlags("d", GetFlags("d") | FS_IMMUTABLE_FL));
  const timespec changed = Stat("d").st_mtim;
  for (const bool again : {false, true}) {
    if (again) Remount();
    for (const char* name : {"d/low", "d/up"}) {
      EXPECT_ERRNO(EPERM, unlink(name)) << name;
      EXPECT_ERRNO(EPERM, rename(name, "e/moved")) << name;
      EXPECT_ERRNO(EPERM, rename("e/f", name)) << name;
    }
    EXPECT_ERRNO(EPERM, rmdir("d/empty"));
    for (const char* name : {"d/new", "d/gone"}) {
      EXPECT_ERRNO(EPERM, open(name, O_CREAT | O_WRONLY, 0644)) << name;
      EXPECT_ERRNO(EPERM, mkdir(name, 0755)) << name;
      EXPECT_ERRNO(EPERM, mkfifo(name, 0644)) << name;
      EXPECT_ERRNO(EPERM, symlink("x", name)) << name;
      EXPECT_ERRNO(EPERM, link("e/f", name)) << name;
      EXPECT_ERRNO(EPERM, rename("e/f", name)) << name;
    }
    EXPECT_ERRNO(EPERM, open("d", O_TMPFILE | O_WRONLY, 0644));
    EXPECT_ERRNO(EPERM, chmod("d", 0700));
    EXPECT_TRUE(GetFlags("d") & FS_IMMUTABLE_FL);
  }
  EXPECT_OK(chmod("d/low", 0600));
  AppendFile("d/low", "y");
  EXPECT_EQ(ReadFile("d/low"), "xy");
  WriteFile("d/sub/own", "");
  EXPECT_OK(unlink("d/sub/inner"));
  EXPECT_EQ(Stat("d").st_mtim.tv_sec, changed.tv_sec);
  EXPECT_EQ(Stat("d").st_mtim.tv_nsec, changed.tv_nsec);
  EXPECT_TRUE(GetFlags("d") & FS_IMMUTABLE_FL);
  EXPECT_OK(SetFlags("d", GetFlags("d") & ~unsigned{FS_IMMUTABLE_FL}));
  EXPECT_OK(unlink("d/low"));
  WriteFile("d/gone", "");
}

TEST_F(Flags, FsxattrTellsTheSame) {
  Mount({Tree().File("low", "x")});
  WriteFile("up", "x");
  for (const char* name : {"low", "up"}) {
    UniqueFd fd = Open(name, O_RDONLY);
    struct fsxattr attr = {};
    EXPECT_OK(ioctl(fd.get(), FS_IOC_FSGETXATTR, &attr)) << name;
    EXPECT_EQ(attr.fsx_xflags & FS_XFLAG_IMMUTABLE, 0u) << name;
  }
}

TEST_F(Flags, FsxattrSetsTheSame) {
  NEEDS_REAL_ROOT("setting flags needs CAP_LINUX_IMMUTABLE of the machine");
  Mount({Tree().File("low", "x")});
  WriteFile("up", "x");
  for (const char* name : {"low", "up"}) {
    UniqueFd fd = Open(name, O_RDONLY);
    struct fsxattr attr = {};
    ASSERT_OK(ioctl(fd.get(), FS_IOC_FSGETXATTR, &attr)) << name;
    attr.fsx_xflags |= FS_XFLAG_IMMUTABLE;
    ASSERT_OK(ioctl(fd.get(), FS_IOC_FSSETXATTR, &attr)) << name;
    EXPECT_TRUE(GetFlags(name) & FS_IMMUTABLE_FL) << name;
    ASSERT_OK(ioctl(fd.get(), FS_IOC_FSGETXATTR, &attr)) << name;
    attr.fsx_xflags &= ~unsigned{FS_XFLAG_IMMUTABLE};
    EXPECT_OK(ioctl(fd.get(), FS_IOC_FSSETXATTR, &attr)) << name;
    EXPECT_EQ(GetFlags(name) & FS_IMMUTABLE_FL, 0u) << name;
  }
}

TEST_F(Flags, NodumpAndNoatimeAreForTheOwner) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().File("f", "x").Owner(1000, 1000).Mode(0644)});
  EXPECT_ERRNO_EQ(0, AsUser(kAlice, [] {
                    return ErrnoOf(SetFlags("f", GetFlags("f") | FS_NODUMP_FL));
                  }));
  EXPECT_TRUE(GetFlags("f") & FS_NODUMP_FL);
  const int refused = AsUser(kBob, [] {
    return ErrnoOf(SetFlags("f", GetFlags("f") & ~unsigned{FS_NODUMP_FL}));
  });
  EXPECT_TRUE(refused == EACCES || refused == EPERM) << ErrnoName(refused);
  EXPECT_TRUE(GetFlags("f") & FS_NODUMP_FL);
}

TEST_F(Flags, UnknownIoctlsAreENOTTY) {
  Mount({Tree().File("f", "x").Dir("d")});
  UniqueFd fd = Open("f", O_RDONLY);
  int value = 0;
  EXPECT_ERRNO(ENOTTY, ioctl(fd.get(), _IOR('u', 250, int), &value));
  EXPECT_ERRNO(ENOTTY, ioctl(fd.get(), TCGETS, &value));
  UniqueFd dir = Open("d", O_RDONLY);
  EXPECT_ERRNO(ENOTTY, ioctl(dir.get(), _IOR('u', 250, int), &value));
}

TEST_F(Flags, FIONREADTellsWhatIsLeft) {
  Mount({Tree().File("f", "0123456789")});
  UniqueFd fd = Open("f", O_RDONLY);
  int left = 0;
  EXPECT_OK(ioctl(fd.get(), FIONREAD, &left));
  EXPECT_EQ(left, 10);
  EXPECT_OK(lseek(fd.get(), 4, SEEK_SET));
  EXPECT_OK(ioctl(fd.get(), FIONREAD, &left));
  EXPECT_EQ(left, 6);
}

}  // namespace
}  // namespace ufs::test
