// LowerStack: the read-only layers of a union, merged. What it answers is what
// the union would show if it had no upper. The rule, from the top layer down:
//   - a name that a layer does not have is asked of the next one;
//   - a whiteout ends the search;
//   - a file ends it, and counts only if nothing was found above it;
//   - directories merge, until one is opaque;
//   - a redirect changes where the layers below are asked; a path in it is one
//     in what those layers show;
//   - a file of several names that a frozen upper above has changed is what it
//     became there, under each of its names.
// Threads: any, but for AddTop.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fs/layer.h"

namespace ufs {

// One layer's share of a merged directory.
struct LowerPart {
  // Of the layer: 1 is the bottom one's, for whatever comes on top.
  uint32_t rank = 0;
  NodeRef node;
};

// What the layers together show under a name.
struct LowerFound {
  enum class Kind { kAbsent, kFile, kDirectory };
  Kind kind = Kind::kAbsent;
  // The topmost object: its attributes show.
  uint32_t rank = 0;
  NodeRef node;
  Attr attr;
  // The object that it was before, where `node` is in a frozen upper.
  std::optional<Origin> origin;
  // It is in the index of a frozen upper; and `node` lies there, not where it
  // was found.
  bool indexed = false, superseded = false;
  // kFile: where the contents lie; another object than `node` for a metacopy.
  NodeRef data;
  // Not all of them do: Open fails, and what is missing is that of `rest`, if
  // a layer below has it.
  bool partial = false;
  NodeRef rest;
  // kDirectory: every layer's share, topmost first.
  std::vector<LowerPart> parts;
};

// Whether a file has names that need not show what becomes of this one: in the
// layers' own count, if the union has only one left.
inline bool HasOtherNames(const LowerFound& found) {
  return !S_ISDIR(found.attr.mode) && (found.attr.nlink > 1 || found.indexed);
}

// The layer's tag, and its number, of an object; of one in a frozen upper those
// that it had before, if it came from a layer.
inline Origin OriginOf(const LowerFound& found) {
  if (found.origin) return *found.origin;
  return {found.node.layer().tag(), found.attr.ino, found.attr.btime};
}

class LowerStack {
 public:
  // `layers` from top to bottom.
  LowerStack(std::vector<std::unique_ptr<Layer>> layers, bool follow_redirects);

  // Puts a layer over all others, which keep their ranks. Nothing else may be
  // called meanwhile.
  void AddTop(std::unique_ptr<Layer> layer);
  // Takes it away again.
  void DropTop();

  // The merged root. Never kAbsent, but for a stack without layers.
  Result<LowerFound> Root() const { return RootFrom(top()); }
  // `name` in a merged directory.
  Result<LowerFound> Lookup(std::span<const LowerPart> dir, Name name) const {
    return Search(dir, name.str(), 0);
  }
  // Where a redirect found in an upper directory `dir` leads: a name in it, or
  // a path in what the layers show, "/a/b".
  Result<LowerFound> Follow(std::span<const LowerPart> dir,
                            const std::string& redirect) const;

  // The rank of the topmost layer, and how many there are.
  uint32_t top() const { return static_cast<uint32_t>(layers_.size()); }
  const Layer& layer(uint32_t rank) const { return *layers_[rank - 1]; }
  const Layer& top_layer() const { return *layers_.back(); }
  // Whether a redirect in a layer was ever followed: until then an object's
  // path in its layer is its path in what the layers show.
  bool saw_redirect() const { return saw_redirect_; }

 private:
  Result<LowerFound> RootFrom(uint32_t first) const;
  Result<LowerFound> Search(std::span<const LowerPart> dir, std::string name,
                            int depth) const;
  // A path in what the layers from `first` down show.
  Result<LowerFound> Walk(uint32_t first, std::string_view path,
                          int depth) const;
  Status Continue(uint32_t first, const std::string& path, int depth,
                  LowerFound& found) const;
  Status Supersede(LowerFound& found) const;

  std::vector<std::unique_ptr<Layer>> layers_;  // from bottom to top
  bool has_frozen_ = false;
  const bool follow_redirects_;
  mutable std::atomic<bool> saw_redirect_{false};
};

}  // namespace ufs
