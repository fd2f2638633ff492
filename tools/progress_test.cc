#include "tools/progress.h"

#include <gtest/gtest.h>

namespace ufs {
namespace {

TEST(ProgressLine, SaysHowFarItIs) {
  EXPECT_EQ(ProgressLine("verify", 512 << 10, 1 << 20, 2, "base", 100),
            "verify  [############............] 50 %  512 KiB  256 KiB/s  "
            "base");
  EXPECT_EQ(ProgressLine("import", 1 << 20, 0, 0.1, "", 100),
            "import  1.00 MiB");
}

TEST(ProgressLine, FitsTheTerminalAndForgesNoLines) {
  EXPECT_EQ(ProgressLine("verify", 1, 1, 0, "", 10), "verify  [");
  EXPECT_EQ(ProgressLine("x", 0, 0, 0, "a\nb", 100).find('\n'),
            std::string::npos);
}

TEST(ProgressLine, MoreThanExpectedIsAll) {
  EXPECT_NE(ProgressLine("x", 20, 10, 0, "", 100).find(" 100 %"),
            std::string::npos);
}

}  // namespace
}  // namespace ufs
