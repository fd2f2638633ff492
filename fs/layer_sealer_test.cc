// What an upper shows over its layers, the layer sealed from it shows as well:
// random changes through the union, sealed, and compared by a walk.
#include "fs/layer_sealer.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <thread>
#include <variant>

#include "fs/union_fs.h"
#include "layerdb/base/selinux.h"
#include "layerdb/object_store.h"
#include "layerdb/tree_test_util.h"

namespace ufs {
namespace {

namespace stdfs = std::filesystem;
using test::Dir;
using test::File;
using test::FileOf;

class NameList final : public DirSink {
 public:
  bool Add(const char* name, uint64_t, mode_t, uint64_t,
           const Entry*) override {
    const std::string_view text(name);
    if (text != "." && text != "..") names.emplace_back(name);
    return true;
  }
  std::vector<std::string> names;
};

class LayerSealerTest : public testing::Test {
 protected:
  void SetUp() override {
    umask(0);
    char path[] = "/var/tmp/ufs-seal-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    root_ = path;
    for (const char* dir : {"base", "upper", "work", "store/objects"})
      stdfs::create_directories(root_ / dir);
    store_ = *ObjectStore::Open(Folder("store"));
    // Below: a directory of the host with a hard link and a large file.
    for (const char* dir : {"base/a/b", "base/c"})
      stdfs::create_directories(root_ / dir);
    std::ofstream(root_ / "base/a/one") << "linked";
    stdfs::create_hard_link(root_ / "base/a/one", root_ / "base/c/two");
    std::ofstream(root_ / "base/a/b/big") << std::string(5000, 'b');
    std::ofstream(root_ / "base/c/small") << "small";
    // On it a sealed layer.
    TreeBuilder tree;
    ASSERT_TRUE(tree.Put("a/sealed", File("sealed")).ok());
    ASSERT_TRUE(tree.Put("b/first", File("together")).ok());
    ASSERT_TRUE(tree.Link("b/second", "b/first").ok());
    ASSERT_TRUE(tree.Link("a/third", "b/first").ok());
    Add(FileOf(tree));
  }
  void TearDown() override {
    fs_.reset();
    store_.reset();
    stdfs::remove_all(root_);
  }

  UniqueFd Folder(const std::string& name) {
    return sys::Open((root_ / name).c_str(), O_RDONLY | O_DIRECTORY).value();
  }
  void Add(std::shared_ptr<const TreeFile> tree) {
    Digest digest;
    digest.bytes.fill(static_cast<uint8_t>(trees_.size() + 1));
    trees_[digest] = std::move(tree);
    layers_.push_back(digest.ToString());
  }
  OpenSealedFn OpenSealed() {
    return [this](std::span<const Digest> run) -> Result<SealedRun> {
      SealedRun opened;
      opened.layers = {run[0]};
      opened.tree = trees_.at(run[0]);
      opened.store = root_ / "store";
      opened.open_object = [this](const ObjectId& id) {
        return store_->OpenObject(id);
      };
      // Each of these is a run of its own.
      EXPECT_EQ(run.size(), 1u);
      return opened;
    };
  }
  void Open(std::vector<std::string> layers, bool with_upper) {
    fs_.reset();
    UnionConfig config;
    config.layers = std::move(layers);
    if (with_upper) {
      config.upper = root_ / "upper";
      config.work = root_ / "work";
    }
    config.user_xattr = user_marks_;
    config.open_sealed = OpenSealed();
    auto fs = UnionFs::Open(config);
    ASSERT_TRUE(fs.ok()) << fs.error().ToString();
    fs_ = std::move(*fs);
  }

  NodeId Walk(const std::string& path) {
    NodeId at = NodeId::kRoot;
    for (const auto& part : stdfs::path(path)) {
      const auto found = fs_->Lookup(at, Name::Trusted(part.c_str()));
      if (!found.ok() || !found->has_value()) return NodeId::kNone;
      at = (**found).node;
    }
    return at;
  }

  // All the union shows, in words. Hard links are told by the first name.
  std::map<std::string, std::string> Everything() {
    std::map<std::string, std::string> all;
    std::map<uint64_t, std::string> first_names;
    std::vector<std::string> dirs = {""};
    while (!dirs.empty()) {
      const std::string dir = dirs.back();
      dirs.pop_back();
      NameList list;
      EXPECT_TRUE(fs_->ReadDir(Walk(dir), 0, false, list).ok()) << dir;
      std::sort(list.names.begin(), list.names.end());
      for (const std::string& name : list.names) {
        const std::string path = dir.empty() ? name : dir + "/" + name;
        const NodeId node = Walk(path);
        const Attr attr = *fs_->GetAttr(node);
        std::string& text = all[path];
        char words[100];
        snprintf(words, sizeof(words), "%o %u:%u ", attr.mode, attr.uid,
                 attr.gid);
        text = words;
        if (S_ISDIR(attr.mode)) {
          dirs.push_back(path);
        } else {
          text += std::to_string(attr.nlink) + " " +
                  std::to_string(attr.mtime.tv_sec) + "." +
                  std::to_string(attr.mtime.tv_nsec) + " same as " +
                  first_names.emplace(attr.ino, path).first->second + " ";
        }
        if (S_ISREG(attr.mode)) {
          std::string content(attr.size_bytes + 1, '\0');
          content.resize(*fs_->Read(node, content.data(), content.size(), 0,
                                    UnionFs::Wait::kMayWait));
          text += std::to_string(content.size()) + " " + content.substr(0, 40);
        }
        if (S_ISLNK(attr.mode)) text += *fs_->ReadLink(node);
        std::string xattrs = *fs_->ListXattr(node);
        std::replace(xattrs.begin(), xattrs.end(), '\0', ' ');
        text += " " + xattrs;
      }
    }
    return all;
  }

  // Seals the upper; the layer is on top of layers_ then.
  void Seal() {
    TreeBuilder tree;
    stdfs::create_directories(root_ / "stage");
    ObjectStage stage(store_, Folder("stage"));
    SealSource source;
    source.directory = root_ / "upper";
    source.layers = Layers();
    source.open_sealed = OpenSealed();
    source.index = root_ / "work/ufs/index";
    source.trusted_marks = fs_->Info().xattr_prefix.starts_with("trusted.");
    fs_.reset();  // an upper has one user
    const Status sealed = SealDirectory(source, tree, stage);
    ASSERT_TRUE(sealed.ok()) << sealed.error().ToString();
    ASSERT_TRUE(stage.Publish().ok());
    const auto file = FileOf(tree);
    ASSERT_TRUE(file->CheckAll().ok());
    Add(file);
  }
  // Each sealed layer is told from the next by a directory between them, so
  // that no view is needed.
  std::vector<std::string> Layers() {
    std::vector<std::string> layers = {root_ / "base"};
    for (const std::string& layer : layers_) {
      layers.push_back(layer);
      const std::string between =
          root_ / ("between-" + std::to_string(layers.size()));
      stdfs::create_directories(between);
      stdfs::permissions(between, stdfs::perms(0755));
      layers.push_back(between);
    }
    return layers;
  }

  stdfs::path root_;
  std::shared_ptr<const ObjectStore> store_;
  std::map<Digest, std::shared_ptr<const TreeFile>> trees_;
  std::vector<std::string> layers_;
  bool user_marks_ = false;
  std::unique_ptr<UnionFs> fs_;
};

// Ignores what is refused.
class Changes {
 public:
  Changes(UnionFs& fs, uint32_t seed) : fs_(fs), random_(seed) {}

  void One() {
    const NodeId dir = AnyDir(), other = AnyDir();
    const std::string text = AnyName(dir), new_text = AnyName(other);
    const Name name = Name::Trusted(text), new_name = Name::Trusted(new_text);
    const auto found = fs_.Lookup(dir, name);
    const NodeId node =
        found.ok() && found->has_value() ? (**found).node : NodeId::kNone;
    AttrChange mode;
    mode.mode = 0600 + Below(64);
    const Caller caller;
    switch (Below(11)) {
      case 0:
        Try(fs_.Create(dir, name, 0644, O_CREAT, caller));
        break;
      case 1:
        Try(fs_.MkDir(dir, name, 0755, caller));
        break;
      case 2:
        Try(fs_.Unlink(dir, name));
        break;
      case 3:
        Try(fs_.RmDir(dir, name));
        break;
      case 4:
      case 5:
        Try(fs_.Rename(dir, name, other, new_name, 0));
        break;
      case 6:
        if (node != NodeId::kNone) Try(fs_.Link(node, other, new_name));
        break;
      case 7:
        if (node != NodeId::kNone) Try(fs_.SetAttr(node, mode, {}));
        break;
      case 8:
        Try(fs_.Symlink(dir, name, "target", caller));
        break;
      case 9:
        // The kernel refuses these on links before anybody is asked.
        if (node != NodeId::kNone && !S_ISLNK((**found).attr.mode))
          Try(fs_.SetXattr(node, "user.mark", "x", 0, Caller()));
        break;
      default:
        if (node != NodeId::kNone)
          Try(fs_.Write(node, "changed", 7, Below(700), nullptr));
    }
  }

 private:
  template <typename T>
  static void Try(const Result<T>&) {}
  uint32_t Below(uint32_t limit) { return random_() % limit; }
  NodeId AnyDir() {
    NodeId at = NodeId::kRoot;
    while (Below(3) != 0) {
      const std::string text = AnyName(at);
      const auto found = fs_.Lookup(at, Name::Trusted(text));
      if (!found.ok() || !found->has_value() || !S_ISDIR((**found).attr.mode))
        break;
      at = (**found).node;
    }
    return at;
  }
  std::string AnyName(NodeId dir) {
    NameList list;
    if (Below(3) != 0 && fs_.ReadDir(dir, 0, false, list).ok() &&
        !list.names.empty())
      return list.names[Below(static_cast<uint32_t>(list.names.size()))];
    return std::string("n") + static_cast<char>('a' + Below(4));
  }

  UnionFs& fs_;
  std::mt19937 random_;
};

TEST_F(LayerSealerTest, ShowsWhatTheUpperShowed) {
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    user_marks_ = seed % 2 == 0;
    layers_.resize(1);
    stdfs::remove_all(root_ / "upper");
    stdfs::remove_all(root_ / "work");
    stdfs::create_directory(root_ / "upper");
    stdfs::create_directory(root_ / "work");
    Open(Layers(), /*with_upper=*/true);
    Changes changes(*fs_, seed);
    for (uint32_t i = 0; i < 10 + seed; ++i) changes.One();
    const auto before = Everything();
    ASSERT_FALSE(before.empty());
    Seal();
    Open(Layers(), /*with_upper=*/false);
    ASSERT_EQ(Everything(), before) << "seed " << seed;
  }
}

TEST_F(LayerSealerTest, ChangedLinksKeepAllTheirNames) {
  Open(Layers(), /*with_upper=*/true);
  ASSERT_TRUE(fs_->Write(Walk("a/one"), "L", 1, 0, nullptr).ok());
  ASSERT_TRUE(fs_->Write(Walk("b/second"), "T", 1, 0, nullptr).ok());
  const auto before = Everything();
  Seal();
  Open(Layers(), /*with_upper=*/false);
  EXPECT_EQ(Everything(), before);
  EXPECT_EQ(Walk("a/one"), Walk("c/two"));
  EXPECT_EQ(Walk("a/third"), Walk("b/first"));
}

// Links and pipes carry no user.*: in the index regular files stand for them.
TEST_F(LayerSealerTest, ChangedLinksKeepTheirTypeWithUserMarks) {
  TreeBuilder tree;
  TreeNode fifo;
  fifo.mode = S_IFIFO | 0640;
  ASSERT_TRUE(tree.Put("s/link", test::Symlink("target")).ok());
  ASSERT_TRUE(tree.Link("s/link2", "s/link").ok());
  ASSERT_TRUE(tree.Put("s/pipe", fifo).ok());
  ASSERT_TRUE(tree.Link("s/pipe2", "s/pipe").ok());
  Add(FileOf(tree));
  user_marks_ = true;
  Open(Layers(), /*with_upper=*/true);
  ASSERT_TRUE(fs_->Unlink(Walk("s"), Name::Trusted("link")).ok());
  ASSERT_TRUE(fs_->Unlink(Walk("s"), Name::Trusted("pipe")).ok());
  const auto before = Everything();
  Seal();
  Open(Layers(), /*with_upper=*/false);
  EXPECT_EQ(Everything(), before);
  EXPECT_TRUE(S_ISLNK(fs_->GetAttr(Walk("s/link2"))->mode));
  EXPECT_TRUE(S_ISFIFO(fs_->GetAttr(Walk("s/pipe2"))->mode));
}

TEST_F(LayerSealerTest, LabelsAreTheHosts) {
  const std::string file = root_ / "upper/file";
  std::ofstream(file) << "x";
  if (setxattr(file.c_str(), kSelinuxXattr, "a:b:c", 5, 0) != 0)
    GTEST_SKIP() << "no label may be set here";
  ASSERT_EQ(setxattr(file.c_str(), "user.own", "1", 1, 0), 0);
  Open(Layers(), /*with_upper=*/true);
  Seal();
  Open({layers_.back()}, /*with_upper=*/false);
  EXPECT_EQ(*fs_->ListXattr(Walk("file")), std::string("user.own\0", 9));
}

// The second time only what has changed is read.
TEST_F(LayerSealerTest, SealsAgainWhatChangedMeanwhile) {
  const auto put = [&](const char* name, char letter) {
    std::ofstream(root_ / "upper" / name) << std::string(5000, letter);
  };
  for (const char* name : {"kept", "changed", "deleted"}) put(name, *name);
  // As old as files usually are: SealedContents.
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  stdfs::create_directories(root_ / "stage");
  ObjectStage stage(store_, Folder("stage"));
  SealedContents contents;
  SealSource source;
  source.directory = root_ / "upper";
  source.contents = &contents;
  TreeBuilder first;
  ASSERT_TRUE(SealDirectory(source, first, stage).ok());
  EXPECT_EQ(stage.counts().objects, 3u);

  put("changed", 'C');
  stdfs::remove(root_ / "upper/deleted");
  contents.Restart();
  TreeBuilder second;
  ASSERT_TRUE(SealDirectory(source, second, stage).ok());
  EXPECT_EQ(stage.counts().objects, 4u);
  ASSERT_TRUE(stage.KeepOnly(contents.in_use()).ok());
  ASSERT_TRUE(stage.Publish().ok());
  for (const char* name : {"kept", "changed"}) {
    const auto node = second.Find(name);
    ASSERT_TRUE(node.has_value());
    const auto* const id = std::get_if<ObjectId>(&node->content);
    ASSERT_NE(id, nullptr);
    const auto file = store_->OpenObject(*id);
    ASSERT_TRUE(file.ok());
    char letter = 0;
    EXPECT_EQ(*sys::Pread(*file, &letter, 1, 0), 1u);
    EXPECT_EQ(letter, name == std::string("kept") ? 'k' : 'C');
  }
  EXPECT_FALSE(second.Find("deleted").has_value());
  const auto before = std::get<ObjectId>(first.Find("changed")->content);
  EXPECT_EQ(store_->OpenObject(before).code(), ENOENT);
}

TEST_F(LayerSealerTest, LeavesOutPlacesThatAreAsTheyWereMade) {
  // a/b is in the layer.
  for (const char* dir : {"a/b", "dev", "etc", "proc", "sys/in", "run", "srv"})
    stdfs::create_directories(root_ / "upper" / dir);
  for (const char* dir :
       {"a", "a/b", "dev", "etc", "proc", "sys", "sys/in", "run", "srv"})
    ASSERT_EQ(chmod((root_ / "upper" / dir).c_str(), 0755), 0);
  for (const char* file : {"etc/hosts", "etc/full", "srv/other"}) {
    std::ofstream(root_ / "upper" / file);
    ASSERT_EQ(chmod((root_ / "upper" / file).c_str(), 0644), 0);
  }
  std::ofstream(root_ / "upper/etc/full") << "x";
  ASSERT_EQ(chmod((root_ / "upper/run").c_str(), 0700), 0);
  stdfs::create_directories(root_ / "stage");
  ObjectStage stage(store_, Folder("stage"));
  SealSource source;
  source.directory = root_ / "upper";
  source.layers = {root_ / "base"};
  source.places = {"/a/b", "/dev",  "/etc", "/etc/hosts", "/etc/full",
                   "/run", "/proc", "/sys", "/srv",       "/srv/other"};
  TreeBuilder tree;
  const Status sealed = SealDirectory(source, tree, stage);
  ASSERT_TRUE(sealed.ok()) << sealed.error().ToString();
  for (const char* gone : {"dev", "etc/hosts", "proc", "srv", "srv/other"})
    EXPECT_FALSE(tree.Find(gone).has_value()) << gone;
  for (const char* kept : {"a/b", "etc", "etc/full", "run", "sys", "sys/in"})
    EXPECT_TRUE(tree.Find(kept).has_value()) << kept;
}

TEST_F(LayerSealerTest, NeedsTheLayersThatMarksLeadTo) {
  Open(Layers(), /*with_upper=*/true);
  AttrChange mode;
  mode.mode = 0600;
  ASSERT_TRUE(fs_->SetAttr(Walk("a/b/big"), mode, {}).ok());
  const bool trusted = fs_->Info().xattr_prefix.starts_with("trusted.");
  fs_.reset();
  TreeBuilder tree;
  stdfs::create_directories(root_ / "stage");
  ObjectStage stage(store_, Folder("stage"));
  SealSource source;
  source.directory = root_ / "upper";
  source.trusted_marks = trusted;
  const Status sealed = SealDirectory(source, tree, stage);
  EXPECT_EQ(sealed.code(), ENOENT);
  EXPECT_NE(sealed.error().context().find("/a/b/big"), std::string_view::npos)
      << sealed.error().ToString();
  // And as they were.
  stdfs::resize_file(root_ / "base/a/b/big", 4000);
  TreeBuilder other;
  source.layers = Layers();
  source.open_sealed = OpenSealed();
  const Status cut = SealDirectory(source, other, stage);
  EXPECT_EQ(cut.code(), EIO);
  EXPECT_NE(cut.error().context().find("shorter"), std::string_view::npos)
      << cut.error().ToString();
}

}  // namespace
}  // namespace ufs
