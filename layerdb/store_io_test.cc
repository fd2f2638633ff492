#include "layerdb/store_io.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/harness/scratch_dir.h"

namespace ufs {
namespace {

class StoreIoTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = sys::Open(scratch_.path().c_str(), O_RDONLY | O_DIRECTORY).value();
  }
  test::ScratchDir scratch_;
  UniqueFd dir_;
};

TEST_F(StoreIoTest, ReplacesAFileWhole) {
  ASSERT_TRUE(ReplaceFile(dir_, "name", "first, and longer").ok());
  ASSERT_TRUE(ReplaceFile(dir_, "name", "second").ok());
  EXPECT_EQ(ReadSmallFile({dir_, "name"}, 100).value(), "second");
  EXPECT_EQ(ReadSmallFile({dir_, "name"}, 5).code(), EFBIG);
  EXPECT_EQ(ReadSmallFile({dir_, "other"}, 5).code(), ENOENT);
  EXPECT_EQ(ListNames({dir_}).value(), std::vector<std::string>{"name"});
}

TEST_F(StoreIoTest, TellsDataFromHoles) {
  const UniqueFd file =
      sys::OpenAt({dir_, "file"}, O_RDWR | O_CREAT, 0644).value();
  ASSERT_TRUE(WriteAll(file, std::string(300'000, 'x'), 1 << 20).ok());
  ASSERT_TRUE(sys::FTruncate(file, 4 << 20).ok());
  uint64_t data = 0, holes = 0;
  ASSERT_TRUE(ForEachExtent(
                  file,
                  [&](std::string_view piece) {
                    data += piece.size();
                    return Ok();
                  },
                  [&](uint64_t bytes) {
                    holes += bytes;
                    return Ok();
                  })
                  .ok());
  EXPECT_EQ(data + holes, 4u << 20);
  EXPECT_GE(data, 300'000u);
  EXPECT_LT(data, 400'000u);
}

TEST_F(StoreIoTest, TellsDataFromHolesInAPart) {
  const UniqueFd file =
      sys::OpenAt({dir_, "file"}, O_RDWR | O_CREAT, 0644).value();
  ASSERT_TRUE(WriteAll(file, std::string(300'000, 'x'), 1 << 20).ok());
  ASSERT_TRUE(sys::FTruncate(file, 4 << 20).ok());
  const auto read = [&](uint64_t begin, uint64_t end) {
    std::string bytes;
    EXPECT_TRUE(ForEachExtentIn(
                    file, begin, end,
                    [&](std::string_view piece) {
                      bytes += piece;
                      return Ok();
                    },
                    [&](uint64_t hole) {
                      bytes.append(hole, '\0');
                      return Ok();
                    })
                    .ok());
    return bytes;
  };
  const std::string x(100, 'x'), zeros(100, '\0');
  EXPECT_EQ(read((1 << 20) - 100, (1 << 20) + 100), zeros + x);
  EXPECT_EQ(read((1 << 20) + 50, (1 << 20) + 150), x);
  EXPECT_EQ(read(2 << 20, (2 << 20) + 100), zeros);
  EXPECT_EQ(read((4 << 20) - 100, (4 << 20) + 100), zeros);  // the end
  EXPECT_EQ(read(100, 100), "");
}

}  // namespace
}  // namespace ufs
