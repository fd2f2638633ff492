#include "layerdb/image_export.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>

#include "layerdb/image_import.h"
#include "layerdb/image_test_util.h"
#include "layerdb/store_test_util.h"
#include "tests/harness/files.h"
#include "tests/harness/scratch_dir.h"

namespace ufs {
namespace {

using test::Contents;
using test::Dir;
using test::File;
using test::TarEnd;
using test::TestLayout;
using Json = TestLayout::Json;

class ImageExport : public testing::Test {
 protected:
  static std::shared_ptr<LayerStore> MakeStore(const std::string& path) {
    return LayerStore::Open(path, LayerStore::Access::kWrite).value();
  }

  static Image TakeFrom(LayerStore& store, const ImageFiles& files,
                        bool keep_blob = true) {
    const auto drafts = ReadImages(files, {});
    EXPECT_TRUE(drafts.ok()) << drafts.error().ToString();
    ImageImportOptions options{{}, "test", ""};
    options.layer.keep_blob = keep_blob;
    const auto images = ImportImages(store, files, drafts.value(), options);
    EXPECT_TRUE(images.ok()) << images.error().ToString();
    return images.value().front();
  }
  Image TakeDirectory(LayerStore& store, const std::string& path,
                      bool keep_blob = true) {
    return TakeFrom(store, **OpenImageDirectory(path), keep_blob);
  }

  Result<Digest> ToDirectory(const Image& image, const std::string& path,
                             const ImageExportOptions& options = {}) {
    TRY(sys::MkDirAt({AT_FDCWD, path.c_str()}, 0755));
    const UniqueFd dir = TRY(sys::Open(path.c_str(), O_RDONLY | O_DIRECTORY));
    return WriteOciLayout(*store_, image, options, *OutputToDirectory(dir));
  }

  static std::string Gzip(const std::string& bytes) {
    StringSink out;
    const auto compressed = Compress(out, Compression::kGzip).value();
    EXPECT_TRUE(compressed->Write(bytes).ok());
    EXPECT_TRUE(compressed->Finish().ok());
    return out.text();
  }

  // One compressed layer, one that is not, and the first again; with fields
  // that nobody knows.
  Json MakeImage() {
    Json manifest = layout_.Manifest(
        TestLayout::ConfigOf({base_, app_, base_}),
        {layout_.Blob(Gzip(base_), std::string(kOciLayer) + "+gzip"),
         layout_.Layer(app_),
         layout_.Blob(Gzip(base_), std::string(kOciLayer) + "+gzip")});
    manifest["annotations"] = {{"org.example", "kept"}};
    Json entry = layout_.Blob(manifest.dump(2), kOciManifest);
    entry["annotations"] = {{"io.containerd.image.name", "team/app:2"}};
    layout_.Index({entry});
    return entry;
  }

  const std::string base_ =
      Dir("d/") + File("d/f", Contents('f')) + File("small", "1") + TarEnd();
  const std::string app_ =
      File("d/.wh.f") + File("big", Contents('b', 300'000)) + TarEnd();

  test::ScratchDir dir_;
  std::shared_ptr<LayerStore> store_ = MakeStore(dir_.path() + "/store");
  TestLayout layout_{dir_.path() + "/layout"};
};

TEST_F(ImageExport, ALayoutComesBackAsItWas) {
  const Json entry = MakeImage();
  const Image image = TakeDirectory(*store_, layout_.path());
  const std::string out = dir_.path() + "/out";
  const auto written = ToDirectory(image, out, {"team/app:2"});
  ASSERT_TRUE(written.ok()) << written.error().ToString();
  EXPECT_EQ(written->ToString(), entry["digest"]);
  for (const auto& name : test::List(layout_.path() + "/blobs/sha256"))
    EXPECT_EQ(test::ReadFile(out + "/blobs/sha256/" + name),
              test::ReadFile(layout_.path() + "/blobs/sha256/" + name));

  const auto other = MakeStore(dir_.path() + "/other");
  const Image again = TakeDirectory(*other, out);
  EXPECT_EQ(again.digest, image.digest);
  EXPECT_EQ(again.names, std::vector<std::string>{"team/app:2"});
}

TEST_F(ImageExport, AsATarAndAsADockerArchive) {
  MakeImage();
  const Image image = TakeDirectory(*store_, layout_.path());
  for (const bool docker : {false, true}) {
    const std::string path = dir_.path() + (docker ? "/docker" : "/oci");
    {
      const UniqueFd file =
          sys::Open(path.c_str(), O_WRONLY | O_CREAT, 0644).value();
      FdSink sink(file);
      const auto output = OutputToTar(sink);
      if (docker)
        ASSERT_TRUE(WriteDockerArchive(*store_, image, "app", *output).ok());
      else
        ASSERT_TRUE(WriteOciLayout(*store_, image, {}, *output).ok());
    }
    const auto other = MakeStore(path + "-store");
    const auto files = OpenImageTar(sys::Open(path.c_str(), O_RDONLY).value());
    ASSERT_TRUE(files.ok()) << files.error().ToString();
    const Image again = TakeFrom(*other, **files);
    EXPECT_EQ(again.id(), image.id());
    EXPECT_EQ(again.digest == image.digest, !docker);
    EXPECT_EQ(again.names, docker ? std::vector<std::string>{"app"}
                                  : std::vector<std::string>{});
  }
}

TEST_F(ImageExport, WhatWasNotKeptIsWrittenAnew) {
  MakeImage();
  const Image image =
      TakeDirectory(*store_, layout_.path(), /*keep_blob=*/false);
  EXPECT_TRUE(image.blobs.empty());
  const std::string out = dir_.path() + "/out";
  const auto written = ToDirectory(image, out, {"", Compression::kZstd});
  ASSERT_TRUE(written.ok()) << written.error().ToString();
  EXPECT_NE(*written, image.digest);
  const auto other = MakeStore(dir_.path() + "/other");
  const Image again = TakeDirectory(*other, out);
  EXPECT_EQ(again.digest, *written);
  EXPECT_EQ(again.id(), image.id());
  EXPECT_EQ(again.manifest.layers[0].media_type,
            std::string(kOciLayer) + "+zstd");
  EXPECT_NE(again.manifest_text.find("org.example"), std::string::npos);
}

TEST_F(ImageExport, ALayerIsAnImageOfItsOwn) {
  MakeImage();
  TakeDirectory(*store_, layout_.path());
  for (const std::string& tar : {base_, app_}) {  // with and without a blob
    const auto image = MakeImageOf(*store_, {Sha256Of(tar)});
    ASSERT_TRUE(image.ok()) << image.error().ToString();
    const std::string out = dir_.path() + "/" + Sha256Of(tar).Hex();
    const auto written = ToDirectory(*image, out);
    ASSERT_TRUE(written.ok()) << written.error().ToString();
    const auto other = MakeStore(out + "-store");
    const Image again = TakeDirectory(*other, out);
    EXPECT_EQ(again.digest, *written);
    EXPECT_EQ(again.config.diff_ids, std::vector<Digest>{Sha256Of(tar)});
  }
}

TEST_F(ImageExport, ADamagedBlobIsNotHandedOn) {
  MakeImage();
  const Image image = TakeDirectory(*store_, layout_.path());
  const std::string path = dir_.path() + "/store/blobs/sha256/" +
                           image.manifest.layers[0].digest.Hex();
  std::string blob = test::ReadFile(path);
  blob[blob.size() / 2] ^= 1;
  std::filesystem::remove(path);
  test::WriteText(path, blob);
  const auto written = ToDirectory(image, dir_.path() + "/out");
  EXPECT_EQ(written.code(), EUCLEAN);
  EXPECT_FALSE(std::filesystem::exists(dir_.path() + "/out/index.json"));
}

}  // namespace
}  // namespace ufs
