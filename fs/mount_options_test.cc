#include "fs/mount_options.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "layerdb/base/selinux.h"

namespace ufs {
namespace {

using Strings = std::vector<std::string>;

Result<MountOptions> Parse(const Strings& texts,
                           UnknownOption unknown = UnknownOption::kRefuse) {
  MountOptionParser parser(unknown);
  for (const std::string& text : texts) TRY(parser.Add(text));
  return std::move(parser).Finish();
}

MountOptions MustParse(const std::string& text) {
  auto options = Parse({text});
  EXPECT_TRUE(options.ok())
      << text << ": " << (options.ok() ? "" : options.error().context());
  return options.ok() ? *std::move(options) : MountOptions();
}

// The message of a refusal.
std::string Refusal(const std::string& text) {
  auto options = Parse({text});
  EXPECT_FALSE(options.ok()) << text << " should be refused";
  return options.ok() ? "" : std::string(options.error().context());
}

// --- layers ----------------------------------------------------------------

TEST(MountOptions, LowerdirIsTopFirstAndConfigBottomFirst) {
  const auto options = MustParse("lowerdir=/top:/mid:/base");
  EXPECT_TRUE(options.has_lowerdir);
  EXPECT_EQ(options.config.layers, (Strings{"/base", "/mid", "/top"}));
  EXPECT_FALSE(options.config.upper);
}

TEST(MountOptions, PathsAreUnescaped) {
  const auto options =
      MustParse(R"(lowerdir=/a\:b:/c\,d,upperdir=/u\:p,workdir=/w\,k)");
  EXPECT_EQ(options.config.layers, (Strings{"/c,d", "/a:b"}));
  EXPECT_EQ(options.config.upper, "/u:p");
  EXPECT_EQ(options.config.work, "/w,k");
}

TEST(MountOptions, LowerdirPlusAppendsOneAndKeepsColons) {
  const auto options = MustParse("lowerdir+=/top:x,lowerdir+=/base");
  EXPECT_EQ(options.config.layers, (Strings{"/base", "/top:x"}));
}

TEST(MountOptions, EmptyLayersAreRefused) {
  for (const char* text : {"lowerdir=", "lowerdir=:/a", "lowerdir=/a:"})
    EXPECT_NE(Refusal(text).find("lowerdir"), std::string::npos);
  EXPECT_NE(Refusal("lowerdir=/a::/data").find("data-only"), std::string::npos);
}

TEST(MountOptions, WorkdirWithoutUpperIsDroppedWithANote) {
  const auto options = MustParse("lowerdir=/a,workdir=/w");
  EXPECT_FALSE(options.config.work);
  ASSERT_EQ(options.notes.size(), 1u);
  EXPECT_NE(options.notes[0].find("workdir"), std::string::npos);
}

// What podman 4.3 passes to its mount program.
TEST(MountOptions, TakesWhatPodmanWrites) {
  const auto options = MustParse(
      "lowerdir=/s/l/AAAA:/s/l/BBBB,upperdir=/s/x/diff,workdir=/s/x/work,,"
      "volatile,uidmapping=:0:100000:1000,gidmapping=:0:100000:1000,"
      R"(context="system_u:object_r:container_file_t:s0:c1,c2",nodev,fsync=0,)");
  EXPECT_EQ(options.config.layers, (Strings{"/s/l/BBBB", "/s/l/AAAA"}));
  EXPECT_EQ(options.config.durability, Durability::kVolatile);
  EXPECT_EQ(options.config.uid_map.ToShown(5), 100005u);
  EXPECT_EQ(options.config.gid_map.ToShown(5), 100005u);
  // Without SELinux the label has no effect, which is said.
  EXPECT_EQ(options.notes.size(), HasSelinux() ? 0u : 1u);
}

// --- what unions understand ------------------------------------------------

TEST(MountOptions, DefaultsAreThoseOfTheConfig) {
  const auto options = MustParse("");
  EXPECT_EQ(options.config.redirect_dir, RedirectDir::kOn);
  EXPECT_TRUE(options.config.metacopy);
  EXPECT_TRUE(options.config.acl);
  EXPECT_FALSE(options.config.user_xattr);
  EXPECT_EQ(options.config.durability, Durability::kAuto);
  EXPECT_FALSE(options.mount.allow_other);
  EXPECT_FALSE(options.foreground);
}

TEST(MountOptions, RedirectDir) {
  const auto redirect = [](const std::string& text) {
    return MustParse("redirect_dir=" + text).config.redirect_dir;
  };
  EXPECT_EQ(redirect("on"), RedirectDir::kOn);
  EXPECT_EQ(redirect("follow"), RedirectDir::kFollow);
  EXPECT_EQ(redirect("off"), RedirectDir::kFollow);
  EXPECT_EQ(redirect("nofollow"), RedirectDir::kNoFollow);
  EXPECT_EQ(Refusal("redirect_dir=yes"),
            "option 'redirect_dir=yes': expected one of on, follow, off, "
            "nofollow");
}

TEST(MountOptions, MetacopyNeedsRedirects) {
  EXPECT_FALSE(MustParse("metacopy=off").config.metacopy);
  EXPECT_FALSE(MustParse("redirect_dir=off").config.metacopy)
      << "a default gives way";
  for (const char* without : {"metacopy=off", "redirect_dir=follow"})
    EXPECT_NE(Refusal("partial=on," + std::string(without))
                  .find("'partial=on' needs"),
              std::string::npos);
  EXPECT_NE(Refusal("metacopy=on,redirect_dir=nofollow").find("contradict"),
            std::string::npos);
  EXPECT_TRUE(MustParse("metacopy=on,redirect_dir=on").config.metacopy);
}

TEST(MountOptions, CompleteRate) {
  EXPECT_EQ(MustParse("ro").mount.complete_rate, 0u);
  EXPECT_EQ(MustParse("complete_rate=100").mount.complete_rate, 100u);
  EXPECT_EQ(MustParse("complete_rate=50M").mount.complete_rate, 50u << 20);
  EXPECT_EQ(MustParse("complete_rate=2g").mount.complete_rate, 2ull << 30);
  for (const char* bad :
       {"complete_rate=", "complete_rate=-1", "complete_rate=5mb",
        "complete_rate=5x", "complete_rate=99999999999g"})
    EXPECT_NE(Refusal(bad).find("expected bytes a second"), std::string::npos)
        << bad;
}

TEST(MountOptions, Verify) {
  EXPECT_FALSE(MustParse("ro").config.verify);
  EXPECT_TRUE(MustParse("verify=on").config.verify);
  EXPECT_FALSE(MustParse("verify=on,verify=off").config.verify);
  EXPECT_NE(Refusal("verify=1").find("verify"), std::string::npos);
}

TEST(MountOptions, Trace) {
  EXPECT_EQ(MustParse("ro").mount.start_trace, "");
  EXPECT_EQ(MustParse("trace=/a/b").mount.start_trace, "/a/b");
  EXPECT_EQ(MustParse("trace=b").mount.start_trace.front(), '/');
  EXPECT_NE(Refusal("trace=").find("expected a file"), std::string::npos);
}

TEST(MountOptions, Durability) {
  EXPECT_EQ(MustParse("volatile").config.durability, Durability::kVolatile);
  EXPECT_EQ(MustParse("fsync=volatile").config.durability,
            Durability::kVolatile);
  EXPECT_EQ(MustParse("fsync=strict").config.durability, Durability::kStrict);
  EXPECT_EQ(MustParse("fsync=1").config.durability, Durability::kAuto);
  EXPECT_EQ(MustParse("fsync=0").config.durability, Durability::kVolatile);
  EXPECT_EQ(MustParse("volatile,fsync=1").config.durability,
            Durability::kVolatile)
      << "as with fuse-overlayfs, volatile has the last word";
  Refusal("fsync=maybe");
  Refusal("volatile=1");
}

TEST(MountOptions, Owners) {
  auto options = MustParse("squash_to_root");
  EXPECT_EQ(options.config.squash_uid, 0u);
  EXPECT_EQ(options.config.squash_gid, 0u);
  options = MustParse("squash_to_uid=7,squash_to_root");
  EXPECT_EQ(options.config.squash_uid, 7u) << "more precise, so stronger";
  EXPECT_EQ(options.config.squash_gid, 0u);
  options = MustParse("squash_to_gid=4294967295");
  EXPECT_FALSE(options.config.squash_uid);
  EXPECT_EQ(options.config.squash_gid, 4294967295u);
  Refusal("squash_to_uid=root");
  Refusal("squash_to_uid=-1");
  Refusal("squash_to_uid=4294967296");
  EXPECT_NE(Refusal("uidmapping=0:1").find("uidmapping"), std::string::npos);
}

TEST(MountOptions, OnesOfOurOwn) {
  EXPECT_EQ(MustParse("whiteout=char").config.whiteout,
            WhiteoutForm::kCharDevice);
  EXPECT_EQ(MustParse("whiteout=xattr").config.whiteout, WhiteoutForm::kXattr);
  EXPECT_EQ(MustParse("whiteout=aufs").config.whiteout, WhiteoutForm::kAufs);
  EXPECT_EQ(MustParse("transport=classic").mount.transport,
            Transport::kClassic);
  EXPECT_EQ(MustParse("transport=io_uring").mount.transport,
            Transport::kIoUring);
  Refusal("whiteout=dev");
  Refusal("transport=pigeon");
}

TEST(MountOptions, Passthrough) {
  EXPECT_EQ(MustParse("").mount.passthrough, Passthrough::kOff);
  EXPECT_EQ(MustParse("upperdir=/u,passthrough=1").mount.passthrough,
            Passthrough::kOn);
  EXPECT_EQ(MustParse("passthrough=auto").mount.passthrough,
            Passthrough::kAuto);
  EXPECT_EQ(MustParse("passthrough=0").mount.passthrough, Passthrough::kOff);
  Refusal("passthrough=yes");
  EXPECT_NE(Refusal("upperdir=/u,passthrough=1,writeback=1").find("writeback"),
            std::string::npos);
  MustParse("upperdir=/u,passthrough=auto,writeback=1");
}

TEST(MountOptions, Timeout) {
  using std::chrono::milliseconds;
  EXPECT_EQ(MustParse("timeout=0").mount.cache_timeout, milliseconds(0));
  EXPECT_EQ(MustParse("timeout=1.5").mount.cache_timeout, milliseconds(1500));
  EXPECT_GT(MustParse("timeout=1000000000").mount.cache_timeout,
            std::chrono::hours(24 * 365));
  EXPECT_GT(MustParse("timeout=1e300").mount.cache_timeout, milliseconds(0));
  for (const char* text :
       {"timeout=", "timeout=-1", "timeout=nan", "timeout=1s"})
    Refusal(text);
}

TEST(MountOptions, UnstatedAclIsOn) {
  EXPECT_FALSE(MustParse("noacl").config.acl);
  EXPECT_FALSE(MustParse("noacl").mount.acl);
  EXPECT_TRUE(MustParse("noacl,acl").mount.acl);
}

TEST(MountOptions, DebugStaysInTheForeground) {
  EXPECT_TRUE(MustParse("debug").mount.debug);
  EXPECT_TRUE(MustParse("debug").foreground);
}

// --- generic ones ----------------------------------------------------------

TEST(MountOptions, ReadOnlyIsForBothAndRevocable) {
  EXPECT_TRUE(MustParse("ro").config.read_only);
  EXPECT_TRUE(MustParse("ro").mount.read_only);
  EXPECT_FALSE(MustParse("ro,rw").config.read_only);
  EXPECT_FALSE(MustParse("ro,rw").mount.read_only);
}

TEST(MountOptions, FlagsGoToTheKernelInTheirOrder) {
  const auto options = MustParse("nosuid,nodev,noexec,noatime,suid");
  EXPECT_EQ(options.mount.mount_options,
            (Strings{"nosuid", "nodev", "noexec", "noatime", "suid"}));
}

TEST(MountOptions, NamesOfTheMount) {
  const auto options = MustParse("fsname=my\\,union,subtype=x,allow_other");
  EXPECT_EQ(options.mount.source, "my,union");
  EXPECT_EQ(options.mount.subtype, "x");
  EXPECT_EQ(MustParse("").mount.subtype, "ufs");
  Refusal("subtype=");
  EXPECT_TRUE(options.mount.mount_options.empty());
  EXPECT_EQ(options.mount.allow_other, true);
}

TEST(MountOptions, WordsOfFstabAreAccepted) {
  const auto options = MustParse(
      "defaults,noauto,user,user=alice,users,_netdev,nofail,comment=a b=c,"
      "x-systemd.automount,x-foo=bar,X-mount.mkdir,lazytime,default_"
      "permissions");
  EXPECT_TRUE(options.notes.empty());
  EXPECT_TRUE(options.mount.mount_options.empty());
}

TEST(MountOptions, AllowRootIsForRoot) {
  if (geteuid() != 0) {
    EXPECT_NE(Refusal("allow_root").find("use allow_other"), std::string::npos);
  } else {
    EXPECT_EQ(MustParse("allow_root").mount.allow_other, false);
  }
}

TEST(MountOptions, WithoutXattrsThereAreNoAcls) {
  EXPECT_TRUE(MustParse("noxattrs=0").mount.xattrs);
  const auto options = MustParse("noxattrs=1");
  EXPECT_FALSE(options.mount.xattrs);
  EXPECT_FALSE(options.mount.acl);
  EXPECT_FALSE(options.config.acl);
}

TEST(MountOptions, OwnersMayBeKeptInXattrs) {
  EXPECT_TRUE(MustParse("xattr_permissions=2").config.keep_owners_in_xattrs);
  EXPECT_FALSE(MustParse("xattr_permissions=0").config.keep_owners_in_xattrs);
}

TEST(MountOptions, HintsAreCheckedAndOtherwiseFree) {
  EXPECT_EQ(MustParse("threaded=0").mount.threads, 1);
  EXPECT_EQ(MustParse("threaded=1").mount.threads, 0);
  EXPECT_EQ(MustParse("max_threads=3").mount.threads, 3);
  EXPECT_TRUE(MustParse("rings=auto").mount.rings_may_idle);
  EXPECT_FALSE(MustParse("rings=normal").mount.rings_may_idle);
  EXPECT_TRUE(MustParse("clone_fd,max_idle_threads=4,xino=auto,fast_ino=0")
                  .notes.empty());
  Refusal("max_idle_threads=many");
  Refusal("max_threads=0");
  Refusal("rings=idle");
  Refusal("threaded=2");
  Refusal("xino=perhaps");
  EXPECT_EQ(MustParse("static_nlink").notes.size(), 1u);
}

// --- refusals --------------------------------------------------------------

TEST(MountOptions, AnUnknownOptionIsNamedWithTheNearestKnownOne) {
  EXPECT_EQ(Refusal("lowerdri=/a"),
            "unknown option 'lowerdri'; did you mean 'lowerdir'?");
  EXPECT_EQ(Refusal("volitile"),
            "unknown option 'volitile'; did you mean 'volatile'?");
  EXPECT_EQ(Refusal("ro,frobnicate=1"),
            "unknown option 'frobnicate'; 'ufs help mount' lists those known");
}

TEST(MountOptions, AnUnknownOptionMayBeIgnoredWithANote) {
  const auto options = Parse({"ro,frobnicate=1"}, UnknownOption::kIgnore);
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->notes, Strings{"unknown option ignored: frobnicate"});
  EXPECT_TRUE(options->config.read_only);
  EXPECT_FALSE(Parse({"metacopy=x"}, UnknownOption::kIgnore).ok())
      << "a bad value of a known one is still an error";
}

TEST(MountOptions, WhatCannotBeHonouredIsRefusedByName) {
  for (const char* text : {"nfs_export=on", "verity=require", "uuid=on",
                           "xattr_permissions=1", "plugins=/x.so", "ino32_t",
                           "entry_timeout=3", "datadir+=/d", "blkdev"}) {
    auto options = Parse({text}, UnknownOption::kIgnore);
    ASSERT_FALSE(options.ok()) << text;
    EXPECT_EQ(options.code(), EOPNOTSUPP) << text;
    EXPECT_NE(options.error().context().find(text), std::string::npos)
        << options.error().context();
  }
  MustParse(
      "nfs_export=off,verity=off,uuid=auto,noxattrs=0,xattr_permissions=0,"
      "plugins=");
}

TEST(MountOptions, ValuesWhereNoneBelongAndNoneWhereOneDoes) {
  EXPECT_NE(Refusal("noacl=1").find("takes no value"), std::string::npos);
  EXPECT_NE(Refusal("lowerdir").find("needs a value"), std::string::npos);
  Refusal("upperdir=");
  Refusal("context=\"unclosed");
}

TEST(MountOptions, LaterStringsOverrideEarlierOnes) {
  auto options = Parse({"lowerdir=/a,metacopy=on", "lowerdir=/b,metacopy=off"});
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->config.layers, Strings{"/b"});
  EXPECT_FALSE(options->config.metacopy);
}

TEST(DescribeMountOptions, NamesEachOptionOfTheUnions) {
  const std::string text = DescribeMountOptions();
  for (const char* name :
       {"lowerdir=",      "upperdir=",      "workdir=",    "redirect_dir=",
        "metacopy=",      "index=",         "xino=",       "volatile",
        "userxattr",      "uidmapping=",    "gidmapping=", "squash_to_root",
        "squash_to_uid=", "squash_to_gid=", "noacl",       "context=",
        "timeout=",       "fsync=",         "threaded=",   "whiteout=",
        "transport="})
    EXPECT_NE(text.find(std::string("  ") + name), std::string::npos) << name;
  for (size_t from = 0; from < text.size();) {
    const size_t end = text.find('\n', from);
    EXPECT_LE(end - from, 79u) << text.substr(from, end - from);
    from = end + 1;
  }
}

}  // namespace
}  // namespace ufs
