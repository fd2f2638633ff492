// Manifests, indexes, configurations and records of images from an enemy: any
// bytes. What is taken must keep its limits and survive being written again.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "layerdb/image.h"
#include "layerdb/image_manifest.h"
#include "layerdb/image_source.h"

namespace ufs {
namespace {

void UseManifest(std::string_view text) {
  const auto manifest = ParseImageManifest(text);
  if (!manifest.ok()) return;
  if (manifest->layers.size() > kMostImageLayers) std::abort();
  // No document is two things.
  if (ParseImageIndex(text).ok()) std::abort();
  const auto replaced = ReplaceLayers(text, manifest->layers);
  if (!replaced.ok()) std::abort();
  const auto again = ParseImageManifest(*replaced);
  if (!again.ok() || again->config.digest != manifest->config.digest ||
      again->layers.size() != manifest->layers.size())
    std::abort();
}

// A record of a config that parses, and of the manifest made for it.
void UseConfig(std::string_view text) {
  const auto config = ParseImageConfig(text);
  if (!config.ok()) return;
  if (config->diff_ids.size() > kMostImageLayers) std::abort();
  std::vector<Descriptor> layers;
  for (const Digest& digest : config->diff_ids)
    layers.push_back({kOciLayer, digest, 1, {}, {}});
  const Descriptor descriptor{kOciConfig, Sha256Of(text), text.size(), {}, {}};
  const auto image =
      Image::Make(MakeImageManifest(descriptor, layers), std::string(text));
  if (!image.ok()) std::abort();
  const auto again = Image::Parse(image->Encode());
  if (!again.ok() || again->digest != image->digest ||
      again->config_text != text)
    std::abort();
}

}  // namespace
}  // namespace ufs

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ufs;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)ParseImageIndex(text);
  UseManifest(text);
  UseConfig(text);
  (void)Image::Parse(text);
  (void)Platform::Parse(text);
  (void)MayHoldImages(text);
  return 0;
}
