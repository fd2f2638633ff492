#include "tests/model/layer_spec.h"

#include <set>
#include <utility>

#include "tests/model/acl.h"
#include "tests/model/fields.h"
#include "tests/model/names.h"
#include "tests/model/op.h"
#include "tests/model/program.h"

namespace ufs::model {
namespace {

std::string ParentOf(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::string NameOfPath(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

int64_t Below(Random& random, int64_t bound) {
  return static_cast<int64_t>(random() % static_cast<uint64_t>(bound));
}

// Builds one layer, remembering what it has so far.
class LayerWriter {
 public:
  LayerWriter(Random& random, const std::map<std::string, EntryType>& below,
              const std::string& prefix)
      : random_(random), below_(below), prefix_(prefix) {}

  LayerSpec Write() {
    if (!prefix_.empty()) AddDir(prefix_, false);
    int count = 4 + static_cast<int>(Below(random_, 14));
    for (int i = 0; i < count; ++i) AddSomething();
    return std::move(layer_);
  }

 private:
  // A directory of this layer or of those below, or the root.
  std::string SomeDir() {
    std::string dir = prefix_;
    while (Below(random_, 10) < 6) {
      std::vector<std::string> choices;
      std::string start = dir.empty() ? "" : dir + "/";
      for (const auto* entries : {&below_, &std::as_const(have_)})
        for (const auto& [path, type] : *entries)
          if (type == EntryType::kDir && ParentOf(path) == dir &&
              path.starts_with(start))
            choices.push_back(path);
      if (choices.empty()) break;
      dir = choices[Below(random_, static_cast<int64_t>(choices.size()))];
    }
    return dir;
  }

  // Makes `dir` a directory of this layer; false when that cannot be.
  bool EnsureDir(const std::string& dir) {
    if (dir.empty()) return true;
    auto known = have_.find(dir);
    if (known != have_.end()) return known->second == EntryType::kDir;
    if (!EnsureDir(ParentOf(dir))) return false;
    AddDir(dir, false);
    return true;
  }

  void AddDir(const std::string& path, bool opaque) {
    LayerEntry entry = Common(path);
    entry.type = EntryType::kDir;
    constexpr uint32_t kModes[] = {0755, 0755, 0755, 0777, 0750, 02775, 0700};
    entry.mode = kModes[Below(random_, std::size(kModes))];
    entry.opaque = opaque;
    GiveAcl(test::kAccessAcl, &entry);
    GiveAcl(test::kDefaultAcl, &entry);
    Put(entry);
  }

  void AddSomething() {
    std::string dir = SomeDir();
    std::string path =
        (dir.empty() ? "" : dir + "/") + RandomLayerName(random_);
    if (have_.contains(path) || !EnsureDir(dir)) return;
    auto below = below_.find(path);
    bool exists_below = below != below_.end();
    int64_t choice = Below(random_, 100);
    if (exists_below && choice < 30) {
      LayerEntry entry;
      entry.type = EntryType::kWhiteout;
      entry.path = path;
      Put(entry);
    } else if (choice < 50) {
      bool dir_below = exists_below && below->second == EntryType::kDir;
      AddDir(path, dir_below && Below(random_, 3) == 0);
    } else if (choice < 85) {
      AddFile(path);
    } else if (choice < 92) {
      LayerEntry entry = Common(path);
      entry.type = EntryType::kSymlink;
      entry.target = RandomTarget(random_);
      entry.mode = 0777;
      entry.xattrs.clear();
      Put(entry);
    } else {
      LayerEntry entry = Common(path);
      constexpr EntryType kSpecial[] = {EntryType::kFifo, EntryType::kSocket,
                                        EntryType::kCharDevice};
      entry.type = kSpecial[Below(random_, Privileged() ? 3 : 2)];
      entry.xattrs.clear();
      Put(entry);
    }
  }

  void AddFile(const std::string& path) {
    LayerEntry entry = Common(path);
    constexpr uint32_t kModes[] = {0644,  0644,  0600, 0666, 0755,
                                   04755, 02755, 0444, 0};
    entry.mode = kModes[Below(random_, std::size(kModes))];
    constexpr int64_t kSizes[] = {0, 1, 100, 4096, 5000, 70000, 300000};
    entry.size = kSizes[Below(random_, std::size(kSizes))];
    if (Below(random_, 25) == 0) entry.size = 2500000;
    if (entry.size > 20000 && Below(random_, 3) == 0) {
      entry.hole_off = 8192;
      entry.hole_len = entry.size / 2 / 4096 * 4096;
    }
    if (Below(random_, 8) == 0) {
      entry.program = true;
      entry.size = entry.hole_off = entry.hole_len = 0;
      entry.mode = Below(random_, 4) == 0 ? 06711 : 0755;
    }
    if (Below(random_, 8) == 0)
      entry.xattrs["security.capability"] = kCapability;
    GiveAcl(test::kAccessAcl, &entry);
    Put(entry);
    while (Below(random_, 4) == 0) AddHardLink(path);
  }

  void AddHardLink(const std::string& target) {
    std::string dir = SomeDir();
    std::string path =
        (dir.empty() ? "" : dir + "/") + RandomLayerName(random_);
    if (have_.contains(path) || !EnsureDir(dir)) return;
    LayerEntry entry;
    entry.type = EntryType::kHardLink;
    entry.path = path;
    entry.target = target;
    Put(entry);
  }

  LayerEntry Common(const std::string& path) {
    LayerEntry entry;
    entry.path = path;
    entry.seed = static_cast<uint32_t>(random_());
    entry.mtime = 1000000000 + Below(random_, 500000000);
    if (Below(random_, 4) == 0) entry.uid = entry.gid = kOrdinaryUser;
    if (Below(random_, 4) == 0)
      entry.xattrs[RandomXattrName(random_)] = Pattern(entry.seed, 20);
    return entry;
  }

  // Perhaps: an access ACL that its mode does not say already, or a default
  // one.
  void GiveAcl(const char* name, LayerEntry* entry) {
    if (Below(random_, 8) != 0) return;
    const Acl acl = RandomAcl(random_);
    bool is_mode = false;
    const mode_t mode = ModeOf(acl, &is_mode);
    const bool access = name == std::string_view(test::kAccessAcl);
    if (access) entry->mode = (entry->mode & ~0777u) | mode;
    if (!access || !is_mode) entry->xattrs[name] = test::AclValue(acl);
  }

  void Put(const LayerEntry& entry) {
    have_[entry.path] = entry.type;
    layer_.push_back(entry);
  }

  Random& random_;
  const std::map<std::string, EntryType>& below_;
  const std::string prefix_;
  std::map<std::string, EntryType> have_;
  LayerSpec layer_;
};

// A node of the merged tree.
struct Merged {
  LayerEntry entry;
  std::string group;  // of a hard-linked file: its layer and first name
  std::map<std::string, Merged> entries;
};

Merged* Find(Merged& root, const std::string& path) {
  if (path.empty()) return &root;
  Merged* parent = Find(root, ParentOf(path));
  if (parent == nullptr) return nullptr;
  auto found = parent->entries.find(NameOfPath(path));
  return found == parent->entries.end() ? nullptr : &found->second;
}

void ApplyLayer(const LayerSpec& layer, size_t number, Merged& root) {
  std::map<std::string, const LayerEntry*> files;
  for (const LayerEntry& entry : layer) {
    Merged* parent = Find(root, ParentOf(entry.path));
    if (parent == nullptr ||
        (parent != &root && parent->entry.type != EntryType::kDir))
      continue;
    std::string name = NameOfPath(entry.path);
    if (entry.type == EntryType::kWhiteout) {
      parent->entries.erase(name);
      continue;
    }
    const LayerEntry* source = &entry;
    std::string first = entry.path;
    if (entry.type == EntryType::kHardLink) {
      auto target = files.find(entry.target);
      if (target == files.end()) continue;
      source = target->second;
      first = entry.target;
    } else if (entry.type == EntryType::kFile) {
      files[entry.path] = &entry;
    }
    Merged& slot = parent->entries[name];
    bool merges = entry.type == EntryType::kDir && !entry.opaque &&
                  slot.entry.type == EntryType::kDir;
    if (!merges) slot.entries.clear();
    slot.entry = *source;
    slot.group = std::to_string(number) + ":" + first;
  }
}

Merged MergeTree(const std::vector<LayerSpec>& layers) {
  Merged root;
  root.entry.type = EntryType::kDir;
  for (size_t i = 0; i < layers.size(); ++i) ApplyLayer(layers[i], i, root);
  return root;
}

void Flatten(const Merged& node, const std::string& path,
             std::map<std::string, std::string>& group_names, LayerSpec* out) {
  for (const auto& [name, child] : node.entries) {
    LayerEntry entry = child.entry;
    entry.path = (path.empty() ? "" : path + "/") + name;
    entry.opaque = false;
    if (entry.type == EntryType::kFile) {
      auto [first, inserted] = group_names.emplace(child.group, entry.path);
      if (!inserted) {
        LayerEntry link;
        link.type = EntryType::kHardLink;
        link.path = entry.path;
        link.target = first->second;
        entry = link;
      }
    }
    out->push_back(entry);
    Flatten(child, entry.path, group_names, out);
  }
}

void CountGroups(const Merged& node, std::map<std::string, int>* counts) {
  for (const auto& [name, child] : node.entries) {
    if (child.entry.type == EntryType::kFile) ++(*counts)[child.group];
    CountGroups(child, counts);
  }
}

// What a shrunk layer may have lost the directory of.
void DropStrays(LayerSpec* layer) {
  std::map<std::string, EntryType> have = {{"", EntryType::kDir}};
  std::erase_if(*layer, [&](const LayerEntry& entry) {
    auto parent = have.find(ParentOf(entry.path));
    bool stray = parent == have.end() || parent->second != EntryType::kDir;
    if (entry.type == EntryType::kHardLink) {
      auto target = have.find(entry.target);
      stray |= target == have.end() || target->second != EntryType::kFile;
    }
    return stray || !have.emplace(entry.path, entry.type).second;
  });
}

// A layer's link count tells how many names a file has in that layer. Where
// another layer hides some of them, no union can know without a walk of the
// whole layer; so such groups are broken up.
void BreakHiddenGroups(std::vector<LayerSpec>* layers) {
  std::map<std::string, int> visible;
  CountGroups(MergeTree(*layers), &visible);
  for (size_t i = 0; i < layers->size(); ++i) {
    std::map<std::string, int> names;
    std::map<std::string, LayerEntry> files;
    for (LayerEntry& entry : (*layers)[i]) {
      if (entry.type == EntryType::kFile) files[entry.path] = entry;
      if (entry.type == EntryType::kHardLink) ++names[entry.target];
    }
    for (LayerEntry& entry : (*layers)[i]) {
      if (entry.type != EntryType::kHardLink) continue;
      std::string group = std::to_string(i) + ":" + entry.target;
      if (visible[group] == names[entry.target] + 1) continue;
      std::string path = entry.path;
      entry = files[entry.target];
      entry.path = path;
    }
  }
}

}  // namespace

void MakeConsistent(std::vector<LayerSpec>* layers) {
  for (LayerSpec& layer : *layers) DropStrays(&layer);
  BreakHiddenGroups(layers);
}

std::vector<LayerSpec> RandomLayers(Random& random, int count,
                                    const std::string& prefix) {
  std::vector<LayerSpec> layers;
  std::map<std::string, EntryType> below;
  for (int i = 0; i < count; ++i) {
    layers.push_back(LayerWriter(random, below, prefix).Write());
    below.clear();
    for (const LayerEntry& entry : Merge(layers))
      below[entry.path] = entry.type;
  }
  MakeConsistent(&layers);
  return layers;
}

LayerSpec Merge(const std::vector<LayerSpec>& layers) {
  LayerSpec merged;
  std::map<std::string, std::string> group_names;
  Flatten(MergeTree(layers), "", group_names, &merged);
  return merged;
}

std::string LayerEntry::Content() const {
  if (program) return ProgramBytes();
  std::string bytes = Pattern(seed, size);
  for (int64_t i = hole_off; i < hole_off + hole_len && i < size; ++i)
    bytes[static_cast<size_t>(i)] = '\0';
  return bytes;
}

std::string LayerEntry::ToText() const {
  FieldWriter out(std::string(1, static_cast<char>(type)));
  out.Text("path", path);
  if (type == EntryType::kWhiteout) return out.line();
  if (!target.empty()) out.Text("target", target);
  if (type == EntryType::kHardLink) return out.line();
  out.Octal("mode", mode);
  if (uid != 0) out.Number("uid", uid);
  if (gid != 0) out.Number("gid", gid);
  out.Number("mtime", mtime);
  out.Number("seed", seed);
  if (size != 0) out.Number("size", size);
  if (hole_len != 0) out.Number("hole_off", hole_off);
  if (hole_len != 0) out.Number("hole_len", hole_len);
  if (opaque) out.Number("opaque", 1);
  if (program) out.Number("program", 1);
  for (const auto& [name, value] : xattrs) {
    out.Text("xattr", name);
    out.Text("value", value);
  }
  return out.line();
}

std::optional<LayerEntry> LayerEntry::FromText(std::string_view line,
                                               std::string* error) {
  FieldReader in(line);
  LayerEntry entry;
  if (in.head().size() != 1 ||
      std::string_view("fdlpschw").find(in.head()[0]) ==
          std::string_view::npos) {
    *error = "unknown entry type: " + in.head();
    return std::nullopt;
  }
  entry.type = static_cast<EntryType>(in.head()[0]);
  in.Text("path", &entry.path);
  in.Text("target", &entry.target);
  in.Number("mode", &entry.mode);
  in.Number("uid", &entry.uid);
  in.Number("gid", &entry.gid);
  in.Number("mtime", &entry.mtime);
  in.Number("seed", &entry.seed);
  in.Number("size", &entry.size);
  in.Number("hole_off", &entry.hole_off);
  in.Number("hole_len", &entry.hole_len);
  in.Number("opaque", &entry.opaque);
  in.Number("program", &entry.program);
  std::vector<std::string> names = in.Texts("xattr");
  std::vector<std::string> values = in.Texts("value");
  *error = names.size() != values.size() ? "xattr without value" : in.error();
  if (!error->empty()) return std::nullopt;
  for (size_t i = 0; i < names.size(); ++i) entry.xattrs[names[i]] = values[i];
  return entry;
}

}  // namespace ufs::model
