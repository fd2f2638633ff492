#include "fs/lower_stack.h"

#include <sys/stat.h>

#include <utility>

namespace ufs {

// One search from the top layer to the bottom. It looks either for a name in
// the shares of a directory, or, after an absolute redirect, for a path from
// each layer's root.
class LowerStack::Search {
 public:
  explicit Search(const LowerStack& stack) : stack_(stack) {}

  void ByName(std::span<const LowerPart> dir, std::string name) {
    dir_ = dir;
    target_ = std::move(name);
    by_path_ = false;
  }
  void ByPath(std::string path) {
    target_ = std::move(path);
    by_path_ = true;
  }

  Result<LowerFound> Run() {
    size_t part = 0;
    for (uint32_t layer = 0; layer < stack_.layers_.size() && !done_;) {
      if (by_path_) {
        TRY(VisitPath(layer));
        ++layer;
        continue;
      }
      // Only layers that have a share of the directory are worth asking.
      while (part < dir_.size() && dir_[part].layer < layer) ++part;
      if (part == dir_.size()) break;
      layer = dir_[part].layer;
      TRY(Visit(layer, dir_[part].node, part + 1 < dir_.size()));
      ++layer;
    }
    return std::move(found_);
  }

 private:
  bool InsideDirectory() const {
    return found_.kind == LowerFound::Kind::kDirectory;
  }

  Status Visit(uint32_t layer, const NodeRef& dir, bool more_below) {
    // By value: a redirect in the entry changes target_.
    const std::string name = target_;
    return Take(layer, TRY(stack_.layer(layer).Lookup(dir, Name::Trusted(name),
                                                      more_below)));
  }

  // Walks target_, a path, down one layer.
  Status VisitPath(uint32_t layer) {
    const bool more_below = layer + 1 < stack_.layers_.size();
    const std::string path = target_;
    NodeRef dir = stack_.layer(layer).Root();
    std::string_view rest = std::string_view(path).substr(1);
    while (true) {
      const std::string name(rest.substr(0, rest.find('/')));
      LayerEntry entry =
          TRY(stack_.layer(layer).Lookup(dir, Name::Trusted(name), more_below));
      if (name.size() == rest.size()) return Take(layer, std::move(entry));
      rest.remove_prefix(name.size() + 1);
      // Somewhere on the way: what this layer cuts off is cut off for what was
      // found above it. Before anything was found, the redirect that sent us
      // here knows that its target shows in a layer further down.
      const bool is_dir =
          entry.kind == LayerEntry::Kind::kEntry && S_ISDIR(entry.attr.mode);
      if (entry.kind == LayerEntry::Kind::kWhiteout ||
          (entry.kind == LayerEntry::Kind::kEntry && !is_dir)) {
        done_ = found_.kind != LowerFound::Kind::kAbsent;
        return Ok();
      }
      if (!is_dir) return Ok();
      cut_below_ = cut_below_ || entry.opaque;
      dir = std::move(entry.node);
    }
  }

  // Takes what one layer has under the name searched for.
  Status Take(uint32_t layer, LayerEntry entry) {
    const bool cut = std::exchange(cut_below_, false);
    switch (entry.kind) {
      case LayerEntry::Kind::kAbsent:
        done_ = cut && found_.kind != LowerFound::Kind::kAbsent;
        return Ok();
      case LayerEntry::Kind::kWhiteout:
        done_ = true;
        return Ok();
      case LayerEntry::Kind::kEntry:
        break;
    }
    const bool opaque = entry.opaque || cut;
    const std::string redirect = std::move(entry.redirect);
    if (!S_ISDIR(entry.attr.mode)) {
      TakeFile(layer, std::move(entry));
    } else if (found_.kind == LowerFound::Kind::kFile) {
      done_ = true;  // a metacopy above, but no data: a directory is in the way
    } else {
      TakeDirectory(layer, std::move(entry));
      done_ = opaque;
    }
    if (!done_ && !redirect.empty()) TakeRedirect(redirect);
    return Ok();
  }

  void TakeDirectory(uint32_t layer, LayerEntry entry) {
    if (found_.kind == LowerFound::Kind::kAbsent) {
      found_.kind = LowerFound::Kind::kDirectory;
      found_.layer = layer;
      found_.node = entry.node;
      found_.attr = entry.attr;
    }
    found_.parts.push_back({layer, std::move(entry.node)});
  }

  void TakeFile(uint32_t layer, LayerEntry entry) {
    if (InsideDirectory()) {
      done_ = true;
      return;
    }
    if (!entry.metacopy) {
      found_.data = entry.node;
      done_ = true;
    }
    if (found_.kind == LowerFound::Kind::kAbsent) {
      found_.kind = LowerFound::Kind::kFile;
      found_.layer = layer;
      found_.node = std::move(entry.node);
      found_.attr = entry.attr;
    }
  }

  void TakeRedirect(const std::string& redirect) {
    if (!stack_.follow_redirects_) {
      done_ = true;
    } else if (redirect.front() == '/') {
      ByPath(redirect);
    } else if (by_path_) {
      // A sibling of where we are.
      target_.replace(target_.rfind('/') + 1, target_.npos, redirect);
    } else {
      target_ = redirect;
    }
  }

  const LowerStack& stack_;
  std::span<const LowerPart> dir_;
  std::string target_;
  bool by_path_ = false;
  bool done_ = false;
  bool cut_below_ = false;  // a directory on the way was opaque
  LowerFound found_;
};

Result<LowerFound> LowerStack::Root() const {
  LowerFound root;
  for (uint32_t i = 0; i < layers_.size(); ++i) {
    if (i == 0) {
      root.kind = LowerFound::Kind::kDirectory;
      root.node = layers_[0]->Root();
      root.attr = TRY(layers_[0]->GetAttr(root.node));
    }
    root.parts.push_back({i, layers_[i]->Root()});
  }
  return root;
}

Result<LowerFound> LowerStack::Lookup(std::span<const LowerPart> dir,
                                      Name name) const {
  if (dir.empty()) return LowerFound();
  Search search(*this);
  search.ByName(dir, name.str());
  return search.Run();
}

Result<LowerFound> LowerStack::LookupPath(std::string_view path) const {
  Search search(*this);
  search.ByPath(std::string(path));
  return search.Run();
}

Result<LowerFound> LowerStack::Follow(std::span<const LowerPart> dir,
                                      const std::string& redirect) const {
  if (redirect.front() == '/') return LookupPath(redirect);
  return Lookup(dir, Name::Trusted(redirect));
}

}  // namespace ufs
