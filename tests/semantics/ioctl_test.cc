// File flags (chattr) and the ioctls behind them.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

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
    ASSERT_OK(SetFlags(name, GetFlags(name) & ~unsigned{FS_APPEND_FL}));
    EXPECT_OK(unlink(name)) << name;
  }
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
