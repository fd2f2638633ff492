#include "runtime/names.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

namespace ufs::runtime {
namespace {

TEST(ParseSignalTest, NamesAndNumbers) {
  EXPECT_EQ(ParseSignal("9"), SIGKILL);
  EXPECT_EQ(ParseSignal("0"), 0);
  EXPECT_EQ(ParseSignal("KILL"), SIGKILL);
  EXPECT_EQ(ParseSignal("SIGTERM"), SIGTERM);
  EXPECT_EQ(ParseSignal("sigusr1"), SIGUSR1);
  EXPECT_EQ(ParseSignal("RTMIN+1"), SIGRTMIN + 1);
  EXPECT_EQ(ParseSignal("SIGRTMAX-1"), SIGRTMAX - 1);
  for (const char* bad : {"", "SIG", "NOPE", "-1", "65", "9 ", "RTMIN-1",
                          "RTMAX+1", "RTMIN*2", "1e1"})
    EXPECT_EQ(ParseSignal(bad), std::nullopt) << bad;
}

TEST(ParseIdTest, OnlyWholeNumbers) {
  EXPECT_EQ(ParseId("0"), 0u);
  EXPECT_EQ(ParseId("1"), 1u);
  EXPECT_EQ(ParseId("4294967294"), 4294967294u);
  // Each of these has once been taken for root by some runtime.
  for (const char* bad : {"", "-1", "+1", " 1", "1 ", "0x0", "4294967295",
                          "4294967296", "1a", "root", "1:2"})
    EXPECT_EQ(ParseId(bad), std::nullopt) << bad;
}

TEST(NamesTest, CapabilitiesAndLimits) {
  EXPECT_EQ(ParseCapability("CAP_CHOWN"), 0);
  EXPECT_EQ(ParseCapability("CAP_CHECKPOINT_RESTORE"), 40);
  EXPECT_EQ(ParseCapability("CHOWN"), std::nullopt);
  EXPECT_EQ(ParseRlimit("RLIMIT_NOFILE"), RLIMIT_NOFILE);
  EXPECT_EQ(ParseRlimit("NOFILE"), std::nullopt);
}

TEST(RlimitName, IsWhatIsParsed) {
  EXPECT_EQ(RlimitName(*ParseRlimit("RLIMIT_NOFILE")), "RLIMIT_NOFILE");
  EXPECT_EQ(RlimitName(12345), "12345");
}

}  // namespace
}  // namespace ufs::runtime
