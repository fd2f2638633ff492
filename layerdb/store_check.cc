// Proves the invariants of README.md, by number.
#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>

#include "layerdb/layer_store.h"
#include "layerdb/percent.h"
#include "layerdb/store_io.h"
#include "layerdb/tar_recipe.h"

namespace ufs {
namespace {

std::string PathOf(const TreeFile& tree, TreeFile::NodeNo node) {
  const auto path = tree.PathOf(node);
  return path.ok() ? *path : "a file";
}

constexpr char kImportImageAgain[] =
    "; import the image again, which mends it, or 'ufs layer rm' it";
constexpr char kImportAgain[] =
    "; import the layer again, which mends it, or 'ufs layer rm' it";

}  // namespace

class StoreChecker {
 public:
  explicit StoreChecker(const LayerStore& store) : store_(store) {}

  Result<CheckReport> Run() {
    const HeldLock lock =
        TRY(LockShared({store_.dir_, "lock"}).With(store_.path()));
    TRY(ListObjects());
    TRY(CheckLayers());
    TRY(CheckImages());
    CountUnused();
    TRY(CheckNames());
    TRY(CheckBlobs());
    TRY(CheckViews());
    TRY(CheckIngest());
    CheckCatalog();
    return report_;
  }

  Result<CheckReport> RunViews(std::span<const Digest> of_layers) {
    const HeldLock lock =
        TRY(LockShared({store_.dir_, "lock"}).With(store_.path()));
    views_of_.emplace(of_layers.begin(), of_layers.end());
    for (const Digest& digest : TRY(store_.LayerFiles()))
      layers_.insert(digest);
    TRY(CheckViews());
    return report_;
  }

 private:
  void Find(int invariant, std::string subject, std::string text) {
    report_.findings.push_back(
        {invariant, std::move(subject), std::move(text)});
  }

  // S1: what lies below objects/ is an object under its name.
  Status ListObjects() {
    return store_.objects_->ForEach(
        [&](const ObjectStore::Found& found) -> Status {
          if (!found.id) {
            Find(1, "objects/" + EscapeName(found.path),
                 "not an object's name; nothing of the store needs it");
            return Ok();
          }
          const auto stat = store_.objects_->StatObject(*found.id);
          if (stat.code() == ENOENT) return Ok();
          if (!stat.ok()) {
            Find(1, "object " + found.id->FileName(), stat.error().ToString());
            return Ok();
          }
          objects_.emplace(*found.id, Object{stat->size_bytes});
          ++report_.objects;
          return Ok();
        });
  }

  static std::string EscapeName(std::string_view name) {
    return PercentEncode(name);
  }

  Status CheckLayers() {
    for (const std::string& name : TRY(ListNames({store_.layers_dir_}))) {
      if (const auto digest = DigestOfFile(name, ".tree")) {
        layers_.insert(*digest);
        ++report_.layers;
        CheckLayer(*digest);
      } else if (IsTemporaryName(name)) {
        ++report_.leftovers;
      } else if (!DigestOfFile(name, ".info") &&
                 !DigestOfFile(name, ".recipe")) {
        Find(2, "layers/" + EscapeName(name), "no file of a layer");
      }
    }
    // Texts without an index: what a crash between the two leaves.
    for (const std::string& name : TRY(ListNames({store_.layers_dir_}))) {
      auto digest = DigestOfFile(name, ".info");
      if (!digest) digest = DigestOfFile(name, ".recipe");
      if (digest && !layers_.contains(*digest)) ++report_.leftovers;
    }
    return Ok();
  }

  // S2: an index is whole and its own. S3: its objects are there, as long as it
  // says. S4: its text is there and tells the same.
  void CheckLayer(const Digest& digest) {
    const std::string subject = "layer " + digest.ToString();
    const auto tree = store_.OpenLayer(digest, TreeFile::Verify::kAll);
    Status sound = tree.ok() ? (*tree)->CheckAll() : Status(tree.error());
    if (!sound.ok()) {
      Find(2, subject,
           "its index is damaged: " + sound.error().ToString() + kImportAgain);
      return;
    }
    std::vector<ObjectId> ids;
    for (TreeFile::NodeNo i = 0; i < (*tree)->node_count(); ++i) {
      const auto node = (*tree)->Node(i);
      if (!node.ok() || !node->object) continue;
      const auto found = objects_.find(*node->object);
      if (found == objects_.end() || found->second.bytes != node->size_bytes)
        Find(3, subject,
             "object " + node->object->FileName() + " of " + PathOf(**tree, i) +
                 (found == objects_.end() ? " is missing"
                                          : " has another length") +
                 kImportAgain);
      else
        found->second.used = true;
    }
    if (auto all = ObjectsOf(**tree); all.ok()) ids = std::move(*all);
    objects_of_[digest] = std::move(ids);
    CheckText(digest, **tree, subject);
  }

  void CheckText(const Digest& digest, const TreeFile& tree,
                 const std::string& subject) {
    const auto info = store_.ReadInfo(digest);
    LayerInfo counted;
    const auto count = CountTree(tree, counted);
    if (!info.ok() || !count.ok() || info->entries != counted.entries ||
        info->whiteouts != counted.whiteouts ||
        info->objects != counted.objects ||
        info->content_bytes != counted.content_bytes) {
      Find(4, subject,
           "its description " +
               (info.ok() ? InfoFileName(digest) +
                                " tells something else than its index"
                          : info.error().ToString()) +
               "; 'ufs store repair' writes it anew");
      return;
    }
    const auto recipe = store_.OpenRecipe(digest);
    const Status sound =
        recipe.ok() ? CheckRecipe(*recipe) : Status(recipe.error());
    if (sound.code() != ENOENT) {
      if (!sound.ok())
        Find(4, subject, sound.error().ToString() + kImportAgain);
    } else if (info->has_recipe) {
      Find(4, subject,
           "its recipe is missing: it cannot be exported as it came" +
               std::string(kImportAgain));
    }
    infos_.push_back(*info);
    if (info->blob) blobs_.emplace(info->blob->digest, *info);
  }

  void CountUnused() {
    for (const auto& [id, object] : objects_)
      if (!object.used) ++report_.unused_objects;
  }

  // S11: an image's record is whole, and its layers are there.
  Status CheckImages() {
    if (!store_.images_dir_.valid()) return Ok();
    for (const std::string& name : TRY(ListNames({store_.images_dir_}))) {
      const auto digest = DigestOfFile(name, ".image");
      if (!digest) {
        if (IsTemporaryName(name)) {
          ++report_.leftovers;
        } else {
          Find(11, "images/" + EscapeName(name), "no file of an image");
        }
        continue;
      }
      ++report_.images;
      images_.insert(*digest);
      const std::string subject = "image " + digest->ToString();
      const auto image = store_.ImageFromFile(*digest);
      if (!image.ok()) {
        Find(11, subject, image.error().ToString() + kImportImageAgain);
        continue;
      }
      for (const Digest& layer : image->config.diff_ids)
        if (!layers_.contains(layer))
          Find(11, subject,
               "its layer " + layer.ToString() + " is not there" +
                   kImportImageAgain);
      for (const Digest& blob : image->blobs) CheckImageBlob(*image, blob);
    }
    return Ok();
  }

  // S6, of the blobs an image names.
  void CheckImageBlob(const Image& image, const Digest& blob) {
    image_blobs_.insert(blob);
    const auto stat = sys::Statx({store_.blobs_dir_, blob.Hex().c_str()});
    bool right_size = false;
    for (const Descriptor& layer : image.manifest.layers)
      if (layer.digest == blob)
        right_size = stat.ok() && stat->stx_size == layer.size_bytes;
    if (!right_size)
      Find(6, "image " + image.digest.ToString(),
           "its blob " + blob.ToString() +
               (stat.ok() ? " has another length"
                          : ": " + stat.error().ToString()) +
               kImportImageAgain);
  }

  // S5: a name names a layer or an image that is there.
  Status CheckNames() {
    std::vector<std::string> damaged;
    for (const auto& [name, digest] : TRY(store_.names().All(&damaged))) {
      ++report_.names;
      if (!layers_.contains(digest) && !images_.contains(digest))
        Find(5, "name " + name,
             "what it names, " + digest.ToString() +
                 ", is not there; import it, or 'ufs layer untag' the name");
    }
    for (const std::string& file : damaged)
      Find(5, "names/" + EscapeName(file),
           "it holds no digest; give the name anew, or 'ufs store repair' "
           "removes it");
    for (const std::string& file : TRY(ListNames({store_.names_dir_})))
      if (IsTemporaryName(file)) ++report_.leftovers;
    return Ok();
  }

  // S6: the blob a layer's text names is there, as long as it says.
  Status CheckBlobs() {
    std::set<std::string> files;
    for (const std::string& name : TRY(ListNames({store_.blobs_dir_})))
      files.insert(name);
    for (const auto& [digest, info] : blobs_) {
      const std::string subject = "layer " + info.diff_id.ToString();
      const auto stat = sys::Statx({store_.blobs_dir_, digest.Hex().c_str()});
      if (!stat.ok() || stat->stx_size != info.blob->size_bytes)
        Find(6, subject,
             "its blob " + digest.ToString() +
                 (stat.ok() ? " has another length"
                            : ": " + stat.error().ToString()) +
                 kImportAgain);
    }
    for (const std::string& name : files) {
      const auto digest = DigestOfFile(name, "");
      if (!digest) {
        Find(6, "blobs/sha256/" + EscapeName(name), "no name of a blob");
      } else if (!blobs_.contains(*digest) && !image_blobs_.contains(*digest)) {
        ++report_.leftovers;
      }
    }
    return Ok();
  }

  // One that does not say its layers may be of any.
  bool IsWanted(const Digest& chain) const {
    if (!views_of_) return true;
    const auto run = RunOf(chain);
    return !run.ok() ||
           std::any_of(run->begin(), run->end(), [&](const Digest& layer) {
             return views_of_->contains(layer);
           });
  }

  // S7: a view says its layers, is the one of that run, and is whole.
  Status CheckViews() {
    for (const std::string& name : TRY(ListNames({store_.views_dir_}))) {
      const auto chain = DigestOfFile(name, ".tree");
      if (!chain) {
        const auto of_run = DigestOfFile(name, ".run");
        const auto checked = DigestOfFile(name, ".checked");
        if (of_run ? !store_.MayHaveView(*of_run)
                   : !checked || !store_.MayHaveIndex(*checked))
          ++report_.leftovers;
        continue;
      }
      if (!IsWanted(*chain)) continue;
      ++report_.views;
      const auto sound = CheckView(*chain);
      if (!sys::Statx({store_.views_dir_, name.c_str()}).ok())
        continue;  // dropped meanwhile
      if (!sound.ok())
        Find(7, "view " + chain->ToString(),
             sound.error().ToString() +
                 "; the next mount makes it again, as does 'ufs store "
                 "repair'");
    }
    return Ok();
  }

  // What a view says that it is made of.
  Result<std::vector<Digest>> RunOf(const Digest& chain) const {
    const std::string text =
        TRY(ReadSmallFile({store_.views_dir_, RunFileName(chain).c_str()},
                          kMaxRunBytes)
                .With("what it is made of"));
    std::vector<Digest> run;
    for (size_t at = 0, end; (end = text.find('\n', at)) != text.npos;
         at = end + 1) {
      run.push_back(
          TRY(Digest::Parse(std::string_view(text).substr(at, end - at))));
    }
    if (run.empty() || ChainId(run) != chain)
      return Error(EUCLEAN, "it is not the view of the layers it names");
    return run;
  }

  Status CheckView(const Digest& chain) {
    const auto view = TRY(TreeFile::Open(
        TRY(OpenPinned({store_.views_dir_, IndexFileName(chain).c_str()})),
        TreeFile::Verify::kAll));
    TRY(view->CheckAll());
    for (const Digest& layer : TRY(RunOf(chain)))
      if (!layers_.contains(layer))
        return Error(EUCLEAN,
                     "its layer " + layer.ToString() + " is not there");
    if (view->identity() != chain.bytes)
      return Error(EUCLEAN, "it is not the view of the layers it names");
    report_.bytes += view->file_bytes();
    return Ok();
  }

  // S8: what is in ingest/ has an import that is alive.
  Status CheckIngest() {
    for (const std::string& name : TRY(ListNames({store_.ingest_dir_}))) {
      const auto lock = TryLockExclusive({store_.ingest_dir_, name.c_str()});
      if (lock.ok()) ++report_.leftovers;
    }
    return Ok();
  }

  // S9: the catalog has the layers there are, with their texts and objects.
  void CheckCatalog() {
    const auto sound = CompareCatalog();
    if (!sound.ok())
      Find(9, "catalog",
           sound.error().ToString() + "; 'ufs store repair' makes a new one");
  }

  Status CompareCatalog() {
    const auto catalog =
        Catalog::Open(store_.catalog_path(), Catalog::Mode::kRead);
    if (catalog.code() == ENOENT && layers_.empty()) return Ok();
    if (!catalog.ok()) return catalog.error();
    TRY((*catalog)->Verify());
    std::map<Digest, std::string> texts;
    for (const LayerInfo& info : TRY((*catalog)->Layers()))
      texts.emplace(info.diff_id, info.Encode());
    for (const LayerInfo& info : infos_) {
      const auto found = texts.find(info.diff_id);
      // One that was sealed before a crash: the next writer lists it.
      if (found == texts.end()) continue;
      if (found->second != info.Encode())
        return Error(EUCLEAN, "it tells of layer " + info.diff_id.ToString() +
                                  " something else than its files");
    }
    std::map<Digest, std::vector<ObjectId>> listed;
    TRY((*catalog)->ForEachObject(
        [&](const ObjectId& id, std::span<const Digest> users) -> Status {
          for (const Digest& user : users) listed[user].push_back(id);
          return Ok();
        }));
    for (const auto& [digest, ids] : objects_of_)
      if (texts.contains(digest) && listed[digest] != ids)
        return Error(EUCLEAN, "it does not list the objects of layer " +
                                  digest.ToString());
    return Ok();
  }

  struct Object {
    uint64_t bytes;
    bool used = false;
  };

  const LayerStore& store_;
  std::optional<std::set<Digest>> views_of_;  // else all views
  CheckReport report_;
  std::unordered_map<ObjectId, Object> objects_;
  std::set<Digest> layers_;
  std::set<Digest> images_;
  std::set<Digest> image_blobs_;
  std::map<Digest, std::vector<ObjectId>> objects_of_;
  std::vector<LayerInfo> infos_;
  std::map<Digest, LayerInfo> blobs_;
};

Result<CheckReport> LayerStore::VerifyViews(
    std::span<const Digest> of_layers) const {
  return StoreChecker(*this).RunViews(of_layers);
}

Result<CheckReport> LayerStore::Check() const {
  return StoreChecker(*this).Run();
}

}  // namespace ufs
