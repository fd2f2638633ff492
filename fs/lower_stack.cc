#include "fs/lower_stack.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace ufs {
namespace {

using Kind = LowerFound::Kind;

// Redirects within redirects that are followed. An honest stack needs one for
// each time a tree was renamed in a layer of its own.
constexpr int kMaxRedirects = 40;

Origin OriginOf(const LayerEntry& entry) {
  if (entry.origin) return *entry.origin;
  return {entry.node.layer().tag(), entry.attr.ino, entry.attr.btime};
}

// The first are the file's, or a part of it; others are what that is a part of.
void TakeContents(NodeRef node, LowerFound& found) {
  if (!found.data)
    found.data = std::move(node);
  else if (!found.rest)
    found.rest = std::move(node);
}

// What a layer's entry adds to what was found above it. Returns whether the
// search is over.
bool Take(uint32_t rank, LayerEntry entry, LowerFound& found) {
  const bool is_dir = S_ISDIR(entry.attr.mode);
  if (found.kind == Kind::kAbsent) {
    found.kind = is_dir ? Kind::kDirectory : Kind::kFile;
    found.rank = rank;
    found.node = entry.node;
    found.attr = entry.attr;
    found.origin = entry.origin;
    found.indexed = entry.indexed;
    found.partial = entry.partial;
  } else if (is_dir != (found.kind == Kind::kDirectory)) {
    // A file below a directory is hidden; a directory below a metacopy means
    // that its contents are gone.
    return true;
  } else if (found.node.layer().IsFrozenUpper() && !found.origin) {
    // Another union wrote it, which tells no origins: it is what it merges
    // with.
    found.origin = OriginOf(entry);
  }
  if (is_dir) {
    if (found.node.layer().Implied(found.node)) {
      found.rank = rank;
      found.node = entry.node;
      found.attr = entry.attr;
    }
    found.parts.push_back({rank, std::move(entry.node)});
    return entry.opaque;
  }
  const bool whole = !entry.metacopy && !entry.partial;
  if (!entry.metacopy) TakeContents(std::move(entry.node), found);
  return whole;
}

}  // namespace

LowerStack::LowerStack(std::vector<std::unique_ptr<Layer>> layers,
                       bool follow_redirects)
    : layers_(std::move(layers)), follow_redirects_(follow_redirects) {
  std::reverse(layers_.begin(), layers_.end());
  for (const auto& layer : layers_) has_frozen_ |= layer->IsFrozenUpper();
}

void LowerStack::AddTop(std::unique_ptr<Layer> layer) {
  has_frozen_ |= layer->IsFrozenUpper();
  layers_.push_back(std::move(layer));
}

void LowerStack::DropTop() { layers_.pop_back(); }

Result<LowerFound> LowerStack::RootFrom(uint32_t first) const {
  LowerFound root;
  for (uint32_t rank = first; rank > 0; --rank) {
    const Layer& below = layer(rank);
    // A frozen upper's root is the root of what it lay over.
    if (root.node && root.node.layer().IsFrozenUpper() && !root.origin &&
        !below.IsFrozenUpper() && !below.Implied(below.Root())) {
      const Attr attr = TRY(below.GetAttr(below.Root()));
      root.origin = Origin{below.tag(), attr.ino, attr.btime};
    }
    if (rank == first || root.node.layer().Implied(root.node)) {
      root.kind = Kind::kDirectory;
      root.rank = rank;
      root.node = below.Root();
      root.attr = TRY(below.GetAttr(root.node));
    }
    root.parts.push_back({rank, below.Root()});
  }
  return root;
}

Result<LowerFound> LowerStack::Search(std::span<const LowerPart> dir,
                                      std::string name, int depth) const {
  LowerFound found;
  for (size_t i = 0; i < dir.size(); ++i) {
    const uint32_t rank = dir[i].rank;
    LayerEntry entry = TRY(layer(rank).Lookup(dir[i].node, Name::Trusted(name),
                                              i + 1 < dir.size()));
    if (entry.kind == LayerEntry::Kind::kAbsent) continue;
    if (entry.kind == LayerEntry::Kind::kWhiteout) break;
    const std::string redirect = std::move(entry.redirect);
    if (Take(rank, std::move(entry), found)) break;
    if (redirect.empty()) continue;
    if (!follow_redirects_) break;
    saw_redirect_ = true;
    if (redirect.front() == '/') {
      TRY(Continue(rank - 1, redirect, depth, found));
      break;
    }
    name = redirect;
  }
  if (has_frozen_ && found.kind == Kind::kFile && HasOtherNames(found))
    TRY(Supersede(found));
  return found;
}

// From below, as one that has no contents of its own shows those of the one
// before it.
Status LowerStack::Supersede(LowerFound& found) const {
  const Origin origin = OriginOf(found);
  for (uint32_t rank = found.rank + 1; rank <= top(); ++rank) {
    LayerEntry entry =
        TRY(layer(rank).Superseding(origin.layer_tag, origin.ino));
    if (entry.kind != LayerEntry::Kind::kEntry) continue;
    if (!entry.metacopy) found.data = entry.node;
    found.rank = rank;
    found.node = std::move(entry.node);
    found.attr = entry.attr;
    found.origin = origin;
    found.indexed = found.superseded = true;
  }
  return Ok();
}

// Goes on with what the layers from `first` down show at an absolute path.
Status LowerStack::Continue(uint32_t first, const std::string& path, int depth,
                            LowerFound& found) const {
  LowerFound rest = TRY(Walk(first, path, depth + 1));
  if (rest.kind != found.kind) return Ok();
  for (LowerPart& part : rest.parts) found.parts.push_back(std::move(part));
  if (rest.data) TakeContents(std::move(rest.data), found);
  return Ok();
}

Result<LowerFound> LowerStack::Walk(uint32_t first, std::string_view path,
                                    int depth) const {
  if (depth > kMaxRedirects)
    return Error(ELOOP, "redirect " + std::string(path) +
                            ": too many redirects lead to one another");
  LowerFound found = TRY(RootFrom(first));
  while (!path.empty() && found.kind == Kind::kDirectory) {
    path.remove_prefix(1);  // the slash
    const std::string name(path.substr(0, path.find('/')));
    path.remove_prefix(name.size());
    found = TRY(Search(found.parts, name, depth));
  }
  return path.empty() ? std::move(found) : LowerFound();
}

Result<LowerFound> LowerStack::Follow(std::span<const LowerPart> dir,
                                      const std::string& redirect) const {
  if (redirect.front() == '/') return Walk(top(), redirect, 0);
  return Search(dir, redirect, 0);
}

}  // namespace ufs
