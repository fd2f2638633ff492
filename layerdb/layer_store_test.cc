#include "layerdb/layer_store.h"

#include <gtest/gtest.h>
#include <sys/file.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include "layerdb/base/fault.h"
#include "layerdb/base/remove_tree.h"
#include "layerdb/checked_mark.h"
#include "layerdb/store_io.h"
#include "layerdb/store_test_util.h"
#include "tests/harness/process.h"
#include "tests/harness/scratch_dir.h"

namespace ufs {
namespace {

namespace stdfs = std::filesystem;
using test::Contents;
using test::Files;
using test::Import;

class LayerStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = scratch_.path() + "/deep/store";
    Open();
  }
  void TearDown() override { (void)ArmFault(""); }
  void Open() {
    auto opened = LayerStore::Open(path_, LayerStore::Access::kWrite);
    ASSERT_TRUE(opened.ok()) << opened.error().ToString();
    store_ = *opened;
  }
  void ExpectClean() {
    const auto report = store_->Check();
    ASSERT_TRUE(report.ok()) << report.error().ToString();
    EXPECT_EQ(test::Text(*report), "");
  }
  std::string FindingOf(const CheckReport& report, int invariant) {
    std::string text;
    for (const Finding& finding : report.findings)
      if (finding.invariant == invariant)
        text += finding.subject + ": " + finding.text;
    return text;
  }
  void Flip(const std::string& file, off_t offset) {
    const std::string path = path_ + "/" + file;
    ASSERT_EQ(chmod(path.c_str(), 0644), 0) << path;
    std::fstream stream(path, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(offset);
    const char byte = static_cast<char>(stream.get() ^ 0x10);
    stream.seekp(offset);
    stream.put(byte);
    ASSERT_TRUE(stream.good());
  }
  std::string ObjectFile(const Digest& layer, size_t which = 0) {
    return "objects/" +
           ObjectsOf(*store_->OpenLayer(layer).value()).value()[which].Path();
  }
  uint64_t ObjectCount() { return store_->Check().value().objects; }

  test::ScratchDir scratch_;
  std::string path_;
  std::shared_ptr<LayerStore> store_;
};

TEST_F(LayerStoreTest, KeepsALayerAndTellsOfIt) {
  const LayerInfo sealed =
      Import(*store_, "a", {{"big", Contents('a')}, {"small", "few"}}).value();
  EXPECT_EQ(sealed.entries, 2u);
  EXPECT_EQ(sealed.objects, 1u);
  EXPECT_EQ(sealed.content_bytes, 5003u);
  ASSERT_TRUE(store_->SetName("base", sealed.diff_id).ok());
  Open();
  const auto list = store_->List().value();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].diff_id, sealed.diff_id);
  EXPECT_EQ(list[0].names, std::vector<std::string>{"base"});
  EXPECT_EQ(list[0].source, "test of a");
  const auto tree = store_->OpenLayer(sealed.diff_id).value();
  EXPECT_EQ(test::ReadFile(*store_, *tree, "big").value(), Contents('a'));
  EXPECT_EQ(test::ReadFile(*store_, *tree, "small").value(), "few");
  ExpectClean();
}

TEST_F(LayerStoreTest, ASourceOfAnyLengthIsToldOf) {
  std::string longest(100'000, 'x');
  // A character of two bytes where it is cut.
  for (size_t at = 4000; at < 4200; at += 2) longest.replace(at, 2, "\xC3\xA9");
  const LayerInfo sealed = Import(*store_, longest, {{"f", "1"}}).value();
  const auto info = store_->Info(sealed.diff_id);
  ASSERT_TRUE(info.ok()) << info.error().ToString();
  EXPECT_EQ(info->source, sealed.source);
  EXPECT_LT(info->source.size(), 5000u);
  EXPECT_TRUE(info->source.ends_with("\xC3\xA9..."));
  ExpectClean();
}

TEST_F(LayerStoreTest, AStoreIsNotMadeInSomebodysDirectory) {
  EXPECT_EQ(
      LayerStore::Open(scratch_.path(), LayerStore::Access::kWrite).code(),
      ENOTEMPTY);
  EXPECT_EQ(LayerStore::Open(scratch_.path(), LayerStore::Access::kRead).code(),
            ENOENT);
  EXPECT_EQ(
      LayerStore::Open(scratch_.path() + "/none", LayerStore::Access::kRead)
          .code(),
      ENOENT);
  std::ofstream(path_ + "/version") << "ufs-store 2\n";
  EXPECT_EQ(LayerStore::Open(path_, LayerStore::Access::kWrite).code(), EPROTO);
}

TEST_F(LayerStoreTest, ResolvesNamesDigestsAndPrefixes) {
  const Digest a = Import(*store_, "a", {{"f", "1"}}).value().diff_id;
  const Digest b = Import(*store_, "b", {{"f", "2"}}).value().diff_id;
  ASSERT_TRUE(store_->SetName("host:5000/x/base:v1", a).ok());
  ASSERT_TRUE(store_->SetName("app", b).ok());
  EXPECT_EQ(store_->Resolve("host:5000/x/base:v1").value(), a);
  EXPECT_EQ(store_->Resolve("app:latest").value(), b);
  EXPECT_EQ(store_->Resolve(a.ToString()).value(), a);
  EXPECT_EQ(store_->Resolve(a.Hex().substr(0, 12)).value(), a);
  EXPECT_EQ(store_->Resolve("sha256:" + b.Hex().substr(0, 4)).value(), b);
  EXPECT_EQ(store_->Resolve("none").code(), ENOENT);
  EXPECT_EQ(store_->Resolve(a.Hex().substr(0, 3)).code(), ENOENT);
  EXPECT_EQ(store_->SetName("../x", a).code(), EINVAL);
  EXPECT_EQ(store_->SetName("x", Sha256Of("none")).code(), ENOENT);
  ASSERT_TRUE(store_->RemoveName("app").ok());
  EXPECT_EQ(store_->RemoveName("app").code(), ENOENT);
}

TEST_F(LayerStoreTest, SaysWhichLayersAPrefixCouldMean) {
  // Two digests with the same first digits, found by trying.
  std::map<std::string, std::string> seen;
  std::string first, second;
  for (int i = 0; second.empty(); ++i) {
    const std::string identity = std::to_string(i);
    const std::string prefix = Sha256Of(identity).Hex().substr(0, 4);
    if (seen.contains(prefix)) first = seen[prefix], second = identity;
    seen[prefix] = identity;
  }
  ASSERT_TRUE(Import(*store_, first, {{"f", "1"}}).ok());
  ASSERT_TRUE(Import(*store_, second, {{"f", "2"}}).ok());
  const std::string prefix = Sha256Of(first).Hex().substr(0, 4);
  const auto ambiguous = store_->Resolve(prefix);
  ASSERT_EQ(ambiguous.code(), ENOTUNIQ);
  EXPECT_NE(
      ambiguous.error().ToString().find(Sha256Of(second).Hex().substr(0, 8)),
      std::string::npos)
      << ambiguous.error().ToString();
}

TEST_F(LayerStoreTest, SealingAgainChangesNothingAndAddsWhatWasMissing) {
  const Files files = {{"f", Contents('f')}};
  const LayerInfo first = Import(*store_, "a", files).value();
  const LayerInfo again = Import(*store_, "a", files, "compressed").value();
  EXPECT_EQ(again.created, first.created);
  ASSERT_TRUE(again.blob.has_value());
  EXPECT_TRUE(store_->OpenBlob(again.blob->digest).ok());
  EXPECT_EQ(store_->Info(first.diff_id).value().blob, again.blob);
  EXPECT_EQ(store_->List().value().size(), 1u);
  ExpectClean();
}

TEST_F(LayerStoreTest, AnImportThatIsNotSealedLeavesNothing) {
  {
    const auto ingest = store_->BeginIngest("x").value();
    ASSERT_TRUE(test::Fill(*ingest, {{"f", Contents('f', 400'000)}}).ok());
  }
  EXPECT_TRUE(store_->List().value().empty());
  EXPECT_EQ(store_->Gc({}).value().leftovers, 0u);
  EXPECT_EQ(ObjectCount(), 0u);
}

TEST_F(LayerStoreTest, AnImportRemovesWhatKilledOnesHaveLeft) {
  const stdfs::path abandoned = path_ + "/ingest/abandoned";
  const auto abandon = [&] {
    stdfs::create_directories(abandoned / "objects");
    std::ofstream(abandoned / "objects/draft") << "staged";
  };
  abandon();
  const auto first = store_->BeginIngest("first").value();
  EXPECT_FALSE(stdfs::exists(abandoned));
  abandon();
  // It might be about to be locked.
  const auto second = store_->BeginIngest("second").value();
  EXPECT_TRUE(stdfs::exists(abandoned));
  ASSERT_TRUE(test::Fill(*first, {{"f", Contents('f')}}).ok());
  EXPECT_TRUE(first->Seal(Sha256Of("first")).ok());
}

TEST_F(LayerStoreTest, RemovesLayersAndGcFreesWhatTheyAloneUsed) {
  const Digest a =
      Import(*store_, "a", {{"own", Contents('a')}, {"both", Contents('x')}},
             "blob a")
          .value()
          .diff_id;
  const Digest b =
      Import(*store_, "b", {{"own", Contents('b')}, {"both", Contents('x')}})
          .value()
          .diff_id;
  EXPECT_EQ(ObjectCount(), 3u);
  // Contents, index, description and blob.
  EXPECT_EQ(store_->ExclusiveBytes(a).value(), 8192u + 3 * 4096u);
  ASSERT_TRUE(store_->SetName("a", a).ok());
  EXPECT_EQ(store_->Remove(a).code(), EBUSY);
  EXPECT_EQ(store_->Remove(Sha256Of("none")).code(), ENOENT);
  ASSERT_TRUE(store_->Remove(a, true).ok());
  EXPECT_EQ(store_->Resolve("a").code(), ENOENT);
  const GcReport dry = store_->Gc({.dry_run = true}).value();
  EXPECT_EQ(dry.objects, 1u);
  EXPECT_EQ(ObjectCount(), 3u);
  const GcReport swept = store_->Gc({}).value();
  EXPECT_EQ(swept.objects, 1u);
  EXPECT_EQ(swept.blobs, 1u);
  EXPECT_EQ(swept.freed_bytes, dry.freed_bytes);
  EXPECT_EQ(ObjectCount(), 2u);
  const auto tree = store_->OpenLayer(b).value();
  EXPECT_EQ(test::ReadFile(*store_, *tree, "both").value(), Contents('x'));
  ExpectClean();
}

TEST_F(LayerStoreTest, GcTakesUnnamedLayersWhenAsked) {
  const Digest a = Import(*store_, "a", {{"f", Contents('a')}}).value().diff_id;
  const Digest b = Import(*store_, "b", {{"f", Contents('b')}}).value().diff_id;
  const Digest c = Import(*store_, "c", {{"f", Contents('c')}}).value().diff_id;
  ASSERT_TRUE(store_->SetName("a", a).ok());
  const auto used = store_->OpenLayer(b).value();
  EXPECT_EQ(store_->Gc({}).value().layers, 0u);
  const GcReport report = store_->Gc({.unnamed_layers = true}).value();
  EXPECT_EQ(report.layers, 1u);
  EXPECT_EQ(report.in_use, 1u);
  EXPECT_EQ(report.objects, 1u);
  EXPECT_TRUE(store_->Has(a) && store_->Has(b) && !store_->Has(c));
  ExpectClean();
}

TEST_F(LayerStoreTest, WhatIsUsedCannotBeRemoved) {
  const Digest a =
      Import(*store_, "a", {{"f", "1"}, {"a", "a"}}).value().diff_id;
  const Digest b = Import(*store_, "b", {{"f", "2"}}).value().diff_id;
  const Digest run[] = {a, b};
  auto view = store_->OpenView(run).value();
  EXPECT_EQ(test::ReadFile(*store_, *view, "f").value(), "2");
  EXPECT_EQ(test::ReadFile(*store_, *view, "a").value(), "a");
  EXPECT_EQ(store_->OpenView(run).value()->fd().get() < 0, false);
  // Another process tries; so does this one through another descriptor.
  EXPECT_EQ(test::InChild([&] { return store_->Remove(a).code(); }), EBUSY);
  EXPECT_EQ(store_->Remove(b).code(), EBUSY);
  EXPECT_EQ(store_->Gc({.all_views = true}).value().views, 0u);
  view.reset();
  EXPECT_EQ(store_->Check().value().views, 1u);
  EXPECT_TRUE(store_->Remove(b).ok());
  EXPECT_EQ(store_->Check().value().views, 0u);
  ExpectClean();
}

TEST_F(LayerStoreTest, APinOutlivesNothing) {
  const Digest a = Import(*store_, "a", {{"f", "1"}}).value().diff_id;
  test::Baton ready, done;
  std::thread holder([&] {
    test::InChild([&] {
      const auto tree = store_->OpenLayer(a).value();
      ready.Signal();
      return kill(getpid(), SIGKILL);
    });
    done.Signal();
  });
  ASSERT_TRUE(ready.Wait());
  ASSERT_TRUE(done.Wait());
  holder.join();
  EXPECT_TRUE(store_->Remove(a).ok());
}

TEST_F(LayerStoreTest, DamagedViewsAreMadeAgain) {
  const Digest a = Import(*store_, "a", {{"f", "1"}}).value().diff_id;
  const Digest b = Import(*store_, "b", {{"g", "2"}}).value().diff_id;
  const Digest run[] = {a, b};
  ASSERT_TRUE(store_->OpenView(run).ok());
  const std::string file = "views/" + IndexFileName(ChainId(run));
  Flip(file, 700);
  EXPECT_NE(FindingOf(store_->Check().value(), 7).find(ChainId(run).ToString()),
            std::string::npos);
  EXPECT_EQ(
      test::ReadFile(*store_, *store_->OpenView(run).value(), "g").value(),
      "2");
  ExpectClean();
  Flip(file, 700);
  EXPECT_EQ(store_->Repair().value().mended.size(), 1u);
  ExpectClean();
}

// Flips bits of a view behind the file system's back, as a disk would: what
// says that it was written to is put back, in the note that vouches for it.
TEST_F(LayerStoreTest, AViewIsCheckedOnceABootOrWhenAsked) {
  using Check = LayerStore::IndexCheck;
  constexpr off_t kInNodes = 300;
  const Digest a = Import(*store_, "a", {{"f", "1"}}).value().diff_id;
  const Digest b = Import(*store_, "b", {{"g", "2"}}).value().diff_id;
  const std::vector<Digest> runs[] = {{a}, {a, b}};
  for (const auto& run : runs) {
    const Digest chain = ChainId(run);
    const std::string mark = "views/" + CheckedFileName(chain);
    const std::string file =
        (run.size() == 1 ? "layers/" : "views/") + IndexFileName(chain);
    ASSERT_TRUE(store_->OpenView(run).ok());
    usleep(150'000);  // what was made just now gets no note
    ASSERT_TRUE(store_->OpenView(run).ok());
    ASSERT_TRUE(stdfs::exists(path_ + "/" + mark));

    Flip(file, kInNodes);
    const UniqueFd dir =
        sys::Open((path_ + "/views").c_str(), O_RDONLY | O_DIRECTORY).value();
    usleep(150'000);
    CheckedMark(dir, CheckedFileName(chain),
                sys::Open((path_ + "/" + file).c_str(), O_RDONLY).value())
        .Set();
    EXPECT_TRUE(store_->OpenView(run).ok());
    const auto now = store_->OpenView(run, Check::kNow);
    // A view is made again, a layer's own index cannot be.
    EXPECT_EQ(now.code(), run.size() == 1 ? EUCLEAN : 0);
    if (run.size() == 1) Flip(file, kInNodes);
    ExpectClean();
  }
}

TEST_F(LayerStoreTest, NotesOfChecksGoWithWhatWasChecked) {
  const Digest a = Import(*store_, "a", {{"f", "1"}}).value().diff_id;
  const Digest b = Import(*store_, "b", {{"g", "2"}}).value().diff_id;
  const Digest run[] = {a, b};
  const auto check_all = [&] {
    ASSERT_TRUE(store_->OpenView(run).ok());
    usleep(150'000);
    ASSERT_TRUE(store_->OpenView(run).ok());
    ASSERT_TRUE(store_->OpenView({run, 1}).ok());
  };
  const auto notes = [&] {
    int count = 0;
    for (const auto& entry : stdfs::directory_iterator(path_ + "/views"))
      count += entry.path().extension() == ".checked";
    return count;
  };
  check_all();
  EXPECT_EQ(notes(), 2);
  EXPECT_EQ(store_->Check().value().leftovers, 0u);
  EXPECT_EQ(store_->Gc({}).value().leftovers, 0u);
  EXPECT_EQ(notes(), 2);
  ASSERT_EQ(store_->Gc({.all_views = true}).value().views, 1u);
  EXPECT_EQ(notes(), 1);
  check_all();
  ASSERT_TRUE(store_->Remove(a).ok());
  EXPECT_EQ(notes(), 0);

  const std::string stray = path_ + "/views/" + CheckedFileName(a);
  std::ofstream(stray) << "left by a crash";
  EXPECT_EQ(store_->Check().value().leftovers, 1u);
  EXPECT_EQ(store_->Gc({}).value().leftovers, 1u);
  EXPECT_FALSE(stdfs::exists(stray));
}

TEST_F(LayerStoreTest, NamesADamagedObjectAndImportingAgainMendsIt) {
  const Files files = {{"dir/file", Contents('q')}};
  const Digest a = Import(*store_, "a", files).value().diff_id;
  const std::string file = ObjectFile(a);
  Flip(file, 4000);
  ExpectClean();  // lengths agree: only reading finds it
  const auto verified = store_->Verify(a).value();
  ASSERT_EQ(verified.findings.size(), 1u);
  EXPECT_NE(verified.findings[0].text.find("dir/file"), std::string::npos);
  ASSERT_TRUE(Import(*store_, "a", files).ok());
  EXPECT_TRUE(store_->Verify(a).value().clean());

  ASSERT_EQ(truncate((path_ + "/" + file).c_str(), 10), 0);
  EXPECT_NE(FindingOf(store_->Check().value(), 3).find("dir/file"),
            std::string::npos);
  ASSERT_TRUE(Import(*store_, "a", files).ok());
  ExpectClean();
  ASSERT_EQ(unlink((path_ + "/" + file).c_str()), 0);
  EXPECT_NE(FindingOf(store_->Check().value(), 3).find("missing"),
            std::string::npos);
  ASSERT_TRUE(Import(*store_, "a", files).ok());
  ExpectClean();
}

TEST_F(LayerStoreTest, WhileAnIndexIsDamagedGcRemovesNothing) {
  const Files files = {{"f", Contents('q')}};
  const Digest a = Import(*store_, "a", files).value().diff_id;
  const Digest b = Import(*store_, "b", {{"g", Contents('r')}}).value().diff_id;
  Flip("layers/" + IndexFileName(a), 300);
  EXPECT_NE(FindingOf(store_->Check().value(), 2).find(a.ToString()),
            std::string::npos);
  EXPECT_FALSE(store_->Verify(a).value().clean());
  EXPECT_EQ(store_->Gc({}).code(), EUCLEAN);
  EXPECT_EQ(store_->Repair().value().left.size(), 1u);
  EXPECT_EQ(ObjectCount(), 2u);
  // The other layers go on; the damaged one comes back by import, or goes.
  EXPECT_TRUE(store_->Verify(b).value().clean());
  ASSERT_TRUE(Import(*store_, "a", files).ok());
  ExpectClean();
  Flip("layers/" + IndexFileName(a), 300);
  ASSERT_TRUE(store_->Remove(a).ok());
  EXPECT_EQ(store_->Gc({}).value().objects, 1u);
  ExpectClean();
}

TEST_F(LayerStoreTest, MakesALostOrDamagedCatalogAnew) {
  const Digest a =
      Import(*store_, "a", {{"f", Contents('a')}}, "blob").value().diff_id;
  ASSERT_TRUE(Import(*store_, "b", {{"f", Contents('a')}}).ok());
  ASSERT_TRUE(store_->SetName("a", a).ok());
  const auto before = store_->List().value();
  const auto expect_same = [&] {
    const auto after = store_->List().value();
    ASSERT_EQ(after.size(), before.size());
    for (size_t i = 0; i < before.size(); ++i) {
      EXPECT_EQ(after[i].Encode(), before[i].Encode());
      EXPECT_EQ(after[i].names, before[i].names);
    }
  };
  ASSERT_TRUE(
      RemoveTree({sys::Open(path_.c_str(), O_RDONLY).value(), "catalog"}).ok());
  expect_same();  // listing needs none
  EXPECT_NE(FindingOf(store_->Check().value(), 9), "");
  EXPECT_EQ(store_->Repair().value().mended.size(), 1u);
  ExpectClean();
  expect_same();
  EXPECT_TRUE(store_->Repair().value().mended.empty()) << "nothing is broken";

  std::ofstream(path_ + "/catalog/CURRENT") << "MANIFEST-000042\n";
  EXPECT_NE(FindingOf(store_->Check().value(), 9), "");
  EXPECT_EQ(Import(*store_, "c", {{"f", "x"}}).code(), EUCLEAN);
  EXPECT_EQ(store_->Repair().value().mended.size(), 1u);
  ExpectClean();
  expect_same();
}

TEST_F(LayerStoreTest, TheCatalogDoesNotKeepALogOfEachWriter) {
  constexpr size_t kWriters = 150;
  const std::string path = scratch_.path() + "/catalog";
  size_t most = 0;
  for (size_t i = 0; i < kWriters; ++i) {
    LayerInfo info;
    info.diff_id = Sha256Of(std::to_string(i));
    const auto catalog = Catalog::Open(path, Catalog::Mode::kCreate).value();
    ASSERT_TRUE(catalog->PutLayer(info, {}).ok());
    const auto files = ListNames({AT_FDCWD, path.c_str()}).value();
    most = std::max(most, static_cast<size_t>(std::count_if(
                              files.begin(), files.end(), [](const auto& file) {
                                return file.ends_with(".log");
                              })));
  }
  EXPECT_LT(most, 70u);
  const auto catalog = Catalog::Open(path, Catalog::Mode::kRead).value();
  EXPECT_EQ(catalog->Layers().value().size(), kWriters);
  EXPECT_TRUE(catalog->Verify().ok());
}

TEST_F(LayerStoreTest, MendsALostDescription) {
  const Digest a =
      Import(*store_, "a", {{"f", Contents('a')}, {"g", "2"}}).value().diff_id;
  ASSERT_EQ(unlink((path_ + "/layers/" + InfoFileName(a)).c_str()), 0);
  EXPECT_EQ(store_->Info(a).value().entries, 2u);
  EXPECT_NE(FindingOf(store_->Check().value(), 4), "");
  ASSERT_TRUE(store_->Repair().ok());
  ExpectClean();
  EXPECT_EQ(store_->Info(a).value().entries, 2u);
}

TEST_F(LayerStoreTest, ALostDescriptionCostsNoBlob) {
  const Files files = {{"f", Contents('a')}};
  const LayerInfo info = Import(*store_, "a", files, "blob").value();
  const std::string text = path_ + "/layers/" + InfoFileName(info.diff_id);
  const auto lose = [&] { ASSERT_EQ(unlink(text.c_str()), 0); };
  lose();
  EXPECT_EQ(store_->Gc({}).value().blobs, 0u);
  EXPECT_TRUE(store_->OpenBlob(info.blob->digest).ok());
  EXPECT_EQ(store_->Repair().value().mended.size(), 1u);
  EXPECT_EQ(store_->Info(info.diff_id).value().Encode(), info.Encode());
  ExpectClean();
  lose();
  ASSERT_TRUE(Import(*store_, "a", files).ok());
  EXPECT_EQ(store_->Info(info.diff_id).value().Encode(), info.Encode());
  ExpectClean();
  // Where nobody knows of the blob, it stays until that is mended.
  lose();
  ASSERT_TRUE(
      RemoveTree({sys::Open(path_.c_str(), O_RDONLY).value(), "catalog"}).ok());
  const auto swept = store_->Gc({});
  EXPECT_EQ(swept.code(), EUCLEAN);
  EXPECT_NE(swept.error().context().find(info.diff_id.ToString()),
            std::string_view::npos);
  EXPECT_TRUE(store_->OpenBlob(info.blob->digest).ok());
  ASSERT_TRUE(Import(*store_, "a", files, "blob").ok());
  EXPECT_EQ(store_->Info(info.diff_id).value().blob, info.blob);
  ExpectClean();
}

TEST_F(LayerStoreTest, TellsOfNamesThatNameNothing) {
  const Digest a = Import(*store_, "a", {{"f", "1"}}).value().diff_id;
  ASSERT_TRUE(store_->SetName("a", a).ok());
  ASSERT_TRUE(store_->SetName("b", a).ok());
  ASSERT_EQ(unlink((path_ + "/layers/" + IndexFileName(a)).c_str()), 0);
  std::ofstream(path_ + "/names/b") << "nonsense";
  const auto report = store_->Check().value();
  EXPECT_NE(FindingOf(report, 5).find("name a"), std::string::npos);
  EXPECT_NE(FindingOf(report, 5).find("names/b"), std::string::npos);
  EXPECT_EQ(store_->Resolve("a").code(), ENOENT);
  EXPECT_EQ(store_->Resolve("b").code(), EUCLEAN);
  ASSERT_TRUE(store_->Repair().ok());
  ASSERT_TRUE(Import(*store_, "a", {{"f", "1"}}).ok());
  EXPECT_EQ(store_->Resolve("a").value(), a) << "the name waited for it";
  ExpectClean();
}

TEST_F(LayerStoreTest, UsageIsWhatDuSays) {
  ASSERT_TRUE(Import(*store_, "a",
                     {{"f", Contents('a', 100'000)}, {"g", Contents('b')}},
                     "blob")
                  .ok());
  const Digest b = Import(*store_, "b", {{"g", "2"}}).value().diff_id;
  const Digest run[] = {Sha256Of("a"), b};
  ASSERT_TRUE(store_->OpenView(run).ok());
  const auto du =
      test::RunProgram({"/usr/bin/du", "-s", "--block-size=1", path_});
  ASSERT_EQ(du.exit_code, 0) << du.output;
  const DiskUsage usage = store_->Usage().value();
  EXPECT_EQ(std::to_string(usage.total),
            du.output.substr(0, du.output.find('\t')));
  EXPECT_EQ(usage.object_count, 2u);
  EXPECT_EQ(usage.layer_count, 2u);
}

TEST_F(LayerStoreTest, TwoImportersAndAnEagerCollector) {
  constexpr int kRounds = 12;
  std::atomic<bool> stop{false};
  std::thread collector([&] {
    const auto own =
        LayerStore::Open(path_, LayerStore::Access::kWrite).value();
    while (!stop) {
      const auto swept = own->Gc({});
      ASSERT_TRUE(swept.ok()) << swept.error().ToString();
      // flock(2) is not fair: who asks again at once may keep others out.
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  std::thread reader([&] {
    const auto own = LayerStore::Open(path_, LayerStore::Access::kRead).value();
    while (!stop) {
      const auto list = own->List().value();
      for (const LayerInfo& info : list) {
        const auto verified = own->Verify(info.diff_id);
        if (verified.code() == ENOENT) continue;
        ASSERT_TRUE(verified.ok()) << verified.error().ToString();
        EXPECT_EQ(test::Text(*verified), "");
      }
    }
  });
  std::vector<std::thread> writers;
  for (int w = 0; w < 2; ++w)
    writers.emplace_back([&, w] {
      const auto own =
          LayerStore::Open(path_, LayerStore::Access::kWrite).value();
      for (int i = 0; i < kRounds; ++i) {
        // Half of the layers, and most contents, are both writers'.
        const std::string identity =
            i % 2 == 0 ? std::to_string(i)
                       : std::to_string(i) + "-" + std::to_string(w);
        const auto sealed =
            Import(*own, identity,
                   {{"shared", Contents('s', 20'000)},
                    {"own", Contents(static_cast<char>('0' + i))}});
        ASSERT_TRUE(sealed.ok()) << sealed.error().ToString();
        if (i % 3 == 2) {
          const auto removed = own->Remove(sealed->diff_id);
          EXPECT_TRUE(removed.ok() || removed.code() == EBUSY ||
                      removed.code() == ENOENT)
              << removed.error().ToString();
        }
      }
    });
  for (std::thread& writer : writers) writer.join();
  stop = true;
  collector.join();
  reader.join();
  ExpectClean();
  ASSERT_TRUE(store_->Gc({}).ok());
  const auto report = store_->Check().value();
  EXPECT_EQ(report.unused_objects, 0u);
  EXPECT_EQ(report.leftovers, 0u);
  const auto list = store_->List().value();
  for (const LayerInfo& info : list)
    EXPECT_EQ(test::Text(store_->Verify(info.diff_id).value()), "");
}

}  // namespace
}  // namespace ufs
