#include "layerdb/tree_merge.h"

#include <cerrno>
#include <utility>
#include <vector>

namespace ufs {
namespace {

// Applies one layer to what the layers below it show.
class LayerMerge {
 public:
  LayerMerge(const TreeFile& layer, uint32_t source, TreeBuilder& out)
      : layer_(layer),
        source_(source),
        out_(out),
        placed_(layer.node_count(), tree_format::kNone) {
    placed_[TreeFile::kRoot] = TreeBuilder::kRoot;
  }

  Status Run() {
    const TreeNode root = TRY(layer_.Copy(TreeFile::kRoot));
    if (!root.implied) TRY(out_.Put("", root));
    if (root.opaque) out_.ClearAt(TreeBuilder::kRoot);
    // A list, not a recursion: the tree may be deep.
    std::vector<std::pair<TreeFile::NodeNo, TreeBuilder::NodeNo>> dirs = {
        {TreeFile::kRoot, TreeBuilder::kRoot}};
    EntryBudget budget(layer_.entry_count());
    while (!dirs.empty()) {
      const TreeFile::NodeNo from = dirs.back().first;
      const TreeBuilder::NodeNo to = dirs.back().second;
      dirs.pop_back();
      TRY(layer_.ForEachChild(from,
                              [&](const TreeFile::Child& child) -> Status {
                                TRY(budget.Take());
                                if (child.whiteout)
                                  return out_.WhiteoutAt(to, child.name);
                                const auto placed = TRY(Place(child, to));
                                if (S_ISDIR(child.mode))
                                  dirs.emplace_back(child.node, placed);
                                return Ok();
                              }));
    }
    return Ok();
  }

 private:
  Result<TreeBuilder::NodeNo> Place(const TreeFile::Child& child,
                                    TreeBuilder::NodeNo dir) {
    TreeBuilder::NodeNo& placed = placed_[child.node];
    if (placed != tree_format::kNone) {
      // In a damaged file a directory may even be within itself.
      if (S_ISDIR(child.mode)) return EntryBudget::SeveralNames();
      TRY(out_.LinkAt(dir, child.name, placed));
      return placed;
    }
    const TreeNode node = TRY(layer_.Copy(child.node));
    const TreeBuilder::NodeNo next = out_.node_count();
    placed = TRY(out_.PutAt(dir, child.name, node));
    // A directory that merges with one below stays that one.
    if (placed == next) out_.SetSource(placed, source_, child.node);
    if (node.opaque && S_ISDIR(node.mode)) out_.ClearAt(placed);
    return placed;
  }

  const TreeFile& layer_;
  const uint32_t source_;
  TreeBuilder& out_;
  std::vector<TreeBuilder::NodeNo> placed_;  // by the layer's numbers
};

}  // namespace

Status MergeTrees(std::span<const TreeFile* const> bottom_to_top,
                  TreeBuilder& out) {
  for (uint32_t i = 0; i < bottom_to_top.size(); ++i)
    TRY(LayerMerge(*bottom_to_top[i], i, out)
            .Run()
            .With("layer " + std::to_string(i + 1) + " of " +
                  std::to_string(bottom_to_top.size())));
  return Ok();
}

}  // namespace ufs
