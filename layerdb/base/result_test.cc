#include "layerdb/base/result.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>

namespace ufs {
namespace {

Result<std::unique_ptr<int>> Half(int n) {
  if (n % 2 != 0) return Error(EINVAL);
  return std::make_unique<int>(n / 2);
}

Result<int> Quarter(int n) {
  const std::unique_ptr<int> half = TRY(Half(n));
  const std::unique_ptr<int> quarter = TRY(Half(*half).With("second half"));
  return *quarter;
}

TEST(Result, TryUnwrapsMoveOnlyValues) {
  ASSERT_TRUE(Quarter(8).ok());
  EXPECT_EQ(*Quarter(8), 2);
}

TEST(Result, TryReturnsTheFirstError) {
  EXPECT_EQ(Quarter(3).code(), EINVAL);
  EXPECT_EQ(Quarter(3).error().context(), "");
}

TEST(Result, ContextIsPutInFront) {
  EXPECT_EQ(Quarter(6).error().ToString(), "second half: Invalid argument");
  Result<int> outer = Quarter(6).With("quarter");
  EXPECT_EQ(outer.error().ToString(), "quarter: second half: Invalid argument");
}

TEST(Result, WhoeverMakesAnErrorInWordsExplainsIt) {
  EXPECT_TRUE(Error(EINVAL, "no such option").With("line 3").explained());
  EXPECT_FALSE(Error(EINVAL).With("setting the name").explained());
}

TEST(Result, DamageIsSaidOnceAndInWords) {
  EXPECT_EQ(Error(EUCLEAN).ToString(), "damaged");
  EXPECT_EQ(Error(EUCLEAN, "view 1").ToString(), "view 1: damaged");
  EXPECT_EQ(Error(EUCLEAN, "node 3 is damaged").ToString(),
            "node 3 is damaged");
  EXPECT_EQ(Error(ENOTUNIQ, "'ab' begins two").ToString(), "'ab' begins two");
}

TEST(Result, StatusIsOkUntilToldOtherwise) {
  EXPECT_TRUE(Ok().ok());
  EXPECT_EQ(Ok().code(), 0);
  EXPECT_EQ(Status(Error(ENOSPC)).code(), ENOSPC);
}

}  // namespace
}  // namespace ufs
