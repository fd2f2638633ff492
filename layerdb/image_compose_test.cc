#include "layerdb/image_compose.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "layerdb/image_export.h"
#include "layerdb/image_import.h"
#include "layerdb/image_test_util.h"
#include "layerdb/layer_import.h"
#include "layerdb/store_test_util.h"
#include "tests/harness/scratch_dir.h"

namespace ufs {
namespace {

using test::Contents;
using test::File;
using test::TarEnd;
using test::TestLayout;
using Json = TestLayout::Json;

class ImageCompose : public testing::Test {
 protected:
  // Of one layer, with a history of `steps`.
  StoreReference TakeImage(const std::string& tar, const Json& more) {
    Json config = TestLayout::ConfigOf({tar});
    config.update(more);
    layout_.Index({layout_.Blob(
        layout_.Manifest(config, {layout_.Layer(tar)}).dump(), kOciManifest)});
    const auto files = OpenImageDirectory(layout_.path());
    const auto images = ImportImages(
        *store_, **files, ReadImages(**files, {}).value(), {{}, "test", ""});
    return {images.value().front().digest, true};
  }
  StoreReference TakeLayer(const std::string& tar) {
    const auto ingest = store_->BeginIngest("a layer");
    MemorySource source(tar);
    const auto imported = ImportTar(source, **ingest, {});
    EXPECT_TRUE((*ingest)->Seal(imported.value().diff_id).ok());
    return {imported->diff_id, false};
  }

  const std::string base_ = File("f", "base") + TarEnd();
  const std::string other_ = File("g", "other") + TarEnd();
  const std::string added_ = File("big", Contents('b', 300'000)) + TarEnd();
  test::ScratchDir dir_;
  std::shared_ptr<LayerStore> store_ =
      LayerStore::Open(dir_.path() + "/store", LayerStore::Access::kWrite)
          .value();
  TestLayout layout_{dir_.path() + "/layout"};
};

TEST_F(ImageCompose, TheTopmostImageSaysWhatToRun) {
  const auto low =
      TakeImage(base_, {{"config", {{"Cmd", {"/low"}}}}, {"author", "nobody"}});
  const auto high = TakeImage(
      other_, {{"config", {{"Cmd", {"/high"}}, {"Labels", {{"a", "b"}}}}},
               {"author", "somebody"}});
  const auto image = ComposeImage(*store_, {low, TakeLayer(added_), high}, {});
  ASSERT_TRUE(image.ok()) << image.error().ToString();
  EXPECT_EQ(image->config.diff_ids,
            (std::vector<Digest>{Sha256Of(base_), Sha256Of(added_),
                                 Sha256Of(other_)}));
  EXPECT_EQ(image->config.cmd, std::vector<std::string>{"/high"});
  EXPECT_EQ(image->config.labels.at("a"), "b");
  EXPECT_EQ(Json::parse(image->config_text)["author"], "somebody");
}

TEST_F(ImageCompose, TheHistoryGoesOn) {
  const Json steps = {{{"created_by", "first"}},
                      {{"created_by", "second"}, {"empty_layer", true}}};
  const auto base = TakeImage(base_, {{"history", steps}});
  // One that does not tell of each layer is of no use to others.
  const auto other = TakeImage(other_, {{"history", Json::array()}});
  const auto image =
      ComposeImage(*store_, {base, TakeLayer(added_), other}, {});
  ASSERT_TRUE(image.ok()) << image.error().ToString();
  const Json history = Json::parse(image->config_text)["history"];
  ASSERT_EQ(history.size(), 4u);
  EXPECT_EQ(history[0], steps[0]);
  EXPECT_EQ(history[1], steps[1]);
  EXPECT_EQ(history[2]["comment"], "a layer");
  EXPECT_FALSE(history[3].contains("empty_layer"));
}

TEST_F(ImageCompose, DockersTypesBecomeThoseOfOci) {
  const Json config = TestLayout::ConfigOf({base_});
  Json manifest = layout_.Manifest(
      config,
      {layout_.Blob(base_, "application/vnd.docker.image.rootfs.diff.tar")});
  manifest["mediaType"] = kDockerManifest;
  layout_.Index({layout_.Blob(manifest.dump(), kDockerManifest)});
  const auto files = OpenImageDirectory(layout_.path());
  const auto images = ImportImages(
      *store_, **files, ReadImages(**files, {}).value(), {{}, "test", ""});
  ASSERT_TRUE(images.ok()) << images.error().ToString();
  const auto image =
      ComposeImage(*store_, {{images->front().digest, true}}, {});
  ASSERT_TRUE(image.ok()) << image.error().ToString();
  const Json made = Json::parse(image->manifest_text);
  EXPECT_EQ(made["mediaType"], kOciManifest);
  EXPECT_EQ(made["layers"][0]["mediaType"], kOciLayer);
}

TEST_F(ImageCompose, IsWrittenAsItSays) {
  auto image = ComposeImage(
      *store_, {TakeImage(base_, Json::object()), TakeLayer(added_)}, {});
  ASSERT_TRUE(image.ok()) << image.error().ToString();
  ASSERT_TRUE(store_->PutImage(*image).ok());
  StringSink sink;
  const auto written = WriteOciLayout(*store_, *image, {}, *OutputToTar(sink));
  ASSERT_TRUE(written.ok()) << written.error().ToString();
  EXPECT_EQ(*written, image->digest);
  EXPECT_TRUE(store_->Check()->clean());
}

TEST_F(ImageCompose, TooManyLayersAreRefusedWithWhatHelps) {
  const std::vector<StoreReference> many(kMostImageLayers + 1,
                                         TakeLayer(added_));
  const auto image = ComposeImage(*store_, many, {});
  EXPECT_EQ(image.code(), EFBIG);
  EXPECT_NE(image.error().ToString().find("ufs squash"), std::string::npos);
}

TEST_F(ImageCompose, NothingIsNoImage) {
  EXPECT_EQ(ComposeImage(*store_, {}, {}).code(), ENODATA);
}

}  // namespace
}  // namespace ufs
