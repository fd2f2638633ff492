// Layer: one read-only directory tree that takes part in a union. It never
// changes while it is part of a mount, so every method may be called from any
// thread, and nothing here is locked.
//
// Implemented by HostLayer (a directory of the host) and SealedLayer (layers of
// the store).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fs/marks.h"
#include "fs/types.h"
#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

class Layer;

// NodeRef names one object of one layer and keeps alive what the layer needs to
// find it again. Copying is cheap. An empty NodeRef names nothing.
class NodeRef {
 public:
  NodeRef() = default;
  // Takes over one reference on `id`, which means something to `layer` alone.
  NodeRef(const Layer* layer, uint64_t id) : layer_(layer), id_(id) {}
  NodeRef(const NodeRef& other);
  NodeRef(NodeRef&& other) noexcept
      : layer_(std::exchange(other.layer_, nullptr)), id_(other.id_) {}
  NodeRef& operator=(NodeRef other) noexcept {
    std::swap(layer_, other.layer_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~NodeRef();

  explicit operator bool() const { return layer_ != nullptr; }
  const Layer& layer() const { return *layer_; }
  uint64_t id() const { return id_; }

 private:
  const Layer* layer_ = nullptr;
  uint64_t id_ = 0;
};

// What a name in a directory of a layer is.
struct LayerEntry {
  enum class Kind { kAbsent, kWhiteout, kEntry };
  Kind kind = Kind::kAbsent;
  // The rest is for kEntry alone.
  NodeRef node;
  Attr attr;              // attr.ino is the layer's own number
  bool opaque = false;    // a directory that hides what is below it
  bool metacopy = false;  // a file whose data lies in a layer below
  bool partial = false;   // a file some of whose data does: Open fails
  std::string redirect;   // where to go on below: a name, or "/a/path"
  // In a frozen upper: the object of a layer below that this one came from.
  std::optional<Origin> origin;
  // In a frozen upper: it is the same object as a file in the index, and so as
  // every name that this file had.
  bool indexed = false;
};

struct LayerDirEntry {
  std::string name;
  mode_t type = 0;   // S_IFMT bits
  uint64_t ino = 0;  // the layer's own number
  bool whiteout = false;
};

class Layer {
 public:
  virtual ~Layer() = default;

  virtual NodeRef Root() const = 0;

  // What `name` is in `dir`. `more_below` says that a whiteout would matter, as
  // there are layers below; without it a whiteout may be reported as kAbsent.
  // An Error means that the layer itself failed or is damaged.
  virtual Result<LayerEntry> Lookup(const NodeRef& dir, Name name,
                                    bool more_below) const = 0;
  virtual Result<std::vector<LayerDirEntry>> List(const NodeRef& dir) const = 0;
  virtual Result<Attr> GetAttr(const NodeRef& node) const = 0;
  // Whether nobody ever set the attributes of this directory, so that those of
  // the directory it merges with below show.
  virtual bool Implied(const NodeRef&) const { return false; }
  // The contents of a regular file, for reading, unless they are InMemory.
  virtual Result<UniqueFd> Open(const NodeRef& file) const = 0;
  // For a regular file that is partial, those contents that it has itself; the
  // rest is holes.
  virtual Result<UniqueFd> OpenPart(const NodeRef& file) const {
    return Open(file);
  }
  // All contents of a regular file, where the layer has them at hand. They live
  // as long as the layer.
  virtual std::optional<std::string_view> InMemory(const NodeRef&) const {
    return std::nullopt;
  }
  // A name that tells the contents of a regular file, as Open opens them, from
  // all others, the same at every mount; empty where there is none.
  // OpenContents takes such a name, which need not be genuine: ENOENT for what
  // the layer does not have.
  virtual std::string ContentsName(const NodeRef& file) const = 0;
  virtual Result<UniqueFd> OpenContents(std::string_view name) const = 0;
  // Has the host read ahead what the layer keeps of names and attributes, if
  // that is in one place.
  virtual void ReadNamesAhead() const {}
  virtual Result<std::string> ReadLink(const NodeRef& link) const = 0;
  // Extended attributes as the union shows them: without the layer's marks.
  virtual Result<std::string> GetXattr(const NodeRef& node,
                                       const char* name) const = 0;
  virtual Result<std::string> ListXattr(const NodeRef& node) const = 0;

  // From the layer's root, "/a/b"; "/" is the root.
  virtual std::string PathOf(const NodeRef& node) const = 0;
  // Tells this layer from others in what the upper records about it; the same
  // at every mount.
  virtual uint64_t tag() const = 0;
  // What a person calls this layer.
  virtual const std::string& label() const = 0;

  // --- a frozen upper (frozen_upper.h) -------------------------------------
  // Its numbers are the upper's, of whichever union it was frozen in.
  virtual bool IsFrozenUpper() const { return false; }
  // What a file of a layer below became, for names of it that were not brought
  // up with it: kAbsent if it did not change. Takes the layer's tag and the
  // file's number in it.
  virtual Result<LayerEntry> Superseding(uint64_t, uint64_t) const {
    return LayerEntry();
  }

 protected:
  friend class NodeRef;
  virtual void Retain(uint64_t id) const = 0;
  virtual void Release(uint64_t id) const = 0;
};

inline NodeRef::NodeRef(const NodeRef& other)
    : layer_(other.layer_), id_(other.id_) {
  if (layer_ != nullptr) layer_->Retain(id_);
}

inline NodeRef::~NodeRef() {
  if (layer_ != nullptr) layer_->Release(id_);
}

}  // namespace ufs
