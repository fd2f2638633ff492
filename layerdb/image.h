// Image: what a store keeps of an image beside its layers: manifest and
// configuration, byte for byte, in one file images/HEX.image (FORMAT.md).
//
// An image is known by the SHA-256 of its manifest, as in a registry. Its
// layers are layers of the store like any other, by their diffIDs.
// Threads: values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/digest.h"
#include "layerdb/image_manifest.h"

namespace ufs {

struct Image {
  Digest digest;  // of the manifest
  std::string manifest_text;
  std::string config_text;
  // The same, parsed. config.diff_ids are its layers, bottom to top, and
  // manifest.config.digest what podman and docker call the image's ID.
  ImageManifest manifest;
  ImageConfig config;

  int64_t created = 0;  // when it was imported: seconds since 1970, UTC
  std::string source;   // what it was made from, for people
  // Compressed layers that the store keeps as they came.
  std::vector<Digest> blobs;

  // Not stored here; filled in by LayerStore.
  std::vector<std::string> names;

  const Digest& id() const { return manifest.config.digest; }

  // EINVAL, EFBIG, ENOTSUP when either is none, or they do not belong
  // together: config's digest and size, number of layers.
  static Result<Image> Make(std::string manifest_text, std::string config_text);
  // What Encode wrote. EUCLEAN when it is damaged.
  static Result<Image> Parse(std::string_view text);
  std::string Encode() const;
};

// The most bytes that Encode writes.
inline constexpr size_t kMostImageBytes = 2 * kMostDocumentBytes + (128 << 10);

}  // namespace ufs
