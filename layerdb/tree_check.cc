// TreeFile::CheckAll: the invariants of FORMAT.md, section "Tree files".
#include <limits.h>
#include <sys/stat.h>

#include <cerrno>
#include <unordered_set>

#include "layerdb/tree_file.h"

namespace ufs {

class TreeChecker {
 public:
  explicit TreeChecker(const TreeFile& file)
      : file_(file), names_of_(file.node_count()) {}

  Status Check() {
    TRY(CheckSections());
    TRY(CheckDirectories());
    for (uint32_t i = 0; i < file_.node_count(); ++i) TRY(CheckNode(i));
    TRY(CheckSlots());
    return CheckObjects();
  }

 private:
  using Node = tree_format::Node;
  static constexpr uint32_t kNone = tree_format::kNone;

  static Error Broken(int invariant, std::string_view what, uint64_t number) {
    return Error(EUCLEAN, "tree file: T" + std::to_string(invariant) +
                              " does not hold for " + std::string(what) + " " +
                              std::to_string(number));
  }

  // T1
  Status CheckSections() const {
    uint64_t end = sizeof(tree_format::Header);
    for (size_t i = 0; i < tree_format::kSectionCount; ++i) {
      const auto& section = file_.header_->sections[i];
      if (section.offset < end) return Broken(1, "section", i);
      end = section.offset + section.bytes;
    }
    if (end != file_.file_bytes()) return Broken(1, "section", 0);
    return Ok();
  }

  // T2, T3 and the counts that T4 needs.
  Status CheckDirectories() {
    uint64_t entries = 0;
    for (uint32_t dir = 0; dir < file_.node_count(); ++dir) {
      if (!S_ISDIR(file_.nodes_[dir].mode)) continue;
      const auto run = TRY(file_.EntriesOf(dir));
      entries += run.size();
      std::string_view previous;
      uint32_t nlink = 2;
      for (const auto& entry : run) {
        const auto number =
            static_cast<uint64_t>(&entry - file_.entries_.data());
        const auto child = TRY(file_.ChildAt(entry));
        if (entry.parent != dir || child.name <= previous)
          return Broken(2, "entry", number);
        previous = child.name;
        if (child.whiteout) continue;
        ++names_of_[child.node];
        if (!S_ISDIR(child.mode)) continue;
        ++nlink;
        if (child.node <= dir) return Broken(3, "node", child.node);
      }
      if (file_.nodes_[dir].nlink != nlink) return Broken(4, "node", dir);
    }
    if (entries != file_.entry_count()) return Broken(2, "entry", entries);
    return Ok();
  }

  Status CheckNode(uint32_t number) {
    const Node& node = file_.nodes_[number];
    const bool is_dir = S_ISDIR(node.mode), is_file = S_ISREG(node.mode);
    const uint32_t names = number == 0 ? 1 : names_of_[number];
    if (is_dir ? names != 1 : names == 0 || node.nlink != names)
      return Broken(4, "node", number);
    if (number != 0 && (node.first_name >= file_.entry_count() ||
                        file_.entries_[node.first_name].node != number))
      return Broken(3, "node", number);
    if (number == 0 && (node.first_name != kNone || names_of_[0] != 0))
      return Broken(3, "node", number);

    // T5
    const mode_t type = node.mode & S_IFMT;
    const bool known = is_dir || is_file || S_ISLNK(type) || S_ISCHR(type) ||
                       S_ISBLK(type) || S_ISFIFO(type) || S_ISSOCK(type);
    const uint32_t content =
        node.flags & (tree_format::kInline | tree_format::kObject);
    const uint32_t marks =
        node.flags & (tree_format::kOpaque | tree_format::kImplied);
    const bool one_content =
        content == tree_format::kInline || content == tree_format::kObject;
    if (!known || (node.mode & ~mode_t{S_IFMT | 07777}) != 0 ||
        (node.flags & ~tree_format::kAllFlags) != 0 ||
        (marks != 0 && !is_dir) ||
        (is_file && node.size > 0 ? !one_content : content != 0) ||
        (S_ISLNK(type) && (node.size == 0 || node.size >= PATH_MAX)) ||
        node.mtime_nsec >= 1'000'000'000)
      return Broken(5, "node", number);
    const TreeNodeView view = TRY(file_.Node(number));
    if (view.object) used_objects_.insert(node.content);
    TRY(CheckXattrs(number));
    return CheckSource(number);
  }

  // T6
  Status CheckXattrs(uint32_t number) const {
    std::string_view previous;
    return file_.ForEachXattr(
        number, [&](std::string_view name, std::string_view) -> Status {
          if (name <= previous || name.find('\0') != name.npos ||
              name.size() > NAME_MAX)
            return Broken(6, "node", number);
          previous = name;
          return Ok();
        });
  }

  // T7
  Status CheckSource(uint32_t number) {
    const Node& node = file_.nodes_[number];
    if (node.source >= file_.source_count()) return Broken(7, "node", number);
    const bool own = node.source == 0 && node.source_node == number;
    const uint64_t source = uint64_t{node.source} << 32 | node.source_node;
    if (file_.source_count() == 1 ? !own : !sources_.insert(source).second)
      return Broken(7, "node", number);
    return Ok();
  }

  // T8
  Status CheckSlots() const {
    uint64_t used = 0;
    for (const auto& slot : file_.slots_) used += slot.entry != 0 ? 1 : 0;
    if (used != file_.entry_count()) return Broken(8, "slot", used);
    for (uint32_t i = 0; i < file_.entry_count(); ++i) {
      const auto& entry = file_.entries_[i];
      const auto name = TRY(file_.NameOf(entry));
      const auto found = TRY(file_.Lookup(entry.parent, name));
      using Kind = TreeFile::Found::Kind;
      const bool right = entry.node == kNone ? found.kind == Kind::kWhiteout
                                             : found.kind == Kind::kNode &&
                                                   found.node == entry.node;
      if (!right) return Broken(8, "entry", i);
    }
    return Ok();
  }

  // T9
  Status CheckObjects() const {
    ObjectId previous;
    for (uint32_t i = 0; i < file_.object_count(); ++i) {
      const ObjectId id = TRY(file_.ObjectAt(i));
      if ((i > 0 && id <= previous) || used_objects_.count(i) == 0)
        return Broken(9, "object", i);
      previous = id;
    }
    return Ok();
  }

  const TreeFile& file_;
  std::vector<uint32_t> names_of_;  // by node
  std::unordered_set<uint64_t> used_objects_;
  std::unordered_set<uint64_t> sources_;
};

Status TreeFile::CheckAll() const { return TreeChecker(*this).Check(); }

}  // namespace ufs
