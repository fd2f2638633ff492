// OCI layouts made by hand, for tests: also such as no tool would write.
#pragma once

#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "layerdb/digest.h"
#include "layerdb/image_manifest.h"
#include "layerdb/tar_test_util.h"

namespace ufs::test {

inline void WriteText(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// A layout in a directory. Whatever is wrong with it is put there by the test.
class TestLayout {
 public:
  using Json = nlohmann::ordered_json;

  explicit TestLayout(std::string path) : path_(std::move(path)) {
    for (const char* dir : {"", "/blobs", "/blobs/sha256"})
      mkdir((path_ + dir).c_str(), 0755);
    WriteText(path_ + "/oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
    Index({});
  }

  const std::string& path() const { return path_; }
  std::string BlobPath(const Digest& digest) const {
    return path_ + "/blobs/sha256/" + digest.Hex();
  }

  Json Blob(const std::string& bytes, const std::string& media_type) const {
    const Digest digest = Sha256Of(bytes);
    WriteText(BlobPath(digest), bytes);
    return {{"mediaType", media_type},
            {"digest", digest.ToString()},
            {"size", bytes.size()}};
  }
  Json Layer(const std::string& tar) const { return Blob(tar, kOciLayer); }

  static Json ConfigOf(const std::vector<std::string>& tars) {
    Json diff_ids = Json::array();
    for (const std::string& tar : tars)
      diff_ids.push_back(Sha256Of(tar).ToString());
    return {{"architecture", Platform::OfThisMachine().architecture},
            {"os", "linux"},
            {"config", {{"Cmd", {"/bin/sh"}}, {"Env", {"A=b"}}}},
            {"rootfs", {{"type", "layers"}, {"diff_ids", diff_ids}}}};
  }
  Json Manifest(const Json& config, const std::vector<Json>& layers) const {
    return {{"schemaVersion", 2},
            {"mediaType", kOciManifest},
            {"config", Blob(config.dump(), kOciConfig)},
            {"layers", layers}};
  }
  // The descriptor of an image of these plain tars.
  Json Image(const std::vector<std::string>& tars) const {
    std::vector<Json> layers;
    for (const std::string& tar : tars) layers.push_back(Layer(tar));
    return Blob(Manifest(ConfigOf(tars), layers).dump(), kOciManifest);
  }
  void Index(const std::vector<Json>& manifests) const {
    WriteText(path_ + "/index.json",
              Json{{"schemaVersion", 2}, {"manifests", manifests}}.dump());
  }

 private:
  const std::string path_;
};

}  // namespace ufs::test
