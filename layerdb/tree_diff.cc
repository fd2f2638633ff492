#include "layerdb/tree_diff.h"

#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ufs {
namespace {

using Child = TreeFile::Child;
using Xattrs = std::vector<std::pair<std::string_view, std::string_view>>;

Result<Xattrs> XattrsOf(const TreeFile& tree, TreeFile::NodeNo node) {
  Xattrs xattrs;
  TRY(tree.ForEachXattr(
      node, [&](std::string_view name, std::string_view value) -> Status {
        xattrs.emplace_back(name, value);
        return Ok();
      }));
  return xattrs;
}

class Differ {
 public:
  Differ(const TreeFile& before, const TreeFile& after,
         const TreeDiffOptions& options, const VisitTreeChange& visit)
      : before_(before), after_(after), options_(options), visit_(visit) {}

  // Not recursive: a damaged tree may be deep.
  Status Run() {
    TRY(Compare("", before_.Root(), after_.Root()));
    while (!pending_.empty()) {
      const Step step = std::move(pending_.back());
      pending_.pop_back();
      TRY(Take(step));
    }
    return Ok();
  }

 private:
  // One name in a directory of either or both.
  struct Step {
    std::string path;
    std::optional<Child> before;
    std::optional<Child> after;
  };

  bool Counts(const Child& child) const {
    return !child.whiteout || options_.whiteouts;
  }

  Status Take(const Step& step) {
    const bool was = step.before && !step.before->whiteout;
    const bool is = step.after && !step.after->whiteout;
    if (was && is)
      return Compare(step.path, step.before->node, step.after->node);
    if (is) {
      TRY(visit_(TreeChange::kAdded, step.path, step.after->mode & S_IFMT));
      if (S_ISDIR(step.after->mode))
        TRY(PushChildren(step.path, std::nullopt, step.after->node));
      return Ok();
    }
    if (was)
      return visit_(TreeChange::kDeleted, step.path,
                    step.before->mode & S_IFMT);
    if (step.before && step.after) return Ok();  // deleted by both
    return visit_(step.after ? TreeChange::kDeleted : TreeChange::kAdded,
                  step.path, 0);
  }

  Status Compare(const std::string& path, TreeFile::NodeNo before_no,
                 TreeFile::NodeNo after_no) {
    const TreeNodeView before = TRY(before_.Node(before_no));
    const TreeNodeView after = TRY(after_.Node(after_no));
    const mode_t type = after.mode & S_IFMT;
    const bool is_linked_otherwise =
        FirstName(before_names_, before_no, before, path) !=
        FirstName(after_names_, after_no, after, path);
    if (IsChanged(before, after)) {
      TRY(visit_(TreeChange::kChanged, path, type));
    } else if (before.mode != after.mode || before.uid != after.uid ||
               before.gid != after.gid || HasOtherTime(before, after) ||
               TRY(XattrsOf(before_, before_no)) !=
                   TRY(XattrsOf(after_, after_no)) ||
               is_linked_otherwise) {
      TRY(visit_(TreeChange::kMetadata, path, type));
    }
    if (!S_ISDIR(type)) return Ok();
    return PushChildren(
        path, S_ISDIR(before.mode) ? std::optional(before_no) : std::nullopt,
        after_no);
  }

  // Of the names that both trees have, the first that is the same file.
  using FirstNames = std::unordered_map<TreeFile::NodeNo, std::string>;
  static std::string FirstName(FirstNames& names, TreeFile::NodeNo number,
                               const TreeNodeView& node,
                               const std::string& path) {
    if (S_ISDIR(node.mode) || node.nlink < 2) return path;
    return names.emplace(number, path).first->second;
  }

  bool IsChanged(const TreeNodeView& before, const TreeNodeView& after) const {
    if ((before.mode & S_IFMT) != (after.mode & S_IFMT)) return true;
    if (S_ISDIR(after.mode))
      return options_.whiteouts && before.opaque != after.opaque;
    return before.rdev != after.rdev ||
           before.link_target != after.link_target ||
           (S_ISREG(after.mode) &&
            (before.size_bytes != after.size_bytes ||
             before.object != after.object ||
             before.inline_content != after.inline_content));
  }

  static bool HasOtherTime(const TreeNodeView& before,
                           const TreeNodeView& after) {
    return !S_ISDIR(after.mode) && (before.mtime_sec != after.mtime_sec ||
                                    before.mtime_nsec != after.mtime_nsec);
  }

  Result<std::vector<Child>> ChildrenOf(const TreeFile& tree,
                                        std::optional<TreeFile::NodeNo> dir) {
    std::vector<Child> children;
    if (!dir) return children;
    TRY(tree.ForEachChild(*dir, [&](const Child& child) -> Status {
      TRY(budget_.Take());
      if (Counts(child)) children.push_back(child);
      return Ok();
    }));
    return children;
  }

  // The names of both, the first on top.
  Status PushChildren(const std::string& path,
                      std::optional<TreeFile::NodeNo> before_dir,
                      std::optional<TreeFile::NodeNo> after_dir) {
    const std::vector<Child> before = TRY(ChildrenOf(before_, before_dir));
    const std::vector<Child> after = TRY(ChildrenOf(after_, after_dir));
    const size_t first = pending_.size();
    for (size_t i = 0, j = 0; i < before.size() || j < after.size();) {
      const bool take_before =
          i < before.size() &&
          (j == after.size() || before[i].name <= after[j].name);
      const bool take_after =
          j < after.size() &&
          (i == before.size() || after[j].name <= before[i].name);
      const std::string_view name =
          take_before ? before[i].name : after[j].name;
      Step step;
      step.path = (path.empty() ? "" : path + "/") + std::string(name);
      if (take_before) step.before = before[i++];
      if (take_after) step.after = after[j++];
      pending_.push_back(std::move(step));
    }
    std::reverse(pending_.begin() + static_cast<ptrdiff_t>(first),
                 pending_.end());
    return Ok();
  }

  const TreeFile& before_;
  const TreeFile& after_;
  const TreeDiffOptions options_;
  const VisitTreeChange& visit_;
  std::vector<Step> pending_;
  FirstNames before_names_;
  FirstNames after_names_;
  EntryBudget budget_{uint64_t{before_.entry_count()} + after_.entry_count()};
};

}  // namespace

Status DiffTrees(const TreeFile& before, const TreeFile& after,
                 const TreeDiffOptions& options, const VisitTreeChange& visit) {
  return Differ(before, after, options, visit).Run();
}

}  // namespace ufs
