#include "layerdb/base/syscall.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include <cerrno>
#include <cstddef>
#include <set>

namespace ufs {
namespace {

class SyscallTest : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/ufs-syscall-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    path_ = path;
    auto fd = sys::Open(path, O_RDONLY | O_DIRECTORY);
    ASSERT_TRUE(fd.ok());
    dir_ = std::move(fd).value();
  }
  void TearDown() override {
    std::set<std::string> names;
    ASSERT_TRUE(sys::ForEachEntry(dir_, [&](const char* name, int, uint64_t) {
                  names.insert(name);
                  return true;
                }).ok());
    for (const auto& name : names)
      ASSERT_TRUE(sys::UnlinkAt({dir_, name.c_str()}).ok());
    rmdir(path_.c_str());
  }
  sys::At In(const char* name) { return {dir_, name}; }

  std::string path_;
  UniqueFd dir_;
};

TEST_F(SyscallTest, ErrorsAreTheErrno) {
  EXPECT_EQ(sys::OpenAt(In("none"), O_RDONLY).code(), ENOENT);
  EXPECT_EQ(sys::Statx(In("none")).code(), ENOENT);
}

TEST_F(SyscallTest, ASymlinkIsNotFollowed) {
  ASSERT_TRUE(sys::SymlinkAt("/etc/passwd", In("link")).ok());
  EXPECT_EQ(sys::OpenAt(In("link"), O_RDONLY).code(), ELOOP);
  EXPECT_TRUE(S_ISLNK(sys::Statx(In("link"))->stx_mode));
  EXPECT_EQ(*sys::ReadLinkAt(In("link")), "/etc/passwd");
}

TEST_F(SyscallTest, XattrsByNameAndByPathDescriptor) {
  ASSERT_TRUE(sys::OpenAt(In("file"), O_CREAT | O_RDWR, 0600).ok());
  const std::string large(2000, 'x');
  ASSERT_TRUE(sys::SetXattr(In("file"), "user.large", large).ok());
  auto path_fd = sys::OpenAt(In("file"), O_PATH);
  ASSERT_TRUE(path_fd.ok());
  EXPECT_EQ(*sys::GetXattr({*path_fd}, "user.large"), large);
  EXPECT_EQ(*sys::ListXattr({*path_fd}), std::string("user.large\0", 11));
  auto read_fd = sys::OpenAt(In("file"), O_RDONLY);
  ASSERT_TRUE(read_fd.ok());
  EXPECT_EQ(*sys::GetXattr({*read_fd}, "user.large"), large);
  ASSERT_TRUE(sys::SetXattr({*read_fd}, "user.small", "s").ok());
  EXPECT_EQ(*sys::GetXattr({*path_fd}, "user.small"), "s");
  ASSERT_TRUE(sys::RemoveXattr({*read_fd}, "user.small").ok());
  EXPECT_EQ(sys::GetXattr({*path_fd}, "user.small").code(), ENODATA);
  ASSERT_TRUE(sys::RemoveXattr({*path_fd}, "user.large").ok());
  EXPECT_EQ(sys::GetXattr(In("file"), "user.large").code(), ENODATA);
}

// As before Linux 6.6: calls after pidfd_getfd fail with `code`, as of a kernel
// that has not heard of them, or of a filter that has not.
void ForgetNewCalls(unsigned code) {
  constexpr unsigned kFChmodAt2 = 452;
  sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kFChmodAt2, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | code),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(rules), rules};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
    _exit(2);
  if (syscall(kFChmodAt2, -1, "", 0, 0) != -1 ||
      errno != static_cast<int>(code))
    _exit(3);
}

// 0 if attributes and modes of files and links are what was set.
int ChangeAttributes(BorrowedFd dir) {
  const sys::At file{dir, "old"}, link{dir, "link"};
  if (!sys::OpenAt(file, O_CREAT | O_RDWR, 0600).ok()) return 10;
  if (!sys::SymlinkAt("old", link).ok()) return 11;
  if (!sys::SetXattr(file, "user.a", "1").ok()) return 12;
  if (sys::SetXattr(file, "user.a", "2", XATTR_CREATE).code() != EEXIST)
    return 13;
  if (*sys::GetXattr(file, "user.a") != "1") return 14;
  if (*sys::ListXattr(file) != std::string("user.a\0", 7)) return 15;
  if (sys::GetXattr(link, "user.a").ok()) return 16;  // it was followed
  if (!sys::ChmodAt(file, 0640).ok()) return 17;
  if ((sys::Statx(file)->stx_mode & 07777) != 0640) return 18;
  if (!sys::RemoveXattr(file, "user.a").ok()) return 19;
  return sys::GetXattr(file, "user.a").code() == ENODATA ? 0 : 20;
}

TEST_F(SyscallTest, AttributesOnThisKernel) {
  EXPECT_EQ(ChangeAttributes(dir_), 0);
}

TEST_F(SyscallTest, AttributesOnOlderKernels) {
  // What the kernel has is asked once in a process: others are needed.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  for (const unsigned code : {ENOSYS, EPERM}) {
    EXPECT_EXIT(
        {
          ForgetNewCalls(code);
          const int failed = ChangeAttributes(dir_);
          TearDown();
          _exit(failed);
        },
        testing::ExitedWithCode(0), "");
  }
}

TEST_F(SyscallTest, AnUnnamedFileCanBeLinked) {
  auto fd = sys::Open(path_.c_str(), O_TMPFILE | O_RDWR, 0600);
  ASSERT_TRUE(fd.ok());
  EXPECT_EQ(*sys::Pwrite(*fd, "hello", 5, 0), 5u);
  ASSERT_TRUE(sys::LinkAt({*fd}, In("named")).ok());
  EXPECT_EQ(sys::Statx(In("named"))->stx_size, 5u);
}

TEST_F(SyscallTest, ReadStopsAtTheEnd) {
  auto fd = sys::OpenAt(In("file"), O_CREAT | O_RDWR, 0600);
  ASSERT_TRUE(fd.ok());
  ASSERT_EQ(*sys::Pwrite(*fd, "abc", 3, 0), 3u);
  char buffer[8];
  EXPECT_EQ(*sys::Pread(*fd, buffer, sizeof(buffer), 1), 2u);
  EXPECT_EQ(*sys::Pread(*fd, buffer, sizeof(buffer), 9), 0u);
}

}  // namespace
}  // namespace ufs
