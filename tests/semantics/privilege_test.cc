// Set-user-id bits and file capabilities: when they go, when they stay.
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <functional>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

// A directory of set-id programs that everybody may write to, of each origin.
class KillPrivileges : public UnionTest {
 protected:
  void MountPrograms() {
    Tree lower;
    lower.Dir(".x");
    for (const char* name : {"lower", "meta"}) {
      lower.File(name, "program").Owner(1000, 1000).Mode(06777);
    }
    lower.File("noexec-group", "program").Owner(1000, 1000).Mode(02767);
    Mount({lower});
    WriteFile("upper", "program");
    ASSERT_OK(chown("upper", 1000, 1000));
    ASSERT_OK(chmod("upper", 06777));
    SetXattr("meta", "user.touched", "1");
  }
  static void SetAgain(const char* name) { ASSERT_OK(chmod(name, 06777)); }
  // The mode alone, for which a file system need not look whether the size or a
  // time has changed: what execve goes by.
  static mode_t Mode(const char* name) {
    struct statx seen {};
    EXPECT_OK(statx(AT_FDCWD, name, 0, STATX_MODE, &seen));
    return seen.stx_mode & 07777;
  }
};

constexpr const char* kPrograms[] = {"lower", "upper", "meta"};

TEST_F(KillPrivileges, AWriteByAnotherUserDoes) {
  NEEDS_SEVERAL_IDS();
  MountPrograms();
  for (const char* name : kPrograms) {
    EXPECT_ERRNO_EQ(0, AsUser(kBob, [name] {
                      int fd = open(name, O_WRONLY | O_APPEND);
                      return fd < 0 ? errno : ErrnoOf(write(fd, "x", 1));
                    }));
    EXPECT_EQ(Mode(name), 0777u) << name;
  }
  Remount();
  for (const char* name : kPrograms) EXPECT_EQ(Mode(name), 0777u) << name;
}

TEST_F(KillPrivileges, AWriteByTheOwnerDoes) {
  NEEDS_SEVERAL_IDS();
  MountPrograms();
  for (const char* name : kPrograms) {
    EXPECT_ERRNO_EQ(0, AsUser(kAlice, [name] {
                      int fd = open(name, O_WRONLY);
                      return fd < 0 ? errno : ErrnoOf(write(fd, "x", 1));
                    }));
    EXPECT_EQ(Mode(name), 0777u) << name;
  }
}

TEST_F(KillPrivileges, AWriteByRootDoesNot) {
  NEEDS_REAL_ROOT("only root of the host may keep set-id bits");
  MountPrograms();
  for (const char* name : kPrograms) {
    AppendFile(name, "x");
    EXPECT_EQ(Mode(name), 06777u) << name;
  }
}

TEST_F(KillPrivileges, TruncationByAUserDoes) {
  NEEDS_SEVERAL_IDS();
  MountPrograms();
  for (const char* name : kPrograms) {
    EXPECT_ERRNO_EQ(
        0, AsUser(kBob, [name] { return ErrnoOf(truncate(name, 2)); }));
    EXPECT_EQ(Mode(name), 0777u) << name << " by truncate";
    SetAgain(name);
    EXPECT_ERRNO_EQ(0, AsUser(kBob, [name] {
                      return ErrnoOf(open(name, O_WRONLY | O_TRUNC));
                    }));
    EXPECT_EQ(Mode(name), 0777u) << name << " by O_TRUNC";
  }
}

TEST_F(KillPrivileges, FallocateByAUserDoes) {
  NEEDS_SEVERAL_IDS();
  MountPrograms();
  for (const char* name : kPrograms) {
    EXPECT_ERRNO_EQ(0, AsUser(kBob, [name] {
                      int fd = open(name, O_WRONLY);
                      return fd < 0 ? errno
                                    : ErrnoOf(fallocate(fd, 0, 0, 10000));
                    }));
    EXPECT_EQ(Mode(name), 0777u) << name;
  }
}

TEST_F(KillPrivileges, CopyFileRangeByAUserDoes) {
  NEEDS_SEVERAL_IDS();
  MountPrograms();
  WriteFile("source", "source");
  for (const char* name : kPrograms) {
    EXPECT_ERRNO_EQ(
        0, AsUser(kBob, [name] {
          int in = open("source", O_RDONLY);
          int out = open(name, O_WRONLY);
          if (in < 0 || out < 0) return errno;
          return ErrnoOf(copy_file_range(in, nullptr, out, nullptr, 6, 0));
        }));
    EXPECT_EQ(Mode(name), 0777u) << name;
  }
}

TEST_F(KillPrivileges, ChownDoesEvenByRoot) {
  NEEDS_SEVERAL_IDS();
  MountPrograms();
  for (const char* name : kPrograms) {
    EXPECT_OK(chown(name, 1001, static_cast<gid_t>(-1)));
    EXPECT_EQ(Mode(name), 0777u) << name;
    SetAgain(name);
    EXPECT_OK(chown(name, static_cast<uid_t>(-1), 1001));
    EXPECT_EQ(Mode(name), 0777u) << name;
  }
}

TEST_F(KillPrivileges, SetgidWithoutGroupExecIsAMandatoryLockAndStays) {
  NEEDS_SEVERAL_IDS();
  MountPrograms();
  EXPECT_ERRNO_EQ(0, AsUser(kAlice, [] {
                    int fd = open("noexec-group", O_WRONLY);
                    return fd < 0 ? errno : ErrnoOf(write(fd, "x", 1));
                  }));
  EXPECT_EQ(Mode("noexec-group"), 02767u);
}

TEST_F(KillPrivileges, SetgidWithoutGroupExecIsLostToAnOutsider) {
  NEEDS_SEVERAL_IDS();
  MountPrograms();
  const std::function<int(int)> changes[] = {
      [](int fd) { return ErrnoOf(write(fd, "x", 1)); },
      [](int fd) { return ErrnoOf(ftruncate(fd, 3)); },
      [](int fd) { return ErrnoOf(fallocate(fd, 0, 0, 100)); },
      [](int fd) {
        off64_t in = 0, out = 10;
        const int from = open("noexec-group", O_RDONLY);
        return ErrnoOf(copy_file_range(from, &in, fd, &out, 3, 0));
      },
  };
  for (const auto& change : changes) {
    const auto body = [&change] {
      const int fd = open("noexec-group", O_WRONLY);
      return fd < 0 ? errno : change(fd);
    };
    ASSERT_OK(chmod("noexec-group", 02767));
    // Of the group by a supplementary one only.
    EXPECT_ERRNO_EQ(0, AsUser({1002, 1002, {1000}}, body));
    EXPECT_EQ(Mode("noexec-group"), 02767u);
    EXPECT_ERRNO_EQ(0, AsUser(kBob, body));
    EXPECT_EQ(Mode("noexec-group"), 0767u);
  }
}

TEST_F(KillPrivileges, ChownToNobodyDoes) {
  NEEDS_SEVERAL_IDS();
  MountPrograms();
  constexpr auto kSame = static_cast<uid_t>(-1);
  for (const char* name : kPrograms) {
    EXPECT_OK(chown(name, kSame, kSame));
    EXPECT_EQ(Mode(name), 0777u) << name;
    SetAgain(name);
    EXPECT_ERRNO_EQ(0, AsUser(kAlice, [name] {
                      return ErrnoOf(chown(name, kSame, kSame));
                    }));
    EXPECT_EQ(Mode(name), 0777u) << name;
    SetAgain(name);
    // Nobody takes them from another's file. In a user namespace /proc may not
    // tell the daemon that this is a chown.
    const int refused =
        AsUser(kBob, [name] { return ErrnoOf(chown(name, kSame, kSame)); });
    EXPECT_TRUE(refused == EPERM ||
                (refused == 0 && TheSubject().in_user_namespace))
        << name << ": " << ErrnoName(refused);
    EXPECT_EQ(Mode(name), 06777u) << name;
  }
}

// Also where a user namespace has one id, so that nobody else could take them.
TEST_F(KillPrivileges, ChownToNobodyOfOnesOwnFileDoes) {
  Mount({Tree().File("low", "program").Mode(06755).File("meta").Mode(06755)});
  WriteFile("up", "program");
  ASSERT_OK(chmod("up", 06755));
  SetXattr("meta", "user.touched", "1");
  constexpr auto kSame = static_cast<uid_t>(-1);
  for (const char* name : {"low", "up", "meta"}) {
    ASSERT_EQ(Mode(name), 06755u) << name;
    EXPECT_OK(chown(name, kSame, kSame));
    EXPECT_EQ(Mode(name), 0755u) << name;
    ASSERT_OK(chmod(name, 06755));
    EXPECT_OK(fchown(Open(name, O_RDONLY).get(), kSame, kSame));
    EXPECT_EQ(Mode(name), 0755u) << name << " by descriptor";
    ASSERT_OK(chmod(name, 02745));
    EXPECT_OK(chown(name, kSame, kSame));
    EXPECT_EQ(Mode(name), 02745u)
        << name << ": of the group, so it may keep it";
  }
  Remount();
  for (const char* name : {"low", "up", "meta"})
    EXPECT_EQ(Mode(name), 02745u) << name;
}

// The host takes them from whoever writes, and the daemon writes when the
// kernel likes, also after a chmod.
TEST_F(KillPrivileges, AStoreThroughAMappingDoesNot) {
  const std::string big(300000, 'x');
  Mount({Tree().File("low", "program").File("big", big)});
  WriteFile("up", "program");
  const bool capable = !TheSubject().in_user_namespace;
  const std::string net_raw = CapabilityValue(CAP_NET_RAW);
  for (const char* name : {"low", "up", "big"}) {
    UniqueFd fd = Open(name, O_RDWR);
    void* const address =
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    ASSERT_NE(address, MAP_FAILED) << name;
    memcpy(address, "PRO", 3);
    ASSERT_OK(chmod(name, 06755));
    if (capable) SetXattr(name, kCapability, net_raw);
    EXPECT_OK(msync(address, 4096, MS_SYNC));
    EXPECT_EQ(Mode(name), 06755u) << name;
    if (capable) {
      EXPECT_EQ(GetXattr(name, kCapability), net_raw) << name;
    }
    EXPECT_EQ(ReadAt(fd.get(), 0, 3), "PRO") << name;
    EXPECT_OK(munmap(address, 4096));
  }
  Remount();
  for (const char* name : {"low", "up", "big"}) {
    EXPECT_EQ(Mode(name), 06755u) << name;
    EXPECT_EQ(ReadFile(name).substr(0, 3), "PRO") << name;
  }
}

TEST_F(KillPrivileges, DirectoriesKeepTheirBits) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().Dir("d").Mode(06775).Owner(1000, 1000)});
  EXPECT_OK(chown("d", 1001, 1001));
  EXPECT_EQ(Mode("d"), 06775u);
}

TEST_F(KillPrivileges, ChmodByAnOwnerOutsideTheGroupDropsSetgid) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().File("f").Owner(1000, 1005)});
  EXPECT_ERRNO_EQ(0, AsUser(kAlice, [] { return ErrnoOf(chmod("f", 02755)); }));
  EXPECT_EQ(Mode("f"), 0755u);
}

TEST_F(KillPrivileges, MetadataCopyUpKeepsThem) {
  NEEDS_SEVERAL_IDS();
  MountPrograms();
  SetXattr("lower", "user.k", "v");
  SetTimes("lower", At(1), At(2));
  EXPECT_OK(rename("lower", "moved"));
  EXPECT_EQ(Mode("moved"), 06777u);
  Remount();
  EXPECT_EQ(Mode("moved"), 06777u);
}

class Capabilities : public UnionTest {
 protected:
  const std::string kNetRaw = CapabilityValue(CAP_NET_RAW);
};

TEST_F(Capabilities, OfALowerFileShowAndSurviveCopyUpOfMetadata) {
  NEEDS_REAL_ROOT("capabilities of the machine's root cannot be declared");
  Mount({Tree().File("ping", "elf").Mode(0755).Xattr(kCapability, kNetRaw)});
  EXPECT_EQ(GetXattr("ping", kCapability), kNetRaw);
  EXPECT_OK(chmod("ping", 0711));
  SetTimes("ping", At(1), At(2));
  EXPECT_OK(rename("ping", "pong"));
  EXPECT_OK(link("pong", "pung"));
  Remount();
  EXPECT_EQ(GetXattr("pong", kCapability), kNetRaw);
}

TEST_F(Capabilities, AnyWriteRemovesThem) {
  NEEDS_REAL_ROOT("capabilities of the machine's root cannot be declared");
  Tree lower;
  for (const char* name : {"write", "trunc", "otrunc", "alloc", "mmap"}) {
    lower.File(name, "elf").Mode(0755).Xattr(kCapability, kNetRaw);
  }
  Mount({lower});
  WriteFile("upper", "elf");
  SetXattr("upper", kCapability, kNetRaw);
  AppendFile("write", "x");
  AppendFile("upper", "x");
  EXPECT_OK(truncate("trunc", 1));
  { UniqueFd fd = Open("otrunc", O_WRONLY | O_TRUNC); }
  EXPECT_OK(fallocate(Open("alloc", O_WRONLY).get(), 0, 0, 10000));
  for (const char* name : {"write", "trunc", "otrunc", "alloc", "upper"}) {
    EXPECT_EQ(GetXattr(name, kCapability), std::nullopt) << name;
  }
  Remount();
  for (const char* name : {"write", "trunc", "otrunc", "alloc", "upper"}) {
    EXPECT_EQ(GetXattr(name, kCapability), std::nullopt) << name;
  }
  EXPECT_EQ(GetXattr("mmap", kCapability), kNetRaw) << "that was not touched";
}

TEST_F(Capabilities, AWriteByRootCostsThemAndNotTheSetIdBits) {
  NEEDS_REAL_ROOT("only root of the host may keep set-id bits");
  Mount({Tree().File("low", "program").Mode(06755)});
  WriteFile("up", "program");
  ASSERT_OK(chmod("up", 06755));
  for (const char* name : {"low", "up"}) {
    SetXattr(name, kCapability, kNetRaw);
    AppendFile(name, "x");
    EXPECT_FALSE(GetXattr(name, kCapability)) << name;
    EXPECT_EQ(Mode(name), 06755u) << name;
  }
}

TEST_F(Capabilities, AChownToNobodyByRootCostsThemAndTheSetIdBits) {
  NEEDS_REAL_ROOT("only root of the host may keep set-id bits");
  constexpr auto kSame = static_cast<uid_t>(-1);
  Mount({Tree().File("low", "program").Mode(06755)});
  WriteFile("up", "program");
  ASSERT_OK(chmod("up", 06755));
  for (const char* name : {"low", "up"}) {
    SetXattr(name, kCapability, kNetRaw);
    EXPECT_OK(chown(name, kSame, kSame));
    EXPECT_FALSE(GetXattr(name, kCapability)) << name;
    EXPECT_EQ(Mode(name), 0755u) << name;
  }
}

TEST_F(Capabilities, ChownRemovesThem) {
  NEEDS_REAL_ROOT("capabilities of the machine's root cannot be declared");
  Mount({Tree().File("f", "elf").Mode(0755).Xattr(kCapability, kNetRaw)});
  EXPECT_OK(chown("f", 1000, 1000));
  EXPECT_EQ(GetXattr("f", kCapability), std::nullopt);
}

TEST_F(Capabilities, OpeningForWritingAloneKeepsThem) {
  NEEDS_REAL_ROOT("capabilities of the machine's root cannot be declared");
  Mount({Tree().File("f", "elf").Mode(0755).Xattr(kCapability, kNetRaw)});
  { UniqueFd fd = Open("f", O_RDWR); }
  EXPECT_EQ(GetXattr("f", kCapability), kNetRaw);
}

}  // namespace
}  // namespace ufs::test
