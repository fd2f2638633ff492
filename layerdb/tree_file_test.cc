#include "layerdb/tree_file.h"

#include <sys/sysmacros.h>

#include <map>

#include "layerdb/tree_test_util.h"

namespace ufs {
namespace {

using test::BytesOf;
using test::Device;
using test::Dir;
using test::File;
using test::FileOf;
using test::Symlink;
using test::Walk;

std::vector<std::string> NamesIn(const TreeFile& file, TreeFile::NodeNo dir) {
  std::vector<std::string> names;
  EXPECT_TRUE(file.ForEachChild(dir,
                                [&](const TreeFile::Child& child) {
                                  names.push_back(
                                      std::string(child.name) +
                                      (child.whiteout ? " (deleted)" : ""));
                                  return Ok();
                                })
                  .ok());
  return names;
}

TEST(TreeFile, ShowsWhatWasPut) {
  TreeBuilder tree;
  TreeNode root = Dir(0700);
  root.uid = 7;
  root.xattrs = {{"user.b", "2"}, {"user.a", std::string("1\0x", 3)}};
  ASSERT_TRUE(tree.Put("", root).ok());
  TreeNode file = File("hello", 04755);
  file.uid = 1000;
  file.gid = 4294967294u;
  file.mtime_sec = -5;
  file.mtime_nsec = 999999999;
  ASSERT_TRUE(tree.Put("a/b", file).ok());
  TreeNode big = File("");
  big.size_bytes = uint64_t{1} << 40;
  big.content = ObjectId{1, 2, 3};
  ASSERT_TRUE(tree.Put("a/big", big).ok());
  ASSERT_TRUE(tree.Put("a/link", Symlink("../b")).ok());
  ASSERT_TRUE(tree.Put("null", Device(S_IFCHR | 0666, makedev(1, 3))).ok());
  ASSERT_TRUE(tree.Link("second", "a/b").ok());

  const auto read = FileOf(tree);
  ASSERT_NE(read, nullptr);
  EXPECT_EQ(read->Node(0)->uid, 7u);
  EXPECT_EQ(read->Node(0)->nlink, 3u);
  EXPECT_EQ(NamesIn(*read, 0),
            (std::vector<std::string>{"a", "null", "second"}));
  std::map<std::string, std::string> xattrs;
  ASSERT_TRUE(read->ForEachXattr(0,
                                 [&](auto name, auto value) {
                                   xattrs.emplace(name, value);
                                   return Ok();
                                 })
                  .ok());
  EXPECT_EQ(xattrs, (std::map<std::string, std::string>{
                        {"user.a", std::string("1\0x", 3)}, {"user.b", "2"}}));

  const auto b = Walk(*read, "a/b");
  ASSERT_TRUE(b.has_value());
  const TreeNodeView node = *read->Node(*b);
  EXPECT_EQ(node.mode, mode_t{S_IFREG | 04755});
  EXPECT_EQ(node.uid, 1000u);
  EXPECT_EQ(node.gid, 4294967294u);
  EXPECT_EQ(node.mtime_sec, -5);
  EXPECT_EQ(node.mtime_nsec, 999999999u);
  EXPECT_EQ(node.inline_content, "hello");
  EXPECT_EQ(node.nlink, 2u);
  EXPECT_EQ(Walk(*read, "second"), b);
  EXPECT_EQ(*read->PathOf(*b), "second") << "the same at every call";
  EXPECT_EQ(*read->PathOf(*Walk(*read, "a/big")), "a/big");
  EXPECT_EQ(*read->PathOf(0), "");

  const TreeNodeView found_big = *read->Node(*Walk(*read, "a/big"));
  EXPECT_EQ(found_big.object, (ObjectId{1, 2, 3}));
  EXPECT_EQ(found_big.size_bytes, uint64_t{1} << 40);
  EXPECT_EQ(read->Node(*Walk(*read, "a/link"))->link_target, "../b");
  EXPECT_EQ(read->Node(*Walk(*read, "null"))->rdev, makedev(1, 3));
  EXPECT_TRUE(read->Node(*Walk(*read, "a"))->implied);
  EXPECT_FALSE(Walk(*read, "a/none").has_value());
  EXPECT_FALSE(Walk(*read, "b").has_value()) << "of another directory";
}

TEST(TreeFile, IsTheSameBytesInAnyOrder) {
  TreeBuilder one, two;
  for (const char* path : {"x", "y/z", "a/b/c"})
    ASSERT_TRUE(one.Put(path, File(path)).ok());
  // Detours leave nothing behind.
  ASSERT_TRUE(two.Put("gone/deep", File("gone")).ok());
  for (const char* path : {"a/b/c", "y/z", "x"})
    ASSERT_TRUE(two.Put(path, File(path)).ok());
  ASSERT_TRUE(two.Put("x", File("other")).ok());
  ASSERT_TRUE(two.Put("x", File("x")).ok());
  EXPECT_NE(BytesOf(one), BytesOf(two));
  ASSERT_TRUE(one.Put("gone/deep", File("gone")).ok());
  EXPECT_EQ(BytesOf(one), BytesOf(two));
}

TEST(TreeFile, EmptyTreeHasARoot) {
  const auto read = FileOf(TreeBuilder());
  ASSERT_NE(read, nullptr);
  EXPECT_TRUE(read->Node(0)->implied);
  EXPECT_EQ(read->entry_count(), 0u);
  EXPECT_EQ(read->Lookup(0, "x")->kind, TreeFile::Found::Kind::kAbsent);
}

}  // namespace
}  // namespace ufs
