#include "tools/layer_words.h"

#include <sys/stat.h>

#include <cerrno>
#include <optional>
#include <vector>

#include "layerdb/base/syscall.h"
#include "tools/state_dir.h"

namespace ufs {
namespace {

bool IsDirectoryHere(const std::string& word) {
  return sys::Open(word.c_str(), O_PATH | O_DIRECTORY).ok();
}

// Null when there is none and nobody asked for one in particular.
Result<std::shared_ptr<LayerStore>> OpenStore(const std::string& named) {
  const auto path = StorePath(named);
  if (!path.ok() && named.empty()) return std::shared_ptr<LayerStore>();
  auto store = LayerStore::Open(TRY(path), LayerStore::Access::kRead);
  const bool asked = !named.empty() || getenv("UFS_STORE") != nullptr;
  // Who may not look into the usual store has no layers there.
  const bool none = store.code() == ENOENT || store.code() == EACCES;
  if (none && !asked) return std::shared_ptr<LayerStore>();
  return store;
}

// The digest a word means in the store; nullopt for a directory, or nothing.
Result<std::optional<Digest>> Resolve(const LayerStore* store,
                                      const std::string& word) {
  const bool must_be_sealed = IsSealedName(word);
  const bool is_directory = !must_be_sealed && IsDirectoryHere(word);
  if (store == nullptr) {
    if (must_be_sealed)
      return Error(ENOENT, word +
                               ": there is no store of layers; name it with "
                               "--store, or fill it with 'ufs layer import'");
    return std::optional<Digest>();
  }
  const auto found = store->Resolve(word);
  if (found.ok()) {
    if (is_directory)
      return Error(EEXIST, word +
                               ": is both a layer of the store and a directory "
                               "here; say './" +
                               word + "', or '" + found->ToString() + "'");
    return std::optional(*found);
  }
  const bool no_layer = found.code() == ENOENT || found.code() == EINVAL;
  if (no_layer && is_directory) return std::optional<Digest>();
  if (no_layer)
    return Error(ENOENT, word + ": no such layer in the store " +
                             store->path() +
                             ", nor a directory here; see 'ufs layer ls', or "
                             "check the path");
  return Error(found.error()).With(word);
}

}  // namespace

OpenSealedFn OpenFrom(std::shared_ptr<LayerStore> store) {
  return [store = std::move(store)](
             std::span<const Digest> run) -> Result<SealedRun> {
    SealedRun opened;
    opened.layers.assign(run.begin(), run.end());
    opened.tree = run.size() == 1 ? TRY(store->OpenLayer(run[0]))
                                  : TRY(store->OpenView(run));
    opened.store = store->path();
    opened.open_object = [objects = store->objects()](const ObjectId& id) {
      return objects->OpenObject(id);
    };
    return opened;
  };
}

Status ResolveLayers(const std::string& named_store, UnionConfig& config) {
  std::shared_ptr<LayerStore> store;
  bool looked = false;
  for (std::string& word : config.layers) {
    if (word.empty() || word.find('/') != word.npos) continue;
    if (!looked) store = TRY(OpenStore(named_store));
    looked = true;
    const auto digest = TRY(Resolve(store.get(), word));
    if (!digest) continue;
    word = digest->ToString();
    if (!config.open_sealed) config.open_sealed = OpenFrom(store);
  }
  return Ok();
}

}  // namespace ufs
