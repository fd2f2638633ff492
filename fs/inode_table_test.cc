#include "fs/inode_table.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <set>
#include <string>
#include <vector>

namespace ufs {
namespace {

InodeTable::Birth BirthOf(uint64_t ino, mode_t type = S_IFREG) {
  InodeTable::Birth birth;
  birth.identity = {1, ino};
  birth.type = type;
  return birth;
}

TEST(InodeTable, KeepsWhatTheKernelOrAChildReferences) {
  FdCache fds(16);
  InodeTable table(fds);
  const InodeRef root = table.MakeRoot(BirthOf(1, S_IFDIR));
  InodeRef dir = table.Intern(BirthOf(2, S_IFDIR));
  InodeRef file = table.Intern(BirthOf(3));
  const NodeId dir_id = dir->id, file_id = file->id;
  table.AddName(dir, root, "dir");
  table.AddName(file, dir, "file");
  table.AddLookup(file);
  table.AddLookup(file);
  dir = nullptr;
  file = nullptr;
  EXPECT_EQ(table.size(), 3u);
  EXPECT_FALSE(table.Forget(file_id, 1));
  EXPECT_NE(table.Find(dir_id), nullptr) << "a child keeps its directory";
  EXPECT_TRUE(table.Forget(file_id, 1));
  EXPECT_EQ(table.Find(file_id), nullptr);
  EXPECT_EQ(table.Find(dir_id), nullptr);
  EXPECT_FALSE(table.Forget(file_id, 1)) << "a stray one is nothing";
  EXPECT_EQ(table.size(), 1u);
  table.Shrink();
  EXPECT_EQ(table.Find(NodeId::kRoot), root);
}

TEST(InodeTable, GivesNoNodeIdTwice) {
  FdCache fds(16);
  InodeTable table(fds);
  const NodeId first = table.Intern(BirthOf(2))->id;
  const NodeId again = table.Intern(BirthOf(2))->id;
  EXPECT_NE(first, again) << "the first was gone before";
}

TEST(InodeTable, OneIdentityIsOneInode) {
  FdCache fds(16);
  InodeTable table(fds);
  const InodeRef one = table.Intern(BirthOf(2));
  EXPECT_EQ(table.Intern(BirthOf(2)), one);
  EXPECT_EQ(table.FindByIdentity({1, 2}), one);
  table.SetUpper(one, 70);
  table.SetUpper(one, 71);
  EXPECT_EQ(table.FindByUpper(70), nullptr);
  EXPECT_EQ(table.FindByUpper(71), one);
  // Another object of the upper that claims to come from the same one.
  InodeTable::Birth copy = BirthOf(2);
  copy.upper_ino = 72;
  const InodeRef other = table.Intern(copy);
  EXPECT_NE(other, one);
  EXPECT_EQ(other->identity, (Identity{0, 72}));
}

// One came up from a frozen upper whose object is gone, and the host has given
// its number to another.
TEST(InodeTable, ANumberThatIsGivenAgainIsAnother) {
  FdCache fds(16);
  InodeTable table(fds);
  InodeTable::Birth birth;
  birth.type = S_IFREG;
  birth.identity = {0, 70};
  birth.upper_ino = 80;
  const InodeRef came_up = table.Intern(birth);
  birth.upper_ino = 70;
  const InodeRef born = table.Intern(birth);
  EXPECT_NE(born, came_up);
  EXPECT_NE(born->ino(), came_up->ino());
  EXPECT_EQ(table.Intern(birth), born);
  EXPECT_EQ(table.FindByUpper(80), came_up);
}

TEST(InodeTable, KnowsEveryName) {
  FdCache fds(16);
  InodeTable table(fds);
  const InodeRef root = table.MakeRoot(BirthOf(1, S_IFDIR));
  const InodeRef file = table.Intern(BirthOf(2));
  EXPECT_FALSE(table.NameOf(file));
  EXPECT_EQ(table.PlaceOf(file).code(), ENOENT);
  for (const char* name : {"a", "b", "c", "b"}) table.AddName(file, root, name);
  EXPECT_TRUE(table.HasName(file, root, "c"));
  EXPECT_EQ(table.RemoveName(file, root, "none"), 3u);
  EXPECT_EQ(table.RemoveName(file, root, "a"), 2u);
  EXPECT_FALSE(table.HasName(file, root, "a"));
  EXPECT_TRUE(table.HasName(file, root, "b"));
  EXPECT_EQ(table.RemoveName(file, root, "b"), 1u);
  EXPECT_EQ(table.NameOf(file)->name, "c");
  EXPECT_EQ(table.RemoveName(file, root, "c"), 0u);
  EXPECT_EQ(table.RemoveName(file, root, "c"), 0u);
  EXPECT_FALSE(table.NameOf(file));
}

TEST(InodeTable, ANameMoves) {
  FdCache fds(16);
  InodeTable table(fds);
  const InodeRef root = table.MakeRoot(BirthOf(1, S_IFDIR));
  const InodeRef dir = table.Intern(BirthOf(2, S_IFDIR));
  const InodeRef file = table.Intern(BirthOf(3));
  for (const char* name : {"a", "b"}) table.AddName(file, root, name);
  table.MoveName(file, root, "b", dir, "c");
  EXPECT_TRUE(table.HasName(file, root, "a"));
  EXPECT_FALSE(table.HasName(file, root, "b"));
  table.MoveName(file, root, "a", dir, "d");
  EXPECT_EQ(table.NameOf(file)->parent, dir);
  EXPECT_EQ(table.NameOf(file)->name, "d");
  EXPECT_EQ(table.RemoveName(file, dir, "d"), 1u);
  EXPECT_EQ(table.NameOf(file)->name, "c");
}

TEST(InodeTable, TellsOnceWhichNamesAreLeft) {
  FdCache fds(16);
  InodeTable table(fds);
  const InodeRef root = table.MakeRoot(BirthOf(1, S_IFDIR));
  const InodeRef file = table.Intern(BirthOf(2));
  const auto left = [&] {
    std::set<std::string> names;
    for (const LinkName& link : table.TakeNamesLeft(file))
      names.insert(link.name);
    return names;
  };
  const std::set<std::string> none;
  EXPECT_EQ(left(), none);
  for (const char* name : {"a", "b", "c"}) table.AddName(file, root, name);
  EXPECT_EQ(left(), none) << "known is not left";
  table.NoteNamesLeft(file);
  EXPECT_EQ(left(), (std::set<std::string>{"a", "b", "c"}));
  EXPECT_EQ(left(), none);

  table.AddName(file, root, "d");
  for (const char* name : {"a", "c", "d", "d"})
    table.NoteNameLeft(file, root, name);
  table.RemoveName(file, root, "a");
  table.RemoveName(file, root, "b");
  table.MoveName(file, root, "c", root, "e");
  EXPECT_EQ(left(), std::set<std::string>{"d"}) << "not what went or moved";

  table.NoteNamesLeft(file);
  table.ForgetUpper(file);
  EXPECT_EQ(left(), none);
}

// A daemon must not fall over a tree that is deeper than its stack.
TEST(InodeTable, LetsGoOfAVeryDeepTree) {
  constexpr uint64_t kDepth = 300000;
  FdCache fds(16);
  InodeTable table(fds);
  InodeRef at = table.MakeRoot(BirthOf(1, S_IFDIR));
  for (uint64_t i = 2; i < kDepth; ++i) {
    InodeRef child = table.Intern(BirthOf(i, S_IFDIR));
    table.AddName(child, at, "d");
    at = child;
  }
  EXPECT_EQ(table.size(), kDepth - 1);
  at = nullptr;
  EXPECT_EQ(table.size(), 1u);
}

// 1,000,000 files are to be walked with memory to spare. malloc adds 8 bytes,
// and the table two pointers or four.
TEST(InodeTable, AnInodeIsSmall) { EXPECT_LE(sizeof(Inode), 296u); }

}  // namespace
}  // namespace ufs
