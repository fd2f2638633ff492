#include "layerdb/image_import.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "layerdb/image_test_util.h"
#include "layerdb/store_test_util.h"
#include "tests/harness/files.h"
#include "tests/harness/scratch_dir.h"

namespace ufs {
namespace {

using test::Contents;
using test::Dir;
using test::File;
using test::ScratchDir;
using test::Symlink;
using test::TarEnd;
using test::TestLayout;
using test::Text;
using test::WriteText;
using Json = TestLayout::Json;

class ImageImport : public testing::Test {
 protected:
  void SetUp() override {
    auto store =
        LayerStore::Open(dir_.path() + "/store", LayerStore::Access::kWrite);
    ASSERT_TRUE(store.ok()) << store.error().ToString();
    store_ = *store;
  }

  Result<std::vector<Image>> Take(const ImageFiles& files,
                                  const ImageChoice& choice = {},
                                  const std::string& name = "") {
    const auto drafts = TRY(ReadImages(files, choice));
    return ImportImages(*store_, files, drafts, {{}, "test", name});
  }
  Result<std::vector<Image>> Take(const ImageChoice& choice = {}) {
    return Take(*TRY(OpenImageDirectory(layout_.path())), choice);
  }
  Result<std::vector<Image>> TakeTar(const std::string& bytes,
                                     const ImageChoice& choice = {}) {
    WriteText(dir_.path() + "/tar", bytes);
    const auto files = TRY(
        OpenImageTar(TRY(sys::Open((dir_.path() + "/tar").c_str(), O_RDONLY))));
    return Take(*files, choice);
  }

  // One image, whose layers are `tars`.
  void ExpectImage(const Result<std::vector<Image>>& images,
                   const std::vector<std::string>& tars) {
    ASSERT_TRUE(images.ok()) << images.error().ToString();
    ASSERT_EQ(images->size(), 1u);
    const Image& image = images->front();
    ASSERT_EQ(image.config.diff_ids.size(), tars.size());
    for (size_t i = 0; i < tars.size(); ++i)
      EXPECT_EQ(image.config.diff_ids[i], Sha256Of(tars[i]));
    const auto kept = store_->OpenImage(image.digest);
    ASSERT_TRUE(kept.ok()) << kept.error().ToString();
    EXPECT_EQ(kept->manifest_text, image.manifest_text);
    EXPECT_EQ(kept->config_text, image.config_text);
    EXPECT_EQ(Sha256Of(kept->manifest_text), image.digest);
    EXPECT_EQ(Text(store_->Check().value()), "");
    EXPECT_EQ(store_->Check()->leftovers, 0u);
  }

  void ExpectRefused(const Result<std::vector<Image>>& images, int code,
                     const std::string& why) {
    ASSERT_FALSE(images.ok()) << why;
    EXPECT_EQ(images.code(), code) << images.error().ToString();
    EXPECT_NE(images.error().ToString().find(why), std::string::npos)
        << images.error().ToString();
    EXPECT_TRUE(store_->List()->empty());
    EXPECT_TRUE(store_->Images()->empty());
    EXPECT_TRUE(test::List(dir_.path() + "/store/ingest").empty());
    EXPECT_TRUE(test::List(dir_.path() + "/store/objects").empty());
    EXPECT_TRUE(test::List(dir_.path() + "/store/blobs/sha256").empty());
  }
  void ExpectManifestRefused(const Json& manifest, int code,
                             const std::string& why) {
    layout_.Index({layout_.Blob(manifest.dump(), kOciManifest)});
    ExpectRefused(Take(), code, why);
  }

  const std::string base_ =
      Dir("d/") + File("d/f", Contents('f')) + File("small", "base") + TarEnd();
  const std::string app_ = File("d/.wh.f") + File("small", "app") +
                           File("big", Contents('b', 300'000)) + TarEnd();

  ScratchDir dir_;
  std::shared_ptr<LayerStore> store_;
  TestLayout layout_{dir_.path() + "/layout"};
};

TEST_F(ImageImport, AnImageIsItsLayersInOrder) {
  Json entry = layout_.Image({base_, app_});
  entry["annotations"] = {{"org.opencontainers.image.ref.name", "team/app:2"}};
  layout_.Index({entry});
  const auto images = Take();
  ExpectImage(images, {base_, app_});
  EXPECT_EQ(images->front().digest.ToString(), entry["digest"]);
  EXPECT_EQ(images->front().config.cmd, std::vector<std::string>{"/bin/sh"});
  EXPECT_EQ(images->front().config.env, std::vector<std::string>{"A=b"});

  const Digest digest = images->front().digest;
  for (const std::string& reference :
       {std::string("team/app:2"), digest.ToString(), digest.Hex().substr(0, 9),
        images->front().id().ToString()}) {
    const auto run = store_->ResolveRun(reference);
    ASSERT_TRUE(run.ok()) << run.error().ToString();
    EXPECT_EQ(*run, images->front().config.diff_ids);
  }
  EXPECT_EQ(store_->Resolve("team/app:2").code(), EINVAL);
  const auto view = store_->OpenView(*store_->ResolveRun("team/app:2"));
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(test::ReadFile(*store_, **view, "small").value(), "app");
  EXPECT_EQ(test::ReadFile(*store_, **view, "big").value(),
            Contents('b', 300'000));
}

// As some of those that engines take.
TEST_F(ImageImport, ALayerMayLackItsEndMark) {
  const std::string bare = base_.substr(0, base_.size() - TarEnd().size());
  layout_.Index({layout_.Image({bare, app_})});
  const auto images = Take();
  ExpectImage(images, {bare, app_});
  const auto view = store_->OpenView(images->front().config.diff_ids);
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(test::ReadFile(*store_, **view, "small").value(), "app");
}

TEST_F(ImageImport, ALayerMayBeThereTwice) {
  const std::string empty = TarEnd();
  layout_.Index({layout_.Image({base_, empty, app_, empty})});
  const auto images = Take();
  ExpectImage(images, {base_, empty, app_, empty});
  EXPECT_EQ(store_->List()->size(), 3u);
  const auto view = store_->OpenView(images->front().config.diff_ids);
  ASSERT_TRUE(view.ok()) << view.error().ToString();
  EXPECT_TRUE((*view)->CheckAll().ok());
  EXPECT_EQ(test::ReadFile(*store_, **view, "small").value(), "app");
}

TEST_F(ImageImport, AnImageForThisMachineIsChosen) {
  const Json ours = layout_.Image({base_}), theirs = layout_.Image({app_});
  const auto entry = [](Json descriptor, const std::string& architecture) {
    descriptor["platform"] = {{"os", "linux"}, {"architecture", architecture}};
    return descriptor;
  };
  const std::string here = Platform::OfThisMachine().architecture;
  Json attestation = theirs;
  attestation["annotations"] = {
      {"vnd.docker.reference.type", "attestation-manifest"}};
  const Json inner{{"schemaVersion", 2},
                   {"mediaType", kOciIndex},
                   {"manifests", Json::array({entry(theirs, "vax"), attestation,
                                              entry(ours, here)})}};
  const Json outer{
      {"schemaVersion", 2},
      {"manifests", Json::array({layout_.Blob(inner.dump(), kOciIndex)})}};
  layout_.Index({layout_.Blob(outer.dump(), kOciIndex)});
  ExpectImage(Take(), {base_});
  const auto missing = Take({"", Platform{"linux", "pdp11", ""}});
  EXPECT_EQ(missing.code(), ENOENT);
  EXPECT_NE(missing.error().ToString().find("there is"), std::string::npos);

  // Straight in index.json, with no names.
  layout_.Index({entry(theirs, "vax"), entry(ours, here)});
  ExpectImage(Take(), {base_});
  const auto chosen = Take({"", Platform{"linux", "vax", ""}});
  ASSERT_TRUE(chosen.ok()) << chosen.error().ToString();
  EXPECT_EQ(chosen->front().config.diff_ids.front(), Sha256Of(app_));
}

TEST_F(ImageImport, IndexesMayLieBesideEachOther) {
  const auto index_of = [&](const Json& image, const char* architecture) {
    Json entry = image;
    entry["platform"] = {{"os", "linux"}, {"architecture", architecture}};
    return layout_.Blob(Json{{"schemaVersion", 2},
                             {"mediaType", kOciIndex},
                             {"manifests", Json::array({entry})}}
                            .dump(),
                        kOciIndex);
  };
  const std::string here = Platform::OfThisMachine().architecture;
  const Json outer{
      {"schemaVersion", 2},
      {"manifests", Json::array({index_of(layout_.Image({app_}), "vax"),
                                 index_of(layout_.Image({base_}), here.c_str()),
                                 index_of(layout_.Image({app_}), "vax")})}};
  layout_.Index({layout_.Blob(outer.dump(), kOciIndex)});
  ExpectImage(Take(), {base_});
}

TEST_F(ImageImport, TheVariantThatEveryMachineRunsGoesBeforeOthers) {
  const auto entry = [&](const std::string& tar, const char* variant) {
    Json descriptor = layout_.Image({tar});
    descriptor["platform"] = {{"os", "linux"}, {"architecture", "vax"}};
    if (*variant != 0) descriptor["platform"]["variant"] = variant;
    return descriptor;
  };
  const std::string third = File("third", "3") + TarEnd();
  layout_.Index({entry(third, "v3"), entry(app_, "v2"), entry(base_, "")});
  ExpectImage(Take({"", Platform{"linux", "vax", ""}}), {base_});
  ExpectImage(Take({"", Platform{"linux", "vax", "v2"}}), {app_});
  ExpectImage(Take({"", Platform{"linux", "vax", "v4"}}), {base_});
}

TEST_F(ImageImport, ASignatureBesideAnImageIsNoImage) {
  const Json image = layout_.Image({base_});
  Json signature = layout_.Blob(
      Json{{"schemaVersion", 2},
           {"mediaType", kOciManifest},
           {"artifactType", "application/vnd.example.signature"},
           {"config", layout_.Blob("{}", "application/vnd.oci.empty.v1+json")},
           {"layers", Json::array()}}
          .dump(),
      kOciManifest);
  layout_.Index({signature, image});
  EXPECT_FALSE(Take().ok());  // nothing says what it is
  signature["artifactType"] = "application/vnd.example.signature";
  layout_.Index({signature, image});
  ExpectImage(Take(), {base_});
  layout_.Index({signature});
  EXPECT_EQ(Take().code(), ENOENT);
}

TEST_F(ImageImport, OneOfSeveralByItsName) {
  Json one = layout_.Image({base_}), two = layout_.Image({base_, app_});
  one["annotations"] = {{"org.opencontainers.image.ref.name", "v1"}};
  two["annotations"] = {{"org.opencontainers.image.ref.name", "v2"}};
  layout_.Index({one, two});
  ExpectRefused(Take({"v3", std::nullopt}), ENOENT, "it holds v1, v2");
  ExpectImage(Take({"v1", std::nullopt}), {base_});
  const auto both = Take();
  ASSERT_TRUE(both.ok()) << both.error().ToString();
  EXPECT_EQ(both->size(), 2u);
  EXPECT_EQ(store_->List()->size(), 2u);
}

TEST_F(ImageImport, ADockerArchive) {
  const std::string config = TestLayout::ConfigOf({base_, app_, base_}).dump();
  const std::string name = Sha256Of(config).Hex() + ".json";
  const Json image = {
      {"Config", name},
      {"RepoTags", {"app:latest", "registry:5000/app:2"}},
      {"Layers", {"1/layer.tar", "2/layer.tar", "3/layer.tar"}}};
  const Json list = Json::array({image});
  const std::string tar = Dir("1/") + File("1/layer.tar", base_) + Dir("2/") +
                          File("2/layer.tar", app_) + Dir("3/") +
                          Symlink("3/layer.tar", "../1/layer.tar") +
                          File(name, config) +
                          File("manifest.json", list.dump()) + TarEnd();
  EXPECT_TRUE(MayHoldImages(File(name, config).substr(0, 700)));
  const auto images = TakeTar(tar);
  ExpectImage(images, {base_, app_, base_});
  EXPECT_EQ(store_->FindImage("app").value().digest, images->front().digest);
  EXPECT_EQ(store_->FindImage("registry:5000/app:2").value().digest,
            images->front().digest);
  EXPECT_EQ(images->front().config_text, config);
  // Its manifest is made, always the same one.
  const auto again = TakeTar(tar, {"app", std::nullopt});
  ASSERT_TRUE(again.ok()) << again.error().ToString();
  EXPECT_EQ(again->front().digest, images->front().digest);
}

TEST_F(ImageImport, ALayoutInATar) {
  const Json entry = layout_.Image({base_});
  layout_.Index({entry});
  std::string tar = Dir("./") + Dir("./blobs/") + Dir("./blobs/sha256/");
  for (const std::string path : {"oci-layout", "index.json"})
    tar += File("./" + path, test::ReadFile(layout_.path() + "/" + path));
  for (const auto& name : test::List(layout_.path() + "/blobs/sha256"))
    tar += File("./blobs/sha256/" + name,
                test::ReadFile(layout_.path() + "/blobs/sha256/" + name));
  EXPECT_TRUE(MayHoldImages(tar.substr(0, 2048)));
  EXPECT_FALSE(MayHoldImages(base_));
  ExpectImage(TakeTar(tar + TarEnd()), {base_});
}

TEST_F(ImageImport, WhatIsDamagedIsNamedAndLeavesNothing) {
  layout_.Index({layout_.Image({base_, app_})});
  const std::string path = layout_.BlobPath(Sha256Of(app_));
  std::string damaged = app_;
  damaged[damaged.find("app")] = 'X';
  WriteText(path, damaged);
  ExpectRefused(Take(), EBADMSG, Sha256Of(app_).Hex() + ": is damaged");
  WriteText(path, app_ + std::string(512, '\0'));
  ExpectRefused(Take(), EBADMSG, "bytes instead of");
  std::filesystem::remove(path);
  ExpectRefused(Take(), ENOENT, "is named but not there");
  std::filesystem::create_directory(path);
  ExpectRefused(Take(), EINVAL, "is no file");
}

TEST_F(ImageImport, ALieAboutALayerIsFound) {
  // Blobs are what the manifest says, but not what the configuration says.
  ExpectManifestRefused(
      layout_.Manifest(TestLayout::ConfigOf({base_, base_}),
                       {layout_.Layer(base_), layout_.Layer(app_)}),
      EBADMSG, "but the configuration says " + Sha256Of(base_).ToString());
  ExpectManifestRefused(
      layout_.Manifest(TestLayout::ConfigOf({base_}),
                       {layout_.Layer(base_), layout_.Layer(app_)}),
      EINVAL, "names 1 layers, its manifest 2");
}

TEST_F(ImageImport, DocumentsThatAreNoImage) {
  const Json good =
      layout_.Manifest(TestLayout::ConfigOf({base_}), {layout_.Layer(base_)});
  const auto with = [&](const char* pointer, const Json& value) {
    Json changed = good;
    changed[Json::json_pointer(pointer)] = value;
    return changed;
  };
  ExpectManifestRefused(with("/manifests", Json::array()), EINVAL,
                        "taken for two things");
  ExpectManifestRefused(with("/schemaVersion", 1), ENOTSUP, "only 2 is read");
  ExpectManifestRefused(with("/mediaType", kDockerManifest), EINVAL,
                        "as it is called");
  ExpectManifestRefused(with("/config/mediaType", "application/x-helm"),
                        ENOTSUP, "an artifact, no image");
  ExpectManifestRefused(
      with("/layers/0/mediaType", std::string(kOciLayer) + "+encrypted"),
      ENOTSUP, "is encrypted");
  ExpectManifestRefused(with("/layers/0/mediaType", "text/plain"), ENOTSUP,
                        "is no layer");
  ExpectManifestRefused(with("/layers/0/digest", "sha512:00"), ENOTSUP,
                        "layers[0].digest is not SHA-256");
  ExpectManifestRefused(with("/layers/0/digest", "sha256:../../etc/passwd"),
                        EINVAL, "layers[0].digest must be");
  ExpectManifestRefused(with("/layers/0/size", -1), EINVAL, "layers[0].size");
  ExpectManifestRefused(with("/config/size", 1), EBADMSG, "instead of 1");
  Json many = good;
  for (size_t i = 0; i < kMostImageLayers; ++i)
    many["layers"].push_back(good["layers"][0]);
  ExpectManifestRefused(many, EFBIG, "layers has more than 500 entries");

  WriteText(layout_.path() + "/index.json", std::string(100'000, '['));
  ExpectRefused(Take(), EINVAL, "index.json: nested deeper");
  WriteText(layout_.path() + "/index.json", std::string(5 << 20, ' '));
  ExpectRefused(Take(), EFBIG, "index.json: has more than 4 MiB");
  WriteText(layout_.path() + "/oci-layout", R"({"imageLayoutVersion":"2"})");
  ExpectRefused(Take(), ENOTSUP, "version '2'");
}

TEST_F(ImageImport, AnIndexThatHoldsItselfEnds) {
  // By digest it cannot; by depth it may try.
  Json entry = layout_.Image({base_});
  for (int i = 0; i < 6; ++i)
    entry = layout_.Blob(
        Json{{"schemaVersion", 2}, {"manifests", Json::array({entry})}}.dump(),
        kOciIndex);
  layout_.Index({entry});
  ExpectRefused(Take(), ELOOP, "nested too deeply");
}

TEST_F(ImageImport, ItsLayersGoWithTheLastImage) {
  layout_.Index({layout_.Image({base_, app_})});
  const Digest both = Take().value().front().digest;
  layout_.Index({layout_.Image({base_})});
  const Digest one = Take().value().front().digest;
  EXPECT_EQ(store_->Remove(Sha256Of(base_)).code(), EBUSY);
  ASSERT_TRUE(store_->Gc({}).ok());
  EXPECT_EQ(store_->List()->size(), 2u);

  ASSERT_TRUE(store_->SetName("both", both).ok());
  EXPECT_EQ(store_->RemoveImage(both).code(), EBUSY);
  ASSERT_TRUE(store_->RemoveImage(both, /*names_too=*/true).ok());
  EXPECT_EQ(store_->Gc({})->layers, 1u);
  EXPECT_TRUE(store_->Has(Sha256Of(base_)));

  // What was asked for by itself stays.
  auto ingest = store_->BeginIngest("layer").value();
  MemorySource source(base_);
  ASSERT_TRUE(ImportTar(source, *ingest).ok());
  ASSERT_TRUE(ingest->Seal(Sha256Of(base_)).ok());
  ingest.reset();
  ASSERT_TRUE(store_->RemoveImage(one).ok());
  EXPECT_EQ(store_->Gc({})->layers, 0u);
  EXPECT_TRUE(store_->Has(Sha256Of(base_)));
  EXPECT_EQ(Text(store_->Check().value()), "");
}

TEST_F(ImageImport, AMountedImageStays) {
  layout_.Index({layout_.Image({base_, app_})});
  const Image image = Take().value().front();
  auto view = store_->OpenView(image.config.diff_ids);
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(store_->RemoveImage(image.digest).code(), EBUSY);
  EXPECT_EQ(store_->Gc({.unnamed_layers = true})->images, 0u);
  view = Error(ENOENT);
  EXPECT_EQ(store_->Gc({.unnamed_layers = true})->images, 1u);
  EXPECT_TRUE(store_->List()->empty());
}

TEST_F(ImageImport, VerifyingAnImageMissesItsLayers) {
  layout_.Index({layout_.Image({base_})});
  const Digest digest = Take().value().front().digest;
  EXPECT_TRUE(store_->VerifyImage(digest).value().clean());
  const Digest layer = store_->List().value().front().diff_id;
  ASSERT_TRUE(std::filesystem::remove(dir_.path() + "/store/layers/" +
                                      IndexFileName(layer)));
  const auto report = store_->VerifyImage(digest).value();
  ASSERT_EQ(report.findings.size(), 1u) << Text(report);
  EXPECT_EQ(report.findings[0].invariant, 11);
}

TEST_F(ImageImport, GcRemovesNothingWhereALayerIsDamaged) {
  layout_.Index({layout_.Image({base_})});
  const Digest removed = Take().value().front().digest;
  layout_.Index({layout_.Image({app_})});
  const Image kept = Take().value().front();
  ASSERT_TRUE(store_->RemoveImage(removed).ok());
  const size_t layers = store_->List()->size();
  const std::string path = dir_.path() + "/store/layers/" +
                           IndexFileName(kept.config.diff_ids.front());
  std::string index = test::ReadFile(path);
  index[index.size() / 2] ^= 1;
  std::filesystem::remove(path);
  WriteText(path, index);
  EXPECT_EQ(store_->Gc({}).code(), EUCLEAN);
  EXPECT_EQ(store_->List()->size(), layers);
}

TEST_F(ImageImport, ADamagedRecordIsFoundAndMended) {
  layout_.Index({layout_.Image({base_})});
  const Digest digest = Take().value().front().digest;
  const std::string path =
      dir_.path() + "/store/images/" + ImageFileName(digest);
  std::string record = test::ReadFile(path);
  record[record.size() - 3] ^= 1;
  std::filesystem::remove(path);
  WriteText(path, record);
  const auto report = store_->Check().value();
  ASSERT_EQ(report.findings.size(), 1u) << Text(report);
  EXPECT_EQ(report.findings[0].invariant, 11);
  EXPECT_FALSE(store_->VerifyImage(digest).value().clean());
  EXPECT_EQ(store_->Gc({}).code(), EUCLEAN);
  ASSERT_TRUE(Take().ok());
  EXPECT_EQ(Text(store_->Check().value()), "");
  EXPECT_TRUE(store_->VerifyImage(digest).value().clean());
  WriteText(path, "ufs-image 1\nmanifest 18446744073709551615\nend\n");
  EXPECT_EQ(store_->OpenImage(digest).code(), EUCLEAN);
  EXPECT_TRUE(store_->RemoveImage(digest).ok());
}

}  // namespace
}  // namespace ufs
