#include "layerdb/tree_diff.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "layerdb/tree_test_util.h"

namespace ufs {
namespace {

using test::Device;
using test::Dir;
using test::File;
using test::FileOf;
using test::Symlink;

std::string Diff(const TreeBuilder& before, const TreeBuilder& after,
                 bool whiteouts = false) {
  const auto first = FileOf(before), second = FileOf(after);
  std::string text;
  const Status done = DiffTrees(
      *first, *second, {whiteouts},
      [&](TreeChange change, const std::string& path, mode_t type) -> Status {
        constexpr char kLetters[] = "ACDM";
        text += kLetters[static_cast<int>(change)];
        text += " " + path +
                (S_ISDIR(type) ? "/"
                 : type == 0   ? "!"
                               : "") +
                "\n";
        return Ok();
      });
  EXPECT_TRUE(done.ok());
  return text;
}

TEST(TreeDiffTest, NothingIsDifferent) {
  TreeBuilder a;
  ASSERT_TRUE(a.Put("d/f", File("x")).ok());
  EXPECT_EQ(Diff(a, a), "");
  EXPECT_EQ(Diff(a, a, true), "");
}

TEST(TreeDiffTest, NamesOfOneFileAreNotTwoFiles) {
  TreeBuilder one, two;
  ASSERT_TRUE(one.Put("a", File("x")).ok());
  ASSERT_TRUE(one.Link("b", "a").ok());
  ASSERT_TRUE(two.Put("a", File("x")).ok());
  ASSERT_TRUE(two.Put("b", File("x")).ok());
  EXPECT_EQ(Diff(one, two), "M b\n");
  EXPECT_EQ(Diff(two, one), "M b\n");
  EXPECT_EQ(Diff(one, one), "");
  // Another name alone is no change of the first.
  TreeBuilder three;
  ASSERT_TRUE(three.Put("a", File("x")).ok());
  ASSERT_TRUE(three.Link("b", "a").ok());
  ASSERT_TRUE(three.Link("0", "a").ok());
  EXPECT_EQ(Diff(one, three), "A 0\n");
}

TEST(TreeDiffTest, EachKindOfDifference) {
  TreeBuilder a, b;
  ASSERT_TRUE(a.Put("gone/below", File("x")).ok());
  ASSERT_TRUE(b.Put("new/below", File("x")).ok());
  TreeNode later = File("same");
  later.mtime_nsec = 1;
  TreeNode marked = File("same");
  marked.xattrs = {{"user.a", "1"}};
  TreeNode owned = Dir();
  owned.uid = 7;
  TreeNode aged = Dir();
  aged.mtime_sec = 9;
  const std::tuple<const char*, TreeNode, TreeNode> pairs[] = {
      {"a-content", File("1"), File("2")},
      {"b-size", File("1"), File("")},
      {"c-target", Symlink("1"), Symlink("2")},
      {"d-device", Device(S_IFCHR | 0600, makedev(1, 3)),
       Device(S_IFCHR | 0600, makedev(1, 5))},
      {"e-type", File("1"), Symlink("1")},
      {"f-mode", File("1", 0644), File("1", 04755)},
      {"g-time", File("same"), later},
      {"h-xattr", File("same"), marked},
      {"i-owner", Dir(), owned},
      {"j-dir-time", Dir(), aged},
      {"k-same", File("1"), File("1")}};
  for (const auto& [name, before, after] : pairs) {
    ASSERT_TRUE(a.Put(name, before).ok());
    ASSERT_TRUE(b.Put(name, after).ok());
  }
  EXPECT_EQ(Diff(a, b),
            "C a-content\nC b-size\nC c-target\nC d-device\nC e-type\n"
            "M f-mode\nM g-time\nD gone/\nM h-xattr\nM i-owner/\n"
            "A new/\nA new/below\n");
}

TEST(TreeDiffTest, ADirectoryForAFileAndBack) {
  TreeBuilder a, b;
  ASSERT_TRUE(a.Put("x", File("1")).ok());
  ASSERT_TRUE(b.Put("x/y", File("1")).ok());
  EXPECT_EQ(Diff(a, b), "C x/\nA x/y\n");
  EXPECT_EQ(Diff(b, a), "C x\n");
}

TEST(TreeDiffTest, WhiteoutsCountWhereTheyAreAskedFor) {
  TreeBuilder a, b;
  ASSERT_TRUE(a.Put("f", File("1")).ok());
  ASSERT_TRUE(b.Whiteout("f").ok());
  ASSERT_TRUE(b.Whiteout("only").ok());
  ASSERT_TRUE(a.Whiteout("both").ok());
  ASSERT_TRUE(b.Whiteout("both").ok());
  ASSERT_TRUE(a.Put("d", Dir()).ok());
  ASSERT_TRUE(b.Put("d", Dir()).ok());
  ASSERT_TRUE(b.SetOpaque("d").ok());
  EXPECT_EQ(Diff(a, b), "D f\n");
  EXPECT_EQ(Diff(a, b, true), "C d/\nD f\nD only!\n");
  EXPECT_EQ(Diff(b, a, true), "C d/\nA f\nA only!\n");
}

}  // namespace
}  // namespace ufs
