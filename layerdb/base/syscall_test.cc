#include "layerdb/base/syscall.h"

#include <gtest/gtest.h>

#include <cerrno>
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
  ASSERT_TRUE(sys::RemoveXattr({*path_fd}, "user.large").ok());
  EXPECT_EQ(sys::GetXattr(In("file"), "user.large").code(), ENODATA);
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
