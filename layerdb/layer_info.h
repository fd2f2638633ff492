// LayerInfo: what a store says about a layer beside its tree. Kept as a small
// text file beside the layer's index (FORMAT.md) and, a copy, in the catalog.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/digest.h"
#include "layerdb/tree_file.h"

namespace ufs {

// The compressed tar a layer came from, kept for push.
struct BlobInfo {
  Digest digest;
  uint64_t size_bytes = 0;
  std::string media_type;
  friend bool operator==(const BlobInfo&, const BlobInfo&) = default;
};

struct LayerInfo {
  Digest diff_id;
  int64_t created = 0;   // seconds since 1970, UTC
  std::string source;    // what it was made from, for people
  uint64_t entries = 0;  // names, whiteouts among them
  uint64_t whiteouts = 0;
  uint64_t content_bytes = 0;  // of all regular files, each once
  uint64_t objects = 0;        // different contents that are not inline
  std::optional<BlobInfo> blob;
  bool has_recipe = false;
  // It came with an image, and goes with the last that has it.
  bool of_image = false;

  // Not stored here; filled in by LayerStore.
  std::vector<std::string> names;

  // EINVAL for text that Encode does not write.
  static Result<LayerInfo> Parse(std::string_view text);
  std::string Encode() const;
};

// What is told of a source, of a layer or an image: one that names a thousand
// layers ends in an ellipsis, so that the text it stands in can be read again.
std::string ShortSource(std::string source);

// The counts of `info`, from its tree. For a layer whose text is lost.
Status CountTree(const TreeFile& tree, LayerInfo& info);

}  // namespace ufs
