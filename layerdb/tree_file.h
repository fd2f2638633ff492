// TreeFile: a tree file (FORMAT.md), mapped and read in place. The index of one
// layer, or the view of a run of layers: what they show together.
//
// The file is outside data. Opening it checks the header; every access after
// that stays within the file whatever the file says, and EUCLEAN names what is
// wrong. A file that is made shorter while it is mapped is the one thing that
// cannot be survived (SIGBUS): the store never does that.
//
// Ownership: everything returned lives as long as the TreeFile.
// Threads: immutable, any. No method but Open and the checks makes a system
// call or allocates memory, unless it fails.
#pragma once

#include <array>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "layerdb/tree_format.h"
#include "layerdb/tree_node.h"

namespace ufs {

// One object of a tree file.
struct TreeNodeView {
  mode_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t nlink = 0;  // names in this tree; of a directory as in ext4
  uint64_t rdev = 0;
  int64_t mtime_sec = 0;
  uint32_t mtime_nsec = 0;
  uint64_t size_bytes = 0;  // of a link: of its target
  bool opaque = false;
  bool implied = false;
  std::string_view link_target;
  // Of a regular file: either it is in the object store, or these are all its
  // bytes.
  std::optional<ObjectId> object;
  std::string_view inline_content;
  uint32_t source = 0;       // which layer it came from, 0 the lowest
  uint32_t source_node = 0;  // and its number there
};

// A damaged file may say that a directory is within itself. Who walks a tree
// takes one for each entry met: EUCLEAN once there were more than it has.
class EntryBudget {
 public:
  explicit EntryBudget(uint64_t entries) : left_(entries) {}
  Status Take() {
    if (left_ == 0) return SeveralNames();
    --left_;
    return Ok();
  }
  static Error SeveralNames() {
    return Error(EUCLEAN, "tree file: a directory has several names");
  }

 private:
  uint64_t left_;
};

class TreeFile {
 public:
  using NodeNo = uint32_t;
  static constexpr NodeNo kRoot = 0;

  enum class Verify {
    kHeader,  // the header's own hash, and that all sections lie in the file
    kAll,     // every section's hash as well: reads all of the file
  };
  // EUCLEAN for a file that is not one or is damaged, EPROTO for one of a
  // later version.
  static Result<std::shared_ptr<const TreeFile>> Open(UniqueFd fd,
                                                      Verify verify);
  // The same of bytes in memory.
  static Result<std::shared_ptr<const TreeFile>> Parse(std::string_view bytes,
                                                       Verify verify);
  ~TreeFile();
  TreeFile(const TreeFile&) = delete;
  TreeFile& operator=(const TreeFile&) = delete;

  NodeNo Root() const { return kRoot; }

  // What a name in a directory is.
  struct Found {
    enum class Kind { kAbsent, kWhiteout, kNode };
    Kind kind = Kind::kAbsent;
    NodeNo node = 0;
  };
  Result<Found> Lookup(NodeNo dir, std::string_view name) const;

  Result<TreeNodeView> Node(NodeNo node) const;

  // A directory's entries in the order of their bytes.
  struct Child {
    std::string_view name;
    bool whiteout = false;
    NodeNo node = 0;
    mode_t mode = 0;  // of the node
  };
  template <typename Visit>  // Status(const Child&)
  Status ForEachChild(NodeNo dir, Visit visit) const;

  // Extended attributes in the order of their names.
  template <typename Visit>  // Status(string_view name, string_view value)
  Status ForEachXattr(NodeNo node, Visit visit) const;

  // One of its names, always the same, from the root: "a/b"; "" for the root.
  Result<std::string> PathOf(NodeNo node) const;
  // All of it as an importer would have given it.
  Result<TreeNode> Copy(NodeNo node) const;

  template <typename Visit>  // Status(const ObjectId&)
  Status ForEachObject(Visit visit) const;

  uint32_t node_count() const { return node_count_; }
  uint32_t entry_count() const { return entry_count_; }
  uint32_t object_count() const { return object_count_; }
  uint64_t file_bytes() const { return map_.size(); }
  uint32_t source_count() const { return header_->source_count; }
  const std::array<uint8_t, 32>& identity() const { return header_->identity; }

  // The descriptor it was opened from: whoever uses the tree keeps a lock on
  // it. -1 after Parse.
  BorrowedFd fd() const { return fd_; }

  // Has the host read and map all of it, for who is about to. Best effort.
  void ReadAhead() const;
  // The hashes of all sections.
  Status CheckHashes() const;
  // Every invariant of FORMAT.md, by number; EUCLEAN names the first that does
  // not hold. With CheckHashes this is all that can be known of a file.
  Status CheckAll() const;

 private:
  TreeFile() = default;
  Status Attach(std::span<const char> map, Verify verify);
  template <typename T>
  std::span<const T> SectionAs(tree_format::Section section) const;
  std::string_view SectionBytes(tree_format::Section section) const;
  static Error Damaged(std::string_view what, uint64_t number);
  Result<const tree_format::Node*> NodeAt(NodeNo node) const;
  Result<std::span<const tree_format::Entry>> EntriesOf(NodeNo dir) const;
  Result<std::string_view> NameOf(const tree_format::Entry& entry) const;
  Result<Child> ChildAt(const tree_format::Entry& entry) const;
  Result<std::string_view> XattrBlockOf(const tree_format::Node& node) const;
  static Result<std::pair<std::string_view, std::string_view>> NextXattr(
      std::string_view& block);
  Result<ObjectId> ObjectAt(uint64_t number) const;
  friend class TreeChecker;

  UniqueFd fd_;
  std::span<const char> map_;
  bool mapped_ = false;               // else copy_ holds the bytes
  std::unique_ptr<uint64_t[]> copy_;  // as aligned as a map
  const tree_format::Header* header_ = nullptr;
  std::span<const tree_format::Node> nodes_;
  std::span<const tree_format::Entry> entries_;
  std::span<const tree_format::Slot> slots_;
  uint32_t node_count_ = 0;
  uint32_t entry_count_ = 0;
  uint32_t object_count_ = 0;
};

template <typename Visit>
Status TreeFile::ForEachChild(NodeNo dir, Visit visit) const {
  for (const tree_format::Entry& entry : TRY(EntriesOf(dir))) {
    const Child child = TRY(ChildAt(entry));
    TRY(visit(child));
  }
  return Ok();
}

template <typename Visit>
Status TreeFile::ForEachXattr(NodeNo node, Visit visit) const {
  std::string_view block = TRY(XattrBlockOf(*TRY(NodeAt(node))));
  while (!block.empty()) {
    const auto [name, value] = TRY(NextXattr(block));
    TRY(visit(name, value));
  }
  return Ok();
}

template <typename Visit>
Status TreeFile::ForEachObject(Visit visit) const {
  for (uint32_t i = 0; i < object_count_; ++i) {
    const ObjectId id = TRY(ObjectAt(i));
    TRY(visit(id));
  }
  return Ok();
}

}  // namespace ufs
