// A union over sealed layers: what was put into them comes out, through copy-up
// and over remounts, alone and among directories.
#include "fs/sealed_layer.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "fs/union_fs.h"
#include "layerdb/object_store.h"
#include "layerdb/tree_merge.h"
#include "layerdb/tree_test_util.h"

namespace ufs {
namespace {

namespace stdfs = std::filesystem;
using test::Device;
using test::Dir;
using test::File;
using test::FileOf;
using test::Symlink;

const std::string kBig(100'000, 'b');

class SealedLayerTest : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/var/tmp/ufs-sealed-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    root_ = path;
    for (const char* dir : {"dir", "upper", "objects"})
      stdfs::create_directory(root_ / dir);
    std::ofstream(root_ / "objects" / "1") << kBig;
  }
  void TearDown() override {
    fs_.reset();
    stdfs::remove_all(root_);
  }

  static TreeNode Big() {
    TreeNode node = File("");
    node.size_bytes = kBig.size();
    node.content = ObjectId{0, 1, 0};
    return node;
  }

  // Seals a tree; what to call it in `config.layers`.
  std::string Seal(const TreeBuilder& tree) {
    Digest digest;
    digest.bytes.fill(static_cast<uint8_t>(layers_.size() + 1));
    layers_[digest] = FileOf(tree);
    return digest.ToString();
  }

  Result<SealedRun> OpenRun(std::span<const Digest> run) {
    ++runs_;
    SealedRun opened;
    opened.layers.assign(run.begin(), run.end());
    std::vector<const TreeFile*> trees;
    for (const Digest& digest : run) trees.push_back(layers_.at(digest).get());
    opened.tree = layers_.at(run[0]);
    if (run.size() > 1) {
      TreeBuilder merged;
      TRY(MergeTrees(trees, merged));
      opened.tree = FileOf(merged, static_cast<uint32_t>(run.size()));
    }
    opened.store = root_;
    opened.open_object = [this](const ObjectId& id) {
      const auto path = root_ / "objects" / std::to_string(id.lo);
      return sys::Open(path.c_str(), O_RDONLY);
    };
    opened.check_object = check_;
    return opened;
  }

  void Mount(std::vector<std::string> layers) {
    fs_.reset();
    runs_ = 0;
    UnionConfig config;
    config.layers = std::move(layers);
    config.upper = root_ / "upper";
    config.open_sealed = [this](std::span<const Digest> run) {
      return OpenRun(run);
    };
    auto fs = UnionFs::Open(config);
    ASSERT_TRUE(fs.ok()) << fs.error().ToString();
    fs_ = std::move(*fs);
  }

  NodeId Walk(const std::string& path) {
    NodeId at = NodeId::kRoot;
    for (const auto& part : stdfs::path(path)) {
      const auto found = fs_->Lookup(at, Name::Trusted(part.c_str()));
      EXPECT_TRUE(found.ok()) << path << ": " << found.error().ToString();
      if (!found.ok() || !found->has_value()) return NodeId::kNone;
      at = (**found).node;
    }
    return at;
  }
  std::string Read(const std::string& path) {
    std::string text(kBig.size() + 1, '\0');
    const auto got = fs_->Read(Walk(path), text.data(), text.size(), 0,
                               UnionFs::Wait::kMayWait);
    EXPECT_TRUE(got.ok()) << got.error().ToString();
    text.resize(got.ok() ? *got : 0);
    return text;
  }
  Attr Stat(const std::string& path) { return *fs_->GetAttr(Walk(path)); }

  stdfs::path root_;
  std::map<Digest, std::shared_ptr<const TreeFile>> layers_;
  int runs_ = 0;  // opened by the last Mount
  std::function<Status(const ObjectId&)> check_;
  std::unique_ptr<UnionFs> fs_;
};

TEST_F(SealedLayerTest, ShowsWhatWentIn) {
  TreeBuilder tree;
  TreeNode file = File("hello", 04711);
  file.uid = 12345;
  file.gid = 54321;
  file.mtime_sec = 1'000'000;
  file.mtime_nsec = 7;
  file.xattrs = {{"user.a", "1"}, {"security.capability", "cap"}};
  ASSERT_TRUE(tree.Put("d/file", file).ok());
  ASSERT_TRUE(tree.Put("d/big", Big()).ok());
  ASSERT_TRUE(tree.Put("d/empty", File("")).ok());
  ASSERT_TRUE(tree.Put("d/link", Symlink("file")).ok());
  ASSERT_TRUE(tree.Put("null", Device(S_IFCHR | 0666, makedev(1, 3))).ok());
  Mount({Seal(tree)});
  const Attr attr = Stat("d/file");
  EXPECT_EQ(attr.mode, mode_t{S_IFREG | 04711});
  EXPECT_EQ(attr.uid, 12345u);
  EXPECT_EQ(attr.gid, 54321u);
  EXPECT_EQ(attr.mtime.tv_sec, 1'000'000);
  EXPECT_EQ(attr.mtime.tv_nsec, 7);
  EXPECT_EQ(attr.size_bytes, 5u);
  EXPECT_EQ(Read("d/file"), "hello");
  EXPECT_EQ(Read("d/empty"), "");
  EXPECT_EQ(fs_->Stats().open_descriptors, 0u) << "few bytes need none";
  EXPECT_EQ(Read("d/big"), kBig);
  EXPECT_EQ(*fs_->ReadLink(Walk("d/link")), "file");
  EXPECT_EQ(Stat("null").rdev, makedev(1, 3));
  EXPECT_EQ(*fs_->GetXattr(Walk("d/file"), "user.a"), "1");
  EXPECT_EQ(fs_->GetXattr(Walk("d/file"), "user.b").code(), ENODATA);
  EXPECT_EQ(*fs_->ListXattr(Walk("d/file")),
            std::string("security.capability\0user.a\0", 27));
  EXPECT_EQ(Walk("d/none"), NodeId::kNone);
  EXPECT_EQ(*fs_->LSeek(Walk("d/file"), 2, SEEK_DATA), 2u);
  EXPECT_EQ(*fs_->LSeek(Walk("d/file"), 2, SEEK_HOLE), 5u);
  EXPECT_EQ(fs_->LSeek(Walk("d/file"), 5, SEEK_DATA).code(), ENXIO);
}

TEST_F(SealedLayerTest, CopiesUp) {
  TreeBuilder tree;
  for (const char* name : {"small", "grown", "shorn"})
    ASSERT_TRUE(tree.Put(name, File("hello")).ok());
  ASSERT_TRUE(tree.Put("big", Big()).ok());
  ASSERT_TRUE(tree.Put("empty", File("")).ok());
  Mount({Seal(tree)});
  const std::map<std::string, uint64_t> before = {{"small", Stat("small").ino},
                                                  {"big", Stat("big").ino}};
  AttrChange mode;
  mode.mode = 0600;
  ASSERT_TRUE(fs_->SetAttr(Walk("small"), mode, {}).ok());
  EXPECT_EQ(Read("small"), "hello") << "attributes alone";
  ASSERT_TRUE(fs_->Write(Walk("small"), "J", 1, 0, nullptr).ok());
  ASSERT_TRUE(fs_->Write(Walk("big"), "J", 1, 0, nullptr).ok());
  ASSERT_TRUE(fs_->Write(Walk("grown"), "!", 1, 5, nullptr).ok());
  ASSERT_TRUE(fs_->Write(Walk("empty"), "x", 1, 0, nullptr).ok());
  AttrChange size;
  size.size_bytes = 2;
  ASSERT_TRUE(fs_->SetAttr(Walk("shorn"), size, {}).ok());
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(Read("small"), "Jello");
    EXPECT_EQ(Read("grown"), "hello!");
    EXPECT_EQ(Read("shorn"), "he");
    EXPECT_EQ(Read("empty"), "x");
    EXPECT_EQ(Read("big"), "J" + kBig.substr(1));
    for (const auto& [path, ino] : before) EXPECT_EQ(Stat(path).ino, ino);
    Mount({layers_.begin()->first.ToString()});
  }
}

// Nothing is synced for it: until that has happened the layer's bytes count.
TEST_F(SealedLayerTest, SplitsWhatIsInMemory) {
  TreeBuilder tree;
  for (const char* name : {"mode", "end", "cut"})
    ASSERT_TRUE(tree.Put(name, File("hello")).ok());
  const std::string layer = Seal(tree);
  Mount({layer});
  AttrChange mode;
  mode.mode = 0600;
  ASSERT_TRUE(fs_->SetAttr(Walk("mode"), mode, {}).ok());
  ASSERT_TRUE(fs_->Write(Walk("mode"), "J", 1, 0, nullptr).ok());
  ASSERT_TRUE(fs_->Write(Walk("end"), "!", 1, 100'000, nullptr).ok());
  ASSERT_TRUE(
      fs_->Fallocate(Walk("cut"), FALLOC_FL_KEEP_SIZE, 0, 3, nullptr).ok());
  EXPECT_EQ(fs_->Stats().copy_ups_partial, 3u);
  EXPECT_EQ(fs_->Stats().copy_ups_data, 0u);
  AttrChange size;
  size.size_bytes = 2;
  ASSERT_TRUE(fs_->SetAttr(Walk("cut"), size, {}).ok());
  const auto expect_contents = [&] {
    EXPECT_EQ(Read("mode"), "Jello");
    EXPECT_EQ(Read("end").substr(0, 6), std::string("hello\0", 6));
    EXPECT_EQ(Stat("end").size_bytes, 100'001u);
    EXPECT_EQ(*fs_->LSeek(Walk("end"), 2, SEEK_DATA), 2u);
    EXPECT_EQ(Read("cut"), "he");
  };
  expect_contents();
  Mount({layer});
  expect_contents();
  ASSERT_TRUE(fs_->Write(Walk("end"), "J", 1, 0, nullptr).ok());
  ASSERT_TRUE(fs_->Settle().ok());
  EXPECT_EQ(Read("end").substr(0, 5), "Jello");
  EXPECT_EQ(Read("mode"), "Jello");
}

TEST_F(SealedLayerTest, HasNoFlags) {
  TreeBuilder tree;
  ASSERT_TRUE(tree.Put("d/small", File("x")).ok());
  ASSERT_TRUE(tree.Put("big", Big()).ok());
  Mount({Seal(tree)});
  for (const char* name : {"d", "d/small", "big"}) {
    long flags = 0;
    EXPECT_EQ(fs_->Ioctl(Walk(name), FS_IOC_GETFLAGS, &flags).code(), 0)
        << name;
    EXPECT_EQ(flags & (FS_IMMUTABLE_FL | FS_APPEND_FL), 0) << name;
  }
}

TEST_F(SealedLayerTest, CopiesRangesFromMemory) {
  TreeBuilder tree;
  ASSERT_TRUE(tree.Put("from", File("hello")).ok());
  ASSERT_TRUE(tree.Put("to", File("")).ok());
  Mount({Seal(tree)});
  EXPECT_EQ(*fs_->CopyFileRange(Walk("from"), 1, Walk("to"), 0, 3, nullptr),
            3u);
  EXPECT_EQ(*fs_->CopyFileRange(Walk("from"), 4, Walk("to"), 3, 9, nullptr),
            1u);
  EXPECT_EQ(*fs_->CopyFileRange(Walk("from"), 9, Walk("to"), 4, 9, nullptr),
            0u);
  EXPECT_EQ(Read("to"), "ello");
}

TEST_F(SealedLayerTest, NumbersStayWhenLayersAreAdded) {
  TreeBuilder base, middle, top;
  ASSERT_TRUE(base.Put("d/a", File("a")).ok());
  ASSERT_TRUE(middle.Put("d/b", File("b")).ok());
  ASSERT_TRUE(top.Put("d/c", File("c")).ok());
  ASSERT_TRUE(top.Put("first", File("c")).ok());
  const std::vector<std::string> all = {Seal(base), Seal(middle), Seal(top)};
  Mount({all[0], all[1]});
  EXPECT_EQ(runs_, 1) << "one view for both";
  const std::vector<uint64_t> before = {Stat("d").ino, Stat("d/a").ino,
                                        Stat("d/b").ino};
  Mount(all);
  EXPECT_EQ(before, (std::vector<uint64_t>{Stat("d").ino, Stat("d/a").ino,
                                           Stat("d/b").ino}));
  EXPECT_NE(Stat("d/c").ino, Stat("first").ino);
}

TEST_F(SealedLayerTest, LiesBetweenDirectories) {
  std::ofstream(root_ / "dir" / "hidden") << "x";
  std::ofstream(root_ / "dir" / "own") << "own";
  stdfs::create_directories(root_ / "dir" / "merged" / "kept");
  stdfs::create_directories(root_ / "dir" / "cut" / "gone");
  stdfs::permissions(root_ / "dir" / "merged", stdfs::perms(0751));
  stdfs::permissions(root_ / "dir", stdfs::perms(0711));
  TreeBuilder below, above;
  ASSERT_TRUE(below.Put("lowest", File("l")).ok());
  ASSERT_TRUE(below.Put("own", File("not this")).ok());
  ASSERT_TRUE(above.Whiteout("hidden").ok());
  ASSERT_TRUE(above.Put("merged/new", File("n")).ok());
  ASSERT_TRUE(above.SetOpaque("cut").ok());
  Mount({Seal(below), root_ / "dir", Seal(above)});
  EXPECT_EQ(runs_, 2);
  EXPECT_EQ(Walk("hidden"), NodeId::kNone);
  EXPECT_EQ(Read("own"), "own");
  EXPECT_EQ(Read("lowest"), "l");
  EXPECT_EQ(Read("merged/new"), "n");
  EXPECT_NE(Walk("merged/kept"), NodeId::kNone);
  EXPECT_NE(Walk("cut"), NodeId::kNone);
  EXPECT_EQ(Walk("cut/gone"), NodeId::kNone);
  EXPECT_EQ(Stat("merged").mode & 07777, 0751u) << "of who said what it is";
}

TEST_F(SealedLayerTest, HardLinksStayTogether) {
  TreeBuilder tree;
  ASSERT_TRUE(tree.Put("one", File("hello")).ok());
  ASSERT_TRUE(tree.Link("d/two", "one").ok());
  Mount({Seal(tree)});
  EXPECT_EQ(Stat("one").nlink, 2u);
  EXPECT_EQ(Walk("one"), Walk("d/two"));
  ASSERT_TRUE(fs_->Write(Walk("one"), "J", 1, 0, nullptr).ok());
  EXPECT_EQ(Read("d/two"), "Jello");
  Mount({layers_.begin()->first.ToString()});
  EXPECT_EQ(Read("d/two"), "Jello");
  EXPECT_EQ(Walk("one"), Walk("d/two"));
}

TEST_F(SealedLayerTest, ReadsNothingThatIsFoundDamaged) {
  TreeBuilder low, high;
  ASSERT_TRUE(low.Put("d/big", Big()).ok());
  ASSERT_TRUE(high.Put("other", File("hello")).ok());
  bool damaged = true;
  check_ = [&](const ObjectId& id) -> Status {
    EXPECT_EQ(id, (ObjectId{0, 1, 0}));
    return damaged ? Status(DamagedObject(id)) : Ok();
  };
  const std::string layer = Seal(low);
  Mount({layer, Seal(high)});
  EXPECT_EQ(Stat("d/big").size_bytes, kBig.size());
  char byte;
  const auto got =
      fs_->Read(Walk("d/big"), &byte, 1, 0, UnionFs::Wait::kMayWait);
  EXPECT_EQ(got.code(), EIO);
  for (const std::string& part :
       {layer + ": /d/big: object ", std::string("import the layer again")})
    EXPECT_NE(got.error().context().find(part), std::string_view::npos)
        << got.error().ToString();
  EXPECT_EQ(Read("other"), "hello");
  damaged = false;
  EXPECT_EQ(Read("d/big"), kBig);
}

TEST_F(SealedLayerTest, NamesWhatIsMissing) {
  TreeBuilder tree;
  ASSERT_TRUE(tree.Put("d/big", Big()).ok());
  Mount({Seal(tree)});
  stdfs::remove(root_ / "objects" / "1");
  char byte;
  const auto got =
      fs_->Read(Walk("d/big"), &byte, 1, 0, UnionFs::Wait::kMayWait);
  EXPECT_EQ(got.code(), EIO);
  EXPECT_NE(got.error().context().find("/d/big"), std::string_view::npos);

  UnionConfig config;
  config.layers = {"no-digest"};
  const auto refused = UnionFs::Open(config);
  EXPECT_EQ(refused.code(), ENOENT);
  EXPECT_NE(refused.error().context().find("no-digest"),
            std::string_view::npos);
}

}  // namespace
}  // namespace ufs
