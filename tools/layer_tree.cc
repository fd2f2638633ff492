// ufs layer tree: what `find -ls` would show of a layer, were it unpacked.
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <optional>

#include "tools/layer_commands.h"
#include "tools/layer_json.h"
#include "tools/output.h"
#include "tools/store_option.h"

namespace ufs {
namespace {

constexpr char kLayerTree[] = "ufs layer tree";

std::string ModeText(mode_t mode) {
  char type = '?';
  switch (mode & S_IFMT) {
    case S_IFREG:
      type = '-';
      break;
    case S_IFDIR:
      type = 'd';
      break;
    case S_IFLNK:
      type = 'l';
      break;
    case S_IFCHR:
      type = 'c';
      break;
    case S_IFBLK:
      type = 'b';
      break;
    case S_IFIFO:
      type = 'p';
      break;
    case S_IFSOCK:
      type = 's';
      break;
    default:
      break;
  }
  std::string text(1, type);
  constexpr char kLetters[] = "rwxrwxrwx";
  for (int bit = 8; bit >= 0; --bit)
    text += (mode >> bit & 1) != 0 ? kLetters[8 - bit] : '-';
  const auto special = [&](mode_t flag, size_t at, char with, char without) {
    if ((mode & flag) != 0) text[at] = text[at] == 'x' ? with : without;
  };
  special(S_ISUID, 3, 's', 'S');
  special(S_ISGID, 6, 's', 'S');
  special(S_ISVTX, 9, 't', 'T');
  return text;
}

// As 'ufs layer diff' spells it.
std::string Shown(const std::string& path) { return "/" + path; }

// Prints as it goes: a layer may have millions of entries. Not recursive: a
// damaged one may be as deep as that.
class Walk {
 public:
  Walk(const TreeFile& tree, bool json, bool xattrs)
      : tree_(tree), json_(json), xattrs_(xattrs) {}

  Status Run(std::string path, TreeFile::NodeNo number) {
    std::vector<Item> pending = {{std::move(path), number}};
    while (!pending.empty()) {
      const Item item = std::move(pending.back());
      pending.pop_back();
      if (!item.node) {
        PrintWhiteout(item.path);
        continue;
      }
      const TreeNodeView node = TRY(tree_.Node(*item.node));
      if (json_) {
        TRY(PrintNodeJson(item.path, *item.node, node));
      } else {
        TRY(PrintNode(item.path, *item.node, node));
      }
      if (S_ISDIR(node.mode)) TRY(Push(item, pending));
    }
    return Ok();
  }

 private:
  struct Item {
    std::string path;
    std::optional<TreeFile::NodeNo> node;  // none: a whiteout
  };

  // The children, the first one on top.
  Status Push(const Item& dir, std::vector<Item>& pending) const {
    const size_t before = pending.size();
    TRY(tree_.ForEachChild(
        *dir.node, [&](const TreeFile::Child& child) -> Status {
          Item item{(dir.path.empty() ? "" : dir.path + "/") +
                        std::string(child.name),
                    std::nullopt};
          if (!child.whiteout) item.node = child.node;
          pending.push_back(std::move(item));
          return Ok();
        }));
    std::reverse(pending.begin() + static_cast<ptrdiff_t>(before),
                 pending.end());
    return Ok();
  }

  void PrintWhiteout(const std::string& path) const {
    if (json_) {
      Json json;
      AddText(json, "path", Shown(path));
      json["type"] = "whiteout";
      PrintJson(json);
    } else {
      std::printf("%-10s %15s %12s  %-16s  %s\n", "deleted", "", "", "",
                  EscapePath(Shown(path)).c_str());
    }
  }

  // Of a file with several names the one that stands for all of them.
  Result<std::optional<std::string>> LinkOf(TreeFile::NodeNo number,
                                            const TreeNodeView& node) const {
    if (S_ISDIR(node.mode) || node.nlink < 2)
      return std::optional<std::string>();
    return std::optional(TRY(tree_.PathOf(number)));
  }

  Status PrintNode(const std::string& path, TreeFile::NodeNo number,
                   const TreeNodeView& node) const {
    const std::string owner =
        std::to_string(node.uid) + ":" + std::to_string(node.gid);
    const bool device = S_ISCHR(node.mode) || S_ISBLK(node.mode);
    const std::string size = device ? std::to_string(major(node.rdev)) + "," +
                                          std::to_string(minor(node.rdev))
                             : S_ISDIR(node.mode)
                                 ? ""
                                 : std::to_string(node.size_bytes);
    std::string name = EscapePath(Shown(path));
    if (S_ISLNK(node.mode)) name += " -> " + EscapePath(node.link_target);
    if (node.opaque) name += "  (opaque)";
    if (const auto link = TRY(LinkOf(number, node)); link && *link != path)
      name += " link to " + EscapePath(Shown(*link));
    std::printf("%s %15s %12s  %-16s  %s\n", ModeText(node.mode).c_str(),
                owner.c_str(), size.c_str(), FormatTime(node.mtime_sec).c_str(),
                name.c_str());
    if (!xattrs_) return Ok();
    return tree_.ForEachXattr(
        number, [](std::string_view xattr, std::string_view) -> Status {
          std::printf("    %s\n", EscapePath(std::string(xattr)).c_str());
          return Ok();
        });
  }

  Status PrintNodeJson(const std::string& path, TreeFile::NodeNo number,
                       const TreeNodeView& node) const {
    Json json;
    AddText(json, "path", Shown(path));
    json["mode"] = node.mode;
    json["uid"] = node.uid;
    json["gid"] = node.gid;
    json["nlink"] = node.nlink;
    json["mtime"] = node.mtime_sec;
    json["mtime_nsec"] = node.mtime_nsec;
    if (S_ISREG(node.mode)) json["size"] = node.size_bytes;
    if (S_ISLNK(node.mode)) AddText(json, "target", node.link_target);
    if (S_ISCHR(node.mode) || S_ISBLK(node.mode)) json["rdev"] = node.rdev;
    if (node.opaque) json["opaque"] = true;
    if (node.object) json["object"] = node.object->FileName();
    if (const auto link = TRY(LinkOf(number, node)))
      AddText(json, "link", Shown(*link));
    Json xattrs = Json::array();
    TRY(tree_.ForEachXattr(
        number, [&](std::string_view name, std::string_view value) -> Status {
          Json xattr;
          AddText(xattr, "name", name);
          AddText(xattr, "value", value);
          xattrs.push_back(std::move(xattr));
          return Ok();
        }));
    if (!xattrs.empty()) json["xattrs"] = std::move(xattrs);
    PrintJson(json);
    return Ok();
  }

  const TreeFile& tree_;
  const bool json_;
  const bool xattrs_;
};

// `spelled` becomes the path without what says nothing.
Result<TreeFile::NodeNo> Find(const TreeFile& tree, std::string_view path,
                              std::string& spelled) {
  TreeFile::NodeNo node = tree.Root();
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    path.remove_prefix(slash == path.npos ? path.size() : slash + 1);
    if (name.empty() || name == ".") continue;
    const auto found = TRY(tree.Lookup(node, name));
    if (found.kind == TreeFile::Found::Kind::kWhiteout)
      return Error(ENOENT, "deleted by this layer");
    if (found.kind == TreeFile::Found::Kind::kAbsent)
      return Error(ENOENT, "does not exist in this layer");
    node = found.node;
    if (!spelled.empty()) spelled += '/';
    spelled += name;
  }
  return node;
}

}  // namespace

int RunLayerTree(int argc, char** argv) {
  std::string reference, path;
  bool json = false, xattrs = false;
  ArgumentParser parser(kLayerTree,
                        "ufs layer tree [--xattrs] [--json] LAYER [PATH]",
                        "Lists what a layer has, whiteouts included, or an "
                        "image, all of its layers\ntogether; or what it has "
                        "at and below PATH.",
                        "Example:\n  ufs layer tree base etc/ssl\n");
  const StoreOption store_option(parser);
  parser.add_option("layer", reference);
  parser.add_option("path", path);
  parser.add_flag("--xattrs", xattrs,
                  "Below each file, the names of its extended attributes");
  parser.add_flag("--json", json,
                  "For programs: an object a line, extended attributes with "
                  "their values");
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (reference.empty())
    return Complain(kLayerTree, "no layer given; see 'ufs layer tree --help'",
                    kExitUsage);

  const auto run = [&]() -> Status {
    const auto store = TRY(store_option.Open(LayerStore::Access::kRead));
    const auto tree = TRY(store->OpenView(TRY(store->ResolveRun(reference))));
    std::string spelled;
    const TreeFile::NodeNo start = TRY(Find(*tree, path, spelled).With(path));
    return Walk(*tree, json, xattrs).Run(spelled, start);
  };
  if (const auto done = run(); !done.ok())
    return Complain(kLayerTree, Explain(done.error()), kExitFailure);
  return FinishOutput(kLayerTree);
}

}  // namespace ufs
