#include "fs/start_trace.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace ufs {
namespace {

using Entries = std::vector<TraceEntry>;

std::string Complaint(std::string_view text) {
  const auto parsed = ParseTrace(text);
  EXPECT_EQ(parsed.code(), EINVAL) << text;
  return parsed.ok() ? "" : std::string(parsed.error().context());
}

TEST(StartTrace, ComesBackAsItWas) {
  const Entries entries = {{0, 1, "object:abc"},
                           {4096, 1 << 20, "1f:/with space/\\ and \n\\n"},
                           {0, INT64_MAX, "x"}};
  const auto parsed = ParseTrace(FormatTrace(entries));
  ASSERT_TRUE(parsed.ok()) << parsed.error().ToString();
  EXPECT_EQ(*parsed, entries);
  EXPECT_TRUE(ParseTrace(FormatTrace({}))->empty());
}

TEST(StartTrace, WhatIsNoneIsRefusedByLine) {
  EXPECT_EQ(Complaint(""), "not a trace of ufs");
  EXPECT_EQ(Complaint("root:x:0:0\n"), "not a trace of ufs");
  EXPECT_EQ(ParseTrace("ufs-trace 2\n").code(), EPROTO);
  const std::string start = "ufs-trace 1\n0 5 a\n";
  EXPECT_EQ(Complaint(start + "0 5 a"), "line 3: cut short");
  for (const char* bad :
       {"\n", "5\n", "0 5\n", "5 5 a\n", "6 5 a\n", "-1 5 a\n",
        "0 9223372036854775808 a\n", "0 99999999999999999999 a\n", " 0 5 a\n"})
    EXPECT_EQ(Complaint(start + bad), "line 3: no range of bytes") << bad;
  for (const std::string& bad :
       {std::string("0 5 \n"), std::string("0 5 \\\n"),
        std::string("0 5 \\x\n"), std::string("0 5 a\0b\n", 8),
        "0 5 " + std::string(5000, 'x') + "\n"})
    EXPECT_EQ(Complaint(start + bad), "line 3: no name of contents") << bad;
}

TEST(StartTrace, ReadsBecomeRangesInTheOrderOfTheFirst) {
  TraceRecorder recorder;
  recorder.Note("b", 0, 4096);
  recorder.Note("a", 1 << 30, (1 << 30) + 1);
  recorder.Note("b", 4096, 8192);
  recorder.Note("b", 0, 10);
  recorder.Note("b", 1 << 20, 2 << 20);
  recorder.Note("empty", 0, 0);
  recorder.Note("", 0, 1);
  EXPECT_EQ(recorder.Take(), (Entries{{0, 8192, "b"},
                                      {1 << 30, (1 << 30) + 1, "a"},
                                      {1 << 20, 2 << 20, "b"}}));
}

TEST(StartTrace, IsBounded) {
  TraceRecorder many, large;
  for (size_t i = 0; i < kMaxTraceEntries + 10; ++i)
    many.Note(std::to_string(i), 0, 1);
  const auto taken = many.Take();
  EXPECT_EQ(taken.size(), kMaxTraceEntries);
  EXPECT_TRUE(ParseTrace(FormatTrace(taken)).ok());
  for (size_t i = 0; i < 20'000; ++i)
    large.Note(std::to_string(i) + std::string(4000, '\\'), 0, 1);
  EXPECT_TRUE(ParseTrace(FormatTrace(large.Take())).ok());
}

}  // namespace
}  // namespace ufs
