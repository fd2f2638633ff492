#include "fs/metrics.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <string_view>
#include <thread>
#include <vector>

namespace ufs {
namespace {

TEST(MetricsTest, EveryMessageHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (int i = 0; i < static_cast<int>(Message::kCount); ++i) {
    const std::string_view name = NameOf(static_cast<Message>(i));
    EXPECT_FALSE(name.empty()) << i;
    EXPECT_TRUE(names.insert(name).second) << name;
  }
  EXPECT_EQ(NameOf(Message::kLookup), "LOOKUP");
  EXPECT_EQ(NameOf(Message::kCopyFileRange), "COPY_FILE_RANGE");
}

TEST(HistogramTest, IsZeroBeforeTheFirstRecord) {
  Histogram histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.MeanNs(), 0);
  EXPECT_EQ(histogram.QuantileNs(0.5), 0u);
}

TEST(HistogramTest, QuantilesAreWithinAnEighth) {
  for (uint64_t ns : {1ull, 7ull, 8ull, 9ull, 1000ull, 12345ull, 1000000ull,
                      999999999ull, 60000000000ull}) {
    Histogram histogram;
    histogram.Record(ns);
    const uint64_t found = histogram.QuantileNs(0.5);
    EXPECT_GE(found, ns);
    EXPECT_LE(found, ns + ns / 8) << ns;
  }
}

TEST(HistogramTest, QuantilesOfAKnownSpread) {
  Histogram histogram;
  for (uint64_t us = 1; us <= 1000; ++us) histogram.Record(us * 1000);
  EXPECT_NEAR(histogram.QuantileNs(0.50), 500e3, 500e3 / 8);
  EXPECT_NEAR(histogram.QuantileNs(0.99), 990e3, 990e3 / 8);
  EXPECT_GE(histogram.QuantileNs(1.0), 1000000u);
  EXPECT_DOUBLE_EQ(histogram.MeanNs(), 500.5e3);
}

TEST(HistogramTest, TakesWhatIsTooLongForIt) {
  Histogram histogram;
  histogram.Record(UINT64_MAX / 2);
  EXPECT_EQ(histogram.count(), 1u);
  EXPECT_GE(histogram.QuantileNs(0.5), uint64_t{60} * 1000 * 1000 * 1000);
}

TEST(MetricsTest, SnapshotHasWhatWasSeenAndOnlyThat) {
  Metrics metrics;
  metrics.Record(Message::kLookup, 1000, 0);
  metrics.Record(Message::kLookup, 3000, ENOTDIR);
  metrics.Record(Message::kWrite, 500, 0);
  const auto stats = metrics.Snapshot();
  ASSERT_EQ(stats.size(), 2u);
  EXPECT_EQ(stats[0].message, Message::kLookup);
  EXPECT_EQ(stats[0].count, 2u);
  EXPECT_EQ(stats[0].errors, 1u);
  EXPECT_DOUBLE_EQ(stats[0].mean_us, 2.0);
  EXPECT_EQ(stats[1].message, Message::kWrite);
  EXPECT_EQ(stats[1].errors, 0u);
  EXPECT_EQ(metrics.CountOf(Message::kLookup), 2u);
  EXPECT_EQ(metrics.CountOf(Message::kRead), 0u);
}

TEST(MetricsTest, ThreadsLoseNoCount) {
  constexpr int kThreads = 4;
  constexpr int kRecords = 20000;
  Metrics metrics;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&metrics] {
      for (int i = 0; i < kRecords; ++i)
        metrics.Record(Message::kRead, i, i % 2 ? EIO : 0);
    });
  for (std::thread& thread : threads) thread.join();
  const auto stats = metrics.Snapshot();
  ASSERT_EQ(stats.size(), 1u);
  EXPECT_EQ(stats[0].count, uint64_t{kThreads} * kRecords);
  EXPECT_EQ(stats[0].errors, uint64_t{kThreads} * kRecords / 2);
}

}  // namespace
}  // namespace ufs
