// What shows in a union: merging, whiteouts, opaque directories, odd names.
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

using Merge = UnionTest;
using Name = UnionTest;

TEST_F(Merge, DirectoriesOfAllLayersShowTogether) {
  Mount({
      Tree().File("d/one", "1").File("bottom", "b"),
      Tree().File("d/two", "2"),
      Tree().File("d/three", "3").File("top", "t"),
  });
  EXPECT_EQ(List("."), (Names{"bottom", "d", "top"}));
  EXPECT_EQ(List("d"), (Names{"one", "three", "two"}));
  EXPECT_EQ(ReadFile("d/one"), "1");
  EXPECT_EQ(ReadFile("d/two"), "2");
  EXPECT_EQ(ReadFile("d/three"), "3");
}

TEST_F(Merge, UppermostFileWins) {
  Mount({
      Tree().File("f", "bottom").Mode(0600),
      Tree().File("f", "middle").Mode(0640),
      Tree().File("f", "top").Mode(0444),
  });
  EXPECT_EQ(ReadFile("f"), "top");
  EXPECT_EQ(Mode("f"), 0444u);
  EXPECT_EQ(Size("f"), 3);
  EXPECT_EQ(List("."), Names{"f"});
}

TEST_F(Merge, UppermostDirectoryGivesTheAttributes) {
  Mount({
      Tree().Dir("d").Mode(0700).Times(At(100), At(200)).File("d/a"),
      Tree().Dir("d").Mode(0751).Times(At(1000), At(2000)).File("d/b"),
      Tree().File("other"),
  });
  EXPECT_EQ(Mode("d"), 0751u);
  EXPECT_EQ(Stat("d").st_mtim, At(2000));
  EXPECT_EQ(List("d"), (Names{"a", "b"}));
}

TEST_F(Merge, TheRootTakesTheUppersAttributes) {
  MountOnUpper({Tree().Mode(0700)}, Tree().Mode(01777));
  EXPECT_EQ(Mode("."), 01777u);
}

TEST_F(Merge, UpperWinsOverEveryLower) {
  MountOnUpper({Tree().File("f", "l0"), Tree().File("f", "l1").File("g", "g")},
               Tree().File("f", "upper"));
  EXPECT_EQ(ReadFile("f"), "upper");
  EXPECT_EQ(ReadFile("g"), "g");
}

TEST_F(Merge, FileHidesADirectoryBelow) {
  Mount({
      Tree().File("x/inside", "i"),
      Tree().File("x", "file now"),
  });
  EXPECT_EQ(ReadFile("x"), "file now");
  EXPECT_ERRNO(ENOTDIR, access("x/inside", F_OK));
}

TEST_F(Merge, DirectoryHidesAFileBelow) {
  Mount({
      Tree().File("x", "file"),
      Tree().File("x/inside", "i"),
  });
  EXPECT_EQ(List("x"), Names{"inside"});
  EXPECT_EQ(ReadFile("x/inside"), "i");
}

TEST_F(Merge, AFileInTheMiddleCutsTheDirectoriesBelowIt) {
  Mount({
      Tree().File("x/old", "o"),
      Tree().File("x", "file"),
      Tree().File("x/new", "n"),
  });
  EXPECT_EQ(List("x"), Names{"new"});
  EXPECT_ERRNO(ENOENT, access("x/old", F_OK));
}

TEST_F(Merge, ASymlinkHidesADirectoryAndIsNotFollowedIntoIt) {
  Mount({
      Tree().File("x/inside", "i").File("target/own", "o"),
      Tree().Symlink("x", "target"),
  });
  EXPECT_EQ(ReadLink("x"), "target");
  EXPECT_EQ(ReadFile("x/own"), "o");
  EXPECT_ERRNO(ENOENT, access("x/inside", F_OK));
}

TEST_F(Merge, DeepPathsMergeAtEveryLevel) {
  Mount({
      Tree().File("a/b/c/d/e/f/low", "low"),
      Tree().File("a/b/c/mid", "mid").File("a/b/c/d/e/also", "also"),
      Tree().File("a/b/c/d/e/f/high", "high"),
  });
  EXPECT_EQ(List("a/b/c"), (Names{"d", "mid"}));
  EXPECT_EQ(List("a/b/c/d/e"), (Names{"also", "f"}));
  EXPECT_EQ(List("a/b/c/d/e/f"), (Names{"high", "low"}));
  EXPECT_EQ(ReadFile("a/b/c/d/e/f/low"), "low");
}

TEST_F(Merge, EqualsTheModelOnATreeOfEverything) {
  NEEDS_DIRECTORY_LAYERS("they hold no sockets");
  const std::vector<Tree> layers = {
      Tree()
          .File("bin/sh", "#!")
          .Mode(04755)
          .File("etc/passwd", "root")
          .File("etc/conf.d/a", "a")
          .File("etc/conf.d/b", "b")
          .Symlink("lib", "usr/lib")
          .File("usr/lib/libc.so", "elf")
          .Fifo("run/pipe")
          .Mode(0622)
          .Socket("run/socket")
          .Mode(0666)
          .Dir("tmp")
          .Mode(01777)
          .File("var/log/old", "old"),
      Tree()
          .Whiteout("etc/conf.d/a")
          .File("etc/passwd", "root alice")
          .Mode(0640)
          .Dir("var/log")
          .Opaque(TheSubject().in_user_namespace ? OpaqueForm::kUserXattr
                                                 : OpaqueForm::kTrustedXattr)
          .File("var/log/new", "new")
          .Whiteout("run/pipe")
          .File("sparse")
          .SparseSize(1 << 20)
          .Extent(4096, "island"),
      Tree()
          .File("lib", "no longer a link")
          .File("run/pipe/now-a-dir", "")
          .Xattr("user.note", "kept")
          .HardLink("run/second-name", "run/pipe/now-a-dir"),
  };
  Mount(layers);
  ExpectUnionIs(Tree::Merge(layers));
}

TEST_F(Merge, MissingNamesAreMissing) {
  Mount({Tree().File("f").Dir("d")});
  EXPECT_ERRNO(ENOENT, access("nothing", F_OK));
  EXPECT_ERRNO(ENOENT, access("d/nothing", F_OK));
  EXPECT_ERRNO(ENOENT, access("nothing/below", F_OK));
  EXPECT_ERRNO(ENOTDIR, access("f/below", F_OK));
  // Twice: the second answer may come from a negative entry of the cache.
  EXPECT_ERRNO(ENOENT, access("nothing", F_OK));
  WriteFile("nothing", "something");
  EXPECT_EQ(ReadFile("nothing"), "something");
}

TEST_F(Merge, DotAndDotDotLeadWhereTheyShould) {
  Mount({Tree().File("a/b/f", "x")});
  EXPECT_EQ(Ino("a/b/.."), Ino("a"));
  EXPECT_EQ(Ino("a/b/."), Ino("a/b"));
  EXPECT_EQ(ReadFile("a/b/../b/./f"), "x");
}

TEST_F(Merge, ReadOnlyUnionRefusesEveryChange) {
  MountReadOnly({Tree().File("f", "x").Dir("d"), Tree().File("g", "y")});
  EXPECT_EQ(ReadFile("f"), "x");
  EXPECT_EQ(List("."), (Names{"d", "f", "g"}));
  EXPECT_ERRNO(EROFS, open("f", O_WRONLY));
  EXPECT_ERRNO(EROFS, open("f", O_RDONLY | O_TRUNC));
  EXPECT_ERRNO(EROFS, open("new", O_WRONLY | O_CREAT, 0644));
  EXPECT_ERRNO(EROFS, mkdir("new", 0755));
  EXPECT_ERRNO(EROFS, unlink("f"));
  EXPECT_ERRNO(EROFS, rmdir("d"));
  EXPECT_ERRNO(EROFS, rename("f", "h"));
  EXPECT_ERRNO(EROFS, link("f", "h"));
  EXPECT_ERRNO(EROFS, symlink("f", "h"));
  EXPECT_ERRNO(EROFS, mknod("h", S_IFIFO | 0644, 0));
  EXPECT_ERRNO(EROFS, chmod("f", 0600));
  EXPECT_ERRNO(EROFS, truncate("f", 0));
  EXPECT_ERRNO(EROFS, setxattr("f", "user.x", "1", 1, 0));
  EXPECT_ERRNO(EROFS, utimensat(AT_FDCWD, "f", nullptr, 0));
  EXPECT_ERRNO(EROFS, access("f", W_OK));
  EXPECT_OK(access("f", R_OK));
}

TEST_F(Merge, ReadOnlyUnionOfFilesOverDirectories) {
  MountReadOnly({
      Tree().File("x/a").File("y", "file"),
      Tree().File("x", "file").File("y/b"),
  });
  EXPECT_EQ(ReadFile("x"), "file");
  EXPECT_EQ(List("y"), Names{"b"});
}

TEST_F(Merge, AnEmptyUnionIsAnEmptyDirectory) {
  Mount({Tree()});
  EXPECT_EQ(List("."), Names{});
  WriteFile("first", "1");
  EXPECT_EQ(List("."), Names{"first"});
}

// Names.

TEST_F(Name, Of255BytesWorkInEveryOperation) {
  const std::string lower(255, 'l'), dir(255, 'd'), made(255, 'm'),
      moved(255, 'n'), linked(255, 'k');
  Mount({Tree().File(lower, "lower").File(dir + "/" + lower, "deep")});
  EXPECT_EQ(ReadFile(lower), "lower");
  EXPECT_EQ(ReadFile(dir + "/" + lower), "deep");
  WriteFile(made, "made");
  AppendFile(lower, "+");
  EXPECT_EQ(ReadFile(lower), "lower+");
  EXPECT_OK(link(lower.c_str(), linked.c_str()));
  EXPECT_OK(rename(made.c_str(), moved.c_str()));
  EXPECT_OK(unlink((dir + "/" + lower).c_str()));
  EXPECT_OK(rmdir(dir.c_str()));
  EXPECT_OK(rename(lower.c_str(), dir.c_str()));
  Remount();
  EXPECT_EQ(List("."), (Names{dir, linked, moved}));
  EXPECT_EQ(ReadFile(dir), "lower+");
}

TEST_F(Name, Of256BytesAreTooLong) {
  Mount({Tree().File("f")});
  const std::string name(256, 'x');
  EXPECT_ERRNO(ENAMETOOLONG, access(name.c_str(), F_OK));
  EXPECT_ERRNO(ENAMETOOLONG, open(name.c_str(), O_CREAT | O_WRONLY, 0644));
  EXPECT_ERRNO(ENAMETOOLONG, mkdir(name.c_str(), 0755));
  EXPECT_ERRNO(ENAMETOOLONG, rename("f", name.c_str()));
  EXPECT_ERRNO(ENAMETOOLONG, link("f", name.c_str()));
  EXPECT_ERRNO(ENAMETOOLONG, symlink("f", name.c_str()));
}

TEST_F(Name, LowerFileWithThePermissibleLongestNameCanBeDeleted) {
  const std::string name(255, 'x');
  Mount({Tree().File(name, "x").File("d/" + name, "y")});
  EXPECT_OK(unlink(name.c_str()));
  EXPECT_OK(unlink(("d/" + name).c_str()));
  EXPECT_EQ(List("."), Names{"d"});
  Remount();
  EXPECT_EQ(List("."), Names{"d"});
  EXPECT_EQ(List("d"), Names{});
  WriteFile(name, "again");
  EXPECT_EQ(ReadFile(name), "again");
}

TEST_F(Name, MayHoldEveryByteButSlashAndNul) {
  Mount({Tree().File("f", "x")});
  Names names;
  for (int byte = 1; byte < 256; ++byte) {
    if (byte == '/') continue;
    std::string name = "n";
    name += static_cast<char>(byte);
    WriteFile(name, name);
    names.push_back(name);
  }
  Remount();
  names.push_back("f");
  std::sort(names.begin(), names.end());
  EXPECT_EQ(List("."), names);
  for (const std::string& name : names) {
    EXPECT_EQ(ReadFile(name), name == "f" ? "x" : name);
  }
}

TEST_F(Name, OfLowerFilesMayHoldEveryByteToo) {
  Tree lower;
  Names names;
  for (int byte = 1; byte < 256; ++byte) {
    if (byte == '/') continue;
    std::string name(1, static_cast<char>(byte));
    name += "x";
    lower.File(name, name);
    names.push_back(name);
  }
  Mount({lower});
  std::sort(names.begin(), names.end());
  EXPECT_EQ(List("."), names);
  for (const std::string& name : names) {
    EXPECT_EQ(ReadFile(name), name);
    EXPECT_OK(unlink(name.c_str()));
  }
  EXPECT_EQ(List("."), Names{});
  Remount();
  EXPECT_EQ(List("."), Names{});
}

TEST_F(Name, WithOptionSeparatorsAreNotSpecial) {
  const Names names = {"a\\b", "a:b", "a,b", "a b",
                       "a\nb", "...", "\\:", "\xff\xfe\x80"};
  Tree lower;
  for (const std::string& name : names) lower.File(name + "/f", name);
  Mount({lower});
  for (const std::string& name : names) {
    EXPECT_EQ(ReadFile(name + "/f"), name);
    AppendFile(name + "/f", "+");
    EXPECT_OK(rename((name + "/f").c_str(), (name + "/g").c_str()));
    EXPECT_EQ(ReadFile(name + "/g"), name + "+");
  }
}

// `.wh.` is how AUFS writes a deletion on disk. A user knows nothing of that.
TEST_F(Name, ThatBeginWithWhAreOrdinaryToUsers) {
  Mount({Tree().File("victim", "v").File("d/victim", "v")});
  WriteFile(".wh.victim", "not a whiteout");
  EXPECT_EQ(ReadFile(".wh.victim"), "not a whiteout");
  EXPECT_EQ(ReadFile("victim"), "v");
  EXPECT_OK(mkdir(".wh.dir", 0755));
  WriteFile(".wh.dir/.wh..wh..opq", "not opaque");
  WriteFile("d/.wh..wh..opq", "not opaque");
  EXPECT_OK(rename("victim", ".wh.moved"));
  EXPECT_OK(symlink("x", ".wh.link"));
  EXPECT_OK(link("d/victim", ".wh.hard"));
  const Names top = {".wh.dir",   ".wh.hard",   ".wh.link",
                     ".wh.moved", ".wh.victim", "d"};
  EXPECT_EQ(List("."), top);
  EXPECT_EQ(List("d"), (Names{".wh..wh..opq", "victim"}));
  Remount();
  EXPECT_EQ(List("."), top);
  EXPECT_EQ(List("d"), (Names{".wh..wh..opq", "victim"}));
  EXPECT_EQ(ReadFile(".wh.victim"), "not a whiteout");
  EXPECT_EQ(ReadFile(".wh.moved"), "v");
  EXPECT_OK(unlink(".wh.victim"));
  EXPECT_OK(unlink("d/.wh..wh..opq"));
  EXPECT_OK(unlink(".wh.moved"));
  Remount();
  EXPECT_EQ(List("."), (Names{".wh.dir", ".wh.hard", ".wh.link", "d"}));
  EXPECT_EQ(List("d"), Names{"victim"});
}

// Whatever would be a mark in a layer: an empty file, or a directory AUFS has.
TEST_F(Name, ThatAreMarksOfAufsHideNothing) {
  Mount({Tree().File("d/low").File("e/low").Dir("e/sub")});
  WriteFile("d/.wh..wh..opq", "");
  EXPECT_OK(mkdir("e/.wh..wh.plnk", 0755));
  EXPECT_OK(rename("e/sub", "e/.wh..wh.orph"));
  for (int mounts = 0; mounts < 2; ++mounts) {
    EXPECT_EQ(List("d"), (Names{".wh..wh..opq", "low"}));
    EXPECT_EQ(List("e"), (Names{".wh..wh.orph", ".wh..wh.plnk", "low"}));
    EXPECT_OK(access("d/low", F_OK));
    EXPECT_OK(access("e/.wh..wh.plnk", F_OK));
    EXPECT_OK(access("e/.wh..wh.orph", F_OK));
    Remount();
  }
}

TEST_F(Name, ThatBeginWithWhMayBe255BytesLong) {
  std::string name = ".wh.";
  name.resize(255, 'w');
  Mount({Tree().Dir("d")});
  WriteFile(name, "long");
  EXPECT_OK(rename(name.c_str(), ("d/" + name).c_str()));
  Remount();
  EXPECT_EQ(List("d"), Names{name});
  EXPECT_EQ(ReadFile("d/" + name), "long");
}

TEST_F(Name, OfTheUppersOwnFilesAreFreeForUsers) {
  Mount({Tree().File("work/f", "w").File("index/f", "i")});
  for (const char* name : {"work", "index", "upper", "lower", "lost+found"}) {
    const std::string file = std::string(name) + "/g";
    if (!Exists(name)) {
      EXPECT_OK(mkdir(name, 0755));
    }
    WriteFile(file, name);
    EXPECT_EQ(ReadFile(file), name);
  }
  EXPECT_EQ(List("work"), (Names{"f", "g"}));
}

TEST_F(Name, CasesDiffer) {
  Mount({Tree().File("File", "1")});
  EXPECT_ERRNO(ENOENT, access("file", F_OK));
  WriteFile("file", "2");
  EXPECT_EQ(ReadFile("File"), "1");
}

TEST_F(Name, PathsUpToPathMaxWork) {
  Mount({Tree().Dir("d")});
  std::string path = "d";
  while (path.size() < 3900) {
    path += "/" + std::string(100, 'p');
    ASSERT_OK(mkdir(path.c_str(), 0755));
  }
  WriteFile(path + "/f", "deep");
  Remount();
  EXPECT_EQ(ReadFile(path + "/f"), "deep");
}

}  // namespace
}  // namespace ufs::test
