#include "layerdb/base/remove_tree.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <string>

namespace ufs {
namespace {

class RemoveTreeTest : public testing::Test {
 protected:
  RemoveTreeTest() {
    std::string path = testing::TempDir() + "remove_tree.XXXXXX";
    path_ = mkdtemp(path.data());
    dir_ = sys::Open(path_.c_str(), O_RDONLY | O_DIRECTORY).value();
  }
  ~RemoveTreeTest() override {
    EXPECT_TRUE(RemoveTree({AT_FDCWD, path_.c_str()}).ok());
  }

  void MakeDir(const char* name, mode_t mode = 0755) {
    ASSERT_TRUE(sys::MkDirAt({dir_, name}, mode).ok()) << name;
  }
  void MakeFile(const char* name) {
    ASSERT_TRUE(sys::OpenAt({dir_, name}, O_WRONLY | O_CREAT, 0644).ok())
        << name;
  }
  bool Exists(const char* name) { return sys::Statx({dir_, name}).ok(); }

  std::string path_;
  UniqueFd dir_;
};

TEST_F(RemoveTreeTest, RemovesAllBelow) {
  MakeDir("a");
  MakeDir("a/b");
  MakeFile("a/b/c");
  MakeFile("a/d");
  EXPECT_TRUE(RemoveTree({dir_, "a"}).ok());
  EXPECT_FALSE(Exists("a"));
  EXPECT_TRUE(RemoveTree({dir_, "a"}).ok()) << "gone already";
}

TEST_F(RemoveTreeTest, RemovesAFile) {
  MakeFile("a");
  EXPECT_TRUE(RemoveTree({dir_, "a"}).ok());
  EXPECT_FALSE(Exists("a"));
}

TEST_F(RemoveTreeTest, RemovesWhatIsInADirectory) {
  MakeDir("a");
  MakeDir("a/b");
  MakeFile("a/b/c");
  MakeFile("a/d");
  const UniqueFd inside =
      sys::OpenAt({dir_, "a"}, O_RDONLY | O_DIRECTORY).value();
  EXPECT_TRUE(RemoveContents(inside).ok());
  EXPECT_TRUE(Exists("a"));
  EXPECT_FALSE(Exists("a/b") || Exists("a/d"));
  MakeFile("a/d");
  EXPECT_TRUE(RemoveContents(inside).ok()) << "again, by the same descriptor";
  EXPECT_FALSE(Exists("a/d"));
}

TEST_F(RemoveTreeTest, FollowsNoLink) {
  MakeDir("kept");
  MakeFile("kept/file");
  MakeDir("a");
  ASSERT_TRUE(sys::SymlinkAt("../kept", {dir_, "a/link"}).ok());
  ASSERT_TRUE(sys::SymlinkAt("kept", {dir_, "link"}).ok());
  EXPECT_TRUE(RemoveTree({dir_, "a"}).ok());
  EXPECT_TRUE(RemoveTree({dir_, "link"}).ok());
  EXPECT_FALSE(Exists("link"));
  EXPECT_TRUE(Exists("kept/file"));
}

TEST_F(RemoveTreeTest, IsNotStoppedByModes) {
  MakeDir("a");
  MakeDir("a/closed");
  MakeFile("a/closed/file");
  ASSERT_TRUE(sys::ChmodAt({dir_, "a/closed"}, 0).ok());
  ASSERT_TRUE(sys::ChmodAt({dir_, "a"}, 0500).ok());
  EXPECT_TRUE(RemoveTree({dir_, "a"}).ok());
  EXPECT_FALSE(Exists("a"));
}

TEST_F(RemoveTreeTest, DeeperThanThereAreDescriptors) {
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit few{std::min<rlim_t>(256, limit.rlim_max), limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  constexpr int kDepth = 3'000;
  UniqueFd at = sys::Reopen(dir_, O_RDONLY | O_DIRECTORY).value();
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_TRUE(sys::MkDirAt({at, "d"}, 0755).ok());
    at = sys::OpenAt({at, "d"}, O_RDONLY | O_DIRECTORY).value();
  }
  at = UniqueFd();
  EXPECT_TRUE(RemoveTree({dir_, "d"}).ok());
  EXPECT_FALSE(Exists("d"));
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

}  // namespace
}  // namespace ufs
