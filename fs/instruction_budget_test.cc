// How many instructions the union spends in user space on what is asked most:
// the part of an answer that no cache of the host takes away. Exact for one
// compiler; the bounds leave room for others. What they guard is a cost that
// grows with the layers or the names, or a copy nobody needs.
#include <functional>
#include <string>

#include "fs/chunk_map.h"
#include "fs/inode_table.h"
#include "fs/traced_run.h"
#include "fs/union_fixture.h"

namespace ufs {
namespace {

constexpr int kNames = 100;

class CountingSink final : public DirSink {
 public:
  bool Add(const char*, uint64_t, mode_t, uint64_t, const Entry*) override {
    ++count;
    return true;
  }
  int count = 0;
};

class InstructionBudgetTest : public UnionFsTest {
 protected:
  void SetUp() override {
#ifndef UFS_OPTIMIZED
    GTEST_SKIP() << "this build is not optimized";
#endif
    UnionFsTest::SetUp();
    for (int i = 0; i < kNames; ++i)
      Put(root_ / ("base/dir/file" + std::to_string(i)), "content");
    Mount();
    dir_ = Walk("dir");
  }

  void ExpectAtMost(int64_t budget, const std::function<bool()>& work) {
    // What is done once is done: a directory's names are read in the second.
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(work());
    const int64_t count = InstructionsOf(work);
    if (count < 0) GTEST_SKIP() << "processes may not be traced here";
    EXPECT_LE(count, budget);
    EXPECT_GT(count, budget / 4) << "the bound is loose";
    RecordProperty("instructions", std::to_string(count));
  }

  NodeId dir_ = NodeId::kNone;
};

TEST_F(InstructionBudgetTest, LookupOfAKnownName) {
  ExpectAtMost(10000, [&] { return fs_->Lookup(dir_, N("file7")).ok(); });
}

TEST_F(InstructionBudgetTest, LookupOfNoName) {
  ExpectAtMost(3500, [&] { return fs_->Lookup(dir_, N("absent")).ok(); });
}

TEST_F(InstructionBudgetTest, GetAttrOfALowerFile) {
  const NodeId file = Walk("dir/file7");
  ExpectAtMost(8500, [&] { return fs_->GetAttr(file).ok(); });
}

TEST_F(InstructionBudgetTest, ADirectoryOfAHundredNames) {
  ExpectAtMost(18000, [&] {
    CountingSink sink;
    return fs_->ReadDir(dir_, 0, false, sink).ok() && sink.count == kNames + 2;
  });
}

TEST_F(InstructionBudgetTest, Create) {
  int made = 0;
  ExpectAtMost(18000, [&] {
    const std::string name = "new" + std::to_string(++made);
    return fs_->Create(dir_, N(name.c_str()), 0644, O_EXCL, root_caller_).ok();
  });
}

// However many inodes of the layers are known: each costs some 60, and
// thousands if it were looked for.
TEST_F(InstructionBudgetTest, AnUpperThatBeginsAfresh) {
  for (int i = 0; i < 1000; ++i) {
    const std::string name = "many/file" + std::to_string(i);
    Put(root_ / "base" / name, "content");
    ASSERT_NE(Walk(name), NodeId::kNone);
  }
  int made = 0;
  ExpectAtMost(400000, [&] {
    const std::string name = "new" + std::to_string(++made);
    return fs_->Create(dir_, N(name.c_str()), 0644, O_EXCL, root_caller_)
               .ok() &&
           fs_->Freeze().ok();
  });
}

// However many names it has.
TEST_F(InstructionBudgetTest, ANameOfAFile) {
  FdCache fds(16);
  InodeTable table(fds);
  InodeTable::Birth birth;
  birth.identity = {1, 1};
  const InodeRef root = table.MakeRoot(birth);
  birth.identity = {1, 2};
  const InodeRef file = table.Intern(birth);
  for (int i = 0; i < 5000; ++i)
    table.AddName(file, root, "name" + std::to_string(i));
  ExpectAtMost(400, [&] { return table.HasName(file, root, "name4999"); });
}

// However many chunks there are.
TEST_F(InstructionBudgetTest, AChunkOfALargeFile) {
  ChunkMap map(uint64_t{64} << 30);
  for (uint64_t at = 0; at < map.limit(); at += 2 * map.chunk_bytes())
    map.Add(at, at + map.chunk_bytes());
  ExpectAtMost(400, [&] {
    const ChunkMap::Run run = map.RunAt(uint64_t{33} << 30);
    return run.end > uint64_t{33} << 30;
  });
}

}  // namespace
}  // namespace ufs
