#include "fs/open_modes.h"

#include <gtest/gtest.h>

namespace ufs {
namespace {

TEST(OpenModesTest, TheFirstOpenDecidesForThoseBesideIt) {
  OpenModes modes;
  EXPECT_TRUE(modes.may_pass());
  modes.OpenThroughPages();
  EXPECT_FALSE(modes.may_pass());
  modes.OpenThroughPages();
  EXPECT_EQ(modes.Release(), 0);
  EXPECT_FALSE(modes.may_pass());  // one is left
  EXPECT_EQ(modes.Release(), 0);
  EXPECT_TRUE(modes.may_pass());
  EXPECT_FALSE(modes.passes());
}

TEST(OpenModesTest, OnePassedThroughAlwaysIs) {
  OpenModes modes;
  modes.OpenPassed(7);
  EXPECT_TRUE(modes.passes());
  EXPECT_EQ(modes.Release(), 7);
  EXPECT_TRUE(modes.passes());
  EXPECT_TRUE(modes.may_pass());
}

TEST(OpenModesTest, AnIdLivesAsLongAsAnOpenOfIt) {
  OpenModes modes;
  modes.OpenPassed(7);
  modes.OpenPassed(7);
  EXPECT_EQ(modes.backing_id(), 7);
  EXPECT_EQ(modes.Release(), 0);
  EXPECT_EQ(modes.backing_id(), 7);
  EXPECT_EQ(modes.Release(), 7);
  EXPECT_EQ(modes.backing_id(), 0);
  modes.OpenPassed(9);
  EXPECT_EQ(modes.Release(), 9);
}

TEST(OpenModesTest, AReleaseOfAnOpenThatWasNotCountedIsNone) {
  OpenModes modes;
  EXPECT_EQ(modes.Release(), 0);
  modes.OpenPassed(7);
  EXPECT_EQ(modes.Release(), 7);
}

}  // namespace
}  // namespace ufs
