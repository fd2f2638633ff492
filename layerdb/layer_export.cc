#include "layerdb/layer_export.h"

#include <cerrno>
#include <string>

#include "layerdb/compress.h"
#include "layerdb/stream_hash.h"
#include "layerdb/tar_recipe.h"
#include "layerdb/tree_tar.h"

namespace ufs {
namespace {

// Hashes what passes.
class HashedSink final : public ByteSink {
 public:
  explicit HashedSink(ByteSink& below) : below_(below) {}
  Status Write(std::string_view bytes) override {
    hash_.Update(bytes);
    return below_.Write(bytes);
  }
  Digest Finish() { return hash_.Finish(); }

 private:
  ByteSink& below_;
  StreamHash hash_;
};

// EUCLEAN for one that is damaged, as far as can be told without the objects.
Result<UniqueFd> OpenSoundRecipe(const LayerStore& store,
                                 const Digest& diff_id) {
  TRY(CheckRecipe(TRY(store.OpenRecipe(diff_id))));
  return store.OpenRecipe(diff_id);  // from its beginning
}

Status WriteTar(const LayerStore& store, const Digest& diff_id, ByteSink& out) {
  const auto tree = TRY(store.OpenLayer(diff_id));
  const LayerInfo info = TRY(store.Info(diff_id));
  const auto recipe = OpenSoundRecipe(store, diff_id);
  if (recipe.ok()) return FollowRecipe(*recipe, *store.objects(), out);
  if (!info.blob && (recipe.code() != ENOENT || info.has_recipe))
    return Error(recipe.error())
        .With(
            "it cannot be exported as it came; import it again, which "
            "mends it");
  if (info.blob) {
    const UniqueFd blob = TRY(store.OpenBlob(info.blob->digest));
    FdSource source(blob);
    DecompressLimits limits;  // it went through them when it was imported
    limits.max_ratio = UINT64_MAX;
    limits.max_bytes = UINT64_MAX;
    const auto tar = TRY(Decompress(source, limits));
    TRY(CopyAll(*tar, out));
    return Ok();
  }
  return WriteTreeTar(
      *tree,
      [&](const ObjectId& id) { return store.objects()->OpenObject(id); }, out);
}

}  // namespace

Status ExportTar(const LayerStore& store, const Digest& diff_id,
                 ByteSink& out) {
  const std::string what = "layer " + diff_id.ToString();
  HashedSink hashed(out);
  TRY(WriteTar(store, diff_id, hashed).With(what));
  const Digest written = hashed.Finish();
  if (written != diff_id)
    return Error(EUCLEAN,
                 what + ": its tar cannot be made again (got " +
                     written.ToString() +
                     "): its entries replaced each other, or something is "
                     "damaged; see 'ufs layer verify'");
  return Ok();
}

}  // namespace ufs
