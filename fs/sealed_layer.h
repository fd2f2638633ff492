// SealedLayer: a run of hashed layers as one Layer. Their merge was done when
// the view was built (layerdb/tree_merge.h), so a name is one probe, whatever
// their number, and nothing but the contents of large files needs a system
// call.
//
// Numbers: an object is known by the layer it came from and its place in that,
// so that it keeps its number at every mount, and when other layers are put on
// top.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fs/layer.h"
#include "layerdb/digest.h"
#include "layerdb/tree_file.h"

namespace ufs {

// What a run of consecutive sealed layers is made of.
struct SealedRun {
  std::vector<Digest> layers;            // bottom to top; not empty
  std::shared_ptr<const TreeFile> tree;  // the layer, or the view of them all
  // Contents by name, for reading. Called from any thread.
  std::function<Result<UniqueFd>(const ObjectId&)> open_object;
  // Asked before contents are opened to be read: an error when they are not
  // what they are named by. None: nobody asks. Called from any thread.
  std::function<Status(const ObjectId&)> check_object;
  std::string store;  // the directory they are in
};

class SealedLayer final : public Layer {
 public:
  // EUCLEAN when the tree is not one of so many layers.
  static Result<std::unique_ptr<SealedLayer>> Open(SealedRun run);

  NodeRef Root() const override;
  Result<LayerEntry> Lookup(const NodeRef& dir, Name name,
                            bool more_below) const override;
  Result<std::vector<LayerDirEntry>> List(const NodeRef& dir) const override;
  Result<Attr> GetAttr(const NodeRef& node) const override;
  bool Implied(const NodeRef& dir) const override;
  Result<UniqueFd> Open(const NodeRef& file) const override;
  std::optional<std::string_view> InMemory(const NodeRef& file) const override;
  std::string ContentsName(const NodeRef& file) const override;
  Result<UniqueFd> OpenContents(std::string_view name) const override;
  void ReadNamesAhead() const override;
  Result<std::string> ReadLink(const NodeRef& link) const override;
  Result<std::string> GetXattr(const NodeRef& node,
                               const char* name) const override;
  Result<std::string> ListXattr(const NodeRef& node) const override;
  std::string PathOf(const NodeRef& node) const override;
  uint64_t tag() const override { return tag_; }
  const std::string& label() const override { return label_; }

 protected:
  void Retain(uint64_t) const override {}
  void Release(uint64_t) const override {}

 private:
  explicit SealedLayer(SealedRun run);
  static TreeFile::NodeNo NodeOf(const NodeRef& ref) {
    return static_cast<TreeFile::NodeNo>(ref.id());
  }
  uint64_t InoOf(const TreeNodeView& node) const;
  uint64_t BlocksOf(const TreeNodeView& node) const;
  Attr AttrOf(const TreeNodeView& node) const;
  Error Damaged(Error error) const;
  std::string WhereIs(const NodeRef& file, const TreeNodeView& node) const;

  const SealedRun run_;
  const std::string label_;
  uint64_t tag_ = 0;
  std::vector<uint32_t> bases_;  // of each layer's numbers, none twice
};

}  // namespace ufs
