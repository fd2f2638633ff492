// The merge rule over real directories.
#include "fs/lower_stack.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "fs/host_layer.h"

namespace ufs {
namespace {

namespace stdfs = std::filesystem;

class LowerStackTest : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/var/tmp/ufs-stack-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    root_ = path;
  }
  void TearDown() override {
    stack_.reset();
    stdfs::remove_all(root_);
  }
  // In layer `n`; 0 is the topmost.
  stdfs::path In(int n, const std::string& path) {
    const stdfs::path full = root_ / std::to_string(n) / path;
    stdfs::create_directories(full.parent_path());
    return full;
  }
  void File(int n, const std::string& path) { std::ofstream(In(n, path)) << n; }
  void Dir(int n, const std::string& path) {
    stdfs::create_directories(In(n, path));
  }
  void Mark(int n, const std::string& path, const std::string& name,
            const std::string& value) {
    const auto fd = sys::Open(In(n, path).c_str(), O_PATH);
    ASSERT_TRUE(fd.ok());
    ASSERT_TRUE(sys::SetXattr({*fd}, name.c_str(), value).ok());
  }
  void Open(int layers) {
    std::vector<std::unique_ptr<Layer>> opened;
    for (int i = 0; i < layers; ++i) {
      Dir(i, "");
      opened.push_back(
          HostLayer::Open(root_ / std::to_string(i), fds_, names_).value());
    }
    stack_ = std::make_unique<LowerStack>(std::move(opened), true);
  }
  LowerFound Find(const std::string& path) {
    LowerFound found = stack_->Root().value();
    for (const auto& part : stdfs::path(path))
      found = stack_->Lookup(found.parts, Name::Trusted(part.c_str())).value();
    return found;
  }
  // From the top, which is 0.
  std::vector<uint32_t> LayersOf(const LowerFound& found) {
    std::vector<uint32_t> layers;
    for (const auto& part : found.parts)
      layers.push_back(stack_->top() - part.rank);
    return layers;
  }

  stdfs::path root_;
  FdCache fds_{64};
  const MarkNames names_{false};
  std::unique_ptr<LowerStack> stack_;
};

using Kind = LowerFound::Kind;

TEST_F(LowerStackTest, TheTopmostFileShows) {
  File(1, "f");
  File(2, "f");
  Open(3);
  EXPECT_EQ(stack_->top() - Find("f").rank, 1u);
  EXPECT_EQ(Find("g").kind, Kind::kAbsent);
}

TEST_F(LowerStackTest, DirectoriesMergeUpToAFileOrAnOpaqueOne) {
  Dir(0, "d");
  Dir(1, "d");
  File(2, "d");
  Dir(3, "d");
  Dir(0, "e");
  Dir(1, "e");
  Mark(1, "e", "user.overlay.opaque", "y");
  Dir(2, "e");
  Open(4);
  EXPECT_EQ(LayersOf(Find("d")), (std::vector<uint32_t>{0, 1}));
  EXPECT_EQ(LayersOf(Find("e")), (std::vector<uint32_t>{0, 1}));
}

// No override is needed for that, neither at the root nor beside it.
TEST_F(LowerStackTest, AttributesKeptAsideAreListedAndRead) {
  File(0, "f");
  Mark(0, "f", names_.ToOverride("trusted.secret"), "kept");
  Open(1);
  const LowerFound found = Find("f");
  const Layer& layer = stack_->top_layer();
  EXPECT_EQ(layer.ListXattr(found.node).value(),
            std::string("trusted.secret\0", 15));
  EXPECT_EQ(layer.GetXattr(found.node, "trusted.secret").value(), "kept");
  EXPECT_EQ(layer.GetXattr(found.node, "trusted.other").code(), ENODATA);
}

TEST_F(LowerStackTest, AufsMarksHide) {
  File(0, ".wh.f");
  stdfs::resize_file(In(0, ".wh.f"), 0);
  File(1, "f");
  File(0, "d/.wh..wh..opq");
  stdfs::resize_file(In(0, "d/.wh..wh..opq"), 0);
  File(1, "d/g");
  Open(2);
  EXPECT_EQ(Find("f").kind, Kind::kAbsent);
  EXPECT_EQ(Find("d/g").kind, Kind::kAbsent);
  EXPECT_EQ(Find(".wh.f").kind, Kind::kAbsent);
}

// overlayfs writes the mark "x" there; a directory that is opaque as well has
// room for one.
TEST_F(LowerStackTest, AufsMarksHideInADirectoryWhoseNamesAreKnown) {
  File(0, "d/.wh.f");
  stdfs::resize_file(In(0, "d/.wh.f"), 0);
  File(1, "d/f");
  File(1, "d/g");
  Open(2);
  const LowerFound dir = Find("d");
  for (const LowerPart& part : dir.parts)
    ASSERT_TRUE(part.node.layer().List(part.node).ok());
  const auto find = [&](const char* name) {
    return stack_->Lookup(dir.parts, Name::Trusted(name)).value();
  };
  EXPECT_EQ(find("f").kind, Kind::kAbsent);
  EXPECT_EQ(stack_->top() - find("g").rank, 1u);
  EXPECT_EQ(find("h").kind, Kind::kAbsent);
}

// What was denied once may be denied again until somebody looks.
TEST_F(LowerStackTest, AnAddedNameShowsAfterAListing) {
  File(0, "d/old");
  Open(1);
  const LowerFound dir = Find("d");
  const auto find = [&](const char* name) {
    return stack_->Lookup(dir.parts, Name::Trusted(name)).value().kind;
  };
  ASSERT_TRUE(stack_->top_layer().List(dir.parts[0].node).ok());
  EXPECT_EQ(find("new"), Kind::kAbsent);
  File(0, "d/new");
  EXPECT_EQ(find("old"), Kind::kFile);
  ASSERT_TRUE(stack_->top_layer().List(dir.parts[0].node).ok());
  EXPECT_EQ(find("new"), Kind::kFile);
}

// As on a file system that does not tell case apart, names may be found that
// were never listed.
TEST_F(LowerStackTest, NamesThatDifferInCaseAloneAreAlwaysAskedFor) {
  File(0, "d/name");
  File(0, "d/Name");
  Open(1);
  const LowerFound dir = Find("d");
  ASSERT_TRUE(stack_->top_layer().List(dir.parts[0].node).ok());
  File(0, "d/new");
  EXPECT_EQ(stack_->Lookup(dir.parts, Name::Trusted("new")).value().kind,
            Kind::kFile);
}

TEST_F(LowerStackTest, XattrWhiteoutsInAnOpaqueDirectoryAreListedAsSuch) {
  for (const char* name : {"gone", "empty"}) {
    File(0, std::string("d/") + name);
    stdfs::resize_file(In(0, std::string("d/") + name), 0);
  }
  File(0, "d/full");
  Mark(0, "d", "user.overlay.opaque", "y");
  Mark(0, "d/gone", "user.overlay.whiteout", "");
  Open(1);
  EXPECT_EQ(Find("d/gone").kind, Kind::kAbsent);
  const auto listed = stack_->top_layer().List(Find("d").parts.front().node);
  ASSERT_TRUE(listed.ok());
  std::map<std::string, bool> whiteouts;
  for (const auto& entry : *listed) whiteouts[entry.name] = entry.whiteout;
  EXPECT_EQ(whiteouts, (std::map<std::string, bool>{
                           {"empty", false}, {"full", false}, {"gone", true}}));
}

TEST_F(LowerStackTest, ARedirectLeadsElsewhereBelow) {
  Dir(0, "new");
  Mark(0, "new", "user.overlay.redirect", "/old/place");
  File(1, "old/place/f");
  File(2, "old/place/g");
  File(1, "new/hidden");
  Open(3);
  EXPECT_EQ(LayersOf(Find("new")), (std::vector<uint32_t>{0, 1, 2}));
  EXPECT_EQ(stack_->top() - Find("new/f").rank, 1u);
  EXPECT_EQ(stack_->top() - Find("new/g").rank, 2u);
  EXPECT_EQ(Find("new/hidden").kind, Kind::kAbsent);
  EXPECT_TRUE(stack_->saw_redirect());
}

TEST_F(LowerStackTest, RedirectsThatMultiplyEndInAnError) {
  // Each layer's path goes through the next one's redirects: followed without
  // a limit the work doubles with each layer.
  constexpr int kLayers = 60;
  for (int i = 0; i < kLayers; ++i) {
    Dir(i, "a");
    Mark(i, "a", "user.overlay.redirect", "/b");
    Dir(i, "b");
    Mark(i, "b", "user.overlay.redirect", "/a");
  }
  Open(kLayers);
  const LowerFound root = stack_->Root().value();
  EXPECT_EQ(stack_->Lookup(root.parts, Name::Trusted("a")).code(), ELOOP);
}

TEST_F(LowerStackTest, ALayerThatChangesIsAnErrorNotAnotherFile) {
  File(0, "d/f");
  Open(1);
  const LowerFound dir = Find("d");
  // Nothing has opened it yet; now its place is taken by a link out.
  stdfs::rename(root_ / "0/d", root_ / "0/gone");
  stdfs::create_directory_symlink("/etc", root_ / "0/d");
  EXPECT_EQ(stack_->Lookup(dir.parts, Name::Trusted("passwd")).code(), ESTALE);
}

}  // namespace
}  // namespace ufs
