// What a file keeps when it moves to the upper layer, and what it costs.
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

using CopyUp = UnionTest;

TEST_F(CopyUp, KeepsOwnerModeXattrsAndAtime) {
  NEEDS_DIRECTORY_LAYERS("they keep no atime");
  NEEDS_SEVERAL_IDS();
  Mount({Tree()
             .File("f", "data")
             .Mode(0641)
             .Owner(1000, 1001)
             .Times(At(100, 1), At(200, 2))
             .Xattr("user.a", "1")
             .Xattr("user.b", "")});
  { UniqueFd fd = Open("f", O_RDWR); }
  for (int i = 0; i < 2; ++i) {
    const struct stat st = Stat("f");
    EXPECT_EQ(st.st_mode, S_IFREG | 0641u);
    EXPECT_EQ(st.st_uid, 1000u);
    EXPECT_EQ(st.st_gid, 1001u);
    EXPECT_EQ(st.st_atim, At(100, 1));
    EXPECT_EQ(st.st_mtim, At(200, 2)) << "opening alone changes no time";
    EXPECT_EQ(GetXattr("f", "user.a"), "1");
    EXPECT_EQ(GetXattr("f", "user.b"), "");
    Remount();
  }
}

TEST_F(CopyUp, KeepsAclsOfFilesAndDirectories) {
  NEEDS_SEVERAL_IDS();
  const std::string acl = AclGrantingUser(1000, 6);
  Mount({Tree()
             .File("d/f", "x")
             .Mode(0640)
             .Xattr(kAccessAcl, acl)
             .Dir("d")
             .Xattr(kAccessAcl, acl)
             .Xattr(kDefaultAcl, acl)});
  AppendFile("d/f", "y");
  WriteFile("d/new", "");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(GetXattr("d/f", kAccessAcl), acl);
    EXPECT_EQ(GetXattr("d", kAccessAcl), acl);
    EXPECT_EQ(GetXattr("d", kDefaultAcl), acl);
    Remount();
  }
}

TEST_F(CopyUp, KeepsSpecialModeBits) {
  Mount({Tree()
             .File("suid")
             .Mode(04755)
             .File("sgid")
             .Mode(02755)
             .File("sticky")
             .Mode(01644)
             .Dir("d")
             .Mode(03777)});
  for (const char* name : {"suid", "sgid", "sticky", "d"}) {
    SetXattr(name, "user.k", "v");
  }
  EXPECT_EQ(Mode("suid"), 04755u);
  EXPECT_EQ(Mode("sgid"), 02755u);
  EXPECT_EQ(Mode("sticky"), 01644u);
  Remount();
  EXPECT_EQ(Mode("suid"), 04755u);
  EXPECT_EQ(Mode("d"), 03777u);
}

TEST_F(CopyUp, IsNotSubjectToTheUmaskOrDefaultAcls) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree()
             .File("d/f", "x")
             .Mode(0666)
             .Dir("d")
             .Xattr(kDefaultAcl, AclGrantingUser(1000, 6))});
  umask(077);
  AppendFile("d/f", "y");
  EXPECT_EQ(Mode("d/f"), 0666u);
  EXPECT_EQ(GetXattr("d/f", kAccessAcl), std::nullopt);
}

TEST_F(CopyUp, ByAnotherUserKeepsTheOwner) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree()
             .File("d/f", "x")
             .Mode(0666)
             .Owner(1000, 1000)
             .Dir("d")
             .Mode(0777)});
  EXPECT_ERRNO_EQ(0, AsUser(kBob, [] {
                    int fd = open("d/f", O_WRONLY | O_APPEND);
                    return fd < 0 ? errno : ErrnoOf(write(fd, "y", 1));
                  }));
  EXPECT_EQ(Stat("d/f").st_uid, 1000u);
  EXPECT_EQ(Stat("d/f").st_gid, 1000u);
  EXPECT_EQ(Stat("d").st_uid, 0u);
}

TEST_F(CopyUp, OfADeepFileKeepsEveryParentAsItWas) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree()
             .File("a/b/c/f", "x")
             .Dir("a")
             .Mode(0751)
             .Owner(1000, 1001)
             .Times(At(1), At(11))
             .Dir("a/b")
             .Mode(02775)
             .Xattr("user.k", "b")
             .Times(At(2), At(22))
             .Dir("a/b/c")
             .Mode(0700)
             .Times(At(3), At(33))});
  AppendFile("a/b/c/f", "y");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Stat("a").st_mode, S_IFDIR | 0751u);
    EXPECT_EQ(Stat("a").st_uid, 1000u);
    EXPECT_EQ(Stat("a").st_mtim, At(11));
    EXPECT_EQ(Mode("a/b"), 02775u);
    EXPECT_EQ(GetXattr("a/b", "user.k"), "b");
    EXPECT_EQ(Stat("a/b").st_mtim, At(22));
    EXPECT_EQ(Mode("a/b/c"), 0700u);
    EXPECT_EQ(Stat("a/b/c").st_mtim, At(33));
    Remount();
  }
}

TEST_F(CopyUp, KeepsHoles) {
  const off_t size = off_t{1} << 30;
  Mount({Tree()
             .File("f")
             .SparseSize(size)
             .Extent(0, "begin")
             .Extent(size / 2, "middle")});
  PatchFile("f", size - 3, "end");
  EXPECT_EQ(Size("f"), size);
  UniqueFd fd = Open("f", O_RDONLY);
  EXPECT_EQ(ReadAt(fd.get(), 0, 6), std::string("begin\0", 6));
  EXPECT_EQ(ReadAt(fd.get(), size / 2, 6), "middle");
  EXPECT_EQ(ReadAt(fd.get(), size - 4, 4), std::string("\0end", 4));
  EXPECT_LT(Fstat(fd.get()).st_blocks * 512, 16 << 20);
}

TEST_F(CopyUp, OfAnEmptyAndAOneByteFile) {
  Mount({Tree().File("empty").File("one", "1")});
  { UniqueFd fd = Open("empty", O_RDWR); }
  { UniqueFd fd = Open("one", O_RDWR); }
  Remount();
  EXPECT_EQ(ReadFile("empty"), "");
  EXPECT_EQ(ReadFile("one"), "1");
}

TEST_F(CopyUp, IsDoneOnceForManyOpeners) {
  const std::string content = Pattern(2 << 20);
  Mount({Tree().File("f", content)});
  std::vector<std::thread> openers;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 8; ++t) {
    openers.emplace_back([&, t] {
      UniqueFd fd(open("f", t % 2 ? O_RDWR : O_RDONLY));
      if (!fd.valid() || ReadAll(fd.get()) != content) ++wrong;
    });
  }
  for (std::thread& opener : openers) opener.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_TRUE(ReadFile("f") == content);
  EXPECT_EQ(Stat("f").st_nlink, 1u);
}

TEST_F(CopyUp, OfOneDirectoryByManyCreators) {
  Mount({Tree().File("a/b/c/d/low")});
  std::vector<std::thread> creators;
  for (int t = 0; t < 8; ++t) {
    creators.emplace_back(
        [t] { WriteFile("a/b/c/d/" + std::to_string(t), "x"); });
  }
  for (std::thread& creator : creators) creator.join();
  EXPECT_EQ(List("a/b/c/d").size(), 9u);
  Remount();
  EXPECT_EQ(List("a/b/c/d").size(), 9u);
}

TEST_F(CopyUp, IsNeverSeenHalfDone) {
  const std::string content = Pattern(4 << 20);
  Mount({Tree().File("f", content)});
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::thread watcher([&] {
    while (!stop) {
      struct stat st;
      if (lstat("f", &st) != 0 || st.st_size != 4 << 20) ++wrong;
      UniqueFd fd(open("f", O_RDONLY));
      char byte = 0;
      if (pread(fd.get(), &byte, 1, (4 << 20) - 1) != 1 ||
          byte != content.back()) {
        ++wrong;
      }
    }
  });
  usleep(10000);
  PatchFile("f", 0, content.substr(0, 1));
  usleep(10000);
  stop = true;
  watcher.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(CopyUp, ChangesNothingElseInTheDirectory) {
  Mount({Tree()
             .File("d/a", "a")
             .File("d/b", "b")
             .Symlink("d/l", "a")
             .Dir("d/sub")});
  AppendFile("d/a", "+");
  EXPECT_EQ(List("d"), (Names{"a", "b", "l", "sub"}));
  if (!has_layers()) return;
  Unmount();
  EXPECT_EQ(List(Upper("d")), Names{"a"});
}

TEST_F(CopyUp, OfDevicesAndFifosKeepsTheirKind) {
  NEEDS_REAL_ROOT("mknod of devices is refused by the kernel");
  NEEDS_SEVERAL_IDS();
  Mount({Tree()
             .CharDevice("null", 1, 3)
             .Mode(0666)
             .BlockDevice("loop", 7, 99)
             .Mode(0660)
             .Owner(0, 6)
             .Fifo("p")
             .Mode(0600)});
  EXPECT_OK(chmod("null", 0600));
  EXPECT_OK(chown("loop", 1000, 6));
  EXPECT_OK(rename("p", "q"));
  Remount();
  EXPECT_EQ(Stat("null").st_rdev, makedev(1, 3));
  EXPECT_EQ(Mode("null"), 0600u);
  EXPECT_EQ(Stat("loop").st_rdev, makedev(7, 99));
  EXPECT_EQ(Stat("loop").st_uid, 1000u);
  EXPECT_EQ(Mode("loop"), 0660u);
  EXPECT_TRUE(S_ISFIFO(Stat("q").st_mode));
}

TEST_F(CopyUp, OfALowerFileNobodyMayReadWorks) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().File("f", "secret").Mode(0200).Owner(1000, 1000)});
  EXPECT_ERRNO_EQ(0, AsUser(kAlice, [] {
                    int fd = open("f", O_WRONLY | O_APPEND);
                    return fd < 0 ? errno : ErrnoOf(write(fd, "+", 1));
                  }));
  EXPECT_EQ(ReadFile("f"), "secret+");
  EXPECT_EQ(Mode("f"), 0200u);
}

TEST_F(CopyUp, LeavesNothingInTheWorkDirectory) {
  SKIP_ON_PLAIN("there is no upper");
  Tree lower;
  for (int i = 0; i < 20; ++i) lower.File("d/" + std::to_string(i), "x");
  Mount({lower});
  for (int i = 0; i < 20; ++i) {
    const std::string path = "d/" + std::to_string(i);
    switch (i % 4) {
      case 0:
        AppendFile(path, "y");
        break;
      case 1:
        EXPECT_OK(chmod(path.c_str(), 0600));
        break;
      case 2:
        EXPECT_OK(unlink(path.c_str()));
        break;
      case 3:
        EXPECT_OK(rename(path.c_str(), (path + "r").c_str()));
        break;
    }
  }
  EXPECT_EQ(List("d").size(), 15u);
  Unmount();
  // Whiteouts for what was removed or moved, and the files themselves.
  EXPECT_EQ(List(Upper("d")).size(), 25u);
}

}  // namespace
}  // namespace ufs::test
