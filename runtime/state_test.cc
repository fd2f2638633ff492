#include "runtime/state.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

namespace ufs::runtime {
namespace {

class StateTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/state.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern + "/deep/root";
    top_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(top_); }

  static ContainerState Some() {
    ContainerState state;
    state.id = "box";
    state.bundle = "/b";
    state.rootfs = "/b/rootfs";
    state.created = NowRfc3339();
    state.owner = "me";
    state.pid = 42;
    state.start_time = 1234567890123;
    state.annotations["a"] = "\xff not UTF-8";
    return state;
  }

  std::string root_, top_;
};

TEST(CheckIdTest, OnlyWhatIsAFileName) {
  for (const char* good : {"a", "A-1_2+3.4", "0"})
    EXPECT_TRUE(CheckId(good).ok()) << good;
  for (const char* bad :
       {"", ".", "..", ".a", "a/b", "../a", "a b", "a\nb", "\xc3\xa4", "a:b"})
    EXPECT_EQ(CheckId(bad).code(), EINVAL) << bad;
  EXPECT_FALSE(CheckId(std::string(201, 'a')).ok());
  EXPECT_FALSE(CheckId(std::string("a\0b", 3)).ok());
}

TEST_F(StateTest, SavesAndLoads) {
  auto entry = StateEntry::Create(root_, "box");
  ASSERT_TRUE(entry.ok()) << entry.error().ToString();
  ASSERT_TRUE(entry->Save(Some()).ok());
  ASSERT_TRUE(entry->SaveConfig("{}").ok());
  const auto look = StateEntry::Look(root_, "box");
  ASSERT_TRUE(look.ok());
  const auto state = look->Load();
  ASSERT_TRUE(state.ok()) << state.error().ToString();
  EXPECT_EQ(state->pid, 42);
  EXPECT_EQ(state->start_time, 1234567890123u);
  EXPECT_EQ(*look->ReadConfig(), "{}");
  EXPECT_EQ(*ListIds(root_), std::vector<std::string>{"box"});
  ASSERT_TRUE(entry->Remove().ok());
  EXPECT_EQ(StateEntry::Look(root_, "box").code(), ENOENT);
  EXPECT_TRUE(ListIds(root_)->empty());
}

TEST_F(StateTest, WhatIsSavedAgainReplacesTheFirst) {
  auto entry = StateEntry::Create(root_, "box");
  ASSERT_TRUE(entry.ok());
  ContainerState state = Some();
  for (state.pid = 1; state.pid < 4; ++state.pid) {
    ASSERT_TRUE(entry->Save(state).ok());
    EXPECT_EQ(entry->Load()->pid, state.pid);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(root_ + "/box"),
                            std::filesystem::directory_iterator()),
              1);
  }
  // What a killed one left half written is in nobody's way.
  std::ofstream(root_ + "/box/state.json.new") << "{\"pid\": ";
  ASSERT_TRUE(entry->Save(state).ok());
  EXPECT_EQ(entry->Load()->pid, 4);
  EXPECT_FALSE(std::filesystem::exists(root_ + "/box/state.json.new"));
}

TEST_F(StateTest, AnIdIsTakenOnce) {
  auto entry = StateEntry::Create(root_, "box");
  ASSERT_TRUE(entry.ok());
  EXPECT_EQ(StateEntry::Create(root_, "box").code(), EEXIST);  // being made
  ASSERT_TRUE(entry->Save(Some()).ok());
  ASSERT_TRUE(entry->Unlock().ok());
  EXPECT_EQ(StateEntry::Create(root_, "box").code(), EEXIST);  // made
}

TEST_F(StateTest, WhatAKilledCreationLeftIsTakenOver) {
  {
    auto entry = StateEntry::Create(root_, "box");
    ASSERT_TRUE(entry.ok());
    ContainerState state = Some();
    state.pid = 0;
    ASSERT_TRUE(entry->Save(state).ok());
  }
  const auto again = StateEntry::Create(root_, "box");
  ASSERT_TRUE(again.ok()) << again.error().ToString();
  EXPECT_EQ(again->Load().code(), ENOENT);
}

TEST_F(StateTest, ADirectoryOfOurOwn) {
  const std::string path = top_ + "/own";
  ASSERT_TRUE(MakeOwnDirectory(path).ok());
  EXPECT_EQ(std::filesystem::status(path).permissions(),
            std::filesystem::perms::owner_all);
  EXPECT_TRUE(MakeOwnDirectory(path).ok());
  ASSERT_EQ(chmod(path.c_str(), 0755), 0);
  EXPECT_TRUE(MakeOwnDirectory(path).ok());
  for (const mode_t open : {0770, 0702, 01777}) {
    ASSERT_EQ(chmod(path.c_str(), open), 0);
    EXPECT_EQ(MakeOwnDirectory(path).code(), EPERM) << std::oct << open;
  }
  ASSERT_EQ(chmod(path.c_str(), 0700), 0);
  const std::string link = top_ + "/link", file = top_ + "/file";
  std::filesystem::create_directory_symlink(path, link);
  EXPECT_EQ(MakeOwnDirectory(link).code(), EPERM);
  std::ofstream(file) << "x";
  EXPECT_EQ(MakeOwnDirectory(file).code(), EPERM);
  EXPECT_EQ(MakeOwnDirectory(top_ + "/a/b").code(), ENOENT);
  if (geteuid() != 0) return;
  ASSERT_EQ(chown(path.c_str(), 1, 1), 0);
  EXPECT_EQ(MakeOwnDirectory(path).code(), EPERM);
}

TEST_F(StateTest, NoStateIsNoContainer) {
  EXPECT_TRUE(ListIds(root_)->empty());
  auto entry = StateEntry::Create(root_, "box");
  ASSERT_TRUE(entry.ok());
  EXPECT_TRUE(ListIds(root_)->empty());
}

}  // namespace
}  // namespace ufs::runtime
