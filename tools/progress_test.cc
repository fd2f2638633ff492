#include "tools/progress.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>

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

TEST(PlainProgressLine, SaysHowFarItIs) {
  EXPECT_EQ(PlainProgressLine("verify", 512 << 10, 1 << 20, 2, "base"),
            "verify: 50 %, 512 KiB of 1.00 MiB, 256 KiB/s, base");
  EXPECT_EQ(PlainProgressLine("import", 1 << 20, 0, 0.1, "a\nb"),
            "import: 1.00 MiB, a\\012b");
}

class ProgressTest : public testing::Test {
 protected:
  ~ProgressTest() override {
    std::fclose(out_);
    free(text_);
  }
  std::unique_ptr<Progress> Start(Progress::Style style) {
    return std::make_unique<Progress>("import", 1000, style, out_,
                                      [this] { return now_; });
  }
  void Pass(int ms) { now_ += std::chrono::milliseconds(ms); }
  std::string Told() {
    std::fflush(out_);
    return {text_, size_};
  }

 private:
  std::chrono::steady_clock::time_point now_;
  char* text_ = nullptr;
  size_t size_ = 0;
  std::FILE* const out_ = open_memstream(&text_, &size_);
};

TEST_F(ProgressTest, ALogGetsALineNowAndThen) {
  const auto progress = Start(Progress::Style::kLines);
  progress->Add(100);
  Pass(4999);
  progress->Add(100);
  EXPECT_EQ(Told(), "");
  Pass(1);
  progress->Add(300);
  EXPECT_EQ(Told(), "import: 50 %, 500 B of 1000 B, 100 B/s\n");
  Pass(9999);
  progress->Add(100);
  EXPECT_EQ(Told(), "import: 50 %, 500 B of 1000 B, 100 B/s\n");
  Pass(1);
  progress->Add(300);
  progress->Clear();
  progress->Finish();
  EXPECT_EQ(Told(),
            "import: 50 %, 500 B of 1000 B, 100 B/s\n"
            "import: 90 %, 900 B of 1000 B, 60 B/s\n");
}

TEST_F(ProgressTest, ProgramsGetNone) {
  const auto progress = Start(Progress::Style::kSilent);
  Pass(60'000);
  progress->Add(500);
  progress->Finish();
  EXPECT_EQ(Told(), "");
}

TEST_F(ProgressTest, ATerminalsLineIsDrawnAnewAndTakenAway) {
  const auto progress = Start(Progress::Style::kBar);
  progress->Add(1);
  EXPECT_EQ(Told(), "");
  Pass(100);
  progress->Add(499);
  progress->Finish();
  EXPECT_EQ(Told(), "\r\x1b[Kimport  [############............] 50 %  500 B" +
                        std::string("\r\x1b[K"));
}

}  // namespace
}  // namespace ufs
