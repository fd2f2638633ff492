#include "fs/option_text.h"

#include <gtest/gtest.h>

namespace ufs {
namespace {

using Strings = std::vector<std::string>;

// "name" or "name=value", one string for each option.
Strings Split(std::string_view text) {
  Result<std::vector<OptionText>> options = SplitOptions(text);
  EXPECT_TRUE(options.ok()) << text;
  Strings written;
  for (const OptionText& option : *options)
    written.push_back(option.has_value ? option.name + "=" + option.value
                                       : option.name);
  return written;
}

TEST(SplitOptions, AtCommas) {
  EXPECT_EQ(Split("ro,lowerdir=/a:/b,noatime"),
            (Strings{"ro", "lowerdir=/a:/b", "noatime"}));
  EXPECT_EQ(Split("ro"), Strings{"ro"});
}

TEST(SplitOptions, SkipsEmptyOnes) {
  EXPECT_EQ(Split(""), Strings{});
  EXPECT_EQ(Split(","), Strings{});
  EXPECT_EQ(Split(",,ro,,,rw,"), (Strings{"ro", "rw"}));
}

TEST(SplitOptions, KeepsAnEmptyValueApartFromNone) {
  const auto options = SplitOptions("a=,b");
  ASSERT_TRUE(options.ok());
  ASSERT_EQ(options->size(), 2u);
  EXPECT_TRUE((*options)[0].has_value);
  EXPECT_EQ((*options)[0].value, "");
  EXPECT_FALSE((*options)[1].has_value);
}

TEST(SplitOptions, NotAtEscapedCommas) {
  EXPECT_EQ(Split(R"(upperdir=/a\,b,ro)"),
            (Strings{R"(upperdir=/a\,b)", "ro"}));
  EXPECT_EQ(Split(R"(a=x\\,b)"), (Strings{R"(a=x\\)", "b"}))
      << "an escaped backslash does not escape the comma";
  EXPECT_EQ(Split("a=\\"), Strings{"a=\\"});
}

TEST(SplitOptions, NotInsideQuotedValues) {
  EXPECT_EQ(Split(R"(context="a:b,c",ro)"), (Strings{"context=a:b,c", "ro"}));
  EXPECT_EQ(Split(R"(a="",b)"), (Strings{"a=", "b"}));
  EXPECT_EQ(Split(R"(a=x"y,b)"), (Strings{R"(a=x"y)", "b"}))
      << "a quote counts only where a value begins";
  EXPECT_EQ(SplitOptions(R"(ro,context="a,b)").code(), EINVAL);
}

TEST(SplitOptions, ValueMayHoldEqualsSigns) {
  EXPECT_EQ(Split("comment=a=b"), Strings{"comment=a=b"});
  const auto options = SplitOptions("comment=a=b");
  EXPECT_EQ((*options)[0].name, "comment");
}

TEST(Unescape, MakesTheNextCharacterPlain) {
  EXPECT_EQ(Unescape(R"(/a\:b\\c\,d)"), R"(/a:b\c,d)");
  EXPECT_EQ(Unescape("a\\"), "a\\");
  EXPECT_EQ(Unescape(""), "");
}

TEST(SplitLowerdir, AtColonsThatAreNotEscaped) {
  EXPECT_EQ(SplitLowerdir("/top:/mid:/base"),
            (Strings{"/top", "/mid", "/base"}));
  EXPECT_EQ(SplitLowerdir(R"(/a\:b:/c)"), (Strings{"/a:b", "/c"}));
  EXPECT_EQ(SplitLowerdir(R"(/a\\:/c)"), (Strings{R"(/a\)", "/c"}));
  EXPECT_EQ(SplitLowerdir("/a\\"), Strings{"/a\\"});
}

TEST(SplitLowerdir, KeepsEmptyParts) {
  EXPECT_EQ(SplitLowerdir(""), Strings{""});
  EXPECT_EQ(SplitLowerdir("/a::/b"), (Strings{"/a", "", "/b"}));
  EXPECT_EQ(SplitLowerdir(":/a:"), (Strings{"", "/a", ""}));
}

TEST(EscapeLowerdir, IsUndoneBySplitting) {
  const std::string hard = R"(/a:b,c\d "e")";
  const auto options = SplitOptions("lowerdir=" + EscapeLowerdir(hard) + ":/x");
  ASSERT_TRUE(options.ok());
  ASSERT_EQ(options->size(), 1u);
  EXPECT_EQ(SplitLowerdir((*options)[0].value), (Strings{hard, "/x"}));
}

TEST(NearestName, ProposesWhatWasProbablyMeant) {
  const std::vector<std::string_view> known = {
      "lowerdir", "upperdir", "workdir", "ro", "rw", "volatile"};
  EXPECT_EQ(NearestName("lowerdri", known), "lowerdir");
  EXPECT_EQ(NearestName("uperdir", known), "upperdir");
  EXPECT_EQ(NearestName("lowedir", known), "lowerdir");
  EXPECT_EQ(NearestName("volatil", known), "volatile");
}

TEST(NearestName, IsEmptyWhenNothingIsNear) {
  const std::vector<std::string_view> known = {"lowerdir", "upperdir"};
  EXPECT_EQ(NearestName("frobnicate", known), "");
  EXPECT_EQ(NearestName("", known), "");
  EXPECT_EQ(NearestName(std::string(10'000, 'x'), known), "");
  EXPECT_EQ(NearestName("lowerdir", {}), "");
}

}  // namespace
}  // namespace ufs
