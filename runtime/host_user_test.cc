#include "runtime/host_user.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>

#include "runtime/programs.h"

namespace ufs::runtime {
namespace {

class HostUserTest : public testing::Test {
 protected:
  HostUserTest() {
    std::string path = testing::TempDir() + "host_user.XXXXXX";
    directory_ = mkdtemp(path.data());
    Write("passwd", "root:x:0:0:r:/root:/bin/sh\nme:x:7:8::/home/me:\n");
  }
  ~HostUserTest() override {
    for (const char* name : {"passwd", "getent"})
      (void)unlink((directory_ + "/" + name).c_str());
    (void)rmdir(directory_.c_str());
  }

  void Write(const char* name, const std::string& text) {
    std::ofstream(directory_ + "/" + name) << text;
  }
  // In place of getent.
  void Script(const std::string& text) {
    Write("getent", "#!/bin/sh\n" + text);
    ASSERT_EQ(chmod((directory_ + "/getent").c_str(), 0755), 0);
  }
  std::optional<PasswdEntry> Find(uid_t uid) {
    return FindHostUser(uid, directory_ + "/passwd", directory_ + "/getent");
  }

  std::string directory_;
};

TEST_F(HostUserTest, WhoIsInTheFileIsNotAskedFor) {
  Script("echo other:x:7:8::/home/other:\n");
  const auto entry = Find(7);
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->name, "me");
  EXPECT_EQ(entry->home, "/home/me");
}

TEST_F(HostUserTest, OthersComeFromGetent) {
  setenv("UFS_TEST_ENVIRONMENT", "leaks", 1);
  Script(
      "read line; echo warning >&2\n"
      "echo \"$1.$2.$UFS_TEST_ENVIRONMENT:*:$2:5:Far Away:/far:/bin/sh\"\n");
  const auto entry = Find(4242);
  unsetenv("UFS_TEST_ENVIRONMENT");
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->name, "passwd.4242.");
  EXPECT_EQ(entry->gid, 5u);
  EXPECT_EQ(entry->home, "/far");
}

TEST_F(HostUserTest, WithoutTheFileGetentIsAsked) {
  unlink((directory_ + "/passwd").c_str());
  Script("echo me:x:7:8::/far:\n");
  EXPECT_EQ(Find(7)->home, "/far");
}

TEST_F(HostUserTest, WhatMakesNoSenseIsNobody) {
  EXPECT_FALSE(Find(4242).has_value()) << "no getent";
  for (const char* text :
       {"exit 2\n", "kill -9 $$\n", "echo nonsense\n",
        // Another's.
        "echo me:x:7:8::/home/me:\n",
        // More than is ever read; it must not hang, either.
        "echo me:x:4242:8::/home/me:; while echo me:x:7:8::/:; do :; done\n"}) {
    Script(text);
    EXPECT_FALSE(Find(4242).has_value()) << text;
  }
}

// As with a directory server that is out of reach.
TEST_F(HostUserTest, WhoTakesTooLongIsNotWaitedFor) {
  for (const char* text : {"exec sleep 60\n", "exec >&- sleep 60\n"}) {
    Script(text);
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_FALSE(Find(4242).has_value()) << text;
    EXPECT_LT(std::chrono::steady_clock::now() - begin,
              std::chrono::seconds(30))
        << text;
  }
}

TEST_F(HostUserTest, TheHostsOwn) {
  const auto root = FindHostUser(0);
  ASSERT_TRUE(root.has_value());
  EXPECT_EQ(root->uid, 0u);
  const std::string getent = FindProgram("getent");
  if (getent.empty()) GTEST_SKIP() << "no getent";
  const auto again = FindHostUser(0, "/dev/null", getent);
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->name, root->name);
}

}  // namespace
}  // namespace ufs::runtime
