#include "layerdb/layer_import.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "layerdb/layer_export.h"
#include "layerdb/layer_path.h"
#include "layerdb/store_test_util.h"
#include "layerdb/tar_test_util.h"
#include "layerdb/tree_tar.h"
#include "tests/harness/files.h"
#include "tests/harness/process.h"
#include "tests/harness/scratch_dir.h"

namespace ufs {
namespace {

using test::Dir;
using test::File;
using test::HardLink;
using test::Pax;
using test::ScratchDir;
using test::Symlink;
using test::TarEnd;
using test::TarMember;
using Kind = TreeFile::Found::Kind;

class LayerImport : public testing::Test {
 protected:
  void SetUp() override {
    auto store =
        LayerStore::Open(dir_.path() + "/store", LayerStore::Access::kWrite);
    ASSERT_TRUE(store.ok()) << store.error().ToString();
    store_ = *store;
  }

  Result<Digest> Import(const std::string& bytes,
                        const ImportOptions& options = {}) {
    auto ingest = TRY(store_->BeginIngest("test"));
    MemorySource source(bytes);
    const Imported imported = TRY(ImportTar(source, *ingest, options));
    TRY(ingest->Seal(imported.diff_id));
    return imported.diff_id;
  }

  Result<std::string> Export(const Digest& digest) {
    StringSink out;
    TRY(ExportTar(*store_, digest, out));
    return out.text();
  }

  // Imports `members` and their end; the export must be the same bytes.
  std::shared_ptr<const TreeFile> Tree(const std::string& members) {
    const std::string bytes = members + TarEnd();
    const auto digest = Import(bytes);
    EXPECT_TRUE(digest.ok()) << digest.error().ToString();
    if (!digest.ok()) return nullptr;
    EXPECT_EQ(*digest, Sha256Of(bytes));
    const auto again = Export(*digest);
    EXPECT_TRUE(again.ok()) << again.error().ToString();
    EXPECT_TRUE(again.ok() && *again == bytes);
    auto tree = store_->OpenLayer(*digest, TreeFile::Verify::kAll);
    EXPECT_TRUE(tree.ok());
    if (!tree.ok()) return nullptr;
    EXPECT_TRUE((*tree)->CheckAll().ok());
    return *tree;
  }

  OpenObjectFn Opener() const {
    return [this](const ObjectId& id) {
      return store_->objects()->OpenObject(id);
    };
  }

  static TreeFile::Found Find(const TreeFile& tree, std::string path) {
    TreeFile::Found at{Kind::kNode, tree.Root()};
    while (!path.empty() && at.kind == Kind::kNode) {
      const std::string name = path.substr(0, path.find('/'));
      path.erase(0, name.size() + 1);
      at = *tree.Lookup(at.node, name);
    }
    return at;
  }

  void ExpectRefused(const std::string& members, const std::string& why) {
    const auto digest = Import(members + TarEnd());
    ASSERT_FALSE(digest.ok()) << why;
    EXPECT_NE(digest.error().ToString().find(why), std::string::npos)
        << digest.error().ToString();
    EXPECT_TRUE(store_->List()->empty());
    EXPECT_TRUE(test::List(dir_.path() + "/store/ingest").empty());
  }

  ScratchDir dir_;
  std::shared_ptr<LayerStore> store_;
};

TEST_F(LayerImport, KeepsEverything) {
  const std::string big = test::Contents('b', 700'000);
  const std::string medium = test::Contents('m', 5000);
  const auto tree =
      Tree(Dir("./") + Dir("./d/") +
           Pax(tar::FormatPax("mtime", "12.5") +
               tar::FormatPax("SCHILY.xattr.user.a", "v")) +
           TarMember("./d/small", '0', "few bytes")
               .Set(tar::kUid, "0000017")
               .Bytes() +
           File("./d/medium", medium) + File("./d/big", big) +
           HardLink("./link", "./d/medium") + Symlink("./sym", "/etc/passwd") +
           TarMember("./null", '3')
               .Set(tar::kDevMajor, "0000001")
               .Set(tar::kDevMinor, "0000003")
               .Bytes() +
           File("./empty"));
  ASSERT_NE(tree, nullptr);
  const auto small = *tree->Node(Find(*tree, "d/small").node);
  EXPECT_EQ(small.inline_content, "few bytes");
  EXPECT_EQ(small.uid, 15u);
  EXPECT_EQ(small.mtime_sec, 12);
  EXPECT_EQ(small.mtime_nsec, 500'000'000u);
  const auto link = Find(*tree, "link");
  EXPECT_EQ(link.node, Find(*tree, "d/medium").node);
  EXPECT_EQ(tree->Node(link.node)->nlink, 2u);
  const auto object = tree->Node(Find(*tree, "d/big").node)->object;
  ASSERT_TRUE(object.has_value());
  const auto file = store_->objects()->OpenObject(*object);
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(test::ReadAll(file->get()) == big);
  EXPECT_EQ(tree->Node(Find(*tree, "sym").node)->link_target, "/etc/passwd");
  EXPECT_TRUE(S_ISCHR(tree->Node(Find(*tree, "null").node)->mode));
}

TEST_F(LayerImport, WhiteoutsInAnyOrder) {
  const auto tree = Tree(
      File("a/.wh.gone") + File("b/.wh.dir") + Dir("b/dir/") + Dir("c/dir/") +
      File("c/.wh.dir") + Dir("o/") + File("o/.wh..wh..opq") +
      File("p/.wh..wh..opq") + Dir("p/") + File(".wh..wh.plnk") +
      Dir(".wh..wh.orph/") + File(".wh..wh.orph/x"));
  ASSERT_NE(tree, nullptr);
  EXPECT_EQ(Find(*tree, "a/gone").kind, Kind::kWhiteout);
  for (const char* dir : {"b/dir", "c/dir", "o", "p"})
    EXPECT_TRUE(tree->Node(Find(*tree, dir).node)->opaque) << dir;
  EXPECT_FALSE(tree->Node(Find(*tree, "b").node)->opaque);
  EXPECT_TRUE(tree->Node(Find(*tree, "a").node)->implied);
  EXPECT_FALSE(tree->Node(Find(*tree, "o").node)->implied);
  EXPECT_EQ(Find(*tree, ".wh..wh.orph").kind, Kind::kAbsent);
}

TEST_F(LayerImport, ContainsAbsoluteNames) {
  const auto tree = Tree(File("/etc/passwd", "x") + File("//a///b", "y") +
                         HardLink("h", "/etc/passwd"));
  ASSERT_NE(tree, nullptr);
  EXPECT_EQ(Find(*tree, "etc/passwd").kind, Kind::kNode);
  EXPECT_EQ(Find(*tree, "a/b").kind, Kind::kNode);
  EXPECT_EQ(Find(*tree, "h").node, Find(*tree, "etc/passwd").node);
}

TEST_F(LayerImport, RefusesEnemies) {
  ExpectRefused(File("../x"), "entry '../x': its path leads upwards");
  ExpectRefused(File("a/../../x"), "entry 'a/../../x'");
  ExpectRefused(HardLink("h", "../../etc/passwd"), "entry 'h'");
  ExpectRefused(HardLink("h", "nothing"), "'h'");
  ExpectRefused(HardLink("h", "d") + Dir("d"), "'h'");
  ExpectRefused(Dir("d/") + HardLink("h", "d"), "directory");
  ExpectRefused(Symlink("out", "/etc") + File("out/passwd", "x"), "'out");
  ExpectRefused(File("f", "x") + File("f/below"), "'f");
  ExpectRefused(File(".wh."), "entry '.wh.': a whiteout that names nothing");
  ExpectRefused(File("d/.wh.."), "names nothing");
  ExpectRefused(File("d/.wh..."), "names nothing");
  ExpectRefused(File(".wh.dir/x"), "through a whiteout");
  ExpectRefused(Symlink(".", "x"), "root");
  ExpectRefused(File("./"), "root");
}

TEST_F(LayerImport, LaterEntriesWin) {
  // A small file, twice: the recipe holds both.
  const auto tree = Tree(File("f", "first") + File("f", "second") +
                         Symlink("s", "x") + Dir("s/") + File("s/in"));
  ASSERT_NE(tree, nullptr);
  EXPECT_EQ(tree->Node(Find(*tree, "f").node)->inline_content, "second");
  EXPECT_EQ(Find(*tree, "s/in").kind, Kind::kNode);
}

// Of each only what is left is an object, and no layer needs the others: gc
// leaves nothing that the export would miss.
TEST_F(LayerImport, ReplacedContentsAreExportedAllTheSame) {
  const std::string one = test::Contents('1'), two = test::Contents('2');
  const std::string large(ObjectWriter::kBufferBytes * 2, '3');
  struct Case {
    const char* what;
    std::string members;
    uint64_t objects;  // that the store keeps
  };
  const Case cases[] = {
      {"by a file", File("f", one) + File("f", two), 1},
      {"large ones", File("f", large) + File("f", one), 1},
      {"by the same", File("f", one) + File("f", one), 1},
      {"while another name stays",
       File("f", one) + HardLink("g", "f") + File("f", two), 2},
      {"by a link", File("f", one) + Symlink("f", "x"), 0},
      {"by a hard link", File("g", two) + File("f", one) + HardLink("f", "g"),
       1},
      {"with their directory", File("d/e/f", one) + File("d", two), 1},
      {"by a whiteout, of what is below", File("f", one) + File(".wh.f"), 1},
      {"before an opaque mark", File("d/f", one) + File("d/.wh..wh..opq"), 1},
  };
  for (const Case& one_case : cases) {
    SCOPED_TRACE(one_case.what);
    const std::string bytes = one_case.members + TarEnd();
    const auto digest = Import(bytes);
    ASSERT_TRUE(digest.ok()) << digest.error().ToString();
    ASSERT_TRUE(store_->Gc({}).ok());
    EXPECT_EQ(store_->Info(*digest)->objects, one_case.objects);
    const auto exported = Export(*digest);
    ASSERT_TRUE(exported.ok()) << exported.error().ToString();
    EXPECT_TRUE(*exported == bytes);
    EXPECT_TRUE(store_->Remove(*digest).ok());
    ASSERT_TRUE(store_->Gc({}).ok());
  }
}

// Zeros without end, after a tar.
class TarAndZeros final : public ByteSource {
 public:
  TarAndZeros(std::string tar, uint64_t zeros)
      : tar_(std::move(tar)), head_(tar_), zeros_(zeros) {}
  Result<size_t> Read(char* buffer, size_t size) override {
    const size_t got = TRY(head_.Read(buffer, size));
    if (got > 0) return got;
    const size_t now = std::min<uint64_t>(size, zeros_);
    memset(buffer, 0, now);
    zeros_ -= now;
    return now;
  }

 private:
  const std::string tar_;
  MemorySource head_;
  uint64_t zeros_;
};

uint64_t MostResidentKib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

TEST_F(LayerImport, WhatNobodyKeepsIsNotKeptInMemory) {
  constexpr uint64_t kZeros = 512 << 20;
  TarAndZeros ends(File("f", "x") + TarEnd(), kZeros);
  TarAndZeros whiteout(
      TarMember(".wh.f", '0').Set(tar::kSize, "04000000000").Bytes(),
      kZeros + (2 * tar::kBlockBytes));
  for (ByteSource* source : {&ends, &whiteout}) {
    [[maybe_unused]] const uint64_t before = MostResidentKib();
    auto ingest = store_->BeginIngest("test");
    ASSERT_TRUE(ingest.ok());
    const auto imported = ImportTar(*source, **ingest, {});
    ASSERT_TRUE(imported.ok()) << imported.error().ToString();
    EXPECT_GT(imported->tar_bytes, kZeros);
#ifndef UFS_SANITIZED
    EXPECT_LT(MostResidentKib() - before, 128u << 10);
#endif
  }
}

TEST_F(LayerImport, SparseFilesCountWithAllTheirBytes) {
  const std::string sparse = Pax(
      tar::FormatPax("GNU.sparse.size", std::to_string(uint64_t{10} << 40)) +
      tar::FormatPax("GNU.sparse.map", "1048576,5"));
  ExpectRefused(sparse + File("s", "hello"), "--max-size");
}

TEST_F(LayerImport, NamesAreCountedWithTheDirectoriesTheyImply) {
  const std::string bytes = File("a/b/c/f", "x") + TarEnd();
  for (const uint64_t most : {4, 5}) {
    MemorySource source(bytes);
    const auto ingest = store_->BeginIngest("test").value();
    ImportOptions options;
    options.max_entries = most;
    const auto imported = ImportTar(source, *ingest, options);
    EXPECT_EQ(imported.code(), most == 4 ? EFBIG : 0);
    if (most == 4) {
      EXPECT_NE(imported.error().ToString().find(
                    "more than 4 entries; --max-entries allows more"),
                std::string::npos)
          << imported.error().ToString();
    }
  }
}

TEST_F(LayerImport, CompressedOnesAreKept) {
  const std::string bytes = File("f", test::Contents('1')) + TarEnd();
  StringSink out;
  auto gzip = Compress(out, Compression::kGzip);
  ASSERT_TRUE((*gzip)->Write(bytes).ok());
  ASSERT_TRUE((*gzip)->Finish().ok());
  const auto digest = Import(out.text());
  ASSERT_TRUE(digest.ok()) << digest.error().ToString();
  EXPECT_EQ(*digest, Sha256Of(bytes));
  const auto info = store_->Info(*digest);
  ASSERT_TRUE(info.ok() && info->blob.has_value());
  EXPECT_EQ(info->blob->digest, Sha256Of(out.text()));
  EXPECT_EQ(info->blob->media_type,
            "application/vnd.oci.image.layer.v1.tar+gzip");
  const auto blob = store_->OpenBlob(info->blob->digest);
  ASSERT_TRUE(blob.ok());
  EXPECT_TRUE(test::ReadAll(blob->get()) == out.text());
  EXPECT_EQ(*Export(*digest), bytes);
}

TEST_F(LayerImport, SparseFilesKeepTheirHoles) {
  const uint64_t size = uint64_t{1} << 32;
  const auto tree =
      Tree(Pax(tar::FormatPax("GNU.sparse.size", std::to_string(size)) +
               tar::FormatPax("GNU.sparse.map", "1048576,5")) +
           File("s", "hello"));
  ASSERT_NE(tree, nullptr);
  const auto node = *tree->Node(Find(*tree, "s").node);
  EXPECT_EQ(node.size_bytes, size);
  const auto stat = store_->objects()->StatObject(*node.object);
  ASSERT_TRUE(stat.ok());
  EXPECT_EQ(stat->size_bytes, size);
  EXPECT_LT(stat->disk_bytes, 1u << 20);
}

// In whatever way they have their zeros.
TEST_F(LayerImport, SparseFilesAreSharedByTheirBytes) {
  std::string dense(3 << 20, '\0');
  dense.replace(1 << 20, 5, "hello");
  const auto sparse = [&](const char* name) {
    return Pax(tar::FormatPax("GNU.sparse.size", std::to_string(dense.size())) +
               tar::FormatPax("GNU.sparse.map", "1048576,5")) +
           File(name, "hello");
  };
  const auto tree = Tree(sparse("a") + File("b", dense) + sparse("c"));
  ASSERT_NE(tree, nullptr);
  const auto first = tree->Node(Find(*tree, "a").node)->object;
  ASSERT_TRUE(first.has_value());
  for (const char* name : {"b", "c"})
    EXPECT_EQ(tree->Node(Find(*tree, name).node)->object, first) << name;
}

TEST_F(LayerImport, ManyEntries) {
  std::string members;
  for (int i = 0; i < 9000; ++i)
    members += File("d" + std::to_string(i % 10) + "/" + std::to_string(i),
                    test::Contents('a', i % 3 == 0 ? 600 + i : i % 100));
  const auto tree = Tree(members);
  ASSERT_NE(tree, nullptr);
  EXPECT_EQ(tree->entry_count(), 9010u);
}

TEST_F(LayerImport, StopsBombs) {
  StringSink out;
  auto gzip = Compress(out, Compression::kGzip);
  ASSERT_TRUE(
      (*gzip)->Write(File("f", std::string(8 << 20, '\0')) + TarEnd()).ok());
  ASSERT_TRUE((*gzip)->Finish().ok());
  ImportOptions options;
  options.limits.free_bytes = 1 << 20;
  options.limits.max_ratio = 100;
  const auto digest = Import(out.text(), options);
  EXPECT_EQ(digest.code(), EFBIG);
  EXPECT_TRUE(store_->List()->empty());
  EXPECT_TRUE(test::List(dir_.path() + "/store/ingest").empty());
}

// The canonical form is its own import's export, and depends on the tree alone.
TEST_F(LayerImport, CanonicalFormComesBack) {
  const std::string members =
      Dir("./") + Dir("b/") + File("b/.wh..wh..opq") + File("b/2", "two") +
      File("b/1", test::Contents('1')) + HardLink("a", "b/1") +
      File("c/.wh.gone") + Symlink("b/s", "x");
  const auto tree = Tree(members);
  ASSERT_NE(tree, nullptr);
  StringSink once;
  ASSERT_TRUE(WriteTreeTar(*tree, Opener(), once).ok());
  const auto digest = Import(once.text());
  ASSERT_TRUE(digest.ok()) << digest.error().ToString();
  StringSink twice;
  const auto again = store_->OpenLayer(*digest);
  ASSERT_TRUE(WriteTreeTar(**again, Opener(), twice).ok());
  EXPECT_TRUE(once.text() == twice.text());
  EXPECT_EQ(Find(**again, "c/gone").kind, Kind::kWhiteout);
  EXPECT_TRUE((*again)->Node(Find(**again, "b").node)->opaque);
  EXPECT_EQ(Find(**again, "a").node, Find(**again, "b/1").node);
}

// What was done to a recipe is found, and importing the tar again mends it.
TEST_F(LayerImport, DamagedRecipesAreFoundAndMended) {
  const std::string tar = Dir("a/") + File("a/1", test::Contents('1')) +
                          File("a/2", "two") + TarEnd();
  const Digest digest = Import(tar).value();
  const std::string recipe =
      dir_.path() + "/store/layers/" + RecipeFileName(digest);
  const std::string sound = test::ReadFile(recipe);
  std::string flipped = sound;
  flipped[sound.size() / 2] ^= 1;
  const std::string wrong = [&] {  // sound, and another tar's
    const Digest other = Import(Dir("a/") + TarEnd()).value();
    return test::ReadFile(dir_.path() + "/store/layers/" +
                          RecipeFileName(other));
  }();
  for (const std::string& damage :
       {std::string(), sound.substr(0, sound.size() / 2), flipped, wrong}) {
    unlink(recipe.c_str());
    if (!damage.empty()) test::WriteFile(recipe, damage);
    EXPECT_EQ(store_->Check().value().clean(), damage == wrong);
    const auto verified = store_->Verify(digest).value();
    ASSERT_EQ(verified.findings.size(), 1u);
    EXPECT_EQ(verified.findings[0].invariant, 4);
    EXPECT_NE(verified.findings[0].text.find("recipe"), std::string::npos);
    EXPECT_FALSE(Export(digest).ok());
    ASSERT_TRUE(Import(tar).ok());
    EXPECT_EQ(test::Text(store_->Check().value()), "");
    EXPECT_EQ(test::Text(store_->Verify(digest).value()), "");
    EXPECT_TRUE(Export(digest).value() == tar);
  }
}

TEST_F(LayerImport, TheBlobStandsInForADamagedRecipe) {
  const std::string tar =
      Dir("a/") + File("a/1", test::Contents('1')) + TarEnd();
  StringSink packed;
  const auto compressed = Compress(packed, Compression::kGzip).value();
  ASSERT_TRUE(compressed->Write(tar).ok() && compressed->Finish().ok());
  const Digest digest = Import(packed.text()).value();
  const std::string recipe =
      dir_.path() + "/store/layers/" + RecipeFileName(digest);
  ASSERT_EQ(truncate(recipe.c_str(), 20), 0);
  EXPECT_TRUE(Export(digest).value() == tar);
  EXPECT_FALSE(store_->Check().value().clean());
}

}  // namespace
}  // namespace ufs
