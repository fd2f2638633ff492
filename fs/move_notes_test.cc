// Moves of two steps: one whose second fails, and what a killed daemon leaves.
#include "fs/move_notes.h"

#include <sys/xattr.h>

#include <cerrno>
#include <map>
#include <set>
#include <string>

#include "fs/union_fixture.h"

namespace ufs {
namespace {

class MoveNotesTest : public UnionFsTest {
 protected:
  void SetUp() override {
    UnionFsTest::SetUp();
    Put(root_ / "base/d/f", "d");
    Put(root_ / "base/e/g", "e");
    Put(root_ / "base/file", "file");
    Put(root_ / "base/other", "other");
  }
  void TearDown() override {
    EXPECT_EQ(Left(), "");
    UnionFsTest::TearDown();
  }

  int Rename(const char* from, const char* to) {
    return fs_->Rename(NodeId::kRoot, N(from), NodeId::kRoot, N(to), 0).code();
  }
  // What the work directory holds that it should not.
  std::string Left() {
    std::string left;
    for (const char* dir : {"tmp", "moves"})
      for (const auto& one :
           stdfs::directory_iterator(root_ / "upper.work/ufs" / dir))
        left += one.path().filename().string() + " ";
    return left;
  }
};

constexpr WhiteoutForm kForms[] = {WhiteoutForm::kXattr, WhiteoutForm::kAufs};

struct Case {
  const char* from;
  const char* to;
  bool xattr, aufs;  // whether it takes two steps
};
constexpr Case kCases[] = {{"file", "other", true, false},
                           {"d", "new", false, true},
                           {"d", "e", true, true}};

TEST_F(MoveNotesTest, ANameTooLongForAWhiteoutStays) {
  const std::string name(253, 'n');
  Put(root_ / "base" / name / "below", "1");
  ASSERT_TRUE(MountAs(WhiteoutForm::kAufs).ok());
  const auto before = Shown();
  EXPECT_EQ(Rename(name.c_str(), "moved"), ENAMETOOLONG);
  EXPECT_EQ(Shown(), before);
  ASSERT_TRUE(
      fs_->Create(Walk(name), N("new"), 0644, O_EXCL, root_caller_).ok());
  ASSERT_TRUE(MountAs(WhiteoutForm::kAufs).ok());
  EXPECT_EQ(Walk("moved"), NodeId::kNone);
  EXPECT_EQ(List(name), (std::set<std::string>{"below", "new"}));
}

// Something is moved into an opaque directory in exchange for a whiteout, which
// is all that is there when the daemon is killed before.
TEST_F(MoveNotesTest, AWhiteoutInAnOpaqueDirectoryDoesNotShow) {
  ASSERT_TRUE(MountAs(WhiteoutForm::kXattr).ok());
  ASSERT_TRUE(fs_->Unlink(Walk("e"), N("g")).ok());
  ASSERT_TRUE(fs_->RmDir(NodeId::kRoot, N("e")).ok());
  ASSERT_TRUE(fs_->MkDir(NodeId::kRoot, N("e"), 0755, root_caller_).ok());
  ASSERT_TRUE(
      fs_->Create(Walk("e"), N("born"), 0644, O_EXCL, root_caller_).ok());
  const std::string prefix = fs_->Info().xattr_prefix;
  fs_.reset();
  Put(root_ / "upper/e/new", "");
  const std::string mark = prefix + "whiteout";
  ASSERT_EQ(setxattr((root_ / "upper/e/new").c_str(), mark.c_str(), "", 0, 0),
            0);
  ASSERT_TRUE(MountAs(WhiteoutForm::kXattr).ok());
  EXPECT_EQ(List("e"), (std::set<std::string>{"born"}));
  EXPECT_EQ(Walk("e/new"), NodeId::kNone);
}

TEST_F(MoveNotesTest, AFailedExchangeLeavesNoWhiteout) {
  ASSERT_TRUE(MountAs(WhiteoutForm::kXattr).ok());
  const auto before = Shown();
  ASSERT_TRUE(ArmFault("rename.exchange:ENOSPC").ok());
  EXPECT_EQ(Rename("file", "new"), ENOSPC);
  EXPECT_EQ(Shown(), before);
  EXPECT_FALSE(stdfs::exists(root_ / "upper/new"));
}

TEST_F(MoveNotesTest, AFailedSecondStepUndoesTheFirst) {
  for (const WhiteoutForm form : kForms) {
    const bool aufs = form == WhiteoutForm::kAufs;
    for (const Case& one : kCases) {
      SCOPED_TRACE(std::string(one.from) + " to " + one.to +
                   (aufs ? ", aufs" : ", xattr"));
      fs_.reset();
      stdfs::remove_all(root_ / "upper");
      stdfs::remove_all(root_ / "upper.work");
      stdfs::create_directory(root_ / "upper");
      ASSERT_TRUE(MountAs(form).ok());
      // Of which the upper has something.
      ASSERT_EQ(WriteAt(Walk("other"), "O", 0), 0);
      ASSERT_TRUE(fs_->Unlink(Walk("e"), N("g")).ok());
      const auto before = Shown();
      ASSERT_TRUE(ArmFault("rename.second:ENOSPC").ok());
      const int failed = Rename(one.from, one.to);
      ASSERT_TRUE(ArmFault("").ok());
      EXPECT_EQ(failed, (aufs ? one.aufs : one.xattr) ? ENOSPC : 0);
      if (failed != 0) {
        EXPECT_EQ(Shown(), before);
        EXPECT_EQ(Left(), "");
        ASSERT_TRUE(MountAs(form).ok());
        EXPECT_EQ(Shown(), before);
        EXPECT_EQ(Rename(one.from, one.to), 0);
      }
      auto after = before;
      after[one.to] = after[one.from];
      after.erase(one.from);
      EXPECT_EQ(Shown(), after);
      ASSERT_TRUE(MountAs(form).ok());
      EXPECT_EQ(Shown(), after);
    }
  }
}

// As after a kill between the steps: "d" is "new" now, and its whiteout is
// missing.
class KilledMoveTest : public MoveNotesTest {
 protected:
  void SetUp() override {
    MoveNotesTest::SetUp();
    ASSERT_TRUE(MountAs(WhiteoutForm::kAufs).ok());
    ASSERT_EQ(Rename("d", "new"), 0);
    after_ = Shown();
    fs_.reset();
    ASSERT_TRUE(stdfs::remove(root_ / "upper/.wh.d"));
    const uint64_t upper = Ino("upper");
    Note(FormatMove({Ino("upper/new"), upper, upper, "d", "new"}));
  }
  uint64_t Ino(const char* path) {
    struct stat stat;
    EXPECT_EQ(lstat((root_ / path).c_str(), &stat), 0) << path;
    return stat.st_ino;
  }
  void Note(const std::string& text) {
    stdfs::create_symlink(text, root_ / "upper.work/ufs/moves/1");
  }

  std::map<std::string, std::string> after_;
};

TEST_F(KilledMoveTest, TheNextMountFinishesIt) {
  ASSERT_TRUE(MountAs(WhiteoutForm::kAufs).ok());
  EXPECT_EQ(Shown(), after_);
}

TEST_F(KilledMoveTest, AMountThatCannotLeavesItToTheNext) {
  ASSERT_TRUE(ArmFault("upper.whiteout:ENOSPC").ok());
  ASSERT_TRUE(MountAs(WhiteoutForm::kAufs).ok());
  EXPECT_EQ(Left(), "1 ");
  EXPECT_NE(Walk("d"), NodeId::kNone);
  ASSERT_TRUE(MountAs(WhiteoutForm::kAufs).ok());
  EXPECT_EQ(Shown(), after_);
}

TEST_F(KilledMoveTest, ADamagedNoteIsNotInTheWay) {
  Put(root_ / "upper.work/ufs/moves/2", "no link");
  stdfs::create_symlink("1/2/3/x", root_ / "upper.work/ufs/moves/3");
  ASSERT_TRUE(MountAs(WhiteoutForm::kAufs).ok());
  EXPECT_EQ(Shown(), after_);
}

TEST_F(KilledMoveTest, WhatShowsUnderTheOldNameStays) {
  Put(root_ / "upper/d/made", "since");
  ASSERT_TRUE(MountAs(WhiteoutForm::kAufs).ok());
  EXPECT_TRUE(List("d").contains("made"));
}

TEST_F(KilledMoveTest, ADirectoryThatHidesNothingStays) {
  stdfs::create_directory(root_ / "upper/d");
  ASSERT_TRUE(MountAs(WhiteoutForm::kAufs).ok());
  EXPECT_TRUE(List("d").contains("f"));
}

TEST_F(KilledMoveTest, WhatWasExchangedGoes) {
  Put(root_ / "upper/d/.wh..wh..opq", "");
  Put(root_ / "upper/d/.wh.f", "");
  ASSERT_TRUE(MountAs(WhiteoutForm::kAufs).ok());
  EXPECT_EQ(Shown(), after_);
}

// What has these numbers is no directory of the upper.
TEST_F(KilledMoveTest, NumbersThatNothingHasAreNotInTheWay) {
  stdfs::remove(root_ / "upper.work/ufs/moves/1");
  Note(FormatMove({Ino("upper/new"), ~uint64_t{0}, ~uint64_t{0}, "d", "new"}));
  ASSERT_TRUE(MountAs(WhiteoutForm::kAufs).ok());
  EXPECT_NE(Walk("d"), NodeId::kNone);
}

}  // namespace
}  // namespace ufs
