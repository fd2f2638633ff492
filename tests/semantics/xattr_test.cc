// Extended attributes and POSIX ACLs.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

using Xattr = UnionTest;
using Acl = UnionTest;
using Nested = UnionTest;
using XattrNames = std::set<std::string>;

TEST_F(Xattr, OfLowerFilesShowThrough) {
  Mount({Tree()
             .File("f")
             .Xattr("user.one", "1")
             .Xattr("user.two", "")
             .Dir("d")
             .Xattr("user.bin", std::string("\0\1\xff", 3))});
  EXPECT_EQ(GetXattr("f", "user.one"), "1");
  EXPECT_EQ(GetXattr("f", "user.two"), "");
  EXPECT_EQ(GetXattr("d", "user.bin"), std::string("\0\1\xff", 3));
  EXPECT_EQ(ListXattrs("f"), (XattrNames{"user.one", "user.two"}));
  EXPECT_EQ(GetXattr("f", "user.three"), std::nullopt);
  EXPECT_EQ(ListXattrs("."), XattrNames{});
}

TEST_F(Xattr, OfAMergedDirectoryAreTheUppermosts) {
  Mount({Tree().Dir("d").Xattr("user.low", "l").Xattr("user.both", "l"),
         Tree().Dir("d").Xattr("user.top", "t").Xattr("user.both", "t")});
  EXPECT_EQ(ListXattrs("d"), (XattrNames{"user.both", "user.top"}));
  EXPECT_EQ(GetXattr("d", "user.both"), "t");
}

TEST_F(Xattr, SetChangeAndRemoveOnEveryOrigin) {
  Mount({Tree()
             .File("low", "data")
             .Xattr("user.keep", "k")
             .Xattr("user.k", "old")
             .Dir("d")
             .Xattr("user.keep", "k")
             .Xattr("user.k", "old")});
  WriteFile("up", "data");
  SetXattr("up", "user.keep", "k");
  SetXattr("up", "user.k", "old");
  for (const char* name : {"low", "up", "d"}) {
    SetXattr(name, "user.k", "new value");
    SetXattr(name, "user.more", "m");
    EXPECT_OK(removexattr(name, "user.keep"));
    EXPECT_ERRNO(ENODATA, removexattr(name, "user.keep"));
    EXPECT_EQ(ListXattrs(name), (XattrNames{"user.k", "user.more"})) << name;
  }
  Remount();
  for (const char* name : {"low", "up", "d"}) {
    EXPECT_EQ(GetXattr(name, "user.k"), "new value") << name;
    EXPECT_EQ(ListXattrs(name), (XattrNames{"user.k", "user.more"})) << name;
  }
  EXPECT_EQ(ReadFile("low"), "data");
}

TEST_F(Xattr, RemovingTheLastOneOfALowerFileStaysRemoved) {
  Mount({Tree().File("f").Xattr("user.only", "1")});
  EXPECT_OK(removexattr("f", "user.only"));
  Remount();
  EXPECT_EQ(ListXattrs("f"), XattrNames{});
}

TEST_F(Xattr, CreateAndReplaceFlags) {
  Mount({Tree().File("f").Xattr("user.there", "1")});
  EXPECT_ERRNO(EEXIST, setxattr("f", "user.there", "2", 1, XATTR_CREATE));
  EXPECT_ERRNO(ENODATA, setxattr("f", "user.no", "2", 1, XATTR_REPLACE));
  EXPECT_OK(setxattr("f", "user.there", "3", 1, XATTR_REPLACE));
  EXPECT_OK(setxattr("f", "user.no", "4", 1, XATTR_CREATE));
  EXPECT_EQ(GetXattr("f", "user.there"), "3");
  EXPECT_EQ(GetXattr("f", "user.no"), "4");
}

TEST_F(Xattr, SizesAndBuffers) {
  Mount({Tree().File("f").Xattr("user.k", "0123456789")});
  char small[4], large[100];
  EXPECT_EQ(getxattr("f", "user.k", nullptr, 0), 10);
  EXPECT_ERRNO(ERANGE, getxattr("f", "user.k", small, sizeof small));
  EXPECT_EQ(getxattr("f", "user.k", large, sizeof large), 10);
  EXPECT_EQ(listxattr("f", nullptr, 0), 7);
  EXPECT_ERRNO(ERANGE, listxattr("f", small, sizeof small));
  const std::string value = Pattern(2000);
  SetXattr("f", "user.k", value);
  EXPECT_EQ(GetXattr("f", "user.k"), value);
  const std::string name = "user." + std::string(250, 'n');
  SetXattr("f", name, "longest");
  EXPECT_EQ(GetXattr("f", name), "longest");
  EXPECT_ERRNO(ERANGE, setxattr("f", (name + "x").c_str(), "", 0, 0));
  EXPECT_ERRNO(E2BIG, setxattr("f", "user.big", value.data(), 65537, 0));
}

TEST_F(Xattr, NamespacesAndPermissions) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree()
             .File("f")
             .Mode(0644)
             .Xattr("user.k", "v")
             .File("closed")
             .Mode(0600)
             .Xattr("user.k", "v")});
  EXPECT_ERRNO(EOPNOTSUPP, setxattr("f", "unknown.k", "", 0, 0));
  EXPECT_ERRNO(EOPNOTSUPP, setxattr("f", "nodot", "", 0, 0));
  EXPECT_ERRNO_EQ(EACCES, AsUser(kBob, [] {
                    return ErrnoOf(setxattr("f", "user.k", "", 0, 0));
                  }));
  EXPECT_ERRNO_EQ(0, AsUser(kBob, [] {
                    return ErrnoOf(getxattr("f", "user.k", nullptr, 0));
                  }));
  EXPECT_ERRNO_EQ(EACCES, AsUser(kBob, [] {
                    return ErrnoOf(getxattr("closed", "user.k", nullptr, 0));
                  }));
  EXPECT_ERRNO_EQ(EPERM, AsUser(kBob, [] {
                    return ErrnoOf(setxattr("f", "trusted.k", "", 0, 0));
                  }));
}

TEST_F(Xattr, TrustedOnesAreForRoot) {
  NEEDS_REAL_ROOT("trusted xattrs need CAP_SYS_ADMIN of the machine");
  Mount({Tree().File("f").Mode(0666).Xattr("trusted.low", "t")});
  EXPECT_EQ(GetXattr("f", "trusted.low"), "t");
  SetXattr("f", "trusted.mine", "m");
  EXPECT_ERRNO_EQ(ENODATA, AsUser(kBob, [] {
                    return ErrnoOf(getxattr("f", "trusted.low", nullptr, 0));
                  }));
  EXPECT_ERRNO_EQ(EPERM, AsUser(kBob, [] {
                    return ErrnoOf(setxattr("f", "trusted.x", "1", 1, 0));
                  }));
  Remount();
  EXPECT_EQ(ListXattrs("f"), (XattrNames{"trusted.low", "trusted.mine"}));
  // Nobody else is told of them.
  EXPECT_ERRNO_EQ(0, AsUser(kBob, [] {
                    char names[100];
                    return listxattr("f", names, sizeof(names)) == 0 ? 0
                                                                     : EEXIST;
                  }));
  EXPECT_EQ(GetXattr("f", "trusted.mine"), "m");
}

TEST_F(Xattr, SecurityOnesAreKept) {
  Mount({Tree().File("f")});
  SetXattr("f", "security.note", "n");
  AppendFile("f", "x");
  Remount();
  EXPECT_EQ(GetXattr("f", "security.note"), "n");
}

TEST_F(Xattr, ThroughDescriptorsAndUnlinkedFiles) {
  Mount({Tree().File("f", "x").Xattr("user.low", "l")});
  UniqueFd fd = Open("f", O_RDONLY);
  EXPECT_OK(fsetxattr(fd.get(), "user.new", "n", 1, 0));
  EXPECT_EQ(GetXattr("f", "user.new"), "n");
  EXPECT_OK(unlink("f"));
  char value[8];
  EXPECT_EQ(fgetxattr(fd.get(), "user.low", value, sizeof value), 1);
  EXPECT_EQ(fgetxattr(fd.get(), "user.new", value, sizeof value), 1);
  EXPECT_OK(fremovexattr(fd.get(), "user.low"));
  EXPECT_ERRNO(ENODATA, fgetxattr(fd.get(), "user.low", value, sizeof value));
}

TEST_F(Xattr, MoveCtimeNotMtime) {
  Mount({Tree().File("f", "x").Times(At(1), At(2))});
  const struct stat before = Stat("f");
  SetXattr("f", "user.k", "v");
  const struct stat after = Stat("f");
  EXPECT_EQ(after.st_mtim, At(2));
  EXPECT_LT(before.st_ctim, after.st_ctim);
}

TEST_F(Xattr, SettingOneCopiesNoData) {
  SKIP_ON_PLAIN("there is no upper");
  Mount({Tree().File("big", Pattern(1 << 20))});
  SetXattr("big", "user.k", "v");
  EXPECT_TRUE(ReadFile("big") == Pattern(1 << 20));
  Unmount();
  EXPECT_LT(Stat(Upper("big")).st_blocks * 512, 1 << 16);
}

TEST_F(Xattr, ManyOnOneFile) {
  Mount({Tree().File("f")});
  XattrNames names;
  for (int i = 0; i < 60; ++i) {
    const std::string name = "user.n" + std::to_string(i);
    SetXattr("f", name, name);
    names.insert(name);
  }
  EXPECT_EQ(ListXattrs("f"), names);
  Remount();
  EXPECT_EQ(ListXattrs("f"), names);
  EXPECT_EQ(GetXattr("f", "user.n42"), "user.n42");
}

// ACLs.

TEST_F(Acl, GrantsANamedUser) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree()
             .File("low", "x")
             .Mode(0640)
             .Xattr(kAccessAcl, AclGrantingUser(1000, 6))});
  WriteFile("up", "x");
  SetXattr("up", kAccessAcl, AclGrantingUser(1000, 6));
  for (const std::string name : {"low", "up"}) {
    EXPECT_ERRNO_EQ(
        0, AsUser(kAlice, [&] { return ErrnoOf(open(name.c_str(), O_RDWR)); }))
        << name;
    EXPECT_ERRNO_EQ(
        EACCES,
        AsUser(kBob, [&] { return ErrnoOf(open(name.c_str(), O_RDONLY)); }))
        << name;
  }
}

TEST_F(Acl, SurvivesCopyUpAndRemount) {
  NEEDS_SEVERAL_IDS();
  const std::string acl = AclGrantingUser(1000, 6);
  Mount({Tree()
             .File("f", "x")
             .Mode(0640)
             .Xattr(kAccessAcl, acl)
             .Dir("d")
             .Xattr(kDefaultAcl, acl)});
  AppendFile("f", "y");
  SetXattr("d", "user.touch", "1");
  EXPECT_EQ(GetXattr("f", kAccessAcl), acl);
  Remount();
  EXPECT_EQ(GetXattr("f", kAccessAcl), acl);
  EXPECT_EQ(GetXattr("d", kDefaultAcl), acl);
  EXPECT_ERRNO_EQ(0, AsUser(kAlice, [] { return ErrnoOf(open("f", O_RDWR)); }));
}

TEST_F(Acl, AndModeFollowEachOther) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().File("f").Mode(0644)});
  SetXattr("f", kAccessAcl,
           AclValue({{ACL_USER_OBJ, 6},
                     {ACL_USER, 4, 1000},
                     {ACL_GROUP_OBJ, 4},
                     {ACL_MASK, 6},
                     {ACL_OTHER, 0}}));
  EXPECT_EQ(Mode("f"), 0660u) << "the mask shows as the group's bits";
  EXPECT_OK(chmod("f", 0640));
  EXPECT_EQ(GetXattr("f", kAccessAcl), AclValue({{ACL_USER_OBJ, 6},
                                                 {ACL_USER, 4, 1000},
                                                 {ACL_GROUP_OBJ, 4},
                                                 {ACL_MASK, 4},
                                                 {ACL_OTHER, 0}}));
  EXPECT_OK(chmod("f", 0600));
  EXPECT_ERRNO_EQ(EACCES,
                  AsUser(kAlice, [] { return ErrnoOf(open("f", O_RDONLY)); }));
  EXPECT_OK(removexattr("f", kAccessAcl));
  EXPECT_EQ(GetXattr("f", kAccessAcl), std::nullopt);
  EXPECT_EQ(Mode("f"), 0600u);
}

// The link has another name, and in a user namespace a file that stands in for
// it: the owner and mode of the whole upper are in marks from then on.
TEST_F(Acl, AndModeFollowEachOtherInADirectoryWithAMark) {
  Mount({Tree().Symlink("l", "..").HardLink("second", "l")});
  ASSERT_OK(unlink("l"));
  SetXattr(".", kAccessAcl,
           AclValue({{ACL_USER_OBJ, 7},
                     {ACL_USER, 3, 0},
                     {ACL_GROUP_OBJ, 5},
                     {ACL_MASK, 1},
                     {ACL_OTHER, 4}}));
  EXPECT_EQ(Mode("."), 0714u);
  EXPECT_OK(chmod(".", 0753));
  EXPECT_EQ(GetXattr(".", kAccessAcl), AclValue({{ACL_USER_OBJ, 7},
                                                 {ACL_USER, 3, 0},
                                                 {ACL_GROUP_OBJ, 5},
                                                 {ACL_MASK, 5},
                                                 {ACL_OTHER, 3}}));
  EXPECT_EQ(Mode("."), 0753u);
  Remount();
  EXPECT_EQ(Mode("."), 0753u);
}

TEST_F(Acl, AMinimalOneIsTheModeAndNothingMore) {
  Mount({Tree().File("f").Mode(0600)});
  SetXattr("f", kAccessAcl,
           AclValue({{ACL_USER_OBJ, 7}, {ACL_GROUP_OBJ, 5}, {ACL_OTHER, 4}}));
  EXPECT_EQ(Mode("f"), 0754u);
  EXPECT_EQ(ListXattrs("f"), XattrNames{});
  Remount();
  EXPECT_EQ(Mode("f"), 0754u);
}

TEST_F(Acl, WhatIsRefused) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().File("f").Owner(1000, 1000).Symlink("l", "f").Dir("d")});
  const std::string acl = AclGrantingUser(1000, 6);
  EXPECT_ERRNO(EINVAL, setxattr("f", kAccessAcl, "jun", 3, 0));
  EXPECT_ERRNO(EACCES, setxattr("f", kDefaultAcl, acl.data(), acl.size(), 0));
  EXPECT_ERRNO_EQ(
      EPERM, AsUser(kBob, [&] {
        return ErrnoOf(setxattr("f", kAccessAcl, acl.data(), acl.size(), 0));
      }));
  EXPECT_ERRNO_EQ(
      0, AsUser(kAlice, [&] {
        return ErrnoOf(setxattr("f", kAccessAcl, acl.data(), acl.size(), 0));
      }));
}

TEST_F(Acl, OneThatIsNotThereIsRemovedAlready) {
  Mount({Tree().File("f").Dir("d")});
  for (const char* name : {"f", "d"}) {
    EXPECT_OK(removexattr(name, kAccessAcl)) << name;
    EXPECT_OK(removexattr(name, kDefaultAcl)) << name;
  }
}

TEST_F(Acl, CostsTheGroupIdOfAnotherGroup) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree()
             .File("f")
             .Owner(1000, 2000)
             .Mode(02755)
             .Dir("d")
             .Owner(1000, 2000)
             .Mode(02755)});
  const std::string acl = AclGrantingUser(1001, 4);
  for (const char* name : {"f", "d"}) {
    EXPECT_ERRNO_EQ(
        0, AsUser(kAlice,
                  [&] {
                    return ErrnoOf(
                        setxattr(name, kAccessAcl, acl.data(), acl.size(), 0));
                  }))
        << name;
    EXPECT_EQ(Stat(name).st_mode & 07777, 0670u) << name;
    EXPECT_OK(chmod(name, 02755));
    SetXattr(name, kAccessAcl, acl);
    EXPECT_EQ(Stat(name).st_mode & 07777, 02670u) << name;
  }
}

TEST_F(Acl, DefaultOfALowerDirectoryReachesDeepDirectories) {
  NEEDS_SEVERAL_IDS();
  const std::string acl = AclGrantingUser(1000, 6);
  Mount({Tree().Dir("d").Xattr(kDefaultAcl, acl)});
  EXPECT_OK(mkdir("d/a", 0777));
  EXPECT_OK(mkdir("d/a/b", 0777));
  WriteFile("d/a/b/f", "x");
  EXPECT_EQ(GetXattr("d/a/b", kDefaultAcl), acl);
  EXPECT_ERRNO_EQ(
      EACCES, AsUser(kAlice, [] { return ErrnoOf(open("d/a/b/f", O_RDONLY)); }))
      << "the directories give alice no x";
  EXPECT_OK(removexattr("d", kDefaultAcl));
  WriteFile("d/plain", "");
  EXPECT_EQ(GetXattr("d/plain", kAccessAcl), std::nullopt);
}

// The names with which unions mark their layers, seen from inside a union: a
// layer's own marks must not show, a user's must be nothing but xattrs. With
// that a union can lie on top of a union.

TEST_F(Nested, MarksOfThisUnionDoNotShow) {
  SKIP_ON_PLAIN("there is no upper");
  Mount({Tree().File("f", "x").File("d/g").File("gone/x").Symlink("l", "f")});
  EXPECT_OK(chmod("f", 0600));
  EXPECT_OK(rename("d", "e"));
  EXPECT_OK(unlink("gone/x"));
  EXPECT_OK(rmdir("gone"));
  EXPECT_OK(mkdir("gone", 0755));
  PatchFile("e/g", 0, "y");
  EXPECT_OK(lchown("l", 0, 0));
  for (int i = 0; i < 2; ++i) {
    for (const char* name : {".", "f", "e", "gone", "e/g", "l"}) {
      EXPECT_EQ(ListXattrs(name), XattrNames{}) << name;
    }
    for (const char* mark : {"opaque", "redirect", "metacopy", "origin"}) {
      const std::string name = std::string("trusted.overlay.") + mark;
      char value[256];
      EXPECT_ERRNO(ENODATA, lgetxattr("e", name.c_str(), value, sizeof value));
      EXPECT_ERRNO(ENODATA, lgetxattr("f", name.c_str(), value, sizeof value));
    }
    Remount();
  }
}

TEST_F(Nested, AUsersMarkIsAnXattrLikeAnyOther) {
  NEEDS_REAL_ROOT("trusted xattrs need CAP_SYS_ADMIN of the machine");
  Mount({Tree().File("d/low", "l").File("f", "x")});
  SetXattr("d", "trusted.overlay.opaque", "y");
  SetXattr("f", "trusted.overlay.metacopy", "");
  SetXattr("d", "trusted.overlay.redirect", "elsewhere");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(List("d"), Names{"low"}) << "it must not cut this union";
    EXPECT_EQ(ReadFile("f"), "x");
    EXPECT_EQ(GetXattr("d", "trusted.overlay.opaque"), "y");
    EXPECT_EQ(GetXattr("d", "trusted.overlay.redirect"), "elsewhere");
    EXPECT_EQ(GetXattr("f", "trusted.overlay.metacopy"), "");
    EXPECT_EQ(ListXattrs("d"), (XattrNames{"trusted.overlay.opaque",
                                           "trusted.overlay.redirect"}));
    Remount();
  }
  EXPECT_OK(removexattr("d", "trusted.overlay.opaque"));
  Remount();
  EXPECT_EQ(ListXattrs("d"), XattrNames{"trusted.overlay.redirect"});
}

TEST_F(Nested, AUsersUserMarkIsAnXattrLikeAnyOther) {
  Mount({Tree().File("d/low", "l").File("f", "x")});
  SetXattr("d", "user.overlay.opaque", "y");
  SetXattr("d", "user.fuseoverlayfs.opaque", "y");
  SetXattr("f", "user.overlay.whiteout", "");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(List("d"), Names{"low"}) << "it must not cut this union";
    EXPECT_EQ(List("."), (Names{"d", "f"}));
    EXPECT_EQ(GetXattr("d", "user.overlay.opaque"), "y");
    EXPECT_EQ(GetXattr("d", "user.fuseoverlayfs.opaque"), "y");
    EXPECT_EQ(GetXattr("f", "user.overlay.whiteout"), "");
    Remount();
  }
}

TEST_F(Nested, EscapedMarksOfALayerAreUnescapedOnce) {
  SKIP_ON_PLAIN("escapes are a matter of layers");
  NEEDS_REAL_ROOT("trusted xattrs need CAP_SYS_ADMIN of the machine");
  Mount({Tree()
             .File("d/low")
             .Dir("d")
             .Xattr("trusted.overlay.overlay.opaque", "y")
             .Xattr("trusted.overlay.overlay.overlay.redirect", "r")});
  EXPECT_EQ(List("d"), Names{"low"});
  EXPECT_EQ(ListXattrs("d"), (XattrNames{"trusted.overlay.opaque",
                                         "trusted.overlay.overlay.redirect"}));
  EXPECT_EQ(GetXattr("d", "trusted.overlay.opaque"), "y");
}

TEST_F(Nested, AnOverlayfsMountsOnTopAndWorks) {
  NEEDS_REAL_ROOT("overlayfs's trusted names cannot be written");
  Mount({Tree().File("low/f", "f").File("low/gone", "g").File("low/d/x", "x")});
  for (const char* dir : {"inner", "inner/upper", "inner/work", "inner/mnt"}) {
    ASSERT_OK(mkdir(dir, 0755));
  }
  ProgramResult mounted = RunProgram(
      {"mount", "-t", "overlay", "overlay", "-o",
       "lowerdir=low,upperdir=inner/upper,workdir=inner/work", "inner/mnt"});
  if (mounted.exit_code != 0) {
    // A file system may be too deep in a stack, or no remote-like file system
    // may be an upper; the union must not be hurt by the attempt.
    EXPECT_EQ(ReadFile("low/f"), "f");
    GTEST_SKIP() << "overlayfs does not take this as its upper: "
                 << mounted.output;
  }
  EXPECT_EQ(ReadFile("inner/mnt/f"), "f");
  AppendFile("inner/mnt/f", "+");
  EXPECT_OK(unlink("inner/mnt/gone"));
  EXPECT_EQ(List("inner/mnt"), (Names{"d", "f"}));
  EXPECT_EQ(ReadFile("inner/mnt/f"), "f+");
  EXPECT_EQ(RunProgram({"umount", "inner/mnt"}).exit_code, 0);
  EXPECT_EQ(ReadFile("low/f"), "f");
}

}  // namespace
}  // namespace ufs::test
