// Every hash of a layer, and how much room a store takes.
#include <cerrno>
#include <map>
#include <set>
#include <unordered_map>

#include "layerdb/layer_store.h"
#include "layerdb/store_io.h"
#include "layerdb/stream_hash.h"
#include "layerdb/tar_recipe.h"

namespace ufs {
namespace {

Result<Digest> Sha256OfFile(BorrowedFd file, uint64_t& bytes) {
  Sha256 hasher;
  const std::string zeros(64 << 10, '\0');
  TRY(ForEachExtent(
      file,
      [&](std::string_view data) {
        hasher.Update(data);
        bytes += data.size();
        return Ok();
      },
      [&](uint64_t count) {
        bytes += count;
        for (; count > 0; count -= std::min<uint64_t>(count, zeros.size()))
          hasher.Update(zeros.data(), std::min<uint64_t>(count, zeros.size()));
        return Ok();
      }));
  return hasher.Finish();
}

// A layer's recipe, if it is to have one, makes its tar.
Status VerifyRecipe(const LayerStore& store, const LayerInfo& info) {
  auto recipe = store.OpenRecipe(info.diff_id);
  if (recipe.code() == ENOENT && !info.has_recipe) return Ok();
  DigestSink made;
  TRY(FollowRecipe(TRY(std::move(recipe)), *store.objects(), made));
  if (made.Finish() != info.diff_id)
    return Error(EUCLEAN, "it makes another tar");
  return Ok();
}

// The blocks of everything below `at`, hard links once each, itself included.
Result<uint64_t> BlocksOf(sys::At at, std::map<uint64_t, int>& seen) {
  const auto found = sys::Statx(at);
  if (found.code() == ENOENT) return uint64_t{0};
  const struct statx stat = TRY(found);
  if (!S_ISDIR(stat.stx_mode) && stat.stx_nlink > 1 && seen[stat.stx_ino]++ > 0)
    return uint64_t{0};
  uint64_t bytes = stat.stx_blocks * 512;
  if (!S_ISDIR(stat.stx_mode)) return bytes;
  const UniqueFd dir = TRY(sys::OpenAt(at, O_RDONLY | O_DIRECTORY));
  for (const std::string& name : TRY(ListNames({dir})))
    bytes += TRY(BlocksOf({dir, name.c_str()}, seen));
  return bytes;
}

}  // namespace

Result<CheckReport> LayerStore::Verify(
    const Digest& diff_id, const std::function<void(uint64_t)>& on_read) const {
  CheckReport report;
  const std::string subject = "layer " + diff_id.ToString();
  const auto find = [&](int invariant, std::string text) {
    report.findings.push_back({invariant, subject, std::move(text)});
  };
  report.layers = 1;
  const auto opened = OpenLayer(diff_id, TreeFile::Verify::kAll);
  if (!opened.ok() && opened.code() != EUCLEAN) return Error(opened.error());
  if (!opened.ok()) {
    find(2, "its index is damaged: " + opened.error().ToString());
    return report;
  }
  const TreeFile& tree = **opened;
  if (const auto sound = tree.CheckAll(); !sound.ok())
    find(2, "its index is damaged: " + sound.error().ToString());
  report.bytes += tree.file_bytes();

  // Each object once; the first file that has it names it.
  std::unordered_map<ObjectId, TreeFile::NodeNo> users;
  for (TreeFile::NodeNo i = 0; i < tree.node_count(); ++i)
    if (const auto node = tree.Node(i); node.ok() && node->object)
      users.emplace(*node->object, i);
  for (const auto& [id, node] : users) {
    ++report.objects;
    const auto sound = objects_->Verify(id);
    if (sound.ok()) {
      const uint64_t bytes = TRY(objects_->StatObject(id)).size_bytes;
      report.bytes += bytes;
      if (on_read) on_read(bytes);
      continue;
    }
    const auto path = tree.PathOf(node);
    find(3, (path.ok() ? *path : std::string("a file")) + ": " +
                sound.error().ToString() +
                "; import the layer again, which mends it");
  }
  const LayerInfo info = TRY(InfoFromFiles(diff_id));
  // With damaged objects it makes nothing.
  if (report.clean())
    if (const auto made = VerifyRecipe(*this, info); !made.ok())
      find(4, "its recipe is missing or damaged: " + made.error().ToString() +
                  "; import the layer again, which mends it");
  if (info.blob) {
    const auto blob = OpenBlob(info.blob->digest);
    uint64_t bytes = 0;
    if (!blob.ok()) {
      find(6, blob.error().ToString());
    } else if (TRY(Sha256OfFile(*blob, bytes)) != info.blob->digest) {
      find(6, "its blob " + info.blob->digest.ToString() +
                  " is damaged: its contents have another hash");
    }
    report.bytes += bytes;
    if (on_read) on_read(bytes);
  }
  return report;
}

Result<CheckReport> LayerStore::VerifyImage(const Digest& digest) const {
  CheckReport report;
  report.images = 1;
  const std::string subject = "image " + digest.ToString();
  const auto image = ImageFromFile(digest);
  if (image.code() == ENOENT) return Error(image.error());
  if (!image.ok()) {
    report.findings.push_back({11, subject, image.error().ToString()});
    return report;
  }
  std::set<Digest> of_layers;
  for (const Digest& layer : image->config.diff_ids)
    if (const auto info = Info(layer); !info.ok()) {
      report.findings.push_back(
          {11, subject, "its layer: " + info.error().ToString()});
    } else if (info->blob) {
      of_layers.insert(info->blob->digest);
    }
  for (const Digest& blob : image->blobs) {
    if (of_layers.contains(blob)) continue;
    const auto file = OpenBlob(blob);
    if (!file.ok()) {
      report.findings.push_back({6, subject, file.error().ToString()});
    } else if (TRY(Sha256OfFile(*file, report.bytes)) != blob) {
      report.findings.push_back({6, subject,
                                 "its blob " + blob.ToString() +
                                     " is damaged: its contents have another "
                                     "hash"});
    }
  }
  return report;
}

Result<DiskUsage> LayerStore::Usage() const {
  DiskUsage usage;
  const HeldLock lock = TRY(LockShared({dir_, "lock"}).With(path_));
  std::map<uint64_t, int> seen;
  usage.objects = TRY(BlocksOf({dir_, "objects"}, seen));
  usage.layers = TRY(BlocksOf({dir_, "layers"}, seen));
  usage.images = TRY(BlocksOf({dir_, "images"}, seen));
  usage.views = TRY(BlocksOf({dir_, "views"}, seen));
  usage.blobs = TRY(BlocksOf({dir_, "blobs"}, seen));
  usage.catalog = TRY(BlocksOf({dir_, "catalog"}, seen));
  usage.ingest = TRY(BlocksOf({dir_, "ingest"}, seen));
  usage.rest = TRY(sys::Statx({dir_})).stx_blocks * 512;
  for (const std::string& name : TRY(ListNames({dir_}))) {
    const bool counted = name == "objects" || name == "layers" ||
                         name == "images" || name == "views" ||
                         name == "blobs" || name == "catalog" ||
                         name == "ingest";
    if (!counted) usage.rest += TRY(BlocksOf({dir_, name.c_str()}, seen));
  }
  usage.total = usage.objects + usage.layers + usage.images + usage.views +
                usage.blobs + usage.catalog + usage.ingest + usage.rest;
  TRY(objects_->ForEach([&](const ObjectStore::Found& found) -> Status {
    if (found.id) ++usage.object_count;
    return Ok();
  }));
  usage.image_count = TRY(ImageFiles()).size();
  for (const Digest& digest : TRY(LayerFiles())) {
    ++usage.layer_count;
    if (const auto info = InfoFromFiles(digest); info.ok())
      usage.content_bytes += info->content_bytes;
  }
  return usage;
}

}  // namespace ufs
