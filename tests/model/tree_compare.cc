#include "tests/model/tree_compare.h"

#include "tests/model/fields.h"

namespace ufs::model {
namespace {

class TreeComparison {
 public:
  TreeComparison(const PosixModel& model, dev_t dev, InodeLedger* ledger)
      : model_(model), dev_(dev), ledger_(ledger) {}

  void Visit(const std::string& path, const Node& node, const RealNode& real) {
    if (real.err != 0) {
      Add(path, {"read." + real.what, "success", ErrnoName(real.err)});
      if (real.what == "stat") return;
    }
    ExpectedStat stat = model_.StatOf(node);
    // Its target was read by another of its names, perhaps.
    if (node.IsLink()) stat.atime = TimeRange::Any();
    for (Difference& difference : CompareStat(stat, real.stat, model_, ledger_))
      Add(path, std::move(difference));
    if (real.stat.dev != dev_)
      Add(path,
          {"stat.dev", std::to_string(dev_), std::to_string(real.stat.dev)});
    if (real.listed_ino != real.stat.ino)
      Add(path, {"d_ino", std::to_string(real.stat.ino),
                 std::to_string(real.listed_ino)});
    if (node.content != real.content)
      Add(path, {"content", Shown(node.content),
                 Shown(real.content) + ", " +
                     FirstDifference(node.content, real.content)});
    if (node.flags != real.flags)
      Add(path,
          {"flags", std::to_string(node.flags), std::to_string(real.flags)});
    if (node.target != real.target)
      Add(path, {"target", Quote(node.target), Quote(real.target)});
    VisitXattrs(path, node, real);
    VisitEntries(path, node, real);
  }

  std::vector<TreeDifference> Take() { return std::move(list_); }

 private:
  void VisitXattrs(const std::string& path, const Node& node,
                   const RealNode& real) {
    for (const auto& [name, value] : node.xattrs) {
      auto found = real.xattrs.find(name);
      if (found == real.xattrs.end())
        Add(path, {"xattr " + name, Shown(value), "missing"});
      else if (found->second != value)
        Add(path, {"xattr " + name, Shown(value), Shown(found->second)});
    }
    for (const auto& [name, value] : real.xattrs)
      if (!node.xattrs.contains(name))
        Add(path, {"xattr " + name, "absent", Shown(value)});
  }

  void VisitEntries(const std::string& path, const Node& node,
                    const RealNode& real) {
    for (const auto& [name, child] : node.entries) {
      auto found = real.entries.find(name);
      if (found == real.entries.end())
        Add(path, {"names", Quote(name), "missing"});
      else
        Visit(path + "/" + Quote(name), *child, found->second);
    }
    for (const auto& [name, child] : real.entries)
      if (!node.entries.contains(name))
        Add(path, {"names", "absent", Quote(name)});
  }

  void Add(const std::string& path, Difference difference) {
    list_.push_back({path.empty() ? "/" : path, std::move(difference)});
  }

  const PosixModel& model_;
  const dev_t dev_;
  InodeLedger* const ledger_;
  std::vector<TreeDifference> list_;
};

}  // namespace

std::vector<TreeDifference> CompareTree(const PosixModel& model,
                                        const RealNode& real,
                                        InodeLedger* ledger) {
  TreeComparison comparison(model, real.stat.dev, ledger);
  comparison.Visit("", *model.root(), real);
  return comparison.Take();
}

}  // namespace ufs::model
