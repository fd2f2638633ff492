#include "runtime/rooted_path.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

namespace ufs::runtime {
namespace {

namespace stdfs = std::filesystem;

class RootedPathTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/rooted.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
    stdfs::create_directory(dir_ + "/root");
    stdfs::create_directory(dir_ + "/outside");
    root_ = UniqueFd(open((dir_ + "/root").c_str(), O_PATH | O_DIRECTORY));
  }
  void TearDown() override { stdfs::remove_all(dir_); }

  void Link(const std::string& target, const std::string& path) {
    stdfs::create_symlink(target, dir_ + "/root" + path);
  }
  bool Exists(const std::string& path) const {
    return stdfs::exists(stdfs::symlink_status(dir_ + path));
  }

  std::string dir_;
  UniqueFd root_;
};

TEST(CleanPathTest, NeverAboveTheRoot) {
  EXPECT_EQ(CleanPath(""), "/");
  EXPECT_EQ(CleanPath("/"), "/");
  EXPECT_EQ(CleanPath("a//b/./c/"), "/a/b/c");
  EXPECT_EQ(CleanPath("/a/../../b"), "/b");
  EXPECT_EQ(CleanPath("../../.."), "/");
}

TEST_F(RootedPathTest, StepsAreWhatIsMade) {
  using Paths = std::vector<std::string>;
  for (const char* directory : {"/root/etc", "/root/usr/run"})
    stdfs::create_directories(dir_ + directory);
  Link("../run/resolve/stub", "/etc/link");
  Link("usr/run", "/run");
  Link("/etc", "/absolute");
  Link("loop", "/loop");
  Link("/outside", "/out");
  EXPECT_EQ(StepsInRoot(root_, "/etc"), Paths{"/etc"});
  EXPECT_EQ(StepsInRoot(root_, "/"), Paths{});
  EXPECT_EQ(StepsInRoot(root_, "/absolute/hosts"),
            (Paths{"/etc", "/etc/hosts"}));
  EXPECT_EQ(StepsInRoot(root_, "/a/../b/c"), (Paths{"/b", "/b/c"}));
  const Paths steps = {"/usr", "/usr/run", "/usr/run/resolve",
                       "/usr/run/resolve/stub"};
  EXPECT_EQ(StepsInRoot(root_, "/etc/link"), steps);
  EXPECT_EQ(StepsInRoot(root_, "/out/in"), (Paths{"/outside", "/outside/in"}));
  EXPECT_EQ(StepsInRoot(root_, "/loop"), Paths{});
  ASSERT_TRUE(MakeInRoot(root_, "/etc/link", false).ok());
  EXPECT_TRUE(Exists("/root/usr/run/resolve/stub"));
  EXPECT_EQ(StepsInRoot(root_, "/etc/link"), steps);
}

// A relative link starts where its directory really is.
TEST_F(RootedPathTest, LinksBehindLinksLeadWhereTheKernelHasThem) {
  stdfs::create_directories(dir_ + "/root/usr/etc");
  stdfs::create_directories(dir_ + "/root/opt/far");
  Link("usr/etc", "/etc");
  Link("../run/x", "/usr/etc/resolv.conf");
  Link("/opt/far", "/near");
  Link("near/../y", "/up");
  EXPECT_EQ(StepsInRoot(root_, "/etc/resolv.conf").back(), "/usr/run/x");
  EXPECT_EQ(StepsInRoot(root_, "/up").back(), "/opt/y");
  ASSERT_TRUE(MakeInRoot(root_, "/etc/resolv.conf", false).ok());
  EXPECT_TRUE(stdfs::is_regular_file(dir_ + "/root/usr/run/x"));
  EXPECT_FALSE(Exists("/root/run"));
  ASSERT_TRUE(MakeInRoot(root_, "/up", true).ok());
  EXPECT_TRUE(stdfs::is_directory(dir_ + "/root/opt/y"));
  EXPECT_TRUE(OpenInRoot(root_, "/up", O_PATH | O_DIRECTORY).ok());
}

TEST_F(RootedPathTest, MakesDirectoriesAndFiles) {
  ASSERT_TRUE(MakeInRoot(root_, "/a/b/c", true).ok());
  EXPECT_TRUE(stdfs::is_directory(dir_ + "/root/a/b/c"));
  ASSERT_TRUE(MakeInRoot(root_, "/a/b/f", false).ok());
  EXPECT_TRUE(stdfs::is_regular_file(dir_ + "/root/a/b/f"));
  // What is there stays.
  EXPECT_TRUE(MakeInRoot(root_, "/a/b/f", false).ok());
  EXPECT_EQ(MakeInRoot(root_, "/a/b/f", true).code(), ENOTDIR);
  EXPECT_EQ(MakeInRoot(root_, "/a/b", false).code(), EISDIR);
  EXPECT_EQ(MakeInRoot(root_, "/a/b/f/g", true).code(), ENOTDIR);
}

TEST_F(RootedPathTest, LinksLeadInside) {
  Link(dir_ + "/outside", "/absolute");
  Link("../../../../../../" + dir_ + "/outside", "/relative");
  ASSERT_TRUE(MakeInRoot(root_, "/absolute/x", true).ok());
  ASSERT_TRUE(MakeInRoot(root_, "/relative/y", false).ok());
  EXPECT_FALSE(Exists("/outside/x"));
  EXPECT_FALSE(Exists("/outside/y"));
  EXPECT_TRUE(Exists("/root" + dir_ + "/outside/x"));
}

TEST_F(RootedPathTest, LinkToNothingIsFollowedInside) {
  stdfs::create_directory(dir_ + "/root/etc");
  Link("../run/resolv.conf", "/etc/resolv.conf");
  ASSERT_TRUE(MakeInRoot(root_, "/etc/resolv.conf", false).ok());
  EXPECT_TRUE(stdfs::is_regular_file(dir_ + "/root/run/resolv.conf"));
}

TEST_F(RootedPathTest, LoopsEnd) {
  Link("b", "/a");
  Link("a", "/b");
  EXPECT_EQ(MakeInRoot(root_, "/a/x", true).code(), ELOOP);
  // Each names something longer that is missing: no kernel limit helps.
  Link("/grow/x", "/grow");
  EXPECT_EQ(MakeInRoot(root_, "/grow", true).code(), ELOOP);
}

TEST_F(RootedPathTest, RefusedLinks) {
  stdfs::create_directory(dir_ + "/root/etc");
  Link("etc", "/dev");
  EXPECT_EQ(MakeInRoot(root_, "/dev/null", false, Links::kRefused).code(),
            ELOOP);
  EXPECT_EQ(PlaceInRoot(root_, "/dev/null", Links::kRefused).code(), ELOOP);
  EXPECT_EQ(OpenInRoot(root_, "/dev", O_PATH, Links::kRefused).code(), ELOOP);
  EXPECT_FALSE(Exists("/root/etc/null"));
  Link("nowhere", "/proc");
  EXPECT_EQ(MakeInRoot(root_, "/proc", true, Links::kRefused).code(), ELOOP);
  EXPECT_FALSE(Exists("/root/nowhere"));
}

TEST_F(RootedPathTest, TheRootIsNoPlace) {
  EXPECT_EQ(PlaceInRoot(root_, "/..").code(), EINVAL);
  const auto place = PlaceInRoot(root_, "/x/y");
  ASSERT_TRUE(place.ok());
  EXPECT_EQ(place->name, "y");
  EXPECT_TRUE(Exists("/root/x"));
}

}  // namespace
}  // namespace ufs::runtime
