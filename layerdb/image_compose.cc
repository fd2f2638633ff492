#include "layerdb/image_compose.h"

#include <time.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "layerdb/descriptor_json.h"
#include "layerdb/layer_export.h"

namespace ufs {
namespace {

class CountingSink final : public ByteSink {
 public:
  explicit CountingSink(const std::function<void(uint64_t)>& on_progress)
      : on_progress_(on_progress) {}
  Status Write(std::string_view bytes) override {
    bytes_ += bytes.size();
    if (on_progress_) on_progress_(bytes.size());
    return Ok();
  }
  uint64_t bytes() const { return bytes_; }

 private:
  const std::function<void(uint64_t)>& on_progress_;
  uint64_t bytes_ = 0;
};

std::string Rfc3339(int64_t seconds) {
  const time_t time = seconds;
  struct tm parts {};
  gmtime_r(&time, &parts);
  char text[64];
  strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

// How many layers a history tells of.
size_t LayersIn(const Json& history) {
  return std::count_if(history.begin(), history.end(), [](const Json& step) {
    return !step.is_object() || !step.contains("empty_layer") ||
           step["empty_layer"] != true;
  });
}

// An OCI manifest has no layers of Docker's types, which say the same.
std::string OciTypeOf(const std::string& media_type) {
  constexpr std::string_view kDocker =
      "application/vnd.docker.image.rootfs.diff.tar";
  constexpr std::string_view kForeign =
      "application/vnd.docker.image.rootfs.foreign.diff.tar";
  std::string_view rest = media_type;
  const bool foreign = rest.starts_with(kForeign);
  if (!foreign && !rest.starts_with(kDocker)) return media_type;
  rest.remove_prefix(foreign ? kForeign.size() : kDocker.size());
  std::string type =
      foreign ? "application/vnd.oci.image.layer.nondistributable.v1.tar"
              : kOciLayer;
  if (rest.starts_with('.')) type += "+" + std::string(rest.substr(1));
  return type;
}

class Composer {
 public:
  Composer(const LayerStore& store,
           const std::function<void(uint64_t)>& on_progress)
      : store_(store), on_progress_(on_progress) {
    const Platform platform = Platform::OfThisMachine();
    config_ = {{"architecture", platform.architecture},
               {"os", platform.os},
               {"config", Json::object()}};
  }

  Status AddLayer(const Digest& diff_id) {
    const LayerInfo info = TRY(store_.Info(diff_id));
    Descriptor blob{kOciLayer, diff_id, 0, {}, {}};
    if (info.blob) {
      blob = {info.blob->media_type,
              info.blob->digest,
              info.blob->size_bytes,
              {},
              {}};
      kept_.push_back(blob.digest);
    } else {
      CountingSink tar(on_progress_);
      TRY(ExportTar(store_, diff_id, tar));
      blob.size_bytes = tar.bytes();
    }
    TRY(Add(diff_id, blob));
    AddStep(info);
    return Ok();
  }

  Status AddImage(const Digest& digest) {
    const Image image = TRY(store_.OpenImage(digest));
    config_ = Json::parse(image.config_text, nullptr,
                          /*allow_exceptions=*/false);
    const std::vector<Digest>& layers = image.config.diff_ids;
    for (size_t i = 0; i < layers.size(); ++i)
      TRY(Add(layers[i], image.manifest.layers[i]));
    kept_.insert(kept_.end(), image.blobs.begin(), image.blobs.end());
    created_ = std::max(created_, image.created);
    const auto history = config_.find("history");
    if (history != config_.end() && history->is_array() &&
        LayersIn(*history) == layers.size()) {
      history_.insert(history_.end(), history->begin(), history->end());
      return Ok();
    }
    for (const Digest& layer : layers) AddStep(TRY(store_.Info(layer)));
    return Ok();
  }

  Result<Image> Finish() {
    if (diff_ids_.empty())
      return Error(ENODATA, "an image without any layers shows nothing");
    config_["created"] = Rfc3339(created_);
    config_["rootfs"] = {{"type", "layers"}, {"diff_ids", diff_ids_}};
    config_["history"] = history_;
    const std::string config =
        config_.dump(-1, ' ', false, Json::error_handler_t::replace);
    Image image = TRY(Image::Make(
        MakeImageManifest({kOciConfig, Sha256Of(config), config.size(), {}, {}},
                          blobs_),
        config));
    std::sort(kept_.begin(), kept_.end());
    kept_.erase(std::unique(kept_.begin(), kept_.end()), kept_.end());
    image.blobs = std::move(kept_);
    return image;
  }

 private:
  Status Add(const Digest& diff_id, const Descriptor& blob) {
    if (blobs_.size() == kMostImageLayers)
      return Error(EFBIG, "an image has " + std::to_string(kMostImageLayers) +
                              " layers at most; 'ufs squash' makes one of "
                              "several");
    diff_ids_.push_back(diff_id.ToString());
    blobs_.push_back(blob);
    blobs_.back().media_type = OciTypeOf(blob.media_type);
    return Ok();
  }

  void AddStep(const LayerInfo& info) {
    history_.push_back({{"created", Rfc3339(info.created)},
                        {"created_by", "ufs"},
                        {"comment", info.source}});
    created_ = std::max(created_, info.created);
  }

  const LayerStore& store_;
  const std::function<void(uint64_t)>& on_progress_;
  Json config_;
  Json diff_ids_ = Json::array();
  Json history_ = Json::array();
  std::vector<Descriptor> blobs_;
  std::vector<Digest> kept_;
  int64_t created_ = 0;  // when the youngest part came
};

}  // namespace

Result<Image> ComposeImage(const LayerStore& store,
                           const std::vector<StoreReference>& parts,
                           const std::function<void(uint64_t)>& on_progress) {
  Composer composer(store, on_progress);
  for (const StoreReference& part : parts)
    TRY(part.is_image ? composer.AddImage(part.digest)
                      : composer.AddLayer(part.digest));
  return composer.Finish();
}

}  // namespace ufs
