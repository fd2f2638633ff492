#include "runtime/copy_tree.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

namespace ufs::runtime {
namespace {

namespace stdfs = std::filesystem;

constexpr char kAccess[] = "system.posix_acl_access";
constexpr char kDefault[] = "system.posix_acl_default";
// user::rwx user:12:r-x group::--x mask::r-x other::---
constexpr char kAcl[] =
    "\2\0\0\0"
    "\1\0\7\0\xff\xff\xff\xff"
    "\2\0\5\0\x0c\0\0\0"
    "\4\0\1\0\xff\xff\xff\xff"
    "\x10\0\5\0\xff\xff\xff\xff"
    "\x20\0\0\0\xff\xff\xff\xff";
const std::string kAclValue(kAcl, sizeof(kAcl) - 1);

class CopyTreeTest : public testing::Test {
 protected:
  void SetUp() override {
    // Not in memory: tmpfs has no attributes of users.
    std::string pattern = "/var/tmp/ufs-copy.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
    stdfs::create_directory(dir_ + "/from");
    stdfs::create_directory(dir_ + "/to");
  }
  void TearDown() override { stdfs::remove_all(dir_); }

  std::string From(const std::string& name) { return dir_ + "/from/" + name; }
  std::string To(const std::string& name) { return dir_ + "/to/" + name; }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(From(name)) << text;
  }
  void Copy() {
    const UniqueFd from(open(From("").c_str(), O_PATH | O_DIRECTORY));
    const UniqueFd to(open(To("").c_str(), O_PATH | O_DIRECTORY));
    const auto copied = CopyTree(from, to);
    ASSERT_TRUE(copied.ok()) << copied.error().ToString();
  }
  static struct stat StatOf(const std::string& path) {
    struct stat stat {};
    EXPECT_EQ(lstat(path.c_str(), &stat), 0) << path;
    return stat;
  }
  static std::string Attribute(const std::string& path, const char* name) {
    char value[1000];
    const ssize_t size = lgetxattr(path.c_str(), name, value, sizeof(value));
    return size < 0 ? "none" : std::string(value, size);
  }
  static void SetAttribute(const std::string& path, const char* name,
                           const std::string& value) {
    ASSERT_EQ(
        lsetxattr(path.c_str(), name, value.data(), value.size(), /*flags=*/0),
        0)
        << path << " " << name << " " << errno;
  }

  std::string dir_;
};

TEST_F(CopyTreeTest, HardLinksStayTogether) {
  stdfs::create_directories(From("a/b"));
  stdfs::create_directories(From("c"));
  Write("a/b/one", "text");
  stdfs::create_hard_link(From("a/b/one"), From("c/two"));
  stdfs::create_hard_link(From("a/b/one"), From("three"));
  stdfs::create_symlink("nowhere", From("link"));
  ASSERT_EQ(linkat(AT_FDCWD, From("link").c_str(), AT_FDCWD,
                   From("c/link").c_str(), 0),
            0);
  Copy();
  EXPECT_EQ(StatOf(To("a/b/one")).st_nlink, 3u);
  EXPECT_EQ(StatOf(To("a/b/one")).st_ino, StatOf(To("c/two")).st_ino);
  EXPECT_EQ(StatOf(To("a/b/one")).st_ino, StatOf(To("three")).st_ino);
  EXPECT_EQ(StatOf(To("link")).st_ino, StatOf(To("c/link")).st_ino);
  EXPECT_EQ(stdfs::read_symlink(To("c/link")), "nowhere");
}

TEST_F(CopyTreeTest, LinksBelowPathsTooLongForTheKernel) {
  const std::string name(200, 'd');
  UniqueFd at(open(From("").c_str(), O_RDONLY | O_DIRECTORY));
  for (int i = 0; i < 30; ++i) {
    ASSERT_EQ(mkdirat(at.get(), name.c_str(), 0700), 0);
    at.reset(openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY));
  }
  const UniqueFd file(openat(at.get(), "one", O_WRONLY | O_CREAT, 0600));
  ASSERT_EQ(linkat(at.get(), "one", at.get(), "two", 0), 0);
  Copy();
  at.reset(open(To("").c_str(), O_RDONLY | O_DIRECTORY));
  for (int i = 0; i < 30; ++i)
    at.reset(openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY));
  struct stat stat {};
  ASSERT_EQ(fstatat(at.get(), "two", &stat, 0), 0);
  EXPECT_EQ(stat.st_nlink, 2u);
}

TEST_F(CopyTreeTest, HolesStayHoles) {
  constexpr off_t kSize = 64 << 20;
  {
    const UniqueFd file(open(From("sparse").c_str(), O_WRONLY | O_CREAT, 0600));
    ASSERT_EQ(pwrite(file.get(), "middle", 6, 32 << 20), 6);
    ASSERT_EQ(ftruncate(file.get(), kSize), 0);
  }
  Copy();
  const auto stat = StatOf(To("sparse"));
  EXPECT_EQ(stat.st_size, kSize);
  EXPECT_LT(stat.st_blocks * 512, 1 << 20);
  char text[6];
  const UniqueFd copy(open(To("sparse").c_str(), O_RDONLY));
  ASSERT_EQ(pread(copy.get(), text, 6, 32 << 20), 6);
  EXPECT_EQ(std::string(text, 6), "middle");
}

// The host writes what it has room for and says nothing until the next call.
TEST_F(CopyTreeTest, AFullDiskIsAnErrorNotAShorterFile) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_EQ(mount("tmpfs", To("").c_str(), "tmpfs", 0, "size=64k"), 0);
  Write("big", std::string(200'000, 'x'));
  const UniqueFd from(open(From("").c_str(), O_PATH | O_DIRECTORY));
  const UniqueFd to(open(To("").c_str(), O_PATH | O_DIRECTORY));
  EXPECT_EQ(CopyTree(from, to).code(), ENOSPC);
  EXPECT_EQ(umount2(To("").c_str(), MNT_DETACH), 0);
}

TEST_F(CopyTreeTest, AttributesAndTimes) {
  stdfs::create_directory(From("dir"));
  Write("dir/file", "text");
  SetAttribute(From("dir"), "user.of", "a directory");
  SetAttribute(From("dir/file"), "user.of", std::string("a\0file", 6));
  SetAttribute(From("dir/file"), "user.empty", "");
  SetAttribute(From("dir/file"), kAccess, kAclValue);
  SetAttribute(From("dir"), kDefault, kAclValue);
  const timespec times[2] = {{1'000'000'000, 123'456'789}, {999'999'999, 1}};
  for (const char* name : {"dir/file", "dir", ""})
    ASSERT_EQ(utimensat(AT_FDCWD, From(name).c_str(), times, 0), 0);
  Copy();
  EXPECT_EQ(Attribute(To("dir"), "user.of"), "a directory");
  EXPECT_EQ(Attribute(To("dir/file"), "user.of"), std::string("a\0file", 6));
  EXPECT_EQ(Attribute(To("dir/file"), "user.empty"), "");
  EXPECT_EQ(Attribute(To("dir/file"), kAccess), kAclValue);
  EXPECT_EQ(Attribute(To("dir"), kDefault), kAclValue);
  EXPECT_EQ(Attribute(To("dir"), kAccess), "none");
  EXPECT_EQ(StatOf(To("dir/file")).st_mode, StatOf(From("dir/file")).st_mode);
  for (const char* name : {"dir/file", "dir", ""}) {
    const auto stat = StatOf(To(name));
    EXPECT_EQ(stat.st_mtim.tv_sec, 999'999'999) << name;
    EXPECT_EQ(stat.st_mtim.tv_nsec, 1) << name;
  }
}

TEST_F(CopyTreeTest, NothingIsInheritedFromWhereItGoes) {
  stdfs::create_directory(From("dir"));
  Write("dir/file", "text");
  SetAttribute(To(""), kDefault, kAclValue);
  Copy();
  for (const char* name : {"", "dir", "dir/file"}) {
    EXPECT_EQ(Attribute(To(name), kAccess), "none") << name;
    EXPECT_EQ(Attribute(To(name), kDefault), "none") << name;
  }
}

TEST_F(CopyTreeTest, FifosAndSockets) {
  ASSERT_EQ(mkfifo(From("fifo").c_str(), 0640), 0);
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  From("socket").copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(socket.get(), reinterpret_cast<const sockaddr*>(&address),
                 sizeof(address)),
            0);
  Copy();
  EXPECT_EQ(StatOf(To("fifo")).st_mode, static_cast<mode_t>(S_IFIFO | 0640));
  EXPECT_TRUE(S_ISSOCK(StatOf(To("socket")).st_mode));
}

TEST_F(CopyTreeTest, CapabilitiesOwnersAndDevices) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  Write("ping", "text");
  Write("su", "text");
  ASSERT_EQ(chown(From("ping").c_str(), 5, 6), 0);
  ASSERT_EQ(chown(From("su").c_str(), 7, 8), 0);
  ASSERT_EQ(chmod(From("su").c_str(), 06755), 0);
  // cap_net_raw=ep, version 2.
  const std::string capability("\1\0\0\2\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
                               20);
  SetAttribute(From("ping"), "security.capability", capability);
  SetAttribute(From("su"), "trusted.of", "root");
  ASSERT_EQ(mknod(From("null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
  Copy();
  EXPECT_EQ(Attribute(To("ping"), "security.capability"), capability);
  EXPECT_EQ(StatOf(To("ping")).st_uid, 5u);
  EXPECT_EQ(Attribute(To("su"), "trusted.of"), "root");
  EXPECT_EQ(StatOf(To("su")).st_mode, static_cast<mode_t>(S_IFREG | 06755));
  EXPECT_EQ(StatOf(To("null")).st_rdev, makedev(1, 3));
}

}  // namespace
}  // namespace ufs::runtime
