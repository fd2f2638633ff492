#include "runtime/systemd_scope.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <map>
#include <string>

#include "runtime/dbus_test_bus.h"

namespace ufs::runtime {
namespace {

TEST(SystemdScopeTest, NamesAreThoseOfTheCallers) {
  auto scope = ParseScope("machine.slice:libpod:1f2e", "box", "today");
  ASSERT_TRUE(scope.ok());
  EXPECT_EQ(scope->description, "ufs container box, created today");
  EXPECT_EQ(scope->unit, "libpod-1f2e.scope");
  EXPECT_EQ(scope->slice, "machine.slice");
  scope = ParseScope("-::box", "other", "today");
  ASSERT_TRUE(scope.ok());
  EXPECT_EQ(scope->unit, "box.scope");
  EXPECT_EQ(scope->slice, "-.slice");
}

TEST(SystemdScopeTest, WithoutAPathTheIdIsTheName) {
  const auto scope = ParseScope("", "a+b.c", "today");
  ASSERT_TRUE(scope.ok());
  EXPECT_EQ(scope->unit, "ufs-a\\x2bb.c.scope");
  EXPECT_TRUE(scope->slice == "system.slice" || scope->slice == "user.slice");
}

TEST(SystemdScopeTest, WhatIsNoScopeIsRefused) {
  for (const char* path :
       {"/plain/path", "a.slice:b", "a.slice:b:", "nothing:b:c",
        "../x.slice:b:c", "a.slice:b:c/../d", "a.slice:b:c:d/e"})
    EXPECT_EQ(ParseScope(path, "box", "today").code(), EINVAL) << path;
  EXPECT_EQ(ParseScope("a.slice:b:c.slice", "box", "today").code(), ENOTSUP);
  EXPECT_EQ(
      ParseScope("a.slice:b:" + std::string(250, 'x'), "box", "today").code(),
      EINVAL);
}

std::map<std::string, uint64_t> Limits(const Resources& resources) {
  const auto limits = ScopeLimits(resources);
  return {limits.begin(), limits.end()};
}

TEST(SystemdScopeTest, LimitsAsProperties) {
  Resources resources;
  EXPECT_TRUE(Limits(resources).empty());
  resources.memory_limit_bytes = 1 << 20;
  resources.memory_reservation_bytes = 1 << 19;
  resources.cpu_shares = 1024;
  resources.cpu_quota_us = 33'333;
  resources.cpu_period_us = 100'000;
  resources.pids_limit = 20;
  EXPECT_EQ(Limits(resources), (std::map<std::string, uint64_t>{
                                   {"MemoryMax", 1 << 20},
                                   {"MemoryLow", 1 << 19},
                                   {"CPUWeight", 39},
                                   // Never less than what the file says.
                                   {"CPUQuotaPerSecUSec", 340'000},
                                   {"TasksMax", 20}}));
}

TEST(SystemdScopeTest, NoLimitIsToldToo) {
  Resources resources;
  resources.memory_limit_bytes = -1;
  resources.cpu_quota_us = -1;
  resources.pids_limit = -1;
  EXPECT_EQ(Limits(resources),
            (std::map<std::string, uint64_t>{{"MemoryMax", UINT64_MAX},
                                             {"CPUQuotaPerSecUSec", UINT64_MAX},
                                             {"TasksMax", UINT64_MAX}}));
}

TEST(SystemdScopeTest, AQuotaBeyondAllProcessorsIsNoLimit) {
  Resources resources;
  resources.cpu_quota_us = INT64_MAX;
  resources.cpu_period_us = 1;
  EXPECT_EQ(
      Limits(resources),
      (std::map<std::string, uint64_t>{{"CPUQuotaPerSecUSec", UINT64_MAX}}));
}

// What systemd and others say, in this order, whatever they are asked.
class ManagerTest : public testing::Test {
 protected:
  ManagerTest() { Listen(bus_.socket()); }
  ~ManagerTest() override {
    for (const char* name : kAddresses) (void)unsetenv(name);
  }

  static void Listen(const std::string& socket) {
    for (const char* name : kAddresses)
      (void)setenv(name, ("unix:path=" + socket).c_str(), 1);
  }

  static std::string Answer(uint32_t serial, const char* signature = "",
                            const DBusWriter& arguments = {}) {
    DBusMessage message;
    message.type = DBusType::kReturn;
    message.reply_to = serial;
    message.sender = kManager;
    message.signature = signature;
    message.arguments = arguments.data();
    return Encode(message);
  }
  static std::string Path(uint32_t serial, const char* path) {
    DBusWriter arguments;
    arguments.PutString(path);
    return Answer(serial, "o", arguments);
  }
  static std::string Description(uint32_t serial, const std::string& text) {
    DBusWriter arguments;
    arguments.BeginVariant("s");
    arguments.PutString(text);
    return Answer(serial, "v", arguments);
  }
  static std::string Failure(uint32_t serial, const char* name) {
    DBusMessage message;
    message.type = DBusType::kError;
    message.reply_to = serial;
    message.error_name = name;
    return Encode(message);
  }
  static std::string JobEnds(const char* sender, const char* job,
                             const char* result, const char* object = kObject) {
    DBusMessage message;
    message.type = DBusType::kSignal;
    message.sender = sender;
    message.path = object;
    message.interface = "org.freedesktop.systemd1.Manager";
    message.member = "JobRemoved";
    message.signature = "uoss";
    DBusWriter arguments;
    arguments.PutUint32(5);
    arguments.PutString(job);
    arguments.PutString("box.scope");
    arguments.PutString(result);
    message.arguments = arguments.data();
    return Encode(message);
  }
  // To the greeting, Hello and AddMatch.
  static std::string Welcome() {
    return DBusTestBus::kGreeting + Answer(1) + Answer(2);
  }

  ufs::Status Start(const std::string& said) {
    bus_.Say(Welcome() + said, false);
    return StartScope(kScope, getpid(), {});
  }
  Result<bool> Ask(const std::string& said, bool hang_up = false) {
    bus_.Say(said, hang_up);
    return IsAnothers(kScope);
  }

  static constexpr const char* kAddresses[] = {"DBUS_SYSTEM_BUS_ADDRESS",
                                               "DBUS_SESSION_BUS_ADDRESS"};
  static constexpr char kManager[] = ":1.1", kStranger[] = ":1.66";
  static constexpr char kObject[] = "/org/freedesktop/systemd1";
  static constexpr char kJob[] = "/org/freedesktop/systemd1/job/5";
  static constexpr char kUnit[] = "/org/freedesktop/systemd1/unit/box";
  static constexpr char kRefused[] = "org.freedesktop.DBus.Error.AccessDenied";
  const SystemdScope kScope{"box.scope", "system.slice", "our box"};
  DBusTestBus bus_;
};

TEST_F(ManagerTest, AJobThatEndsBeforeItsAnswer) {
  const auto status = Start(JobEnds(kManager, kJob, "done") + Path(3, kJob));
  EXPECT_TRUE(status.ok()) << status.error().ToString();
}

TEST_F(ManagerTest, AJobThatFails) {
  EXPECT_EQ(Start(Path(3, kJob) + JobEnds(kManager, kJob, "failed")).code(),
            ECANCELED);
}

TEST_F(ManagerTest, WhoHasNotBegunTheJobDoesNotEndIt) {
  const std::string forged =
      JobEnds(kStranger, kJob, "failed") +
      JobEnds(kManager, "/org/freedesktop/systemd1/job/4", "failed") +
      JobEnds(kManager, kJob, "failed", "/another");
  const auto status =
      Start(forged + Path(3, kJob) + forged + JobEnds(kManager, kJob, "done"));
  EXPECT_TRUE(status.ok()) << status.error().ToString();
}

TEST_F(ManagerTest, ARefusalIsToldByItsName) {
  EXPECT_EQ(Start(Failure(3, kRefused)).code(), EACCES);
}

TEST_F(ManagerTest, AnothersIsKnownByItsDescription) {
  const auto found =
      Ask(Welcome() + Path(3, kUnit) + Description(4, "their box"));
  ASSERT_TRUE(found.ok()) << found.error().ToString();
  EXPECT_TRUE(*found);
}

TEST_F(ManagerTest, OursIsKnownByItsDescription) {
  const auto found =
      Ask(Welcome() + Path(3, kUnit) + Description(4, "our box"));
  ASSERT_TRUE(found.ok()) << found.error().ToString();
  EXPECT_FALSE(*found);
}

TEST_F(ManagerTest, WhatIsNotThereIsNobodys) {
  const auto found =
      Ask(Welcome() + Failure(3, "org.freedesktop.systemd1.NoSuchUnit"));
  ASSERT_TRUE(found.ok()) << found.error().ToString();
  EXPECT_FALSE(*found);
}

TEST_F(ManagerTest, WithoutABusNobodyIsAsked) {
  Listen("/nowhere/bus");
  const auto found = IsAnothers(kScope);
  ASSERT_TRUE(found.ok()) << found.error().ToString();
  EXPECT_FALSE(*found);
}

// Who does not tell whose it is has not said that it is ours.
TEST_F(ManagerTest, ARefusalToTell) {
  EXPECT_EQ(Ask(Welcome() + Failure(3, kRefused)).code(), EACCES);
}
TEST_F(ManagerTest, ARefusalToDescribe) {
  EXPECT_EQ(Ask(Welcome() + Path(3, kUnit) + Failure(4, kRefused)).code(),
            EACCES);
}
TEST_F(ManagerTest, NoDescription) {
  EXPECT_EQ(Ask(Welcome() + Path(3, kUnit) + Answer(4)).code(), EPROTO);
}
TEST_F(ManagerTest, ABusThatHangsUp) {
  EXPECT_EQ(Ask(DBusTestBus::kGreeting, true).code(), ENOTSUP);
}
TEST_F(ManagerTest, ABusOfNonsense) {
  EXPECT_EQ(Ask(Welcome() + "HTTP/1.1 400 Bad Request").code(), EPROTO);
}

}  // namespace
}  // namespace ufs::runtime
