// LowerStack: the read-only layers of a union, merged. What it answers is what
// the union would show if it had no upper. The rule, from the top layer down:
//   - a name that a layer does not have is asked of the next one;
//   - a whiteout ends the search;
//   - a file ends it, and counts only if nothing was found above it;
//   - directories merge, until one is opaque;
//   - a redirect changes where the layers below are asked.
// Threads: immutable after construction.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "fs/layer.h"

namespace ufs {

// One layer's share of a merged directory.
struct LowerPart {
  uint32_t layer = 0;  // 0 is the topmost
  NodeRef node;
};

// What the layers together show under a name.
struct LowerFound {
  enum class Kind { kAbsent, kFile, kDirectory };
  Kind kind = Kind::kAbsent;
  // The topmost object: its attributes show.
  uint32_t layer = 0;
  NodeRef node;
  Attr attr;
  // kFile: where the contents lie; another object than `node` for a metacopy.
  NodeRef data;
  // kDirectory: every layer's share, topmost first.
  std::vector<LowerPart> parts;
};

class LowerStack {
 public:
  // `layers` from top to bottom.
  LowerStack(std::vector<std::unique_ptr<Layer>> layers, bool follow_redirects)
      : layers_(std::move(layers)), follow_redirects_(follow_redirects) {}

  // The merged root. Never kAbsent, but for a stack without layers.
  Result<LowerFound> Root() const;
  // `name` in a merged directory.
  Result<LowerFound> Lookup(std::span<const LowerPart> dir, Name name) const;
  // A path from the root of the layers, as a redirect gives it: "/a/b".
  Result<LowerFound> LookupPath(std::string_view path) const;
  // Where a redirect found in an upper directory `dir` leads.
  Result<LowerFound> Follow(std::span<const LowerPart> dir,
                            const std::string& redirect) const;

  size_t size() const { return layers_.size(); }
  const Layer& layer(uint32_t index) const { return *layers_[index]; }

 private:
  class Search;

  const std::vector<std::unique_ptr<Layer>> layers_;
  const bool follow_redirects_;
};

}  // namespace ufs
