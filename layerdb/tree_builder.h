// TreeBuilder: the tree of one layer, in memory, while it is being put
// together; what it holds is then written as a tree file (FORMAT.md). Contents
// are not its concern: they are in the object store already, or few.
//
// It unpacks as tar does on an empty disk: what comes later wins, a directory
// over a directory keeps its children, anything else replaces what was there.
// Missing directories above a path are made (TreeNode::implied).
//
// Memory: about 130 bytes for each entry and its name's length.
// Threads: one at a time.
// Errors name the path: EINVAL for a path or node that makes no sense, ENOTDIR
// for a path through something that is no directory, ENAMETOOLONG, EFBIG for
// what goes beyond the limits. After an error the tree is as it was.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "layerdb/byte_pool.h"
#include "layerdb/tree_format.h"
#include "layerdb/tree_node.h"

namespace ufs {

struct TreeLimits {
  uint64_t entries = 100'000'000;            // ever put, also if replaced since
  const char* entries_remedy = "";           // what an error ends with
  uint32_t depth = 4096;                     // components of a path
  uint64_t name_bytes = uint64_t{4} << 30;   // all names together
  uint64_t other_bytes = uint64_t{8} << 30;  // inline contents, link targets
  uint64_t xattr_bytes = uint64_t{1} << 30;  // all different sets together
};

struct TreeStats {
  uint64_t entries = 0;  // names, whiteouts among them; without the root
  uint64_t whiteouts = 0;
  uint64_t content_bytes = 0;  // of all regular files, each once
};

class TreeBuilder {
 public:
  // A directory or other object of this tree; 0 is the root.
  using NodeNo = uint32_t;
  static constexpr NodeNo kRoot = 0;
  // Of a directory that is implied.
  static constexpr mode_t kImpliedMode = S_IFDIR | 0755;

  explicit TreeBuilder(const TreeLimits& limits = {});
  // For what is put from now on.
  void SetLimits(const TreeLimits& limits) { limits_ = limits; }
  TreeBuilder(const TreeBuilder&) = delete;
  TreeBuilder& operator=(const TreeBuilder&) = delete;

  // --- by path: "a/b", relative to the root; "" is the root itself ---------
  Status Put(std::string_view path, const TreeNode& node);
  // Another name for what `target` names. ENOENT when there is nothing,
  // EISDIR for a directory.
  Status Link(std::string_view path, std::string_view target);
  // What the layers below have there is deleted.
  Status Whiteout(std::string_view path);
  // What the layers below have in this directory is deleted.
  Status SetOpaque(std::string_view path);
  std::optional<TreeNode> Find(std::string_view path) const;

  // --- by directory and name, for those who walk a tree already ------------
  // The directory at a path, made if it is missing.
  Result<NodeNo> MakeDir(std::string_view path);
  // REQUIRES, below: `dir` is a directory that is still part of the tree.
  Result<NodeNo> PutAt(NodeNo dir, std::string_view name, const TreeNode& node);
  Status LinkAt(NodeNo dir, std::string_view name, NodeNo target);
  Status WhiteoutAt(NodeNo dir, std::string_view name);
  // Deletes what is in the directory, and hides what is below it.
  void ClearAt(NodeNo dir);
  // Of a node that was merged from a layer: which, and its number there.
  void SetSource(NodeNo node, uint32_t source, uint32_t source_node);

  // All numbers given out so far are below it.
  NodeNo node_count() const { return static_cast<NodeNo>(nodes_.size()); }

  // Of what is in the tree now. Walks all of it.
  TreeStats Stats() const;
  // What its files' contents are; the same.
  std::set<ObjectId> Objects() const;

  // Writes the tree file at the start of `out`, an empty file. The same tree
  // gives the same bytes. `identity` goes into the header. `source_count`: 1
  // for a layer; for a view the number of layers it was merged from.
  Status Write(BorrowedFd out, const std::array<uint8_t, 32>& identity = {},
               uint32_t source_count = 1) const;

 private:
  friend class TreeWriter;
  using EntryNo = uint32_t;
  static constexpr uint32_t kNone = tree_format::kNone;
  static constexpr uint32_t kDead = kNone - 1;  // an entry that was deleted

  // A name. Those of a directory are a list; one that was deleted stays in it,
  // to be used again.
  struct Name {
    NodeNo parent;
    NodeNo node;    // kNone: a whiteout; kDead: deleted
    EntryNo next;   // in the same directory
    uint32_t text;  // in names_: a byte of length, then the name
  };

  // Where a path leads, its last component not looked at.
  struct Spot {
    NodeNo dir;
    std::string_view name;
  };

  tree_format::Node& node(NodeNo number) { return nodes_[number]; }
  bool IsDir(NodeNo number) const;
  std::string_view NameOf(EntryNo entry) const;
  size_t SlotOf(NodeNo dir, std::string_view name, size_t mask) const;
  EntryNo FindEntry(NodeNo dir, std::string_view name) const;
  Result<EntryNo> MakeEntry(NodeNo dir, std::string_view name);
  void GrowSlots();
  Result<Spot> Resolve(std::string_view path, bool make_dirs);
  std::optional<NodeNo> FindNode(std::string_view path) const;
  Status CheckNode(const TreeNode& node) const;
  Status CheckRoom(std::string_view name) const;
  Result<uint32_t> AddXattrs(const TreeNode& node);
  Status Fill(const TreeNode& from, tree_format::Node& to);
  Result<NodeNo> PutEntry(NodeNo dir, std::string_view name,
                          const TreeNode& node);
  TreeNode Get(NodeNo number) const;
  template <typename Visit>
  void ForEachChild(NodeNo dir, Visit visit) const;
  // Of the whole tree, by what each entry names: kNone, a whiteout.
  template <typename Visit>
  void ForEachEntry(Visit visit) const;

  TreeLimits limits_;
  // Records as they will be in the file, except that a directory's `content` is
  // the head of its list, an object's its place in objects_, a link's target
  // and inline contents their place in bytes_, `xattrs` a number in
  // xattr_blocks_, and that nobody has counted names yet.
  std::deque<tree_format::Node> nodes_;
  std::deque<Name> entries_;
  std::vector<EntryNo> slots_;  // number + 1; 0: free
  const uint64_t seed_;         // of their hash: nobody knows it beforehand
  BytePool names_;
  BytePool bytes_;
  std::deque<ObjectId> objects_;
  // Each set of attributes once, encoded as in the file.
  std::deque<std::string> xattr_blocks_;
  std::unordered_map<std::string_view, uint32_t> xattr_numbers_;
  uint64_t xattr_bytes_ = 0;
};

template <typename Visit>
void TreeBuilder::ForEachChild(NodeNo dir, Visit visit) const {
  for (auto entry = static_cast<EntryNo>(nodes_[dir].content); entry != kNone;
       entry = entries_[entry].next)
    if (entries_[entry].node != kDead) visit(entry);
}

template <typename Visit>
void TreeBuilder::ForEachEntry(Visit visit) const {
  std::vector<NodeNo> dirs = {kRoot};
  while (!dirs.empty()) {
    const NodeNo dir = dirs.back();
    dirs.pop_back();
    ForEachChild(dir, [&](EntryNo entry) {
      const NodeNo node = entries_[entry].node;
      visit(node);
      if (node != kNone && IsDir(node)) dirs.push_back(node);
    });
  }
}

}  // namespace ufs
