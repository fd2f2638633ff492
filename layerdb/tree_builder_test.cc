#include "layerdb/tree_builder.h"

#include <sys/resource.h>

#include "layerdb/tree_hash.h"
#include "layerdb/tree_test_util.h"

namespace ufs {
namespace {

using test::BytesOf;
using test::Dir;
using test::File;
using test::FileOf;
using test::Symlink;
using test::Walk;

TEST(TreeBuilder, LaterEntriesReplaceAsTarDoes) {
  TreeBuilder tree;
  ASSERT_TRUE(tree.Put("d", Dir(0700)).ok());
  ASSERT_TRUE(tree.Put("d/child", File("x")).ok());
  ASSERT_TRUE(tree.Put("d", Dir(0755)).ok());
  EXPECT_TRUE(tree.Find("d/child").has_value()) << "directory over directory";
  EXPECT_EQ(tree.Find("d")->mode, mode_t{S_IFDIR | 0755});
  ASSERT_TRUE(tree.Put("d", File("now a file")).ok());
  EXPECT_FALSE(tree.Find("d/child").has_value());
  ASSERT_TRUE(tree.Put("d", Dir()).ok());
  EXPECT_FALSE(tree.Find("d/child").has_value());
  EXPECT_TRUE(tree.Find("d")->opaque) << "the file had deleted what is below";
  EXPECT_FALSE(tree.Find("d")->implied);
}

TEST(TreeBuilder, WhiteoutsSpeakOfOtherLayers) {
  TreeBuilder tree;
  ASSERT_TRUE(tree.Put("kept", File("x")).ok());
  ASSERT_TRUE(tree.Whiteout("kept").ok());
  EXPECT_TRUE(tree.Find("kept").has_value());
  ASSERT_TRUE(tree.Put("dir", Dir()).ok());
  ASSERT_TRUE(tree.Whiteout("dir").ok());
  EXPECT_TRUE(tree.Find("dir")->opaque);
  ASSERT_TRUE(tree.Whiteout("new/gone").ok());
  ASSERT_TRUE(tree.Put("new/gone/file", File("x")).ok());
  EXPECT_TRUE(tree.Find("new/gone")->opaque);
  EXPECT_EQ(tree.Stats().whiteouts, 0u);
  ASSERT_TRUE(tree.Whiteout("new/other").ok());
  EXPECT_EQ(tree.Stats().whiteouts, 1u);
  EXPECT_EQ(tree.Stats().entries, 6u);
}

TEST(TreeBuilder, RefusesWhatMakesNoSense) {
  TreeBuilder tree;
  ASSERT_TRUE(tree.Put("file", File("x")).ok());
  ASSERT_TRUE(tree.Put("link", Symlink("/etc")).ok());
  ASSERT_TRUE(tree.Put("dir", Dir()).ok());
  const std::string before = BytesOf(tree);
  EXPECT_EQ(tree.Put("file/x", File("")).code(), ENOTDIR);
  EXPECT_EQ(tree.Put("link/passwd", File("")).code(), ENOTDIR);
  EXPECT_EQ(tree.Whiteout("link/passwd").code(), ENOTDIR);
  for (const char* path : {"/abs", "a//b", "a/../b", "..", ".", "a/.", "a/"})
    EXPECT_EQ(tree.Put(path, File("")).code(), EINVAL) << path;
  EXPECT_EQ(tree.Put(std::string("a\0b", 3), File("")).code(), EINVAL);
  EXPECT_EQ(tree.Put("dir/" + std::string(256, 'n'), File("")).code(),
            ENAMETOOLONG);
  EXPECT_EQ(tree.Put("", File("")).code(), EINVAL);
  EXPECT_EQ(tree.Whiteout("").code(), EINVAL);
  EXPECT_EQ(tree.Link("l", "none").code(), ENOENT);
  EXPECT_EQ(tree.Link("l", "dir").code(), EISDIR);
  EXPECT_EQ(tree.SetOpaque("file").code(), ENOTDIR);
  TreeNode bad = File("x");
  bad.size_bytes = 2;
  EXPECT_EQ(tree.Put("new/bad", bad).code(), EINVAL);
  bad = File("");
  bad.mode = 0644;
  EXPECT_EQ(tree.Put("new/bad", bad).code(), EINVAL);
  bad = File("");
  bad.xattrs = {{"user.a", ""}, {"user.a", ""}};
  EXPECT_EQ(tree.Put("bad", bad).code(), EINVAL);
  EXPECT_EQ(BytesOf(tree), before) << "nothing of it stays";
}

TEST(TreeBuilder, KeepsItsLimits) {
  TreeLimits limits;
  limits.entries = 10;
  limits.depth = 3;
  TreeBuilder tree(limits);
  EXPECT_EQ(tree.Put("a/b/c/d", File("")).code(), ENAMETOOLONG);
  int put = 0;
  Status status;
  while (put < 20 &&
         (status = tree.Put("f" + std::to_string(put), File("")), status.ok()))
    ++put;
  EXPECT_EQ(status.code(), EFBIG);
  EXPECT_NE(status.error().context().find("more than 10 entries"),
            std::string_view::npos);
  EXPECT_LT(put, 11);
}

TEST(TreeBuilder, DeepTreesNeedNoStack) {
  TreeBuilder tree;
  std::string path = "d";
  for (int i = 1; i < 4000; ++i) path += "/d";
  ASSERT_TRUE(tree.Put(path, File("deep")).ok());
  const auto read = FileOf(tree);
  ASSERT_TRUE(read->CheckAll().ok());
  const auto node = Walk(*read, path);
  ASSERT_TRUE(node.has_value());
  EXPECT_EQ(*read->PathOf(*node), path);
}

// Which names these are everybody can find out.
TEST(TreeBuilder, NamesMadeToCollideAreRefused) {
  constexpr uint64_t kMask = (1 << 12) - 1;
  TreeBuilder tree;
  int found = 0;
  for (uint64_t i = 0; found < 1500; ++i) {
    const std::string name = std::to_string(i);
    if ((TreeNameHash(0, name) & kMask) > 1) continue;
    ASSERT_TRUE(tree.Put(name, File("")).ok());
    ++found;
  }
  const UniqueFd fd(memfd_create("tree", MFD_CLOEXEC));
  const auto written = tree.Write(fd);
  EXPECT_EQ(written.code(), EINVAL);
  EXPECT_NE(written.error().ToString().find("collide"), std::string::npos);
}

// A million entries in well under 500 MB.
TEST(TreeBuilder, AMillionEntriesFit) {
  TreeBuilder tree;
  TreeNode file = File("");
  file.size_bytes = 100'000;
  for (uint64_t i = 0; i < 1'000'000; ++i) {
    file.content = ObjectId{i, i * 7, 0};
    ASSERT_TRUE(tree.Put("usr/share/dir" + std::to_string(i / 100) +
                             "/a-file-name-" + std::to_string(i),
                         file)
                    .ok());
  }
  const UniqueFd fd(memfd_create("tree", MFD_CLOEXEC));
  ASSERT_TRUE(tree.Write(fd).ok());
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
#ifndef UFS_SANITIZED
  EXPECT_LT(usage.ru_maxrss, 400 << 10) << "KiB";
#endif
  EXPECT_EQ(tree.Stats().entries, 1'010'002u);
}

}  // namespace
}  // namespace ufs
