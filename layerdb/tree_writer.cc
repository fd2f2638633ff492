// TreeBuilder::Write: the tree in the order in which it is read. Directories
// come as `find` visits them; the entries of one lie together, and so do the
// nodes they name.
#include <xxhash.h>

#include <algorithm>
#include <memory>

#include "layerdb/base/syscall.h"
#include "layerdb/tree_builder.h"
#include "layerdb/tree_hash.h"

namespace ufs {

using tree_format::Section;

constexpr size_t kSectionBufferBytes = 256 << 10;
// Of half-full slots a name by chance needs some dozens, in the largest tree.
constexpr uint32_t kMostProbes = 1024;

// Appends to a file through a buffer, hashing what goes by.
class SectionWriter {
 public:
  explicit SectionWriter(BorrowedFd out) : out_(out) {
    buffer_.reserve(kSectionBufferBytes);
    XXH3_64bits_reset(hash_.get());
  }
  SectionWriter(const SectionWriter&) = delete;
  SectionWriter& operator=(const SectionWriter&) = delete;

  // Begins at the next aligned place from `offset`.
  Status Begin(uint64_t offset) {
    TRY(Flush());
    begin_ = written_ = offset;
    XXH3_64bits_reset(hash_.get());
    return Ok();
  }
  Status Append(std::string_view bytes) {
    if (buffer_.size() + bytes.size() > kSectionBufferBytes) TRY(Flush());
    buffer_.append(bytes);
    return Ok();
  }
  template <typename T>
  Status AppendRecord(const T& record) {
    return Append({reinterpret_cast<const char*>(&record), sizeof(record)});
  }
  Result<tree_format::SectionRecord> End() {
    TRY(Flush());
    return tree_format::SectionRecord{begin_, written_ - begin_,
                                      XXH3_64bits_digest(hash_.get())};
  }

 private:
  Status Flush() {
    if (buffer_.empty()) return Ok();
    XXH3_64bits_update(hash_.get(), buffer_.data(), buffer_.size());
    TRY(sys::Pwrite(out_, buffer_.data(), buffer_.size(), written_));
    written_ += buffer_.size();
    buffer_.clear();
    return Ok();
  }

  const BorrowedFd out_;
  struct FreeState {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  const std::unique_ptr<XXH3_state_t, FreeState> hash_{XXH3_createState()};
  std::string buffer_;
  uint64_t begin_ = 0;
  uint64_t written_ = 0;
};

class TreeWriter {
 public:
  TreeWriter(const TreeBuilder& tree, BorrowedFd out, uint32_t source_count)
      : tree_(tree), out_(out), is_view_(source_count != 1) {
    header_.magic = tree_format::kMagic;
    header_.version = tree_format::kVersion;
    header_.header_bytes = sizeof(header_);
    header_.source_count = source_count;
  }

  Status Write(const std::array<uint8_t, 32>& identity) {
    header_.identity = identity;
    TRY(Number());
    TRY(MakeSlots());
    uint64_t end = sizeof(header_);
    const auto section = [&](Section which, auto body) -> Status {
      const uint64_t begin = (end + tree_format::kSectionAlignment - 1) /
                             tree_format::kSectionAlignment *
                             tree_format::kSectionAlignment;
      TRY(to_.Begin(begin));
      TRY(body());
      header_.sections[which] = TRY(to_.End());
      end = begin + header_.sections[which].bytes;
      return Ok();
    };
    TRY(section(Section::kNodes, [&] { return WriteNodes(); }));
    TRY(section(Section::kEntries, [&] { return WriteEntries(); }));
    TRY(section(Section::kSlots, [&] { return WriteSlots(); }));
    TRY(section(Section::kNames, [&] { return WriteNames(); }));
    TRY(section(Section::kBytes, [&] { return WriteBytes(); }));
    TRY(section(Section::kXattrs, [&] { return WriteXattrs(); }));
    TRY(section(Section::kObjects, [&] { return WriteObjects(); }));
    // An empty section at the end begins beyond the last byte.
    TRY(sys::FTruncate(out_, end));
    header_.file_bytes = end;
    header_.hash = TreeBytesHash({reinterpret_cast<const char*>(&header_),
                                  offsetof(tree_format::Header, hash)});
    TRY(sys::Pwrite(out_, reinterpret_cast<const char*>(&header_),
                    sizeof(header_), 0));
    return Ok();
  }

 private:
  using NodeNo = TreeBuilder::NodeNo;
  using EntryNo = TreeBuilder::EntryNo;
  static constexpr uint32_t kNone = tree_format::kNone;

  // What is in the tree, in the order of the file.
  struct Numbered {
    NodeNo node;          // in the builder
    uint32_t first_name;  // entry in the file
    uint32_t nlink;
  };

  Status Number();
  Status MakeSlots();
  Status WriteNodes();
  Status WriteEntries();
  Status WriteSlots();
  Status WriteNames();
  Status WriteBytes();
  Status WriteXattrs();
  Status WriteObjects();

  const TreeBuilder& tree_;
  const BorrowedFd out_;
  const bool is_view_;
  tree_format::Header header_{};
  SectionWriter to_{out_};
  std::vector<uint32_t> number_;  // of the builder's nodes, in the file
  std::vector<Numbered> nodes_;   // in the order of the file
  std::vector<EntryNo> entries_;  // the builder's, in the order of the file
  std::vector<uint32_t> first_entry_;  // of the directories, by file number
  std::vector<tree_format::Slot> slots_;
  std::vector<ObjectId> objects_;   // sorted
  std::vector<uint32_t> xattr_at_;  // place / 4 of the builder's blocks
  std::vector<uint32_t> xattr_order_;
};

// Gives each node that is still named its number.
Status TreeWriter::Number() {
  number_.assign(tree_.nodes_.size(), kNone);
  xattr_at_.assign(tree_.xattr_blocks_.size(), kNone);
  uint64_t xattr_bytes = 0;
  const auto add = [&](NodeNo node, uint32_t first_name) {
    number_[node] = static_cast<uint32_t>(nodes_.size());
    nodes_.push_back({node, first_name, tree_.IsDir(node) ? 2u : 0u});
    first_entry_.push_back(0);
    const tree_format::Node& from = tree_.nodes_[node];
    if (from.flags & tree_format::kObject)
      objects_.push_back(tree_.objects_[from.content]);
    if (from.xattrs != kNone && xattr_at_[from.xattrs] == kNone) {
      xattr_at_[from.xattrs] = static_cast<uint32_t>(xattr_bytes / 4);
      xattr_order_.push_back(from.xattrs);
      xattr_bytes += tree_.xattr_blocks_[from.xattrs].size();
    }
  };
  add(TreeBuilder::kRoot, kNone);
  std::vector<NodeNo> dirs = {TreeBuilder::kRoot};
  std::vector<EntryNo> children;
  while (!dirs.empty()) {
    const NodeNo dir = dirs.back();
    dirs.pop_back();
    children.clear();
    tree_.ForEachChild(dir, [&](EntryNo entry) { children.push_back(entry); });
    std::sort(children.begin(), children.end(), [&](EntryNo a, EntryNo b) {
      return tree_.NameOf(a) < tree_.NameOf(b);
    });
    first_entry_[number_[dir]] = static_cast<uint32_t>(entries_.size());
    const size_t first_dir = dirs.size();
    for (const EntryNo entry : children) {
      const NodeNo node = tree_.entries_[entry].node;
      if (node != kNone) {
        if (number_[node] == kNone)
          add(node, static_cast<uint32_t>(entries_.size()));
        if (tree_.IsDir(node)) {
          ++nodes_[number_[dir]].nlink;
          dirs.push_back(node);
        } else {
          ++nodes_[number_[node]].nlink;
        }
      }
      entries_.push_back(entry);
    }
    std::reverse(dirs.begin() + static_cast<ptrdiff_t>(first_dir), dirs.end());
  }
  std::sort(objects_.begin(), objects_.end());
  objects_.erase(std::unique(objects_.begin(), objects_.end()), objects_.end());
  return Ok();
}

Status TreeWriter::MakeSlots() {
  size_t count = 1;
  while (count < entries_.size() * 2) count *= 2;
  slots_.assign(count, {});
  for (uint32_t i = 0; i < entries_.size(); ++i) {
    const auto& entry = tree_.entries_[entries_[i]];
    const uint64_t hash =
        TreeNameHash(number_[entry.parent], tree_.NameOf(entries_[i]));
    size_t at = hash & (count - 1);
    uint32_t probes = 1;
    for (; slots_[at].entry != 0; ++probes) {
      if (probes == kMostProbes)
        return Error(EINVAL,
                     "the hashes of too many names collide, as they do not by "
                     "chance; '" +
                         std::string(tree_.NameOf(entries_[i])) +
                         "' is one of them");
      at = (at + 1) & (count - 1);
    }
    slots_[at] = {static_cast<uint32_t>(hash >> 32), i + 1};
    header_.max_probes = std::max(header_.max_probes, probes);
  }
  return Ok();
}

Status TreeWriter::WriteNodes() {
  uint64_t bytes = 0;  // in Section::kBytes so far
  for (uint32_t i = 0; i < nodes_.size(); ++i) {
    tree_format::Node node = tree_.nodes_[nodes_[i].node];
    node.nlink = nodes_[i].nlink;
    node.first_name = nodes_[i].first_name;
    if (!is_view_) {
      node.source = 0;
      node.source_node = i;
    }
    if (node.xattrs != kNone) node.xattrs = xattr_at_[node.xattrs];
    if (S_ISDIR(node.mode)) {
      // Entries of directories are in the order of the walk, not of numbers.
      node.content = first_entry_[i];
      node.size = 0;
      tree_.ForEachChild(nodes_[i].node, [&](EntryNo) { ++node.size; });
    } else if (S_ISLNK(node.mode) || (node.flags & tree_format::kInline)) {
      node.content = bytes;
      bytes += node.size;
    } else if (node.flags & tree_format::kObject) {
      const ObjectId& id = tree_.objects_[node.content];
      node.content = static_cast<uint64_t>(
          std::lower_bound(objects_.begin(), objects_.end(), id) -
          objects_.begin());
    }
    TRY(to_.AppendRecord(node));
  }
  return Ok();
}

Status TreeWriter::WriteEntries() {
  uint64_t names = 0;
  for (const EntryNo number : entries_) {
    const auto& entry = tree_.entries_[number];
    const auto size = static_cast<uint32_t>(tree_.NameOf(number).size());
    TRY(to_.AppendRecord(
        tree_format::Entry{number_[entry.parent],
                           entry.node == kNone ? kNone : number_[entry.node],
                           static_cast<uint32_t>(names), size}));
    names += size;
  }
  return Ok();
}

Status TreeWriter::WriteSlots() {
  for (const auto& slot : slots_) TRY(to_.AppendRecord(slot));
  return Ok();
}

Status TreeWriter::WriteNames() {
  for (const EntryNo entry : entries_) TRY(to_.Append(tree_.NameOf(entry)));
  return Ok();
}

Status TreeWriter::WriteBytes() {
  for (const Numbered& numbered : nodes_) {
    const tree_format::Node& node = tree_.nodes_[numbered.node];
    if (S_ISLNK(node.mode) || (node.flags & tree_format::kInline))
      TRY(to_.Append(tree_.bytes_.Get(node.content, node.size)));
  }
  return Ok();
}

Status TreeWriter::WriteXattrs() {
  for (const uint32_t block : xattr_order_)
    TRY(to_.Append(tree_.xattr_blocks_[block]));
  return Ok();
}

Status TreeWriter::WriteObjects() {
  for (const ObjectId& id : objects_)
    TRY(to_.AppendRecord(tree_format::Object{id.hi, id.lo, id.variant, 0}));
  return Ok();
}

Status TreeBuilder::Write(BorrowedFd out,
                          const std::array<uint8_t, 32>& identity,
                          uint32_t source_count) const {
  return TreeWriter(*this, out, source_count).Write(identity);
}

}  // namespace ufs
