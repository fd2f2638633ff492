// Deletions and cuts that layers bring along, in every form that is in use, and
// what of them must never show.
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

// Skips the forms that a subject does not claim to read.
#define SKIP_FORMS_NOT_READ(form, Form)                                      \
  if (is_overlay() && form != Form::kTrustedXattr && !IsCharDevice(form)) {  \
    GTEST_SKIP() << "overlay: this mount reads trusted. names only, and no " \
                    "names of other unions";                                 \
  }                                                                          \
  if (TheSubject().in_user_namespace && form == Form::kTrustedXattr) {       \
    GTEST_SKIP() << "in a user namespace: trusted xattrs cannot be seen";    \
  }

bool IsCharDevice(WhiteoutForm form) {
  return form == WhiteoutForm::kCharDevice;
}
bool IsCharDevice(OpaqueForm) { return false; }

class Whiteout : public UnionTest,
                 public testing::WithParamInterface<WhiteoutForm> {};

TEST_P(Whiteout, HidesAFile) {
  SKIP_FORMS_NOT_READ(GetParam(), WhiteoutForm);
  Mount({
      Tree().File("d/gone", "x").File("d/stays", "y"),
      Tree().Whiteout("d/gone", GetParam()),
  });
  EXPECT_ERRNO(ENOENT, access("d/gone", F_OK));
  EXPECT_EQ(List("d"), Names{"stays"});
  EXPECT_EQ(ReadFile("d/stays"), "y");
}

TEST_P(Whiteout, HidesAWholeDirectory) {
  SKIP_FORMS_NOT_READ(GetParam(), WhiteoutForm);
  Mount({
      Tree().File("d/gone/a/b", "x").File("d/stays"),
      Tree().File("d/gone/a/c", "y"),
      Tree().Whiteout("d/gone", GetParam()),
  });
  EXPECT_ERRNO(ENOENT, access("d/gone", F_OK));
  EXPECT_ERRNO(ENOENT, access("d/gone/a/b", F_OK));
  EXPECT_EQ(List("d"), Names{"stays"});
}

TEST_P(Whiteout, IsUndoneByALayerAbove) {
  SKIP_FORMS_NOT_READ(GetParam(), WhiteoutForm);
  Mount({
      Tree().File("d/f", "old").File("d/dir/old", "o"),
      Tree().Whiteout("d/f", GetParam()).Whiteout("d/dir", GetParam()),
      Tree().File("d/f", "new").File("d/dir/new", "n"),
  });
  EXPECT_EQ(ReadFile("d/f"), "new");
  EXPECT_EQ(List("d/dir"), Names{"new"}) << "what was below the cut came back";
}

TEST_P(Whiteout, InTheUpperHidesToo) {
  SKIP_FORMS_NOT_READ(GetParam(), WhiteoutForm);
  MountOnUpper({Tree().File("d/gone").File("d/stays")},
               Tree().Whiteout("d/gone", GetParam()));
  EXPECT_EQ(List("d"), Names{"stays"});
  WriteFile("d/gone", "back");
  EXPECT_EQ(List("d"), (Names{"gone", "stays"}));
  EXPECT_EQ(ReadFile("d/gone"), "back");
  Remount();
  EXPECT_EQ(ReadFile("d/gone"), "back");
}

TEST_P(Whiteout, OfNothingIsInvisible) {
  SKIP_FORMS_NOT_READ(GetParam(), WhiteoutForm);
  Mount({
      Tree().File("d/f"),
      Tree().Whiteout("d/never-was", GetParam()),
  });
  EXPECT_ERRNO(ENOENT, access("d/never-was", F_OK));
  EXPECT_EQ(List("d"), Names{"f"});
}

TEST_P(Whiteout, InTheBottomLayerIsInvisible) {
  SKIP_FORMS_NOT_READ(GetParam(), WhiteoutForm);
  // overlayfs reads the xattr form in merged directories only, and this one
  // stands in a directory of one layer.
  if (is_overlay() && GetParam() == WhiteoutForm::kTrustedXattr) {
    GTEST_SKIP() << "overlay: shows it; a directory of one layer is not merged";
  }
  MountReadOnly({Tree().Whiteout("d/never-was", GetParam()).File("d/f")});
  EXPECT_ERRNO(ENOENT, access("d/never-was", F_OK));
  EXPECT_EQ(List("d"), Names{"f"});
}

TEST_P(Whiteout, LeavesADirectoryThatCanBeRemoved) {
  SKIP_FORMS_NOT_READ(GetParam(), WhiteoutForm);
  Mount({
      Tree().File("d/a").File("d/b"),
      Tree().Whiteout("d/a", GetParam()).Whiteout("d/b", GetParam()),
  });
  EXPECT_EQ(List("d"), Names{});
  EXPECT_OK(rmdir("d"));
  EXPECT_ERRNO(ENOENT, access("d", F_OK));
  Remount();
  EXPECT_ERRNO(ENOENT, access("d", F_OK));
  EXPECT_OK(mkdir("d", 0755));
  EXPECT_EQ(List("d"), Names{});
}

TEST_P(Whiteout, AllowsAnExclusiveCreate) {
  SKIP_FORMS_NOT_READ(GetParam(), WhiteoutForm);
  Mount({
      Tree().File("d/a", "a").File("d/b", "b").File("d/c/x").File("d/l", "l"),
      Tree()
          .Whiteout("d/a", GetParam())
          .Whiteout("d/b", GetParam())
          .Whiteout("d/c", GetParam())
          .Whiteout("d/l", GetParam()),
  });
  { UniqueFd fd = Open("d/a", O_CREAT | O_EXCL | O_WRONLY); }
  EXPECT_OK(mkdir("d/c", 0755));
  EXPECT_OK(symlink("a", "d/l"));
  EXPECT_OK(mknod("d/b", S_IFIFO | 0600, 0));
  EXPECT_EQ(List("d/c"), Names{});
  EXPECT_EQ(ReadLink("d/l"), "a");
  EXPECT_EQ(List("d"), (Names{"a", "b", "c", "l"}));
  Remount();
  EXPECT_EQ(List("d"), (Names{"a", "b", "c", "l"}));
  EXPECT_EQ(List("d/c"), Names{});
}

INSTANTIATE_TEST_SUITE_P(EveryForm, Whiteout,
                         testing::Values(WhiteoutForm::kCharDevice,
                                         WhiteoutForm::kTrustedXattr,
                                         WhiteoutForm::kUserXattr,
                                         WhiteoutForm::kAufs),
                         [](const auto& info) { return ToString(info.param); });

class Opaque : public UnionTest,
               public testing::WithParamInterface<OpaqueForm> {};

TEST_P(Opaque, CutsEverythingBelow) {
  SKIP_FORMS_NOT_READ(GetParam(), OpaqueForm);
  Mount({
      Tree().File("d/l0", "0"),
      Tree().File("d/l1", "1"),
      Tree().Dir("d").Opaque(GetParam()).File("d/l2", "2"),
      Tree().File("d/l3", "3"),
  });
  EXPECT_EQ(List("d"), (Names{"l2", "l3"}));
  EXPECT_ERRNO(ENOENT, access("d/l0", F_OK));
  EXPECT_ERRNO(ENOENT, access("d/l1", F_OK));
  EXPECT_EQ(ReadFile("d/l2"), "2");
}

TEST_P(Opaque, InTheUpperCutsAllLowers) {
  SKIP_FORMS_NOT_READ(GetParam(), OpaqueForm);
  MountOnUpper({Tree().File("d/low").File("d/sub/low")},
               Tree().Dir("d").Opaque(GetParam()).File("d/up"));
  EXPECT_EQ(List("d"), Names{"up"});
  WriteFile("d/low", "new");
  EXPECT_EQ(ReadFile("d/low"), "new");
  EXPECT_OK(mkdir("d/sub", 0755));
  EXPECT_EQ(List("d/sub"), Names{});
  Remount();
  EXPECT_EQ(List("d"), (Names{"low", "sub", "up"}));
  EXPECT_EQ(List("d/sub"), Names{});
}

TEST_P(Opaque, CutsSubdirectoriesOfTheSameNameToo) {
  SKIP_FORMS_NOT_READ(GetParam(), OpaqueForm);
  Mount({
      Tree().File("d/sub/low", "l"),
      Tree().Dir("d").Opaque(GetParam()).File("d/sub/high", "h"),
  });
  EXPECT_EQ(List("d/sub"), Names{"high"});
}

TEST_P(Opaque, AnEmptyOneCanBeRemoved) {
  SKIP_FORMS_NOT_READ(GetParam(), OpaqueForm);
  Mount({
      Tree().File("d/low"),
      Tree().Dir("d").Opaque(GetParam()),
  });
  EXPECT_EQ(List("d"), Names{});
  EXPECT_OK(rmdir("d"));
  Remount();
  EXPECT_EQ(List("."), Names{});
}

TEST_P(Opaque, ItsMarkDoesNotShow) {
  SKIP_FORMS_NOT_READ(GetParam(), OpaqueForm);
  Mount({
      Tree().File("d/low"),
      Tree().Dir("d").Opaque(GetParam()).Xattr("user.mine", "1"),
  });
  EXPECT_EQ(ListXattrs("d"), std::set<std::string>{"user.mine"});
  EXPECT_EQ(List("d"), Names{});
  EXPECT_ERRNO(ENOENT, access("d/.wh..wh..opq", F_OK));
}

INSTANTIATE_TEST_SUITE_P(EveryForm, Opaque,
                         testing::Values(OpaqueForm::kTrustedXattr,
                                         OpaqueForm::kUserXattr,
                                         OpaqueForm::kFuseOverlayfsXattr,
                                         OpaqueForm::kAufs),
                         [](const auto& info) { return ToString(info.param); });

using AufsName = UnionTest;

TEST_F(AufsName, OfALayerDoesNotShow) {
  SKIP_ON_PLAIN("a plain directory has no whiteouts");
  SKIP_ON_OVERLAY("AUFS names are ordinary names there");
  Mount({
      Tree().File("a").File("b").File("d/x"),
      Tree().File(".wh.a").File("d/.wh..wh..opq"),
  });
  EXPECT_EQ(List("."), (Names{"b", "d"}));
  EXPECT_EQ(List("d"), Names{});
  EXPECT_ERRNO(ENOENT, access(".wh.a", F_OK));
  EXPECT_ERRNO(ENOENT, access("d/.wh..wh..opq", F_OK));
}

TEST_F(AufsName, OfPseudoLinksAndOrphansDoNotShow) {
  SKIP_ON_PLAIN("a plain directory has no whiteouts");
  SKIP_ON_OVERLAY("AUFS names are ordinary names there");
  Mount({Tree()
             .File("a")
             .Dir(".wh..wh.plnk")
             .Dir(".wh..wh.orph")
             .File(".wh..wh.aufs")});
  EXPECT_EQ(List("."), Names{"a"});
}

TEST_F(AufsName, AndAFileOfThatNameInOneLayer) {
  SKIP_ON_PLAIN("a plain directory has no whiteouts");
  SKIP_ON_OVERLAY("AUFS names are ordinary names there");
  // OCI says: a whiteout hides what is below its layer, never its own layer.
  Mount({
      Tree().File("f", "low"),
      Tree().File("f", "same layer").File(".wh.f"),
  });
  EXPECT_EQ(ReadFile("f"), "same layer");
}

TEST_F(AufsName, OfALinkGoesAndComesBack) {
  NEEDS_DIRECTORY_LAYERS("their import refuses such names");
  Mount({Tree().Symlink("d/.wh..wh..opq", "x").Symlink(".wh.l", "y")});
  for (const char* name : {"d/.wh..wh..opq", ".wh.l"}) {
    EXPECT_OK(unlink(name));
    EXPECT_OK(symlink("new", name));
    EXPECT_OK(unlink(name));
    WriteFile(name, "text");
  }
  Remount();
  EXPECT_EQ(ReadFile("d/.wh..wh..opq"), "text");
  EXPECT_EQ(ReadFile(".wh.l"), "text");
  EXPECT_EQ(List("."), (Names{".wh.l", "d"}));
}

TEST_F(AufsName, OfAnUppersMarkIsNotReplaced) {
  SKIP_ON_PLAIN("a plain directory has no whiteouts");
  SKIP_ON_OVERLAY("AUFS names are ordinary names there");
  MountOnUpper({Tree().File("a").File("b").File("c")}, Tree().File(".wh.a"));
  EXPECT_ERRNO(EPERM, rename("b", ".wh.a"));
  EXPECT_ERRNO(EPERM, link("c", ".wh.a"));
  EXPECT_ERRNO(EPERM, symlink("x", ".wh.a"));
  Remount();
  EXPECT_EQ(List("."), (Names{"b", "c"}));
}

using OnDisk = UnionTest;

TEST_F(OnDisk, ADeletionIsAWhiteoutOverlayfsUnderstands) {
  SKIP_ON_PLAIN("there is no upper");
  Mount({Tree().File("f").File("d/g").File("e/h")});
  EXPECT_OK(unlink("f"));
  EXPECT_OK(unlink("d/g"));
  EXPECT_OK(unlink("e/h"));
  EXPECT_OK(rmdir("e"));
  Unmount();
  for (const char* path : {"f", "d/g", "e"}) {
    struct stat st = Stat(Upper(path));
    EXPECT_TRUE(S_ISCHR(st.st_mode)) << path;
    EXPECT_EQ(st.st_rdev, makedev(0, 0)) << path;
  }
}

TEST_F(OnDisk, ANewFileLeavesNoWhiteout) {
  SKIP_ON_PLAIN("there is no upper");
  Mount({Tree().File("low")});
  WriteFile("f", "1");
  EXPECT_OK(unlink("f"));
  EXPECT_OK(mkdir("d", 0755));
  EXPECT_OK(rmdir("d"));
  Unmount();
  EXPECT_EQ(List(Upper("")), Names{});
}

TEST_F(OnDisk, ADirectoryMadeOverAWhiteoutIsOpaque) {
  SKIP_ON_PLAIN("there is no upper");
  Mount({Tree().File("d/low")});
  EXPECT_OK(unlink("d/low"));
  EXPECT_OK(rmdir("d"));
  EXPECT_OK(mkdir("d", 0755));
  WriteFile("d/new", "n");
  Unmount();
  const char* name = TheSubject().in_user_namespace ? "user.overlay.opaque"
                                                    : "trusted.overlay.opaque";
  EXPECT_EQ(GetXattr(Upper("d"), name), "y");
  EXPECT_EQ(List(Upper("d")), Names{"new"});
}

TEST_F(OnDisk, ReadingWritesNothing) {
  SKIP_ON_PLAIN("there is no upper");
  Mount({Tree().File("d/f", "x").Symlink("l", "d/f").Fifo("p")});
  EXPECT_EQ(ReadFile("d/f"), "x");
  EXPECT_EQ(ReadLink("l"), "d/f");
  EXPECT_EQ(List("d"), Names{"f"});
  ListXattrs("d/f");
  { UniqueFd fd = Open("d/f", O_RDONLY | O_NOATIME); }
  EXPECT_OK(access("d/f", R_OK | W_OK));
  // Attempts that fail change nothing either.
  EXPECT_ERRNO(EEXIST, mkdir("d", 0755));
  EXPECT_ERRNO(ENOTEMPTY, rmdir("d"));
  EXPECT_ERRNO(ENOENT, unlink("d/nothing"));
  EXPECT_ERRNO(EEXIST, open("d/f", O_CREAT | O_EXCL | O_WRONLY, 0644));
  Unmount();
  EXPECT_EQ(List(Upper("")), Names{});
}

TEST_F(OnDisk, TheUpperOfOneMountIsALayerOfTheNext) {
  SKIP_ON_PLAIN("there is no upper");
  NEEDS_REAL_ROOT("overlayfs's trusted names cannot be written");
  // What a mount leaves in its upper is a layer for others: here for kernel
  // overlayfs, mounted by hand.
  Mount({Tree()
             .File("a", "a")
             .File("d/x", "x")
             .File("d/y", "y")
             .File("e/sub/low", "low")});
  EXPECT_OK(unlink("a"));
  EXPECT_OK(unlink("d/x"));
  WriteFile("d/z", "z");
  EXPECT_OK(unlink("e/sub/low"));
  EXPECT_OK(rmdir("e/sub"));
  EXPECT_OK(mkdir("e/sub", 0700));
  WriteFile("e/sub/new", "new");
  ASSERT_OK(chmod("d/y", 0600));
  AppendFile("d/y", "+");
  Unmount();
  const std::string mnt = Outside("overlay");
  ASSERT_OK(mkdir(mnt.c_str(), 0755));
  ProgramResult mounted =
      RunProgram({"mount", "-t", "overlay", "overlay", "-o",
                  "ro,redirect_dir=on,metacopy=on,lowerdir=" + Upper("") + ":" +
                      Lower(0, ""),
                  mnt});
  ASSERT_EQ(mounted.exit_code, 0) << mounted.output;
  EXPECT_EQ(List(mnt), (Names{"d", "e"}));
  EXPECT_EQ(List(mnt + "/d"), (Names{"y", "z"}));
  EXPECT_EQ(ReadFile(mnt + "/d/y"), "y+");
  EXPECT_EQ(Mode(mnt + "/d/y"), 0600u);
  EXPECT_EQ(List(mnt + "/e/sub"), Names{"new"});
  EXPECT_EQ(Mode(mnt + "/e/sub"), 0700u);
  EXPECT_EQ(RunProgram({"umount", mnt}).exit_code, 0);
}

}  // namespace
}  // namespace ufs::test
