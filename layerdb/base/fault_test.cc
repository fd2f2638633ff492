#include "layerdb/base/fault.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

namespace ufs {
namespace {

FaultPoint kStep("fault_test.step");

class FaultTest : public testing::Test {
 protected:
  void TearDown() override { ASSERT_TRUE(ArmFault("").ok()); }
};

TEST_F(FaultTest, PassesUnlessArmed) { EXPECT_TRUE(kStep.Visit().ok()); }

TEST_F(FaultTest, FailsTheNthVisitOnce) {
  ASSERT_TRUE(ArmFault("fault_test.step:ENOSPC:2").ok());
  EXPECT_EQ(kStep.Visit().code(), 0);
  EXPECT_EQ(kStep.Visit().code(), ENOSPC);
  EXPECT_EQ(kStep.Visit().code(), 0);
}

TEST_F(FaultTest, KillsTheProcess) {
  EXPECT_EXIT(
      {
        (void)ArmFault("fault_test.step:kill");
        (void)kStep.Visit();
      },
      testing::KilledBySignal(SIGKILL), "");
}

TEST_F(FaultTest, RefusesWhatItCannotDo) {
  EXPECT_EQ(ArmFault("fault_test.step").code(), EINVAL);
  EXPECT_EQ(ArmFault("fault_test.step:EWHAT").code(), EINVAL);
  EXPECT_EQ(ArmFault("fault_test.step:EIO:0").code(), EINVAL);
  EXPECT_EQ(ArmFault("no.such.point:EIO").code(), EINVAL);
  EXPECT_TRUE(kStep.Visit().ok());
}

TEST_F(FaultTest, NamesArePublished) {
  const auto names = FaultPointNames();
  EXPECT_NE(std::find(names.begin(), names.end(), "fault_test.step"),
            names.end());
}

}  // namespace
}  // namespace ufs
