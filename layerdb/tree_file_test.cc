#include "layerdb/tree_file.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <cstring>
#include <map>

#include "layerdb/tree_diff.h"
#include "layerdb/tree_directory.h"
#include "layerdb/tree_hash.h"
#include "layerdb/tree_merge.h"
#include "layerdb/tree_tar.h"
#include "layerdb/tree_test_util.h"
#include "tests/harness/scratch_dir.h"

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

// --- damage ----------------------------------------------------------------

using tree_format::Header;
using tree_format::Section;

// A tree with something in every section.
std::string Sample() {
  TreeBuilder tree;
  TreeNode file = File("hello");
  file.xattrs = {{"user.a", "1"}, {"user.b", "2"}};
  EXPECT_TRUE(tree.Put("d/one", file).ok());
  EXPECT_TRUE(tree.Link("d/two", "d/one").ok());
  EXPECT_TRUE(tree.Put("link", Symlink("d")).ok());
  EXPECT_TRUE(tree.Whiteout("w").ok());
  file.content = ObjectId{1, 2, 0};
  EXPECT_TRUE(tree.Put("e/object", file).ok());
  return BytesOf(tree);
}

TEST(TreeFile, FindsEveryFlippedBit) {
  const std::string bytes = Sample();
  ASSERT_TRUE(TreeFile::Parse(bytes, TreeFile::Verify::kAll).ok());
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
    const auto file = TreeFile::Parse(damaged, TreeFile::Verify::kAll);
    ASSERT_FALSE(file.ok()) << "bit " << bit;
    ASSERT_FALSE(file.error().context().empty());
  }
  for (size_t size = 0; size < bytes.size(); ++size)
    ASSERT_FALSE(
        TreeFile::Parse(bytes.substr(0, size), TreeFile::Verify::kHeader).ok());
}

// Writes `value` into a section and puts the hashes right again.
template <typename T>
std::string Patched(std::string bytes, Section section, size_t at, T value) {
  Header header;
  memcpy(&header, bytes.data(), sizeof(header));
  auto& record = header.sections[section];
  memcpy(bytes.data() + record.offset + at, &value, sizeof(value));
  record.hash = TreeBytesHash(
      std::string_view(bytes).substr(record.offset, record.bytes));
  header.hash = TreeBytesHash(
      {reinterpret_cast<const char*>(&header), offsetof(Header, hash)});
  memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}

TEST(TreeFile, CheckNamesTheInvariant) {
  const std::string bytes = Sample();
  const auto verdict = [](const std::string& file) {
    const auto parsed = TreeFile::Parse(file, TreeFile::Verify::kAll);
    EXPECT_TRUE(parsed.ok());
    const Status checked = (*parsed)->CheckAll();
    return checked.ok() ? "" : std::string(checked.error().context());
  };
  EXPECT_EQ(verdict(bytes), "");
  const auto breaks = [&](const char* invariant, Section section, size_t at,
                          auto value) {
    const std::string text = verdict(Patched(bytes, section, at, value));
    EXPECT_NE(text.find(invariant), std::string::npos)
        << invariant << " but: " << text;
  };
  using tree_format::Entry;
  using tree_format::Node;
  // Entries: d, e, link, w, then those of d: one, two; nodes in that order.
  breaks("T2", Section::kEntries, offsetof(Entry, parent), 7u);
  breaks("T2", Section::kNames, 0, 'z');
  breaks("T3", Section::kEntries, offsetof(Entry, node), 0u);
  breaks("T3", Section::kNodes, sizeof(Node) + offsetof(Node, first_name), 1u);
  breaks("T4", Section::kNodes, offsetof(Node, nlink), 9u);
  breaks("T5", Section::kNodes, offsetof(Node, flags), 64u);
  breaks("T5", Section::kNodes, offsetof(Node, mtime_nsec), 1'000'000'000u);
  breaks("T6", Section::kXattrs, 8 + 8, 'x');
  breaks("T7", Section::kNodes, offsetof(Node, source), 1u);
  breaks("T8", Section::kSlots, offsetof(tree_format::Slot, entry), 999u);
  breaks("T9", Section::kNodes, 5 * sizeof(Node) + offsetof(Node, flags),
         tree_format::kInline);
}

TEST(TreeFile, RefusesALookupWithoutEnd) {
  std::string bytes = Sample();
  const uint32_t probes = 1 << 30;
  memcpy(bytes.data() + offsetof(Header, max_probes), &probes, sizeof(probes));
  bytes = Patched(bytes, Section::kNames, 0, bytes[0]);
  const auto file = TreeFile::Parse(bytes, TreeFile::Verify::kHeader);
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.code(), EUCLEAN);
}

// What only CheckAll finds must not hurt a merge that was not preceded by it.
TEST(TreeFile, MergesDamageWithoutHarm) {
  using tree_format::Entry;
  using tree_format::Node;
  const auto merge = [](const std::string& bytes) {
    const auto file = TreeFile::Parse(bytes, TreeFile::Verify::kAll);
    EXPECT_TRUE(file.ok());
    const TreeFile* const run[] = {file->get(), file->get()};
    TreeBuilder merged;
    return MergeTrees(run, merged);
  };
  const std::string bytes = Sample();
  EXPECT_TRUE(merge(bytes).ok());
  // Node 3 is the symbolic link, entry 1 is `e`.
  EXPECT_TRUE(merge(Patched(bytes, Section::kNodes,
                            3 * sizeof(Node) + offsetof(Node, flags),
                            uint32_t{tree_format::kOpaque}))
                  .ok());
  for (const uint32_t twice : {0u, 1u})
    EXPECT_EQ(merge(Patched(bytes, Section::kEntries,
                            sizeof(Entry) + offsetof(Entry, node), twice))
                  .code(),
              EUCLEAN);
}

TEST(TreeFile, EveryWalkOfADirectoryWithinItselfEnds) {
  TreeBuilder tree;
  ASSERT_TRUE(tree.Put("d/e", Dir()).ok());
  const auto sound = FileOf(tree);
  // Entry 1 is `e`, node 0 the root.
  const std::string bytes = Patched(
      BytesOf(tree), Section::kEntries,
      sizeof(tree_format::Entry) + offsetof(tree_format::Entry, node), 0u);
  const auto file = TreeFile::Parse(bytes, TreeFile::Verify::kAll).value();
  const OpenObjectFn none = [](const ObjectId&) { return Error(ENOENT); };
  EXPECT_EQ(TreeTarDigest(*file, none).code(), EUCLEAN);
  EXPECT_EQ(DiffTrees(*FileOf(TreeBuilder()), *file, {},
                      [](auto&&...) { return Ok(); })
                .code(),
            EUCLEAN);
  test::ScratchDir dir;
  const UniqueFd into =
      sys::Open(dir.path().c_str(), O_RDONLY | O_DIRECTORY).value();
  EXPECT_EQ(
      WriteTreeDirectory(*file, none, DirectoryKind::kRoot, {}, into).code(),
      EUCLEAN);
  EXPECT_TRUE(TreeTarDigest(*sound, none).ok());
}

}  // namespace
}  // namespace ufs
