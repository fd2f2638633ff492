#include "fs/marks.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdlib>

#include "layerdb/base/file_data.h"

namespace ufs {
namespace {

TEST(Override, RoundTrips) {
  for (const char* text :
       {"0:0:0755:dir", "1000:100:4755:file", "4294967294:1:0777:symlink",
        "0:0:0600:block-8-17", "1:2:0666:char-1-3", "5:6:0644:pipe",
        "5:6:0644:socket"}) {
    const auto parsed = ParseOverride(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(FormatOverride(*parsed), text);
  }
}

TEST(Override, OldFormWithoutAType) {
  const auto parsed = ParseOverride("7:8:0640");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->uid, 7u);
  EXPECT_EQ(parsed->gid, 8u);
  EXPECT_EQ(parsed->mode, 0640u);
}

TEST(Override, DamageIsAnError) {
  for (const char* text :
       {"", "1", "1:2", "1:2:", "1:2:9", "1:2:17777", "1:2:0644:", "-1:2:0644",
        "1:2:0644:door", "1:2:0644:char", "1:2:0644:char-1", "1:2:0644:filex",
        "99999999999:1:0644"})
    EXPECT_EQ(ParseOverride(text).code(), EIO) << text;
}

TEST(Override, OfFuseOverlayfsHasTheTypeInTheMode) {
  for (const char* text : {"5:6:100644", "5:6:644", "5:6:0644"}) {
    const auto parsed = ParseForeignOverride(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(parsed->uid, 5u);
    EXPECT_EQ(parsed->gid, 6u);
    EXPECT_EQ(parsed->mode, 0644u);
  }
  // From 1.15 on beside it, of devices.
  EXPECT_EQ(ParseForeignOverride("5:6:20644:char-1-3")->mode, S_IFCHR | 0644u);
  EXPECT_EQ(ParseForeignOverride("5:6:644:file")->mode, S_IFREG | 0644u);
  for (const char* text : {"", "5:6", "5:6:x", "5:6:644:door", "-5:6:644"})
    EXPECT_EQ(ParseForeignOverride(text).code(), EIO) << text;
}

TEST(Origin, RoundTrips) {
  const Origin origin{0xfeedface12345678, 0x42, {1700000000, 123456789}};
  const auto parsed = ParseOrigin(FormatOrigin(origin));
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->layer_tag, origin.layer_tag);
  EXPECT_EQ(parsed->ino, origin.ino);
  EXPECT_EQ(parsed->btime.tv_sec, origin.btime.tv_sec);
  EXPECT_EQ(parsed->btime.tv_nsec, origin.btime.tv_nsec);
  EXPECT_EQ(ParseOrigin("2:1:1:1.1").code(), EIO);
  EXPECT_EQ(ParseOrigin("1:1:1:1.1x").code(), EIO);
}

TEST(Redirect, ANameOrACleanAbsolutePath) {
  for (const char* text : {"name", "/a", "/a/b c/..d", ".hidden"})
    EXPECT_TRUE(ParseRedirect(text).ok()) << text;
  for (const char* text : {"", "/", ".", "..", "a/b", "/a/", "//a", "/a//b",
                           "/a/../b", "/..", "/a/.", "../x"})
    EXPECT_EQ(ParseRedirect(text).code(), EIO) << text;
  EXPECT_EQ(ParseRedirect("/" + std::string(256, 'x')).code(), EIO);
  EXPECT_EQ(ParseRedirect(std::string("a\0b", 3)).code(), EIO);
  EXPECT_EQ(ParseRedirect(std::string(5000, 'x')).code(), EIO);
}

TEST(MarkNames, UsersNamesAreEscapedAndComeBack) {
  for (const bool trusted : {true, false}) {
    const MarkNames names(trusted);
    for (const char* name :
         {"user.overlay.opaque", "trusted.overlay.redirect", "user.plain",
          "user.overlay.overlay.opaque", "user.containers.override_stat",
          "user.fuseoverlayfs.opaque", "security.capability",
          "security.fuseoverlayfs.override_stat"}) {
      const auto shown = names.ToVisible(names.ToStored(name));
      ASSERT_TRUE(shown.has_value()) << name;
      EXPECT_EQ(*shown, name);
    }
  }
}

TEST(MarkNames, MarksAreNotShown) {
  const MarkNames names(false);
  for (const std::string& name :
       {names.opaque, names.redirect, names.metacopy, names.origin, names.nlink,
        names.literal, names.impure, names.whiteout, names.implied,
        std::string("trusted.overlay.opaque"), std::string(kOverrideXattr),
        std::string(kPrivilegedOverrideXattr),
        std::string("user.fuseoverlayfs.opaque")})
    EXPECT_FALSE(names.ToVisible(name).has_value()) << name;
}

TEST(Aufs, WhiteoutNames) {
  EXPECT_EQ(AufsWhiteoutName(Name::Trusted("x")), ".wh.x");
  const std::string longest(251, 'x');
  EXPECT_TRUE(AufsWhiteoutName(Name::Trusted(longest)).has_value());
  const std::string too_long(252, 'x');
  EXPECT_FALSE(AufsWhiteoutName(Name::Trusted(too_long)).has_value());
  for (const char* taken : {".wh..opq", ".wh.aufs", ".wh.plnk", ".wh.orph"})
    EXPECT_FALSE(AufsWhiteoutName(Name::Trusted(taken)).has_value()) << taken;
  EXPECT_EQ(AufsWhiteoutName(Name::Trusted(".wh.other")), ".wh..wh.other");
  EXPECT_TRUE(IsAufsMarkName(".wh.x"));
  EXPECT_TRUE(IsAufsMarkName(".wh..wh..opq"));
  EXPECT_FALSE(IsAufsMarkName(".wh."));
  EXPECT_FALSE(IsAufsMarkName("wh.x"));
}

class MarksOnDisk : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/var/tmp/ufs-marks-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    path_ = path;
    dir_ = sys::Open(path, O_RDONLY | O_DIRECTORY).value();
    ASSERT_TRUE(sys::MkDirAt({dir_, "d"}, 0755).ok());
    ASSERT_TRUE(sys::OpenAt({dir_, "f"}, O_CREAT | O_RDWR, 0644).ok());
  }
  void TearDown() override {
    (void)sys::UnlinkAt({dir_, "d"}, AT_REMOVEDIR);
    (void)sys::UnlinkAt({dir_, "f"});
    rmdir(path_.c_str());
  }
  void Set(const char* name, const std::string& xattr, const char* value) {
    ASSERT_TRUE(sys::SetXattr({dir_, name}, xattr.c_str(), value).ok());
  }

  const MarkNames names_{false};
  std::string path_;
  UniqueFd dir_;
};

TEST_F(MarksOnDisk, ADirectoryIsImpliedUntilSomebodySays) {
  const MarkNames names(/*trusted=*/false);
  const sys::At at{dir_, "d"};
  const auto is_implied = [&] {
    const auto stat = sys::Statx(at).value();
    return IsImplied(stat, ReadMarks(at, stat.stx_mode, names).value());
  };
  EXPECT_FALSE(is_implied());
  const std::string value = FormatImplied(sys::Statx(at).value());
  ASSERT_TRUE(sys::SetXattr(at, names.implied.c_str(), value).ok());
  EXPECT_TRUE(is_implied());
  ASSERT_TRUE(sys::ChmodAt(at, 0700).ok());
  EXPECT_FALSE(is_implied());
  ASSERT_TRUE(sys::ChmodAt(at, 0755).ok());
  ASSERT_TRUE(sys::SetXattr(at, "user.note", "said").ok());
  EXPECT_FALSE(is_implied());
}

TEST_F(MarksOnDisk, NoneOnAPlainFile) {
  const auto marks = ReadMarks({dir_, "f"}, S_IFREG, names_);
  ASSERT_TRUE(marks.ok());
  EXPECT_FALSE(marks->whiteout || marks->opaque || marks->metacopy ||
               marks->has_other);
}

TEST_F(MarksOnDisk, TheFirstOverrideOfThreeCounts) {
  const auto owner = [&] {
    return ReadMarks({dir_, "f"}, S_IFREG, names_)->override->uid;
  };
  if (!sys::SetXattr({dir_, "f"}, kPrivilegedOverrideXattr, "1:1:100644").ok())
    GTEST_SKIP() << "needs root";
  EXPECT_EQ(owner(), 1u);
  Set("f", kOldOverrideXattr, "2:2:100644");
  EXPECT_EQ(owner(), 2u);
  Set("f", kOverrideXattr, "3:3:0644:file");
  EXPECT_EQ(owner(), 3u);
}

TEST_F(MarksOnDisk, OpacityCountsUnderEachName) {
  Set("d", "user.fuseoverlayfs.opaque", "y");
  EXPECT_TRUE(ReadMarks({dir_, "d"}, S_IFDIR, names_)->opaque);
  EXPECT_TRUE(ReadMarks({dir_, "d"}, S_IFDIR, MarkNames(true))->opaque);
}

TEST_F(MarksOnDisk, RedirectsCountUnderOurOwnNameAlone) {
  Set("d", names_.redirect, "/elsewhere");
  EXPECT_EQ(ReadMarks({dir_, "d"}, S_IFDIR, names_)->redirect, "/elsewhere");
  EXPECT_EQ(ReadMarks({dir_, "d"}, S_IFDIR, MarkNames(true))->redirect, "");
}

TEST_F(MarksOnDisk, ARedirectInAFileIsOneUnlessItIsAUsersFile) {
  const std::string name = std::string("d/") + kRedirectFileName;
  const sys::At file{dir_, name.c_str()}, directory{dir_, "d"};
  EXPECT_EQ(ReadRedirectFile(directory, names_).value(), "");
  {
    const auto fd = sys::OpenAt(file, O_CREAT | O_RDWR, 0600);
    ASSERT_TRUE(fd.ok());
    ASSERT_TRUE(WriteAll(*fd, "/else/where", 0).ok());
  }
  EXPECT_EQ(ReadRedirectFile(directory, names_).value(), "/else/where");
  const auto stat = sys::Statx(file);
  ASSERT_TRUE(stat.ok());
  EXPECT_TRUE(IsAufsMark(kRedirectFileName, *stat, Marks()));

  ASSERT_TRUE(sys::SetXattr(file, names_.literal.c_str(), "y").ok());
  EXPECT_EQ(ReadRedirectFile(directory, names_).value(), "");

  ASSERT_TRUE(sys::RemoveXattr(file, names_.literal.c_str()).ok());
  ASSERT_TRUE(WriteAll(sys::OpenAt(file, O_RDWR).value(), "/../..", 0).ok());
  const auto damaged = ReadRedirectFile(directory, names_);
  EXPECT_EQ(damaged.code(), EIO);
  EXPECT_NE(damaged.error().ToString().find(kRedirectFileName),
            std::string::npos);
  ASSERT_TRUE(sys::UnlinkAt(file).ok());
}

TEST_F(MarksOnDisk, DamageIsAnErrorThatNamesTheMark) {
  Set("d", names_.opaque, "perhaps");
  const auto opaque = ReadMarks({dir_, "d"}, S_IFDIR, names_);
  EXPECT_EQ(opaque.code(), EIO);
  EXPECT_NE(opaque.error().ToString().find("opaque"), std::string::npos);
  Set("f", names_.redirect, "../../etc/passwd");
  EXPECT_EQ(ReadMarks({dir_, "f"}, S_IFREG, names_).code(), EIO);
}

}  // namespace
}  // namespace ufs
