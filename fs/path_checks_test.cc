#include "fs/path_checks.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace ufs {
namespace {

namespace stdfs = std::filesystem;

class PathChecks : public testing::Test {
 protected:
  PathChecks() {
    const char* const parent = getenv("UFS_TEST_DIR");
    std::string pattern =
        std::string(parent ? parent : "/var/tmp") + "/path_checks.XXXXXX";
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = stdfs::canonical(pattern);
    for (const char* name : {"base", "app", "up", "mnt"}) MakeDir(name);
  }
  ~PathChecks() override { stdfs::remove_all(root_); }

  std::string At(const std::string& name) const { return root_ + "/" + name; }
  std::string MakeDir(const std::string& name) const {
    stdfs::create_directories(At(name));
    return At(name);
  }

  UnionPaths Good() const {
    UnionPaths paths;
    paths.layers = {At("base"), At("app")};
    paths.upper = At("up");
    paths.mountpoint = At("mnt");
    return paths;
  }

  // The message of a refusal; nothing may have been made meanwhile.
  std::string Refusal(const UnionPaths& paths, int code) const {
    const auto before = Names();
    const auto checked = CheckUnionPaths(paths);
    EXPECT_EQ(Names(), before);
    EXPECT_FALSE(checked.ok());
    EXPECT_EQ(checked.code(), code);
    return checked.ok() ? "" : std::string(checked.error().context());
  }

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : stdfs::recursive_directory_iterator(root_))
      names.push_back(entry.path());
    std::sort(names.begin(), names.end());
    return names;
  }

  std::string root_;
};

testing::AssertionResult Says(const std::string& text,
                              const std::string& part) {
  if (text.find(part) != text.npos) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << "'" << text << "' lacks '" << part << "'";
}

TEST_F(PathChecks, GoodPathsComeBackResolved) {
  UnionPaths paths = Good();
  stdfs::create_symlink("base", At("link"));
  paths.layers[0] = At("./link/");
  const auto checked = CheckUnionPaths(paths);
  ASSERT_TRUE(checked.ok()) << checked.error().context();
  EXPECT_EQ(checked->layers, (std::vector<std::string>{At("base"), At("app")}));
  EXPECT_EQ(checked->upper, At("up"));
  EXPECT_EQ(checked->work, At("up.work"));
  EXPECT_EQ(checked->mountpoint, At("mnt"));
  EXPECT_FALSE(stdfs::exists(At("up.work"))) << "checks make nothing";
}

TEST_F(PathChecks, MissingDirectories) {
  UnionPaths paths = Good();
  paths.layers[1] = At("none");
  EXPECT_EQ(Refusal(paths, ENOENT),
            At("none") + ": no such layer; check the path");

  paths = Good();
  paths.upper = At("none");
  EXPECT_TRUE(Says(Refusal(paths, ENOENT), At("none") + ": no such upper"));

  paths = Good();
  paths.work = At("none");
  EXPECT_TRUE(Says(Refusal(paths, ENOENT), "no such work directory"));

  paths = Good();
  paths.mountpoint = At("none");
  EXPECT_TRUE(Says(Refusal(paths, ENOENT), "no such mount point"));

  paths = Good();
  paths.layers[0] = "";
  Refusal(paths, ENOENT);
}

TEST_F(PathChecks, FilesWhereDirectoriesBelong) {
  std::ofstream(At("file")) << "x";
  for (const char* what : {"layer", "upper", "work", "mount point"}) {
    UnionPaths paths = Good();
    if (*what == 'l') paths.layers[0] = At("file");
    if (*what == 'u') paths.upper = At("file");
    if (*what == 'w') paths.work = At("file");
    if (*what == 'm') paths.mountpoint = At("file");
    const std::string refusal = Refusal(paths, ENOTDIR);
    EXPECT_TRUE(Says(refusal, At("file") + ": " + what));
    EXPECT_TRUE(Says(refusal, "is not a directory"));
  }
}

TEST_F(PathChecks, MissingUpperAndWorkMayBePlanned) {
  UnionPaths paths = Good();
  paths.upper = At("new");
  paths.make_upper = true;
  auto checked = CheckUnionPaths(paths);
  ASSERT_TRUE(checked.ok()) << checked.error().context();
  EXPECT_EQ(checked->upper, At("new"));
  EXPECT_EQ(checked->work, At("new.work"));

  paths.upper = At("new/deep");
  EXPECT_TRUE(Says(Refusal(paths, ENOENT), At("new")));

  stdfs::create_symlink("nowhere", At("dangling"));
  paths.upper = At("dangling");
  EXPECT_TRUE(Says(Refusal(paths, ENOENT), "link to nowhere"));

  paths = Good();
  paths.upper = At("base/new");
  paths.make_upper = true;
  EXPECT_TRUE(Says(Refusal(paths, ELOOP), "lies inside the layer"));
}

TEST_F(PathChecks, UpperAndWork) {
  UnionPaths paths = Good();
  paths.work = paths.upper;
  EXPECT_TRUE(Says(Refusal(paths, EINVAL), "are the same"));

  paths.work = MakeDir("up/work");
  EXPECT_TRUE(Says(Refusal(paths, EINVAL), "inside the upper"));

  paths.work = At("outer");
  paths.upper = MakeDir("outer/up");
  EXPECT_TRUE(Says(Refusal(paths, EINVAL), "inside the work directory"));
}

TEST_F(PathChecks, WorkOnAnotherFileSystem) {
  struct stat here, shm;
  ASSERT_EQ(stat(root_.c_str(), &here), 0);
  if (stat("/dev/shm", &shm) != 0 || here.st_dev == shm.st_dev)
    GTEST_SKIP() << "needs a second file system at /dev/shm";
  UnionPaths paths = Good();
  paths.work = "/dev/shm";
  EXPECT_TRUE(Says(Refusal(paths, EXDEV), "not on the file system"));
}

TEST_F(PathChecks, LayersAndUpperMayNotNest) {
  UnionPaths paths = Good();
  paths.layers[0] = MakeDir("up/layer");
  EXPECT_TRUE(Says(Refusal(paths, ELOOP), "lies inside the upper"));

  paths = Good();
  paths.upper = MakeDir("base/up");
  EXPECT_TRUE(Says(Refusal(paths, ELOOP), "lies inside the layer"));

  paths = Good();
  paths.upper = At("base");
  EXPECT_TRUE(Says(Refusal(paths, ELOOP), "both a layer and the upper"));

  paths = Good();
  paths.work = MakeDir("app/work");
  EXPECT_TRUE(Says(Refusal(paths, ELOOP), "lies inside the layer"));

  // Names that only begin alike are neighbours.
  paths = Good();
  paths.upper = MakeDir("base2");
  EXPECT_TRUE(CheckUnionPaths(paths).ok());
}

TEST_F(PathChecks, LayersMayNestInEachOtherAndRepeat) {
  UnionPaths paths = Good();
  paths.layers = {At("base"), MakeDir("base/sub"), At("base")};
  EXPECT_TRUE(CheckUnionPaths(paths).ok());
}

TEST_F(PathChecks, SymlinksDoNotHideNesting) {
  MakeDir("up/layer");
  stdfs::create_symlink("up/layer", At("innocent"));
  UnionPaths paths = Good();
  paths.layers[0] = At("innocent");
  EXPECT_TRUE(Says(Refusal(paths, ELOOP), "lies inside the upper"));
}

TEST_F(PathChecks, BindMountsDoNotHideNesting) {
  MakeDir("up/layer");
  MakeDir("bound");
  if (mount(At("up").c_str(), At("bound").c_str(), nullptr, MS_BIND, nullptr))
    GTEST_SKIP() << "needs the right to mount";
  UnionPaths paths = Good();
  paths.layers[0] = At("bound/layer");
  EXPECT_TRUE(Says(Refusal(paths, ELOOP), "lies inside the upper"));

  paths = Good();
  paths.work = At("bound");
  EXPECT_TRUE(Says(Refusal(paths, EINVAL), "are the same"));

  // Another mount of the same file system: rename would not reach it.
  MakeDir("up/other");
  paths.upper = MakeDir("up/second");
  paths.work = At("bound/other");
  EXPECT_TRUE(Says(Refusal(paths, EXDEV), "through another mount"));
  EXPECT_EQ(umount(At("bound").c_str()), 0);
}

TEST_F(PathChecks, Loops) {
  UnionPaths paths = Good();
  paths.mountpoint = At("up");
  EXPECT_TRUE(Says(Refusal(paths, ELOOP), "a loop"));
  paths.mountpoint = MakeDir("up/mnt");
  EXPECT_TRUE(Says(Refusal(paths, ELOOP), "inside the upper"));
  paths.mountpoint = MakeDir("up.work/mnt");
  EXPECT_TRUE(Says(Refusal(paths, ELOOP), "inside the work directory"));
}

TEST_F(PathChecks, MountPointMayCoverALayer) {
  UnionPaths paths = Good();
  paths.mountpoint = At("base");
  EXPECT_TRUE(CheckUnionPaths(paths).ok());
}

TEST_F(PathChecks, NamesWithBlanksAndBackslashesInMountinfo) {
  const std::string odd = MakeDir("odd \\040\tname");
  if (mount(odd.c_str(), odd.c_str(), nullptr, MS_BIND, nullptr))
    GTEST_SKIP() << "needs the right to mount";
  UnionPaths paths = Good();
  paths.upper = MakeDir("odd \\040\tname/up");
  paths.layers[0] = MakeDir("odd \\040\tname/up/layer");
  EXPECT_TRUE(Says(Refusal(paths, ELOOP), "lies inside the upper"));
  EXPECT_EQ(umount(odd.c_str()), 0);
}

TEST_F(PathChecks, ReadOnlyFileSystem) {
  const std::string bound = MakeDir("readonly");
  if (mount(bound.c_str(), bound.c_str(), nullptr, MS_BIND, nullptr))
    GTEST_SKIP() << "needs the right to mount";
  ASSERT_EQ(mount(nullptr, bound.c_str(), nullptr,
                  MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr),
            0);
  UnionPaths paths = Good();
  paths.upper = bound + "/up";
  paths.make_upper = true;
  EXPECT_TRUE(Says(Refusal(paths, EROFS), "read-only file system"));
  EXPECT_EQ(umount(bound.c_str()), 0);
}

}  // namespace
}  // namespace ufs
