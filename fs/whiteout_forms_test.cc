// An upper that is mounted with one form of whiteouts after another.
#include <linux/fs.h>

#include <functional>
#include <vector>

#include "fs/union_fixture.h"
#include "layerdb/base/privilege.h"

namespace ufs {
namespace {

class WhiteoutFormsTest : public UnionFsTest {
 protected:
  void SetUp() override {
    UnionFsTest::SetUp();
    Put(root_ / "base/d/f", "d");
    Put(root_ / "base/gone/g", "gone");
    Put(root_ / "base/file", "file");
  }
  static std::vector<WhiteoutForm> Forms() {
    if (!IsHostRoot()) return {WhiteoutForm::kAufs, WhiteoutForm::kXattr};
    return {WhiteoutForm::kAufs, WhiteoutForm::kXattr,
            WhiteoutForm::kCharDevice};
  }
  // As an earlier mount left it.
  void HideGone(WhiteoutForm form) {
    fs_.reset();
    for (const char* dir : {"upper", "upper.work"})
      stdfs::remove_all(root_ / dir);
    stdfs::create_directory(root_ / "upper");
    ASSERT_TRUE(MountAs(form).ok());
    ASSERT_TRUE(fs_->Unlink(Walk("gone"), N("g")).ok());
    ASSERT_TRUE(fs_->RmDir(NodeId::kRoot, N("gone")).ok());
  }
  int Rename(const char* from, const char* to) {
    return fs_->Rename(NodeId::kRoot, N(from), NodeId::kRoot, N(to), 0).code();
  }
  // With "new" in it.
  int MkDir(const char* name) {
    const auto made = fs_->MkDir(NodeId::kRoot, N(name), 0755, root_caller_);
    if (!made.ok()) return made.code();
    return fs_->Create(made->node, N("new"), 0644, O_EXCL, root_caller_).code();
  }
  int Create(const char* name) {
    return fs_->Create(NodeId::kRoot, N(name), 0644, O_EXCL, root_caller_)
        .code();
  }
  // In whichever form it is mounted; in `form` in the end.
  void ExpectShown(WhiteoutForm form,
                   const std::map<std::string, std::string>& shown) {
    EXPECT_EQ(Shown(), shown);
    for (const WhiteoutForm next : Forms()) {
      ASSERT_TRUE(MountAs(next).ok());
      EXPECT_EQ(Shown(), shown);
    }
    ASSERT_TRUE(MountAs(form).ok());
  }
};

TEST_F(WhiteoutFormsTest, ANameThatAnotherFormHidIsTaken) {
  using Names = std::map<std::string, std::string>;
  struct Case {
    const char* title;
    std::function<int()> take;
    Names shown;  // but for what is as before
    const char* lost;
  };
  const Case cases[] = {
      {"create", [&] { return Create("gone"); }, {{"gone", ""}}, ""},
      {"mkdir", [&] { return MkDir("gone"); }, {{"gone", "new/"}}, ""},
      {"link",
       [&] { return fs_->Link(Walk("file"), NodeId::kRoot, N("gone")).code(); },
       {{"gone", "file"}},
       ""},
      {"rename a layer's file",
       [&] { return Rename("file", "gone"); },
       {{"gone", "file"}},
       "file"},
      {"rename a new file",
       [&] { return Create("new") + Rename("new", "gone"); },
       {{"gone", ""}},
       ""},
      {"rename a layer's directory",
       [&] { return Rename("d", "gone"); },
       {{"gone", "f/"}},
       "d"},
      {"rename a directory again",
       [&] { return Rename("d", "new") + Rename("new", "gone"); },
       {{"gone", "f/"}},
       "d"},
      {"rename a new directory",
       [&] { return MkDir("new") + Rename("new", "gone"); },
       {{"gone", "new/"}},
       ""},
  };
  for (const WhiteoutForm earlier : Forms())
    for (const WhiteoutForm form : Forms())
      for (const Case& one : cases) {
        SCOPED_TRACE(std::string(one.title) + ", " +
                     std::to_string(static_cast<int>(earlier)) + " then " +
                     std::to_string(static_cast<int>(form)));
        HideGone(earlier);
        Names shown = Shown();
        EXPECT_FALSE(shown.contains("gone"));
        ExpectShown(form, shown);
        ASSERT_EQ(one.take(), 0);
        shown.insert(one.shown.begin(), one.shown.end());
        shown.erase(one.lost);
        ExpectShown(form, shown);
        // What was below has not come back.
        ASSERT_EQ(Rename("gone", "away"), 0);
        shown["away"] = shown["gone"];
        shown.erase("gone");
        ExpectShown(form, shown);
        ASSERT_EQ(MkDir("gone"), 0);
        shown["gone"] = "new/";
        ExpectShown(form, shown);
      }
}

// As a killed daemon may leave it: an AUFS whiteout beside what is there.
TEST_F(WhiteoutFormsTest, WhatTakesAMarkedPlaceShowsAllItHas) {
  using Names = std::map<std::string, std::string>;
  const auto exchange = [&](const char* with) {
    return fs_
        ->Rename(NodeId::kRoot, N("d"), NodeId::kRoot, N(with), RENAME_EXCHANGE)
        .code();
  };
  struct Case {
    const char* title;
    std::function<int()> take;
    Names shown;  // but for empty directories
  };
  const Case cases[] = {
      {"rename",
       [&] { return Rename("d", "gone"); },
       {{"file", "file"}, {"gone", "f/"}}},
      {"exchange",
       [&] { return exchange("gone"); },
       {{"file", "file"}, {"gone", "f/"}}},
      {"exchange with a file",
       [&] { return exchange("file"); },
       {{"d", "file"}, {"file", "f/"}}},
  };
  for (const WhiteoutForm form : Forms())
    for (const Case& one : cases) {
      SCOPED_TRACE(std::string(one.title) + ", " +
                   std::to_string(static_cast<int>(form)));
      fs_.reset();
      for (const char* dir : {"upper", "upper.work"})
        stdfs::remove_all(root_ / dir);
      stdfs::create_directories(root_ / "upper/gone");
      for (const char* mark : {"upper/.wh.gone", "upper/.wh.file"})
        Put(root_ / mark, "");
      Put(root_ / "upper/file", "file");
      ASSERT_TRUE(MountAs(form).ok());
      EXPECT_EQ(Shown(), (Names{{"d", "f/"}, {"file", "file"}}));
      ASSERT_EQ(one.take(), 0);
      ExpectShown(form, one.shown);
    }
}

}  // namespace
}  // namespace ufs
