#include "layerdb/layer_import.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <atomic>
#include <cerrno>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "layerdb/layer_path.h"
#include "layerdb/store_io.h"
#include "layerdb/stream_hash.h"
#include "layerdb/tar_reader.h"
#include "layerdb/tar_recipe.h"
#include "layerdb/task_pool.h"

namespace ufs {
namespace {

constexpr size_t kWriters = 2;
constexpr size_t kWriterQueue = 32;
// Larger contents are written as they come; smaller ones by the writers.
constexpr size_t kLargeBytes = ObjectWriter::kBufferBytes;
// What waits for its turn to enter the tree.
constexpr size_t kMaxPending = 4096;
constexpr size_t kMaxPendingBytes = 8 << 20;

constexpr char kBlobFile[] = "blob";
constexpr char kRecipeFile[] = "recipe";
constexpr char kWholeRecipeFile[] = "recipe.whole";

mode_t TypeBits(TarType type) {
  switch (type) {
    case TarType::kFile:
    case TarType::kHardLink:
      return S_IFREG;
    case TarType::kSymlink:
      return S_IFLNK;
    case TarType::kCharDevice:
      return S_IFCHR;
    case TarType::kBlockDevice:
      return S_IFBLK;
    case TarType::kDirectory:
      return S_IFDIR;
    case TarType::kFifo:
      return S_IFIFO;
  }
  return 0;
}

TreeNode NodeOf(const TarEntry& entry) {
  TreeNode node;
  node.mode = TypeBits(entry.type) | entry.mode;
  node.uid = entry.uid;
  node.gid = entry.gid;
  node.mtime_sec = entry.mtime_sec;
  node.mtime_nsec = entry.mtime_nsec;
  node.xattrs = entry.xattrs;
  if (entry.type == TarType::kSymlink) node.link_target = entry.link_target;
  if (entry.type == TarType::kCharDevice || entry.type == TarType::kBlockDevice)
    node.rdev = makedev(entry.dev_major, entry.dev_minor);
  if (entry.type == TarType::kFile) node.size_bytes = entry.size_bytes;
  return node;
}

// One content on its way through a writer.
struct Written {
  std::atomic<bool> done{false};
  std::optional<Result<ObjectId>> id;  // set before `done`
};

// Takes the entries of one tar in. What the writers do at the same time enters
// the tree and the recipe in the order of the archive.
class TarImport final : public TarObserver {
 public:
  TarImport(Ingest& ingest, RecipeWriter& recipe, uint64_t max_bytes,
            const TarLimits& limits)
      : ingest_(ingest),
        limits_(limits),
        recipe_(recipe),
        left_bytes_(max_bytes),
        writers_(kWriters, kWriterQueue) {}

  Status Run(ByteSource& tar) {
    TarReader reader(tar, this, limits_);
    TarEntry entry;
    while (TRY(reader.Next(entry))) {
      auto taken = Take(reader, entry);
      if (!taken.ok())
        return Error(std::move(taken).error())
            .With("entry '" + entry.path + "'");
      TRY(Settle(/*all=*/false));
    }
    return Settle(/*all=*/true);
  }

  // Whether the recipe can make the tar: contents that a later entry replaced
  // may be in no layer.
  bool recipe_is_whole() const { return recipe_is_whole_; }

  Status OnRaw(std::string_view bytes) override {
    if (pending_.empty() || !pending_.back().is_raw) {
      pending_.emplace_back();
      pending_.back().is_raw = true;
    }
    pending_.back().raw += bytes;
    pending_bytes_ += bytes.size();
    // An entry, or the end, can hold any number of bytes that nobody keeps.
    return pending_bytes_ > kMaxPendingBytes ? Settle(/*all=*/true) : Ok();
  }

 private:
  // A step that waits for those before it.
  struct Pending {
    bool is_raw = false;
    std::string raw;  // for the recipe
    LayerPath path;
    std::string link_target;  // of a hard link: a path of the tree
    std::optional<TreeNode> node;
    std::shared_ptr<Written> written;
    std::vector<TarExtent> parts;  // of the object, that the tar holds
  };

  Status Take(TarReader& reader, const TarEntry& entry) {
    Pending step;
    step.path = TRY(ParseLayerPath(entry.path));
    const bool mark = step.path.kind != LayerPath::Kind::kEntry;
    if (entry.type == TarType::kHardLink && !mark) {
      const LayerPath target = TRY(ParseLayerPath(entry.link_target));
      if (target.kind != LayerPath::Kind::kEntry)
        return Error(EINVAL, "a hard link to a whiteout");
      step.link_target = target.path;
    } else {
      step.node = NodeOf(entry);
    }
    // What a whiteout holds is not kept: the reader gives it to the recipe.
    if (entry.type == TarType::kFile && !mark)
      TRY(TakeContents(reader, entry, step));
    pending_.push_back(std::move(step));
    return Ok();
  }

  Status TakeContents(TarReader& reader, const TarEntry& entry, Pending& step) {
    if (entry.size_bytes == 0) return Ok();
    // Of a sparse file the tar holds next to nothing.
    if (entry.size_bytes > left_bytes_)
      return Error(EFBIG, "files of more bytes than --max-size allows");
    left_bytes_ -= entry.size_bytes;
    step.parts = entry.sparse ? entry.extents
                              : std::vector<TarExtent>{{0, entry.size_bytes}};
    if (entry.size_bytes <= kLargeBytes) return TakeSmall(reader, entry, step);
    ObjectWriter writer = ingest_.objects().NewWriter();
    while (true) {
      const TarReader::Run run = TRY(reader.ReadRun());
      if (run.bytes.empty()) break;
      if (run.offset > writer.size_bytes())
        TRY(writer.Hole(run.offset - writer.size_bytes()));
      TRY(writer.Append(run.bytes));
    }
    if (writer.size_bytes() < entry.size_bytes)
      TRY(writer.Hole(entry.size_bytes - writer.size_bytes()));
    step.node->content = TRY(writer.Finish());
    return Ok();
  }

  Status TakeSmall(TarReader& reader, const TarEntry& entry, Pending& step) {
    std::string contents;
    contents.reserve(entry.size_bytes);
    while (true) {
      const TarReader::Run run = TRY(reader.ReadRun());
      if (run.bytes.empty()) break;
      contents.resize(run.offset, '\0');
      contents += run.bytes;
    }
    contents.resize(entry.size_bytes, '\0');
    if (contents.size() <= kMaxInlineBytes) {
      pending_bytes_ += contents.size();
      step.node->content = std::move(contents);
      return Ok();
    }
    step.written = std::make_shared<Written>();
    writers_.Submit(
        [this, slot = step.written,
         bytes = std::make_shared<const std::string>(std::move(contents))] {
          slot->id.emplace(ingest_.objects().Put(*bytes));
          slot->done.store(true, std::memory_order_release);
        });
    return Ok();
  }

  // Lets in what is ready; waits for the rest when there is too much, or `all`.
  Status Settle(bool all) {
    if (all || pending_.size() > kMaxPending ||
        pending_bytes_ > kMaxPendingBytes)
      writers_.Drain();
    while (!pending_.empty()) {
      Pending& step = pending_.front();
      if (step.written && !step.written->done.load(std::memory_order_acquire))
        break;
      // Still growing.
      if (step.is_raw && pending_.size() == 1 && !all &&
          step.raw.size() < kMaxPendingBytes)
        break;
      TRY(Enter(step));  // whose errors name the path
      pending_.pop_front();
    }
    if (pending_.empty()) pending_bytes_ = 0;
    return Ok();
  }

  Status Enter(Pending& step) {
    if (step.is_raw) {
      pending_bytes_ -= std::min(pending_bytes_, step.raw.size());
      return recipe_.Raw(step.raw);
    }
    TreeBuilder& tree = ingest_.tree();
    switch (step.path.kind) {
      case LayerPath::Kind::kWhiteout:
        return tree.Whiteout(step.path.path);
      case LayerPath::Kind::kOpaque:
        return tree.SetOpaque(step.path.path);
      case LayerPath::Kind::kNothing:
        return Ok();
      case LayerPath::Kind::kEntry:
        break;
    }
    NoteReplaced(step);
    if (!step.node) return tree.Link(step.path.path, step.link_target);
    TreeNode& node = *step.node;
    if (step.written) node.content = TRY(std::move(*step.written->id));
    if (const auto* inlined = std::get_if<std::string>(&node.content)) {
      pending_bytes_ -= std::min(pending_bytes_, inlined->size());
      for (const TarExtent& part : step.parts)
        TRY(recipe_.Raw(
            std::string_view(*inlined).substr(part.offset, part.size)));
    } else if (const auto* id = std::get_if<ObjectId>(&node.content)) {
      for (const TarExtent& part : step.parts)
        TRY(recipe_.Part(*id, part.offset, part.size));
    }
    return tree.Put(step.path.path, node);
  }

  // An entry that takes the place of another may take away the last use of
  // contents that the recipe counts on.
  void NoteReplaced(const Pending& step) {
    const auto before = ingest_.tree().Find(step.path.path);
    if (!before) return;
    const bool stays_dir = step.node && S_ISDIR(step.node->mode);
    if (S_ISDIR(before->mode)
            ? !stays_dir
            : std::holds_alternative<ObjectId>(before->content))
      recipe_is_whole_ = false;
  }

  Ingest& ingest_;
  const TarLimits limits_;
  RecipeWriter& recipe_;
  std::deque<Pending> pending_;
  size_t pending_bytes_ = 0;
  uint64_t left_bytes_;  // that files may come to
  bool recipe_is_whole_ = true;
  TaskPool writers_;  // last: its tasks end before the rest goes
};

// Tells how much was read, every few MiB.
class ProgressSource final : public ByteSource {
 public:
  ProgressSource(ByteSource& below, const ImportOptions& options)
      : below_(below), options_(options) {}
  Result<size_t> Read(char* buffer, size_t size) override {
    const size_t got = TRY(below_.Read(buffer, size));
    total_ += got;
    if (options_.on_progress && (total_ - told_ >= (4 << 20) || got == 0)) {
      told_ = total_;
      options_.on_progress(total_);
    }
    return got;
  }

 private:
  ByteSource& below_;
  const ImportOptions& options_;
  uint64_t total_ = 0;
  uint64_t told_ = 0;
};

Result<UniqueFd> MakeFile(Ingest& ingest, const char* name) {
  return sys::OpenAt({ingest.folder(), name}, O_WRONLY | O_CREAT | O_EXCL,
                     kStoreFileMode);
}

// Contents that a later entry replaced are no layer's: the recipe gets them.
Status KeepReplaced(Ingest& ingest) {
  const std::set<ObjectId> objects = ingest.tree().Objects();
  const UniqueFd file = TRY(MakeFile(ingest, kWholeRecipeFile));
  FdSink whole(file);
  TRY(CompleteRecipe(
      TRY(sys::OpenAt({ingest.folder(), kRecipeFile}, O_RDONLY)),
      [&](const ObjectId& id) { return objects.contains(id); },
      [&](const ObjectId& id) { return ingest.objects().OpenObject(id); },
      whole));
  ingest.SetRecipe(kWholeRecipeFile);
  return ingest.objects().KeepOnly(objects);
}

}  // namespace

const char* MediaTypeOf(Compression compression) {
  switch (compression) {
    case Compression::kGzip:
      return "application/vnd.oci.image.layer.v1.tar+gzip";
    case Compression::kZstd:
      return "application/vnd.oci.image.layer.v1.tar+zstd";
    case Compression::kXz:
      return "application/vnd.oci.image.layer.v1.tar+xz";
    case Compression::kNone:
      break;
  }
  return "application/vnd.oci.image.layer.v1.tar";
}

Result<Imported> ImportTar(ByteSource& input, Ingest& ingest,
                           const ImportOptions& options) {
  Imported imported;
  const UniqueFd blob_file = TRY(MakeFile(ingest, kBlobFile));
  const UniqueFd recipe_file = TRY(MakeFile(ingest, kRecipeFile));
  FdSink blob_sink(blob_file);
  FdSink recipe_sink(recipe_file);

  // Whether it is compressed shows at its beginning, which is kept till then.
  ProgressSource counted(input, options);
  StreamHash input_hash;
  StreamHash tar_hash;
  std::string head(8, '\0');
  head.resize(TRY(ReadFull(counted, head.data(), head.size())));
  MemorySource head_source(head);
  ChainedSource whole(head_source, counted);
  const bool compressed = TRY(SniffCompression(head)) != Compression::kNone;
  const bool keep = compressed && options.keep_blob;
  HashedSource hashed(whole, input_hash, keep ? &blob_sink : nullptr);
  ByteSource& raw = compressed ? static_cast<ByteSource&>(hashed) : whole;
  const auto tar = TRY(Decompress(raw, options.limits));
  HashedSource hashed_tar(*tar, tar_hash);

  const auto recipe = TRY(RecipeWriter::Make(recipe_sink));
  ingest.tree().SetLimits({.entries = options.max_entries,
                           .entries_remedy = "; --max-entries allows more"});
  TarImport import(ingest, *recipe, options.limits.max_bytes, options.tar);
  TRY(import.Run(hashed_tar));
  TRY(recipe->Finish());
  imported.diff_id = tar_hash.Finish();
  imported.tar_bytes = tar_hash.size_bytes();
  imported.compression = tar->compression();
  imported.input_digest = compressed ? input_hash.Finish() : imported.diff_id;
  if (keep)
    ingest.SetBlob(kBlobFile, {imported.input_digest, input_hash.size_bytes(),
                               MediaTypeOf(imported.compression)});
  if (import.recipe_is_whole())
    ingest.SetRecipe(kRecipeFile);
  else
    TRY(KeepReplaced(ingest));
  return imported;
}

}  // namespace ufs
