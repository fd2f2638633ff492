#include "tools/run/health.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "tools/run/duration.h"

namespace ufs {
namespace {

using std::chrono::milliseconds;
using Words = std::vector<std::string>;

HealthProbe Ended(int code) { return {"", "", code, ""}; }

TEST(ParseDuration, ReadsAndRefuses) {
  const std::pair<const char*, int64_t> good[] = {
      {"0", 0},          {"30s", 30'000},
      {"1m30s", 90'000}, {"500ms", 500},
      {"1.5s", 1'500},   {"2h", 7'200'000},
      {"0s", 0},         {"10us", 0},
      {"1s1ms", 1001},   {"8760h", 31'536'000'000}};
  for (const auto& [text, ms] : good) {
    const auto parsed = ParseDuration(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(parsed->count(), ms) << text;
  }
  for (const char* wrong : {"", "s", "5", "-1s", "1s-1s", "1d", "1e3s", "nans",
                            "infs", "9999h", "1 s", "1s ", "--1s", "1ss"})
    EXPECT_EQ(ParseDuration(wrong).code(), EINVAL) << wrong;
}

TEST(ParseMoment, ReadsAndRefuses) {
  setenv("TZ", "UTC-2", /*overwrite=*/1);  // two hours ahead
  tzset();
  const timespec now{1'796'112'000, 250'000'000};
  const std::pair<const char*, timespec> good[] = {
      {"10s", {1'796'111'990, 250'000'000}},
      {"500ms", {1'796'111'999, 750'000'000}},
      {"0", {0, 0}},
      {"1796112000.5", {1'796'112'000, 500'000'000}},
      {"2026-12-01T08:00:00Z", {1'796'112'000, 0}},
      {"2026-12-01T08:00Z", {1'796'112'000, 0}},
      {"2026-12-01T09:30:00.123456789+01:30", {1'796'112'000, 123'456'789}},
      {"2026-12-01T06:00:00-02:00", {1'796'112'000, 0}},
      {"2026-12-01T10:00:00", {1'796'112'000, 0}},
      {"2026-12-01 10:00", {1'796'112'000, 0}},
      {"2026-12-01", {1'796'076'000, 0}}};
  for (const auto& [text, time] : good) {
    const auto parsed = ParseMoment(text, now);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(parsed->tv_sec, time.tv_sec) << text;
    EXPECT_EQ(parsed->tv_nsec, time.tv_nsec) << text;
  }
  for (const char* wrong :
       {"", "now", "-1", "2026-13-01", "2026-12-01T", "2026-12-01T8",
        "2026-12-01T08:00:00+1", "2026-12-01T08:00:00+01:99",
        "2026-12-01T08:00:00Zx", "1.5x", "99999999999999", "2026-12-01Z1"})
    EXPECT_EQ(ParseMoment(wrong, now).code(), EINVAL) << wrong;
  unsetenv("TZ");
  tzset();
}

TEST(Health, IsWellOnceItWasAndUnwellAfterSomeFailures) {
  Health health;
  EXPECT_EQ(health.status(), "starting");
  health.Add(Ended(1), /*young=*/false, /*retries=*/2);
  EXPECT_EQ(health.status(), "starting");
  health.Add(Ended(0), false, 2);
  EXPECT_EQ(health.status(), "healthy");
  health.Add(Ended(1), false, 2);
  EXPECT_EQ(health.status(), "healthy");
  health.Add(Ended(-1), false, 2);
  EXPECT_EQ(health.status(), "unhealthy");
  EXPECT_EQ(health.ToJson()["failing_streak"], 2);
  health.Add(Ended(0), false, 2);
  EXPECT_EQ(health.status(), "healthy");
  EXPECT_EQ(health.ToJson()["failing_streak"], 0);
}

TEST(Health, MayFailWhileItIsYoungUntilItWasWell) {
  Health health;
  for (int i = 0; i < 9; ++i) health.Add(Ended(1), /*young=*/true, 1);
  EXPECT_EQ(health.status(), "starting");
  EXPECT_EQ(health.ToJson()["failing_streak"], 0);
  health.Add(Ended(0), true, 1);
  health.Add(Ended(1), true, 1);
  EXPECT_EQ(health.status(), "unhealthy");
}

TEST(Health, KeepsTheLastFiveAndReadsWhatItWrites) {
  Health health;
  for (int i = 0; i < 7; ++i)
    health.Add({"then", "later", i, "said " + std::to_string(i)}, false, 3);
  const Json json = health.ToJson();
  ASSERT_EQ(json["log"].size(), 5U);
  EXPECT_EQ(json["log"][0]["output"], "said 2");
  const nlohmann::json read = nlohmann::json::parse(json.dump());
  const auto again = Health::FromJson(JsonReader(&read, ""));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->ToJson(), json);
}

TEST(CombineHealth, OptionsCountAndThenTheImage) {
  ImageHealthcheck image;
  EXPECT_FALSE(CombineHealth({}, image)->wanted());
  image.test = {"CMD", "check", "-v"};
  image.interval_ns = 5'000'000'000;
  image.retries = 7;
  auto check = *CombineHealth({}, image);
  EXPECT_EQ(check.command, (Words{"check", "-v"}));
  EXPECT_EQ(check.interval, milliseconds(5000));
  EXPECT_EQ(check.timeout, milliseconds(30'000));
  EXPECT_EQ(check.retries, 7);
  HealthOptions options;
  options.shell = "true";
  options.interval = milliseconds(100);
  check = *CombineHealth(options, image);
  EXPECT_EQ(check.command, (Words{"/bin/sh", "-c", "true"}));
  EXPECT_EQ(check.interval, milliseconds(100));
  EXPECT_EQ(check.retries, 7);
  options = HealthOptions();
  options.none = true;
  EXPECT_FALSE(CombineHealth(options, image)->wanted());
}

TEST(CombineHealth, RefusesWhatMeansNothing) {
  HealthOptions options;
  options.retries = 2;
  EXPECT_EQ(CombineHealth(options, {}).code(), EINVAL);
  for (const Words& test : {Words{"RUN", "x"}, Words{"CMD"}, Words{"CMD-SHELL"},
                            Words{"CMD-SHELL", "a", "b"}}) {
    ImageHealthcheck image;
    image.test = test;
    EXPECT_EQ(CombineHealth({}, image).code(), EINVAL) << test[0];
  }
  ImageHealthcheck image;
  image.test = {"CMD-SHELL", "true"};
  EXPECT_TRUE(CombineHealth({}, image).ok());
  image.timeout_ns = 1;
  EXPECT_EQ(CombineHealth({}, image).code(), EINVAL);
  image.test = {"NONE"};
  EXPECT_FALSE(CombineHealth({}, image)->wanted());
}

}  // namespace
}  // namespace ufs
