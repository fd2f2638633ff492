#include "tools/layer_words.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <vector>

#include "layerdb/base/syscall.h"
#include "layerdb/checked_objects.h"
#include "tools/state_dir.h"

namespace ufs {
namespace {

bool IsDirectoryHere(const std::string& word) {
  return sys::Open(word.c_str(), O_PATH | O_DIRECTORY).ok();
}

// Images may have slashes in their names; a directory wins over those.
bool MeansDirectory(const std::string& word) {
  if (word.find('/') == word.npos) return word.empty();
  return !NormalizeLayerName(word).ok() || IsDirectoryHere(word);
}

// The store to look `word` up in. Null when there is none and nobody asked for
// one in particular; the environment does, for what is no directory here.
Result<std::shared_ptr<LayerStore>> OpenStore(const std::string& named,
                                              const std::string& word) {
  const auto path = StorePath(named);
  if (!path.ok() && named.empty()) return std::shared_ptr<LayerStore>();
  auto store = LayerStore::Open(TRY(path), LayerStore::Access::kRead);
  const bool asked = !named.empty() ||
                     (getenv("UFS_STORE") != nullptr && !IsDirectoryHere(word));
  // Who may not look into the usual store has no layers there.
  const bool none = store.code() == ENOENT || store.code() == EACCES;
  if (none && !asked) return std::shared_ptr<LayerStore>();
  return store;
}

// The layers a word means in the store; none for a directory, or nothing.
Result<std::vector<Digest>> Resolve(const LayerStore* store,
                                    const std::string& word) {
  const bool must_be_sealed = IsSealedName(word);
  const bool is_directory = !must_be_sealed && IsDirectoryHere(word);
  if (store == nullptr) {
    if (must_be_sealed)
      return Error(ENOENT, word +
                               ": there is no store of layers; name it with "
                               "--store, or fill it with 'ufs layer import'");
    return std::vector<Digest>();
  }
  auto found = store->ResolveRun(word);
  if (found.ok()) {
    if (is_directory)
      return Error(EEXIST, word +
                               ": is both a layer of the store and a directory "
                               "here; say './" +
                               word + "', or its digest");
    return found;
  }
  const bool no_layer = found.code() == ENOENT || found.code() == EINVAL;
  if (no_layer && is_directory) return std::vector<Digest>();
  if (no_layer)
    return Error(ENOENT, word + ": no such layer in the store " +
                             store->path() +
                             ", nor a directory here; see 'ufs layer ls', or "
                             "check the path");
  return Error(found.error()).With(word);
}

}  // namespace

OpenSealedFn OpenFrom(std::shared_ptr<LayerStore> store, bool verify,
                      LayerStore::IndexCheck index) {
  // Who asks the mount for it may be in another directory.
  std::error_code error;
  std::string path = std::filesystem::absolute(store->path(), error);
  if (error) path = store->path();
  std::shared_ptr<CheckedObjects> checked;
  if (verify) checked = std::make_shared<CheckedObjects>(store->objects());
  return [store = std::move(store), checked = std::move(checked), index,
          path = std::move(path)](
             std::span<const Digest> run) -> Result<SealedRun> {
    SealedRun opened;
    opened.layers.assign(run.begin(), run.end());
    opened.tree = TRY(store->OpenView(run, index));
    opened.store = path;
    opened.open_object = [objects = store->objects()](const ObjectId& id) {
      return objects->OpenObject(id);
    };
    if (checked != nullptr)
      opened.check_object = [checked](const ObjectId& id) {
        return checked->Check(id);
      };
    return opened;
  };
}

Status ResolveLayers(const std::string& named_store, UnionConfig& config) {
  std::shared_ptr<LayerStore> store;
  std::vector<std::string> layers;
  for (const std::string& word : config.layers) {
    const bool path = MeansDirectory(word);
    if (!path && store == nullptr) store = TRY(OpenStore(named_store, word));
    const std::vector<Digest> run =
        path ? std::vector<Digest>() : TRY(Resolve(store.get(), word));
    if (run.empty()) layers.push_back(word);
    for (const Digest& digest : run) layers.push_back(digest.ToString());
    if (!run.empty() && !config.open_sealed)
      config.open_sealed =
          OpenFrom(store, config.verify,
                   config.verify ? LayerStore::IndexCheck::kNow
                                 : LayerStore::IndexCheck::kOnceABoot);
  }
  config.layers = std::move(layers);
  return Ok();
}

Result<std::optional<ImageConfig>> FindImageConfig(
    const std::string& named_store, const std::vector<std::string>& words) {
  std::optional<ImageConfig> config;
  std::shared_ptr<LayerStore> store;
  for (const std::string& word : words) {
    if (MeansDirectory(word)) continue;
    if (store == nullptr) store = TRY(OpenStore(named_store, word));
    if (store == nullptr) continue;
    // A word that means nothing is told by who mounts it.
    const auto found = store->Find(word);
    if (found.ok() && found->is_image)
      config = TRY(store->OpenImage(found->digest).With(word)).config;
  }
  return config;
}

}  // namespace ufs
