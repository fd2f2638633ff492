// The mount as a whole: statfs, the flags it shows, remounts, layers over
// layers.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

using MountPoint = UnionTest;
using Remounted = UnionTest;

// The options that mountinfo shows for a mountpoint, of the mount and of its
// file system.
std::set<std::string> OptionsOf(const std::string& mountpoint) {
  std::set<std::string> options;
  std::ifstream in("/proc/self/mountinfo");
  for (std::string line; std::getline(in, line);) {
    std::istringstream fields(line);
    std::vector<std::string> words;
    for (std::string word; fields >> word;) words.push_back(word);
    if (words.size() < 10 || words[4] != mountpoint) continue;
    for (const std::string& text : {words[5], words.back()}) {
      std::istringstream parts(text);
      for (std::string option; std::getline(parts, option, ',');) {
        options.insert(option);
      }
    }
  }
  return options;
}

TEST_F(MountPoint, StatfsTellsTheUppersSpace) {
  Mount({Tree().File("f")});
  struct statvfs here, disk;
  ASSERT_OK(statvfs(".", &here));
  ASSERT_OK(statvfs(Outside("").c_str(), &disk));
  EXPECT_EQ(here.f_blocks * here.f_frsize, disk.f_blocks * disk.f_frsize);
  EXPECT_GT(here.f_bavail, 0u);
  EXPECT_EQ(here.f_files, disk.f_files);
  EXPECT_EQ(here.f_namemax, 255u);
  EXPECT_FALSE(here.f_flag & ST_RDONLY);
  UniqueFd fd = Open("f", O_RDONLY);
  struct statvfs by_fd;
  ASSERT_OK(fstatvfs(fd.get(), &by_fd));
  EXPECT_EQ(by_fd.f_blocks, here.f_blocks);
}

TEST_F(MountPoint, StatfsOfAReadOnlyUnionSaysSo) {
  MountReadOnly({Tree().File("f")});
  struct statvfs here;
  ASSERT_OK(statvfs(".", &here));
  EXPECT_TRUE(here.f_flag & ST_RDONLY);
  EXPECT_EQ(here.f_namemax, 255u);
  EXPECT_TRUE(OptionsOf(root()).count("ro"));
}

TEST_F(MountPoint, FlagsAreWhatWasAsked) {
  Mount({Tree().File("f")}, "nosuid,nodev,noexec,noatime");
  const std::set<std::string> options = OptionsOf(root());
  for (const char* option : {"nosuid", "nodev", "noexec", "noatime"}) {
    EXPECT_TRUE(options.count(option)) << option;
  }
  struct statvfs here;
  ASSERT_OK(statvfs(".", &here));
  const unsigned long all = ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NOATIME;
  EXPECT_EQ(here.f_flag & all, all);
}

TEST_F(MountPoint, FlagsNotAskedForAreNotThere) {
  NEEDS_REAL_ROOT("the kernel adds flags to an ordinary user's mounts");
  Mount({Tree().File("f")});
  struct statvfs here;
  ASSERT_OK(statvfs(".", &here));
  EXPECT_FALSE(here.f_flag & ST_NOSUID);
  EXPECT_FALSE(here.f_flag & ST_NODEV);
  EXPECT_FALSE(here.f_flag & ST_NOEXEC);
}

TEST_F(MountPoint, AtimeIsAsTheFlagsSay) {
  NEEDS_DIRECTORY_LAYERS("they keep no atime");
  Mount({Tree().File("f", "x").Times(At(1000), At(2000))});
  EXPECT_EQ(ReadFile("f"), "x");
  const bool moved = At(1000) < Stat("f").st_atim;
  struct statvfs here;
  ASSERT_OK(statvfs(".", &here));
  // A file system that says noatime must not move it. One that says relatime
  // may, and serves reads from its cache: it need not.
  if (here.f_flag & ST_NOATIME) {
    EXPECT_FALSE(moved);
  }
  SetTimes("f", At(5, 5), At(6, 6));
  EXPECT_EQ(Stat("f").st_atim, At(5, 5));
  Remount();
  EXPECT_EQ(Stat("f").st_atim, At(5, 5));
}

TEST_F(MountPoint, CanBeBoundAndMovedInto) {
  Mount({Tree().File("d/f", "x").Dir("target")});
  ASSERT_OK(mount("d", "target", nullptr, MS_BIND, nullptr));
  EXPECT_EQ(ReadFile("target/f"), "x");
  AppendFile("target/f", "y");
  EXPECT_EQ(ReadFile("d/f"), "xy");
  EXPECT_ERRNO(EBUSY, rmdir("target"));
  EXPECT_ERRNO(EXDEV, rename("target/f", "d/g"));
  EXPECT_OK(umount("target"));
  EXPECT_OK(rmdir("target"));
}

TEST_F(MountPoint, CanBeARootForChroot) {
  Mount({Tree().File("etc/name", "inside")});
  EXPECT_EQ(InChild([this] {
              if (chroot(root().c_str()) != 0 || chdir("/") != 0) return errno;
              if (access("/etc/name", R_OK) != 0) return errno;
              if (access("/../../etc/name", R_OK) != 0) return errno;
              int fd = open("/etc/new", O_CREAT | O_WRONLY, 0644);
              return fd < 0 ? errno : ErrnoOf(write(fd, "x", 1));
            }),
            0);
  EXPECT_EQ(ReadFile("etc/new"), "x");
}

TEST_F(MountPoint, StaysBusyWhileAFileIsOpen) {
  Mount({Tree().File("f", "x")});
  UniqueFd fd = Open("f", O_RDONLY);
  ASSERT_OK(chdir(Outside("").c_str()));
  EXPECT_ERRNO(EBUSY, umount2(root().c_str(), UMOUNT_NOFOLLOW));
  fd.reset();
  ASSERT_OK(chdir(root().c_str()));
}

TEST_F(MountPoint, ALazyUnmountLetsOpenFilesLive) {
  Mount({Tree().File("f", "lower content")});
  UniqueFd fd = Open("f", O_RDWR);
  ASSERT_OK(chdir(Outside("").c_str()));
  // A second mount of the same, so that the fixture has one to unmount.
  const std::string twin = Outside("twin");
  ASSERT_OK(mkdir(twin.c_str(), 0755));
  ASSERT_OK(mount(root().c_str(), twin.c_str(), nullptr, MS_BIND, nullptr));
  ASSERT_OK(umount2(twin.c_str(), MNT_DETACH));
  WriteAt(fd.get(), 0, "LOWER");
  EXPECT_EQ(ReadAll(fd.get()), "LOWER content");
  ASSERT_OK(chdir(root().c_str()));
  EXPECT_EQ(ReadFile("f"), "LOWER content");
}

TEST_F(Remounted, KeepsEveryKindOfChange) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree()
             .File("appended", "a")
             .File("patched", Pattern(200000))
             .File("truncated", "truncated")
             .File("chmodded", "c")
             .File("chowned", "c")
             .File("moved", "m")
             .File("linked", "l")
             .File("removed")
             .File("dir/removed")
             .File("dir/kept", "k")
             .File("replaced", "old")
             .Symlink("link", "old")
             .File("movedir/f", "f")
             .Dir("emptied")
             .File("emptied/f")});
  AppendFile("appended", "b");
  PatchFile("patched", 100000, "PATCH");
  EXPECT_OK(truncate("truncated", 5));
  EXPECT_OK(chmod("chmodded", 0600));
  EXPECT_OK(chown("chowned", 1000, 1000));
  EXPECT_OK(rename("moved", "dir/moved"));
  EXPECT_OK(link("linked", "dir/linked"));
  EXPECT_OK(unlink("removed"));
  EXPECT_OK(unlink("dir/removed"));
  WriteFile("tmp", "new");
  EXPECT_OK(rename("tmp", "replaced"));
  EXPECT_OK(unlink("link"));
  EXPECT_OK(symlink("new", "link"));
  EXPECT_OK(rename("movedir", "dir/movedir"));
  EXPECT_OK(unlink("emptied/f"));
  EXPECT_OK(mkfifo("pipe", 0600));
  SetXattr("dir", "user.k", "v");
  Snapshot before = Snapshot::Take(".", Snapshot::Detail::kContent);
  for (int i = 0; i < 3; ++i) {
    Remount();
    EXPECT_TRUE(before.SameAs(Snapshot::Take(".", Snapshot::Detail::kContent)))
        << "remount " << i;
  }
}

TEST_F(Remounted, MovesTwentyTimes) {
  Mount({Tree().File("d0/f", "x").File("d0/sub/g", "y")});
  for (int i = 0; i < 20; ++i) {
    EXPECT_OK(rename(("d" + std::to_string(i)).c_str(),
                     ("d" + std::to_string(i + 1)).c_str()));
    AppendFile("d" + std::to_string(i + 1) + "/f", "+");
    if (i % 5 == 4) Remount();
  }
  EXPECT_EQ(ReadFile("d20/f"), "x" + std::string(20, '+'));
  EXPECT_EQ(ReadFile("d20/sub/g"), "y");
  EXPECT_EQ(List("."), Names{"d20"});
}

TEST_F(Remounted, ReadsAnUpperThatOverlayfsWrote) {
  SKIP_ON_PLAIN("there is no upper");
  NEEDS_REAL_ROOT("overlayfs's trusted names cannot be written");
  // The upper is made by kernel overlayfs over this union's own lower, which
  // only then becomes the upper of the union under test.
  Tree lower = Tree()
                   .File("gone", "g")
                   .File("moved", "m")
                   .File("meta", "content")
                   .File("dir/a", "a")
                   .File("dir/b", "b")
                   .File("cut/old", "o")
                   .File("h1", "h")
                   .HardLink("h2", "h1");
  Mount({lower});
  Unmount();
  const std::string mnt = Outside("overlay");
  ASSERT_OK(mkdir(mnt.c_str(), 0755));
  const std::string work = Upper("") + "/../upper.overlay-work";
  ASSERT_OK(mkdir(work.c_str(), 0755));
  const std::string options =
      "redirect_dir=on,metacopy=on,index=off,lowerdir=" + Lower(0, "") +
      ",upperdir=" + Upper("") + ",workdir=" + work;
  ASSERT_EQ(
      RunProgram({"mount", "-t", "overlay", "overlay", "-o", options, mnt})
          .exit_code,
      0);
  ASSERT_OK(chdir(mnt.c_str()));
  EXPECT_OK(unlink("gone"));
  EXPECT_OK(rename("moved", "dir/moved"));
  EXPECT_OK(chmod("meta", 0600));
  EXPECT_OK(rename("dir", "renamed"));
  EXPECT_OK(unlink("renamed/a"));
  EXPECT_OK(unlink("cut/old"));
  EXPECT_OK(rmdir("cut"));
  EXPECT_OK(mkdir("cut", 0755));
  WriteFile("cut/new", "n");
  Snapshot as_overlayfs = Snapshot::Take(".", Snapshot::Detail::kContent);
  ASSERT_OK(chdir(Outside("").c_str()));
  ASSERT_EQ(RunProgram({"umount", mnt}).exit_code, 0);
  MountAgain();
  EXPECT_TRUE(
      as_overlayfs.SameAs(Snapshot::Take(".", Snapshot::Detail::kContent)));
  AppendFile("meta", "+");
  EXPECT_EQ(ReadFile("meta"), "content+");
  EXPECT_EQ(ReadFile("renamed/moved"), "m");
}

}  // namespace
}  // namespace ufs::test
