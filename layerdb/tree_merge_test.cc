// The merge against a model: applying layers one by one to a map of paths.
#include "layerdb/tree_merge.h"

#include <map>
#include <random>

#include "layerdb/tree_test_util.h"

namespace ufs {
namespace {

using test::Dir;
using test::File;
using test::FileOf;
using test::Walk;

// --- the model -------------------------------------------------------------

// What is at a path: "dir MODE", "file CONTENT", "whiteout". Files with one
// number are one file.
struct Thing {
  std::string text;
  bool is_dir = false;
  bool opaque = false;
  bool implied = false;
  int number = 0;
};
using Model = std::map<std::string, Thing>;

void RemoveBelow(Model& model, const std::string& path) {
  for (auto at = model.begin(); at != model.end();)
    at = at->first.starts_with(path + "/") ? model.erase(at) : std::next(at);
}

// As unpacking `layer` over `below` would; what is hidden stays known.
void Apply(const Model& layer, Model& below) {
  for (const auto& [path, thing] : layer) {  // parents come first
    const auto old = below.find(path);
    const bool was_dir = old != below.end() && old->second.is_dir;
    if (!thing.is_dir || thing.opaque) RemoveBelow(below, path);
    if (!thing.is_dir) {
      below[path] = thing;
    } else if (was_dir) {
      if (!thing.implied) {
        old->second.text = thing.text;
        old->second.implied = false;
      }
      old->second.opaque |= thing.opaque;
    } else {
      Thing made = thing;
      made.opaque |= old != below.end();
      below[path] = made;
    }
  }
}

Model Read(const TreeFile& file) {
  Model model;
  std::vector<std::pair<TreeFile::NodeNo, std::string>> dirs = {{0, ""}};
  while (!dirs.empty()) {
    const TreeFile::NodeNo dir = dirs.back().first;
    const std::string path = dirs.back().second;
    dirs.pop_back();
    EXPECT_TRUE(file.ForEachChild(
                        dir,
                        [&](const TreeFile::Child& child) {
                          const std::string full =
                              path.empty()
                                  ? std::string(child.name)
                                  : path + "/" + std::string(child.name);
                          Thing& thing = model[full];
                          if (child.whiteout) {
                            thing.text = "whiteout";
                            return Ok();
                          }
                          const TreeNodeView node = *file.Node(child.node);
                          thing.is_dir = S_ISDIR(node.mode);
                          thing.opaque = node.opaque;
                          thing.implied = node.implied;
                          thing.number = static_cast<int>(child.node);
                          thing.text =
                              thing.is_dir
                                  ? "dir " + std::to_string(node.mode & 07777)
                                  : "file " + std::string(node.inline_content);
                          if (thing.is_dir) dirs.emplace_back(child.node, full);
                          return Ok();
                        })
                    .ok());
  }
  return model;
}

// Every thing in words; a file with the paths that are the same file.
std::map<std::string, std::string> Words(const Model& model) {
  std::map<int, std::string> groups;
  for (const auto& [path, thing] : model)
    if (!thing.is_dir && thing.text != "whiteout")
      groups[thing.number] += " " + path;
  std::map<std::string, std::string> words;
  for (const auto& [path, thing] : model)
    words[path] =
        thing.text + (thing.opaque ? " opaque" : "") +
        (thing.implied ? " implied" : "") +
        (groups.count(thing.number) != 0 && !thing.is_dir ? groups[thing.number]
                                                          : "");
  return words;
}

// --- random layers ---------------------------------------------------------

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  int Below(int limit) { return static_cast<int>(engine_() % limit); }

  // Few names, so that layers meet.
  std::string Path() {
    std::string path(1, static_cast<char>('a' + Below(3)));
    while (Below(2) == 0 && path.size() < 7)
      path += std::string("/") + static_cast<char>('a' + Below(3));
    return path;
  }

 private:
  std::mt19937 engine_;
};

// Operations may be refused (under a file, a link to nothing): then they are
// none.
void Change(Random& random, TreeBuilder& tree, int step) {
  const std::string path = random.Path();
  Status done;
  switch (random.Below(6)) {
    case 0:
      done = tree.Put(path, Dir(0700 + random.Below(8)));
      break;
    case 1:
      done = tree.Whiteout(path);
      break;
    case 2:
      done = tree.SetOpaque(path);
      break;
    case 3:
      done = tree.Link(path, random.Path());
      break;
    default:
      done = tree.Put(path, File("content " + std::to_string(step)));
  }
  if (!done.ok()) {
    EXPECT_FALSE(done.error().context().empty());
  }
}

TEST(TreeMerge, AgreesWithApplyingLayersOneByOne) {
  for (uint32_t seed = 0; seed < 400; ++seed) {
    Random random(seed);
    std::vector<std::shared_ptr<const TreeFile>> layers;
    std::vector<const TreeFile*> run;
    Model expected;
    int numbers = 0;
    for (int i = 1 + random.Below(5); i > 0; --i) {
      TreeBuilder tree;
      for (int step = random.Below(14); step > 0; --step)
        Change(random, tree, step + 100 * i);
      layers.push_back(FileOf(tree));
      ASSERT_NE(layers.back(), nullptr);
      ASSERT_TRUE(layers.back()->CheckAll().ok())
          << layers.back()->CheckAll().error().ToString();
      run.push_back(layers.back().get());
      Model layer = Read(*run.back());
      for (auto& [path, thing] : layer) thing.number += numbers;
      numbers += static_cast<int>(run.back()->node_count());
      Apply(layer, expected);
    }
    TreeBuilder merged;
    ASSERT_TRUE(MergeTrees(run, merged).ok());
    const auto view = FileOf(merged, static_cast<uint32_t>(run.size()));
    ASSERT_NE(view, nullptr);
    ASSERT_TRUE(view->CheckAll().ok())
        << "seed " << seed << ": " << view->CheckAll().error().ToString();
    ASSERT_EQ(Words(Read(*view)), Words(expected)) << "seed " << seed;

    // Merging runs of runs comes to the same.
    if (run.size() < 3) continue;
    TreeBuilder lower, again;
    ASSERT_TRUE(MergeTrees(std::span(run).first(2), lower).ok());
    const auto lower_file = FileOf(lower, 2);
    std::vector<const TreeFile*> rest = {lower_file.get()};
    rest.insert(rest.end(), run.begin() + 2, run.end());
    ASSERT_TRUE(MergeTrees(rest, again).ok());
    ASSERT_EQ(Words(Read(*FileOf(again))), Words(Read(*view)))
        << "seed " << seed;
  }
}

TEST(TreeMerge, ImpliedDirectoriesKeepWhatIsBelow) {
  TreeBuilder base, top, merged;
  ASSERT_TRUE(base.Put("", Dir(0711)).ok());
  ASSERT_TRUE(base.Put("etc", Dir(0750)).ok());
  ASSERT_TRUE(base.Put("etc/passwd", File("root")).ok());
  ASSERT_TRUE(top.Put("etc/group", File("wheel")).ok());
  const auto base_file = FileOf(base), top_file = FileOf(top);
  const TreeFile* run[] = {base_file.get(), top_file.get()};
  ASSERT_TRUE(MergeTrees(run, merged).ok());
  const auto view = FileOf(merged, 2);
  EXPECT_EQ(view->Node(0)->mode, mode_t{S_IFDIR | 0711});
  const auto etc = Walk(*view, "etc");
  ASSERT_TRUE(etc.has_value());
  EXPECT_EQ(view->Node(*etc)->mode, mode_t{S_IFDIR | 0750});
  EXPECT_FALSE(view->Node(*etc)->opaque);
  // Numbers: each object knows where it comes from.
  EXPECT_EQ(view->Node(*etc)->source, 0u);
  const TreeNodeView group = *view->Node(*Walk(*view, "etc/group"));
  EXPECT_EQ(group.source, 1u);
  EXPECT_EQ(group.source_node, *Walk(*top_file, "etc/group"));
}

TEST(TreeMerge, ReplacingOneNameLeavesTheOthers) {
  TreeBuilder base, top, merged;
  ASSERT_TRUE(base.Put("one", File("old")).ok());
  ASSERT_TRUE(base.Link("two", "one").ok());
  ASSERT_TRUE(base.Link("three", "one").ok());
  ASSERT_TRUE(top.Put("one", File("new")).ok());
  ASSERT_TRUE(top.Whiteout("three").ok());
  const auto base_file = FileOf(base), top_file = FileOf(top);
  const TreeFile* run[] = {base_file.get(), top_file.get()};
  ASSERT_TRUE(MergeTrees(run, merged).ok());
  const auto view = FileOf(merged, 2);
  EXPECT_EQ(view->Node(*Walk(*view, "two"))->nlink, 1u);
  EXPECT_EQ(view->Node(*Walk(*view, "two"))->inline_content, "old");
  EXPECT_EQ(view->Node(*Walk(*view, "one"))->inline_content, "new");
}

}  // namespace
}  // namespace ufs
