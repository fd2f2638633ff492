// A lookup in a layer's tree file against a RocksDB read path of the same
// entries, and by number of layers. Google Benchmark: --benchmark_filter=...,
// --benchmark_repetitions=N --benchmark_enable_random_interleaving=true.
//
// The image: 100,000 files in 1,110 directories, one file in N in each of N
// layers. What is looked up is right or the benchmark fails.

#include <benchmark/benchmark.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/table.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "layerdb/base/syscall.h"
#include "layerdb/catalog.h"
#include "layerdb/tree_builder.h"
#include "layerdb/tree_file.h"
#include "layerdb/tree_merge.h"

namespace ufs {
namespace {

constexpr uint32_t kFiles = 100'000;
constexpr uint32_t kFilesInDir = 100;
constexpr size_t kQueries = 1 << 16;

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "ufs_lookup_bench: %s\n", what.c_str());
  std::exit(1);
}

template <typename T>
T OrDie(Result<T> result) {
  if (!result.ok()) Die(result.error().ToString());
  return *std::move(result);
}

void OrDie(const Status& status) {
  if (!status.ok()) Die(status.error().ToString());
}

void OrDie(const rocksdb::Status& status) {
  if (!status.ok()) Die(status.ToString());
}

// A folder that goes with the process.
class Scratch {
 public:
  Scratch() {
    const char* base = std::getenv("TMPDIR");
    path_ = std::string(base == nullptr ? "/var/tmp" : base) + "/lookup.XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) Die("cannot make " + path_);
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  static const std::string& Path() {
    static const Scratch scratch;
    return scratch.path_;
  }

 private:
  std::string path_;
};

std::string PathOf(uint32_t file) {
  const uint32_t dir = file / kFilesInDir;
  char path[64];
  std::snprintf(path, sizeof(path),
                "part-%u/package-%u/share-%u/file-%06u.conf", dir / 100,
                dir / 10 % 10, dir % 10, file);
  return path;
}

TreeNode FileNode(uint32_t file) {
  TreeNode node;
  node.mode = S_IFREG | 0644;
  node.uid = file;  // by this a lookup that answers wrong is seen
  node.size_bytes = 4096;
  node.content = ObjectId{file, file, 0};
  return node;
}

std::string WriteTree(const TreeBuilder& tree, uint32_t sources) {
  static int number = 0;
  std::string path = Scratch::Path() + "/" + std::to_string(++number);
  const sys::At at{AT_FDCWD, path.c_str()};
  const auto file = sys::OpenAt(at, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (!file.ok()) Die(file.error().ToString());
  OrDie(tree.Write(*file, {}, sources));
  return path;
}

std::shared_ptr<const TreeFile> OpenTree(const std::string& path) {
  auto file = sys::OpenAt({AT_FDCWD, path.c_str()}, O_RDONLY);
  if (!file.ok()) Die(file.error().ToString());
  return OrDie(TreeFile::Open(std::move(*file), TreeFile::Verify::kAll));
}

// A tree in a file and mapped, as a mount has it; the name goes at once.
std::shared_ptr<const TreeFile> Mapped(const TreeBuilder& tree,
                                       uint32_t sources) {
  const std::string path = WriteTree(tree, sources);
  auto mapped = OpenTree(path);
  OrDie(sys::UnlinkAt({AT_FDCWD, path.c_str()}));
  return mapped;
}

// One layer of `layers`.
void FillLayer(TreeBuilder& tree, uint32_t layer, uint32_t layers) {
  for (uint32_t file = layer; file < kFiles; file += layers)
    OrDie(tree.Put(PathOf(file), FileNode(file)));
}

struct Layers {
  std::vector<std::shared_ptr<const TreeFile>> files;
  std::vector<const TreeFile*> trees;
};

Layers MakeLayers(uint32_t count) {
  Layers layers;
  for (uint32_t layer = 0; layer < count; ++layer) {
    TreeBuilder tree;
    FillLayer(tree, layer, count);
    layers.files.push_back(Mapped(tree, 1));
    layers.trees.push_back(layers.files.back().get());
  }
  return layers;
}

// What `layers` layers show: the layer itself, or the view of them.
const TreeFile& ImageOf(uint32_t layers) {
  static std::map<uint32_t, std::shared_ptr<const TreeFile>> made;
  auto& image = made[layers];
  if (image) return *image;
  const Layers parts = MakeLayers(layers);
  if (layers == 1) return *(image = parts.files[0]);
  TreeBuilder merged;
  OrDie(MergeTrees(parts.trees, merged));
  image = Mapped(merged, layers);
  return *image;
}

// Where a file is, as the kernel asks for it, and what it must be.
struct Query {
  uint32_t dir;
  std::string name;
  uint32_t file;
};

TreeFile::NodeNo DirOf(const TreeFile& tree, std::string_view path) {
  TreeFile::NodeNo at = TreeFile::kRoot;
  for (size_t slash; (slash = path.find('/')) != path.npos;) {
    at = OrDie(tree.Lookup(at, path.substr(0, slash))).node;
    path.remove_prefix(slash + 1);
  }
  return at;
}

std::vector<Query> Queries(const TreeFile& tree, bool absent) {
  std::vector<Query> queries(kQueries);
  std::mt19937 random(1);
  for (Query& query : queries) {
    query.file = random() % kFiles;
    const std::string path = PathOf(query.file);
    query.dir = DirOf(tree, path);
    query.name = path.substr(path.rfind('/') + 1);
    if (absent) query.name += ".absent";
  }
  return queries;
}

void TreeLookup(benchmark::State& state, bool absent) {
  const TreeFile& tree = ImageOf(static_cast<uint32_t>(state.range(0)));
  const std::vector<Query> queries = Queries(tree, absent);
  size_t at = 0;
  for (auto _ : state) {
    const Query& query = queries[at++ % kQueries];
    const auto found = tree.Lookup(query.dir, query.name);
    if (!found.ok()) return state.SkipWithError("damaged");
    if ((found->kind == TreeFile::Found::Kind::kAbsent) != absent)
      return state.SkipWithError("wrong answer");
    if (absent) continue;
    const auto node = tree.Node(found->node);
    if (!node.ok() || node->uid != query.file)
      return state.SkipWithError("wrong node");
    benchmark::DoNotOptimize(node->mtime_sec);
  }
  state.counters["file_MiB"] = static_cast<double>(tree.file_bytes()) / 1048576;
}
void BM_TreeLookup(benchmark::State& state) { TreeLookup(state, false); }
void BM_TreeAbsent(benchmark::State& state) { TreeLookup(state, true); }
BENCHMARK(BM_TreeLookup)->Arg(1)->Arg(20)->Arg(100)->Arg(1000);
BENCHMARK(BM_TreeAbsent)->Arg(1)->Arg(20)->Arg(100)->Arg(1000);

void BM_TreeList(benchmark::State& state) {
  const TreeFile& tree = ImageOf(1);
  const TreeFile::NodeNo dir = DirOf(tree, PathOf(0));
  for (auto _ : state) {
    uint64_t files = 0;
    OrDie(tree.ForEachChild(dir, [&](const TreeFile::Child& child) -> Status {
      files += TRY(tree.Node(child.node)).size_bytes != 0;
      return Ok();
    }));
    if (files != kFilesInDir) return state.SkipWithError("wrong answer");
  }
}
BENCHMARK(BM_TreeList);

// What a mount pays: every section hashed.
void BM_TreeOpen(benchmark::State& state) {
  TreeBuilder tree;
  FillLayer(tree, 0, 1);
  const std::string path = WriteTree(tree, 1);
  for (auto _ : state) benchmark::DoNotOptimize(OpenTree(path));
}
BENCHMARK(BM_TreeOpen)->Unit(benchmark::kMicrosecond);

// The same in RocksDB: directory (big-endian) and name -> the node's record.
enum Table : int64_t { kBlocks, kPlain };

rocksdb::Options RocksOptions(int64_t table) {
  StartRocksDb();
  rocksdb::Options options;
  options.create_if_missing = true;
  options.compression = rocksdb::kNoCompression;
  options.prefix_extractor.reset(rocksdb::NewFixedPrefixTransform(4));
  if (table == kPlain) {
    // Mapped, a hash of prefixes, binary search below: its fastest reader.
    options.allow_mmap_reads = true;
    options.table_factory.reset(rocksdb::NewPlainTableFactory());
    return options;
  }
  rocksdb::BlockBasedTableOptions blocks;
  blocks.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10, false));
  blocks.data_block_index_type =
      rocksdb::BlockBasedTableOptions::kDataBlockBinaryAndHash;
  blocks.block_cache = rocksdb::NewLRUCache(64 << 20);
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(blocks));
  return options;
}

std::string KeyOf(uint32_t dir, std::string_view name) {
  std::string key;
  for (int shift = 24; shift >= 0; shift -= 8)
    key += static_cast<char>(dir >> shift);
  return key.append(name);
}

const std::string& RocksPath(int64_t table) {
  static std::map<int64_t, std::string> made;
  std::string& path = made[table];
  if (!path.empty()) return path;
  path = Scratch::Path() + "/rocksdb-" + std::to_string(table);
  rocksdb::DB* opened = nullptr;
  OrDie(rocksdb::DB::Open(RocksOptions(table), path, &opened));
  const std::unique_ptr<rocksdb::DB> db(opened);
  const TreeFile& tree = ImageOf(1);
  std::vector<TreeFile::NodeNo> dirs = {TreeFile::kRoot};
  while (!dirs.empty()) {
    const TreeFile::NodeNo dir = dirs.back();
    dirs.pop_back();
    OrDie(tree.ForEachChild(dir, [&](const TreeFile::Child& child) -> Status {
      if (S_ISDIR(child.mode)) dirs.push_back(child.node);
      const TreeNodeView view = TRY(tree.Node(child.node));
      tree_format::Node node = {};
      node.mode = view.mode;
      node.uid = view.uid;
      node.size = view.size_bytes;
      const rocksdb::Slice value(reinterpret_cast<char*>(&node), sizeof(node));
      OrDie(db->Put({}, KeyOf(dir, child.name), value));
      return Ok();
    }));
  }
  OrDie(db->Flush({}));
  OrDie(db->CompactRange({}, nullptr, nullptr));
  return path;
}

std::unique_ptr<rocksdb::DB> OpenRocks(int64_t table) {
  rocksdb::DB* opened = nullptr;
  OrDie(rocksdb::DB::OpenForReadOnly(RocksOptions(table), RocksPath(table),
                                     &opened));
  return std::unique_ptr<rocksdb::DB>(opened);
}

double FolderMiB(const std::string& path) {
  uint64_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(path))
    bytes += file.file_size();
  return static_cast<double>(bytes) / 1048576;
}

void RocksLookup(benchmark::State& state, bool absent) {
  const auto db = OpenRocks(state.range(0));
  const std::vector<Query> queries = Queries(ImageOf(1), absent);
  rocksdb::ReadOptions options;
  options.verify_checksums = false;
  rocksdb::PinnableSlice value;
  size_t at = 0;
  for (auto _ : state) {
    const Query& query = queries[at++ % kQueries];
    value.Reset();
    const rocksdb::Status got = db->Get(options, db->DefaultColumnFamily(),
                                        KeyOf(query.dir, query.name), &value);
    if (!got.ok() && !got.IsNotFound()) return state.SkipWithError("damaged");
    if (got.IsNotFound() != absent) return state.SkipWithError("wrong answer");
    if (absent) continue;
    tree_format::Node node;
    memcpy(&node, value.data(), sizeof(node));
    if (node.uid != query.file) return state.SkipWithError("wrong node");
  }
  state.counters["file_MiB"] = FolderMiB(RocksPath(state.range(0)));
}
void BM_RocksLookup(benchmark::State& state) { RocksLookup(state, false); }
void BM_RocksAbsent(benchmark::State& state) { RocksLookup(state, true); }
BENCHMARK(BM_RocksLookup)->ArgName("plain")->Arg(kBlocks)->Arg(kPlain);
BENCHMARK(BM_RocksAbsent)->ArgName("plain")->Arg(kBlocks)->Arg(kPlain);

void BM_RocksList(benchmark::State& state) {
  const auto db = OpenRocks(state.range(0));
  const std::string prefix = KeyOf(DirOf(ImageOf(1), PathOf(0)), "");
  rocksdb::ReadOptions options;
  options.verify_checksums = false;
  options.prefix_same_as_start = true;
  for (auto _ : state) {
    uint64_t files = 0;
    const std::unique_ptr<rocksdb::Iterator> entries(db->NewIterator(options));
    for (entries->Seek(prefix); entries->Valid(); entries->Next()) {
      tree_format::Node node;
      memcpy(&node, entries->value().data(), sizeof(node));
      files += node.size != 0;
    }
    if (files != kFilesInDir) return state.SkipWithError("wrong answer");
  }
}
BENCHMARK(BM_RocksList)->ArgName("plain")->Arg(kBlocks)->Arg(kPlain);

void BM_RocksOpen(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(OpenRocks(state.range(0)));
}
BENCHMARK(BM_RocksOpen)
    ->ArgName("plain")
    ->Arg(kBlocks)
    ->Arg(kPlain)
    ->Unit(benchmark::kMicrosecond);

// The first mount of a run of layers, before there is a view.
void BM_MakeView(benchmark::State& state) {
  const auto layers = static_cast<uint32_t>(state.range(0));
  const Layers parts = MakeLayers(layers);
  for (auto _ : state) {
    TreeBuilder merged;
    OrDie(MergeTrees(parts.trees, merged));
    benchmark::DoNotOptimize(Mapped(merged, layers));
  }
}
BENCHMARK(BM_MakeView)->Arg(20)->Arg(1000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace ufs

BENCHMARK_MAIN();
