#include "tools/output.h"

#include <gtest/gtest.h>

namespace ufs {
namespace {

TEST(Table, AlignsColumns) {
  Table table({Table::Align::kLeft, Table::Align::kRight});
  table.AddRow({"message", "count"});
  table.AddRow({"LOOKUP", "7"});
  EXPECT_EQ(table.ToString(2),
            "  message  count\n"
            "  LOOKUP       7\n");
}

TEST(Table, LeavesNoBlanksAtTheEnd) {
  Table table({Table::Align::kLeft, Table::Align::kLeft});
  table.AddRow({"a"});
  table.AddRow({"bb", "c"});
  EXPECT_EQ(table.ToString(), "a\nbb  c\n");
}

TEST(Table, CountsCharactersNotBytes) {
  Table table({Table::Align::kLeft, Table::Align::kLeft});
  table.AddRow({"\xC3\xA9", "x"});
  table.AddRow({"e", "x"});
  EXPECT_EQ(table.ToString(), "\xC3\xA9  x\ne  x\n");
}

TEST(Format, Bytes) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1024), "1.00 KiB");
  EXPECT_EQ(FormatBytes(10'485'760), "10.0 MiB");
  EXPECT_EQ(FormatBytes(1'048'575), "1.00 MiB");
  EXPECT_EQ(FormatBytes(UINT64_MAX), "16.0 EiB");
}

TEST(Format, Durations) {
  EXPECT_EQ(FormatMicros(0.25), "0.25 us");
  EXPECT_EQ(FormatMicros(12.34), "12.3 us");
  EXPECT_EQ(FormatMicros(999.4), "999 us");
  EXPECT_EQ(FormatMicros(999.9), "1.00 ms");
  EXPECT_EQ(FormatMicros(2'500'000), "2.50 s");
  EXPECT_EQ(FormatSeconds(59), "59 s");
  EXPECT_EQ(FormatSeconds(61), "1 min 01 s");
  EXPECT_EQ(FormatSeconds(3 * 3600 + 5 * 60 + 59), "3 h 05 min");
  EXPECT_EQ(FormatSeconds(2 * 86400 + 3600), "2 d 01 h");
}

TEST(Format, Counts) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1000), "1,000");
  EXPECT_EQ(FormatCount(1234567), "1,234,567");
}

TEST(FormatCountOf, SeveralMayHaveAWordOfTheirOwn) {
  EXPECT_EQ(FormatCountOf(1, "entry", "entries"), "1 entry");
  EXPECT_EQ(FormatCountOf(0, "entry", "entries"), "0 entries");
  EXPECT_EQ(FormatCountOf(1200, "entry", "entries"), "1,200 entries");
}

TEST(FormatCountOf, OneIsNotSeveral) {
  EXPECT_EQ(FormatCountOf(1, "layer"), "1 layer");
  EXPECT_EQ(FormatCountOf(0, "layer"), "0 layers");
  EXPECT_EQ(FormatCountOf(1234, "layer"), "1,234 layers");
}

// A file may be called "x\nD /etc/passwd"; it must not look like two lines.
TEST(EscapePath, LeavesNoControlCharacters) {
  EXPECT_EQ(EscapePath("a\nb\tc\x7F"), R"(a\012b\011c\177)");
  EXPECT_EQ(EscapePath(R"(back\slash)"), R"(back\\slash)");
  EXPECT_EQ(EscapePath("gr\xC3\xBC\xC3\x9F"), "gr\xC3\xBC\xC3\x9F");
  EXPECT_EQ(EscapePath("\x1b[2J\xC2\x9B"
                       "2J\xC2\xA0\xC2"),
            "\\033[2J\\302\\2332J\xC2\xA0\xC2");
}

}  // namespace
}  // namespace ufs
