#include "layerdb/tar_header.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "layerdb/tar_pax.h"

namespace ufs::tar {
namespace {

using namespace std::string_view_literals;

TEST(TarNumber, ReadsOctal) {
  EXPECT_EQ(*ParseNumber("0000644\0"sv), 0644);
  EXPECT_EQ(*ParseNumber("   644 \0"sv), 0644);
  EXPECT_EQ(*ParseNumber("77777777"sv), 077777777);
  EXPECT_EQ(*ParseNumber("\0\0\0\0"sv), 0);
  EXPECT_EQ(*ParseNumber("        "sv), 0);
  EXPECT_EQ(*ParseNumber(""sv), 0);
}

TEST(TarNumber, ReadsBase256) {
  EXPECT_EQ(*ParseNumber("\x80\0\0\0\0\0\0\0\0\0\x01\x02"sv), 0x102);
  EXPECT_EQ(*ParseNumber("\xff\xff\xff\xff\xff\xff\xff\xff"sv), -1);
  EXPECT_EQ(*ParseNumber("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"sv),
            -2);
  EXPECT_EQ(*ParseNumber("\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"sv),
            0x7fffffffffffffff);
}

TEST(TarNumber, RefusesTheRest) {
  for (const auto text :
       {"-0000001"sv, "00x0000\0"sv, "0000800\0"sv, "0x10\0"sv, "\0001234"sv,
        "\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"sv,
        "\x80\0\0\x01\0\0\0\0\0\0\0\0"sv,
        "\xff\xff\xff\xfe\0\0\0\0\0\0\0\0"sv}) {
    const auto number = ParseNumber(text);
    // A NUL first is an empty field to every reader.
    if (text[0] == '\0') continue;
    EXPECT_EQ(number.code(), EBADMSG) << text;
  }
}

TEST(TarNumber, WritesOctalThatFits) {
  Block block{};
  PutOctal(block, kMode, 0755);
  EXPECT_EQ(Get(block, kMode), "0000755\0"sv);
  EXPECT_TRUE(FitsOctal(kUid, 07777777));
  EXPECT_FALSE(FitsOctal(kUid, 010000000));
  EXPECT_TRUE(FitsOctal(kSize, 0x1ffffffff));
  EXPECT_FALSE(FitsOctal(kSize, 0x200000000));
}

TEST(TarChecksum, TakesBothSums) {
  Block block{};
  PutText(block, kName, "caf\xc3\xa9");
  PutChecksum(block);
  EXPECT_TRUE(HasValidChecksum(block));
  Block other = block;
  // Signed: the two high bytes count 256 less each.
  PutOctal(other, {kChecksum.offset, 7},
           *ParseNumber(Get(block, kChecksum)) - 512);
  EXPECT_TRUE(HasValidChecksum(other));
  other[3] ^= 1;
  EXPECT_FALSE(HasValidChecksum(other));
}

TEST(TarPax, ReadsRecords) {
  PaxRecords records;
  ASSERT_TRUE(ParsePax("14 path=a\nb/c\n"
                       "20 mtime=1234.50000\n"
                       "26 SCHILY.xattr.user.a=\0b\n"sv,
                       records)
                  .ok());
  EXPECT_EQ(*records.path, "a\nb/c");
  EXPECT_EQ(*records.mtime, std::pair(int64_t{1234}, 500'000'000u));
  EXPECT_EQ(records.xattrs.at("user.a"), "\0b"sv);
}

TEST(TarPax, LibarchiveXattrs) {
  PaxRecords records;
  ASSERT_TRUE(ParsePax(FormatPax("LIBARCHIVE.xattr.user.a%3Db", "aGVsbG8") +
                           FormatPax("SCHILY.xattr.user.both", "strong") +
                           FormatPax("LIBARCHIVE.xattr.user.both", "d2Vhaw=="),
                       records)
                  .ok());
  EXPECT_EQ(records.xattrs.at("user.a=b"), "hello");
  EXPECT_EQ(records.xattrs.at("user.both"), "strong");
}

TEST(TarPax, NamesOfXattrsAreWrittenAsGnuTarDoes) {
  for (const char* name : {"user.a=b", "user.50%", "user.%3D", "user.%25=%"}) {
    PaxRecords records;
    ASSERT_TRUE(
        ParsePax(FormatPax(PaxXattrKeyword(name), "v=1"), records).ok());
    EXPECT_EQ(records.xattrs.at(name), "v=1");
  }
  EXPECT_EQ(PaxXattrKeyword("user.a=%"), "SCHILY.xattr.user.a%3D%25");
}

// GNU tar writes names into the text, and the attribute itself beside it.
TEST(TarPax, AnAclOfNamesIsReadFromItsAttribute) {
  const std::string text = FormatPax("SCHILY.acl.access",
                                     "user::rw-,user:www-data:r--,group::r--,"
                                     "mask::r--,other::r--");
  PaxRecords both;
  ASSERT_TRUE(
      ParsePax(text + FormatPax("SCHILY.xattr.system.posix_acl_access", "v"),
               both)
          .ok());
  EXPECT_EQ(both.xattrs.at("system.posix_acl_access"), "v");
  PaxRecords alone;
  const auto refused = ParsePax(text, alone);
  EXPECT_EQ(refused.code(), EBADMSG);
  EXPECT_NE(refused.error().ToString().find("--xattrs-include"),
            std::string::npos);
}

TEST(TarPax, EmptyValueTakesBack) {
  PaxRecords records;
  ASSERT_TRUE(
      ParsePax(FormatPax("path", "a") + FormatPax("path", ""), records).ok());
  EXPECT_FALSE(records.path.has_value());
}

TEST(TarPax, RefusesNonsense) {
  for (const std::string& text :
       {std::string("5 a=b"),
        std::string("x path=a\n"),
        std::string("99 path=a\n"),
        std::string("10 path=ab"),
        std::string("3 \n"),
        std::string("7 =abc\n"),
        std::string("0 path=a\n"),
        std::string("10 path:ab\n"),
        std::string("99999999999999999999 path=a\n"),
        FormatPax("path", std::string("a\0b", 3)),
        FormatPax("size", "-1"),
        FormatPax("uid", "99999999999999999999"),
        FormatPax("mtime", "x"),
        FormatPax("SCHILY.xattr.", "v"),
        FormatPax("SCHILY.xattr." + std::string(256, 'n'), "v"),
        FormatPax("LIBARCHIVE.xattr.user.a", "?"),
        FormatPax("GNU.sparse.map", "1,2,3"),
        FormatPax("GNU.sparse.offset", "1"),
        FormatPax("GNU.sparse.numbytes", "1"),
        FormatPax("GNU.sparse.new", "1")}) {
    PaxRecords records;
    EXPECT_EQ(ParsePax(text, records).code(), EBADMSG) << text;
  }
}

TEST(TarPax, TimesGoBothWays) {
  const std::pair<int64_t, uint32_t> times[] = {{0, 0},
                                                {1, 5},
                                                {-1, 0},
                                                {-2, 500'000'000},
                                                {-1, 1},
                                                {1 << 30, 999'999'999},
                                                {int64_t{1} << 40, 0}};
  for (const auto& time : times) {
    const std::string text = FormatPaxTime(time.first, time.second);
    const auto read = ParsePaxTime(text);
    ASSERT_TRUE(read.ok()) << text;
    EXPECT_EQ(*read, time) << text;
  }
  EXPECT_EQ(FormatPaxTime(-2, 500'000'000), "-1.5");
  EXPECT_EQ(ParsePaxTime("5.1234567899")->second, 123'456'789u);
  EXPECT_FALSE(ParsePaxTime("").ok());
  EXPECT_FALSE(ParsePaxTime("1.-5").ok());
}

TEST(TarPax, RecordsCountTheirOwnLength) {
  EXPECT_EQ(FormatPax("path", "a"), "9 path=a\n");
  EXPECT_EQ(FormatPax("pat", "a"), "8 pat=a\n");
  for (size_t size = 80; size < 110; ++size) {
    const std::string record = FormatPax("k", std::string(size, 'v'));
    EXPECT_EQ(std::stoul(record), record.size());
  }
}

}  // namespace
}  // namespace ufs::tar
