#include "fs/upper_diff.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>

#include "fs/union_fs.h"

namespace ufs {
namespace {

namespace stdfs = std::filesystem;
using Strings = std::vector<std::string>;

// Marks are user.* throughout, so that this runs as any user.
class UpperDiff : public testing::Test {
 protected:
  UpperDiff() {
    const char* const parent = getenv("UFS_TEST_DIR");
    std::string pattern =
        std::string(parent ? parent : "/var/tmp") + "/upper_diff.XXXXXX";
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = stdfs::canonical(pattern);
    for (const char* name : {"base", "app", "up"})
      stdfs::create_directories(At(name));
    // What an upper shows of the root is not what these tests are about.
    for (const char* name : {"base", "app", "up"})
      EXPECT_EQ(chmod(At(name).c_str(), 0755), 0);
  }
  ~UpperDiff() override { stdfs::remove_all(root_); }

  std::string At(const std::string& name) const { return root_ + "/" + name; }
  void Write(const std::string& name, const std::string& text) const {
    stdfs::create_directories(stdfs::path(At(name)).parent_path());
    std::ofstream(At(name)) << text;
  }
  void MakeDir(const std::string& name) const {
    stdfs::create_directories(At(name));
  }
  void Mark(const std::string& name, const char* mark,
            const std::string& value) const {
    const std::string xattr = std::string("user.overlay.") + mark;
    EXPECT_EQ(setxattr(At(name).c_str(), xattr.c_str(), value.data(),
                       value.size(), 0),
              0);
  }

  // "A /path", "R /from -> /to".
  Strings Diff(bool with_layers = true) const {
    UpperDiffOptions options;
    options.upper = At("up");
    if (with_layers) options.layers = {At("base"), At("app")};
    options.trusted_marks = false;
    const auto changes = DiffUpper(options);
    EXPECT_TRUE(changes.ok()) << changes.error().ToString();
    Strings lines;
    if (!changes.ok()) return lines;
    for (const Change& change : *changes) {
      const char letter = "ACDRM"[static_cast<int>(change.kind)];
      lines.push_back(std::string(1, letter) + " " +
                      (change.from.empty() ? "" : change.from + " -> ") +
                      change.path);
    }
    return lines;
  }

  // --- the union itself, to write uppers as it does --------------------------

  std::unique_ptr<UnionFs> OpenUnion() const {
    UnionConfig config;
    config.layers = {At("base"), At("app")};
    config.upper = At("up");
    config.user_xattr = true;
    config.whiteout = WhiteoutForm::kXattr;
    auto opened = UnionFs::Open(config);
    EXPECT_TRUE(opened.ok()) << opened.error().ToString();
    return opened.ok() ? std::move(opened).value() : nullptr;
  }

  static NodeId Find(UnionFs& fs, const std::string& path) {
    NodeId node = NodeId::kRoot;
    for (const auto& part : stdfs::path(path).relative_path()) {
      auto found = fs.Lookup(node, Name::Trusted(part.c_str()));
      EXPECT_TRUE(found.ok() && *found) << path;
      if (!found.ok() || !*found) return NodeId::kNone;
      node = (*found)->node;
    }
    return node;
  }

  static void Rename(UnionFs& fs, const std::string& from,
                     const std::string& to) {
    const stdfs::path a(from), b(to);
    const std::string old_name = a.filename(), new_name = b.filename();
    const auto done =
        fs.Rename(Find(fs, a.parent_path()), Name::Trusted(old_name),
                  Find(fs, b.parent_path()), Name::Trusted(new_name), 0);
    EXPECT_TRUE(done.ok()) << done.error().ToString();
  }

  std::string root_;
};

TEST_F(UpperDiff, AnEmptyUpperChangesNothing) {
  Write("base/a", "1");
  EXPECT_EQ(Diff(), Strings{});
  EXPECT_EQ(Diff(false), Strings{});
}

TEST_F(UpperDiff, AddedAndChanged) {
  Write("base/dir/old", "1");
  Write("app/dir/other", "2");
  Write("up/dir/old", "one");
  Write("up/dir/new", "3");
  Write("up/fresh/deep/file", "4");
  EXPECT_EQ(Diff(), (Strings{"A /dir/new", "C /dir/old", "A /fresh",
                             "A /fresh/deep", "A /fresh/deep/file"}));
}

// Opened for writing and not written, or written with what was there.
TEST_F(UpperDiff, TheSameContentIsNoChange) {
  Write("base/same", "text");
  stdfs::copy_file(At("base/same"), At("up/same"));
  stdfs::last_write_time(At("up/same"),
                         stdfs::last_write_time(At("base/same")));
  EXPECT_EQ(Diff(), Strings{});
  stdfs::last_write_time(At("up/same"), stdfs::file_time_type());
  EXPECT_EQ(Diff(), Strings{"M /same"});
  EXPECT_EQ(chmod(At("up/same").c_str(), 0600), 0);
  EXPECT_EQ(Diff(), Strings{"M /same"});
  Write("up/same", "tixt");
  EXPECT_EQ(Diff(), Strings{"C /same"});
}

TEST_F(UpperDiff, DifferencesBehindTheFirstBlock) {
  std::string text(300'000, 'x');
  Write("base/big", text);
  text[299'999] = 'y';
  Write("up/big", text);
  stdfs::last_write_time(At("up/big"), stdfs::last_write_time(At("base/big")));
  EXPECT_EQ(Diff(), Strings{"C /big"});
}

TEST_F(UpperDiff, MetadataOfDirectories) {
  MakeDir("base/dir");
  MakeDir("up/dir");
  EXPECT_EQ(chmod(At("base/dir").c_str(), 0755), 0);
  EXPECT_EQ(chmod(At("up/dir").c_str(), 0755), 0);
  EXPECT_EQ(Diff(), Strings{}) << "its times are not its own doing";
  EXPECT_EQ(chmod(At("up/dir").c_str(), 0700), 0);
  EXPECT_EQ(Diff(), Strings{"M /dir"});
  EXPECT_EQ(chmod(At("up/dir").c_str(), 0755), 0);
  EXPECT_EQ(setxattr(At("up/dir").c_str(), "user.note", "x", 1, 0), 0);
  EXPECT_EQ(Diff(), Strings{"M /dir"});
}

TEST_F(UpperDiff, WhiteoutsInEveryForm) {
  for (const char* name : {"xattr", "aufs", "dir/in"})
    Write(std::string("base/") + name, "1");
  Write("up/xattr", "");
  Mark("up/xattr", "whiteout", "y");
  Mark("up", "opaque", "x");
  Write("up/.wh.aufs", "");
  MakeDir("up/dir");
  Write("up/dir/.wh.in", "");
  EXPECT_EQ(Diff(), (Strings{"D /aufs", "D /dir/in", "D /xattr"}));
  EXPECT_EQ(Diff(false), (Strings{"D /aufs", "D /dir/in", "D /xattr"}));
}

TEST_F(UpperDiff, CharDeviceWhiteouts) {
  Write("base/gone", "1");
  if (mknod(At("up/gone").c_str(), S_IFCHR, 0) != 0)
    GTEST_SKIP() << "this host lets no user make a 0/0 device";
  EXPECT_EQ(Diff(), Strings{"D /gone"});
}

TEST_F(UpperDiff, AWhiteoutOfNothingIsNoDeletion) {
  Write("up/.wh.never", "");
  EXPECT_EQ(Diff(), Strings{});
}

TEST_F(UpperDiff, AnOpaqueDirectoryDeletesWhatItDoesNotHave) {
  Write("base/dir/a", "1");
  Write("base/dir/b", "1");
  Write("app/dir/c", "1");
  MakeDir("up/dir");
  Write("up/dir/b", "2");
  Write("up/dir/new", "2");
  Mark("up/dir", "opaque", "y");
  const Strings expected = {"D /dir/a", "C /dir/b", "D /dir/c", "A /dir/new"};
  EXPECT_EQ(Diff(), expected);

  removexattr(At("up/dir").c_str(), "user.overlay.opaque");
  Write("up/dir/.wh..wh..opq", "");
  EXPECT_EQ(Diff(), expected) << "the AUFS form";
}

TEST_F(UpperDiff, TypesThatChanged) {
  Write("base/file-to-dir", "1");
  Write("base/dir-to-file/in", "1");
  Write("base/to-link", "1");
  stdfs::create_symlink("a", At("base/link"));
  Write("up/file-to-dir/in", "1");
  Write("up/dir-to-file", "1");
  stdfs::create_symlink("x", At("up/to-link"));
  stdfs::create_symlink("b", At("up/link"));
  EXPECT_EQ(Diff(), (Strings{"C /dir-to-file", "C /file-to-dir",
                             "A /file-to-dir/in", "C /link", "C /to-link"}));
}

TEST_F(UpperDiff, ARedirectIsARename) {
  Write("base/old/a", "1");
  Write("base/old/b", "1");
  MakeDir("up/new");
  Mark("up/new", "redirect", "old");
  Write("up/.wh.old", "");
  Write("up/new/.wh.a", "");
  Write("up/new/c", "2");
  const Strings expected = {"R /old -> /new", "D /new/a", "A /new/c"};
  auto lines = Diff();
  std::sort(lines.begin(), lines.end());
  auto sorted = expected;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(lines, sorted);
  lines = Diff(false);
  std::sort(lines.begin(), lines.end());
  EXPECT_EQ(lines, sorted) << "marks alone tell as much";
}

TEST_F(UpperDiff, WithoutLayersAnOriginTellsChangedFromAdded) {
  Write("up/added", "1");
  Write("up/changed", "1");
  Mark("up/changed", "origin", "a file handle");
  MakeDir("up/new");
  Mark("up/new", "opaque", "y");
  EXPECT_EQ(Diff(false), (Strings{"A /added", "C /changed", "A /new"}));
}

// The uppers that ufs writes, for each kind of change.
TEST_F(UpperDiff, OfWhatTheUnionWrites) {
  Write("base/chmod", "1");
  Write("base/write", "1");
  Write("base/unlink", "1");
  Write("base/move", "12345");
  Write("base/dir/kept", "1");
  Write("base/into/x", "1");
  {
    auto fs = OpenUnion();
    ASSERT_NE(fs, nullptr);
    AttrChange mode;
    mode.mode = 0600;
    ASSERT_TRUE(fs->SetAttr(Find(*fs, "/chmod"), mode, {}).ok());
    ASSERT_TRUE(fs->Write(Find(*fs, "/write"), "22", 2, 0, nullptr).ok());
    ASSERT_TRUE(fs->Unlink(NodeId::kRoot, Name::Trusted("unlink")).ok());
    Rename(*fs, "/move", "/into/moved");
    Rename(*fs, "/dir", "/into/renamed");
    Caller caller{geteuid(), getegid(), getpid(), 022};
    ASSERT_TRUE(
        fs->MkDir(NodeId::kRoot, Name::Trusted("made"), 0755, caller).ok());
    ASSERT_TRUE(
        fs->Create(NodeId::kRoot, Name::Trusted("new"), 0644, O_RDWR, caller)
            .ok());
  }
  EXPECT_EQ(Diff(), (Strings{"M /chmod", "R /move -> /into/moved",
                             "R /dir -> /into/renamed", "A /made", "A /new",
                             "D /unlink", "C /write"}));
}

TEST_F(UpperDiff, AMissingLayerIsNamed) {
  UpperDiffOptions options;
  options.upper = At("up");
  options.layers = {At("none")};
  const auto changes = DiffUpper(options);
  ASSERT_FALSE(changes.ok());
  EXPECT_EQ(changes.code(), ENOENT);
  EXPECT_NE(changes.error().ToString().find(At("none")), std::string::npos);
}

}  // namespace
}  // namespace ufs
