#include "layerdb/image_export.h"

#include <algorithm>
#include <cerrno>
#include <set>

#include "layerdb/descriptor_json.h"
#include "layerdb/layer_export.h"
#include "layerdb/layer_import.h"
#include "layerdb/stream_hash.h"

namespace ufs {
namespace {

// A layer in the form it is written in: a file of its own.
struct LayerFile {
  UniqueFd file;
  Descriptor descriptor;
};

Result<LayerFile> KeptBlob(const LayerStore& store, const Descriptor& blob) {
  LayerFile layer;
  layer.descriptor = blob;
  layer.file = TRY(store.OpenBlob(blob.digest));
  return layer;
}

// The layer's tar, perhaps compressed, in a file for the time being.
Result<LayerFile> MakeBlob(const LayerStore& store, const Digest& diff_id,
                           Compression compression) {
  LayerFile layer;
  layer.file = TRY(store.MakeScratchFile());
  FdSink sink(layer.file);
  const auto compressed = TRY(Compress(sink, compression));
  TRY(ExportTar(store, diff_id, *compressed));
  TRY(compressed->Finish());
  layer.descriptor.media_type = MediaTypeOf(compression);
  layer.descriptor.size_bytes = TRY(sys::Statx({layer.file})).stx_size;
  FileRangeSource source(layer.file, 0, layer.descriptor.size_bytes);
  Sha256 hash;
  const auto buffer = std::make_unique<char[]>(256 << 10);
  while (const size_t got = TRY(source.Read(buffer.get(), 256 << 10)))
    hash.Update(buffer.get(), got);
  layer.descriptor.digest = hash.Finish();
  return layer;
}

bool IsSame(const Descriptor& a, const Descriptor& b) {
  return a.digest == b.digest && a.size_bytes == b.size_bytes;
}

Result<LayerFile> FormOf(const LayerStore& store, const Image& image, size_t i,
                         Compression compression) {
  const Descriptor& wanted = image.manifest.layers[i];
  if (std::find(image.blobs.begin(), image.blobs.end(), wanted.digest) !=
      image.blobs.end())
    return KeptBlob(store, wanted);
  LayerFile made = TRY(MakeBlob(store, image.config.diff_ids[i], compression));
  // As it came: what else the manifest says of it stays.
  if (IsSame(made.descriptor, wanted)) made.descriptor = wanted;
  return made;
}

Status AddText(ImageOutput& output, const std::string& path,
               const std::string& text) {
  MemorySource source(text);
  return output.AddFile(path, source, text.size());
}

// What is written is what its name says.
Status AddBlob(ImageOutput& output, const std::string& path,
               const LayerFile& layer) {
  FileRangeSource file(layer.file, 0, layer.descriptor.size_bytes);
  StreamHash hash;
  HashedSource hashed(file, hash);
  TRY(output.AddFile(path, hashed, layer.descriptor.size_bytes));
  if (hash.Finish() == layer.descriptor.digest) return Ok();
  return Error(EUCLEAN, "blob " + layer.descriptor.digest.ToString() +
                            ": is damaged in the store; import the image "
                            "again, which mends it");
}

std::string BlobPath(const Digest& digest) {
  return "blobs/sha256/" + digest.Hex();
}

// "v1" of "host:5000/app:v1"; "latest" where none is written.
std::string TagOf(const std::string& name) {
  const size_t colon = name.rfind(':');
  if (colon == name.npos || name.find('/', colon) != name.npos) return "latest";
  return name.substr(colon + 1);
}

std::string FullName(const std::string& name) {
  return name.ends_with(":" + TagOf(name)) ? name : name + ":" + TagOf(name);
}

std::string IndexOf(const Descriptor& manifest, const Platform& platform,
                    const std::string& name) {
  Json entry = ToJson(manifest);
  if (!platform.os.empty() && !platform.architecture.empty()) {
    entry["platform"] = {{"architecture", platform.architecture},
                         {"os", platform.os}};
    if (!platform.variant.empty())
      entry["platform"]["variant"] = platform.variant;
  }
  if (!name.empty())
    entry["annotations"] = {{"io.containerd.image.name", FullName(name)},
                            {"org.opencontainers.image.ref.name", TagOf(name)}};
  return Json{{"schemaVersion", 2},
              {"mediaType", kOciIndex},
              {"manifests", Json::array({entry})}}
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

Result<Digest> WriteOciLayout(const LayerStore& store, const Image& image,
                              const ImageExportOptions& options,
                              ImageOutput& output) {
  for (const char* dir : {"blobs", "blobs/sha256"})
    TRY(output.AddDirectory(dir));
  std::set<Digest> written;
  std::vector<Descriptor> layers;
  bool as_it_came = true;
  for (size_t i = 0; i < image.config.diff_ids.size(); ++i) {
    const LayerFile layer = TRY(FormOf(store, image, i, options.compression));
    layers.push_back(layer.descriptor);
    as_it_came =
        as_it_came && IsSame(layer.descriptor, image.manifest.layers[i]);
    if (written.insert(layer.descriptor.digest).second)
      TRY(AddBlob(output, BlobPath(layer.descriptor.digest), layer));
  }
  const std::string manifest =
      as_it_came ? image.manifest_text
                 : TRY(ReplaceLayers(image.manifest_text, layers));
  const Descriptor entry{
      image.manifest.media_type, Sha256Of(manifest), manifest.size(), {}, {}};
  if (written.insert(image.id()).second)
    TRY(AddText(output, BlobPath(image.id()), image.config_text));
  if (written.insert(entry.digest).second)
    TRY(AddText(output, BlobPath(entry.digest), manifest));
  TRY(AddText(output, "oci-layout", R"({"imageLayoutVersion":"1.0.0"})"));
  // Last: with it, it is a layout.
  TRY(AddText(output, "index.json",
              IndexOf(entry, image.config.platform, options.name)));
  TRY(output.Finish());
  return entry.digest;
}

Status WriteDockerArchive(const LayerStore& store, const Image& image,
                          const std::string& name, ImageOutput& output) {
  std::set<Digest> written;
  Json layers = Json::array();
  for (const Digest& diff_id : image.config.diff_ids) {
    const std::string path = diff_id.Hex() + ".tar";
    layers.push_back(path);
    if (!written.insert(diff_id).second) continue;
    TRY(AddBlob(output, path,
                TRY(MakeBlob(store, diff_id, Compression::kNone))));
  }
  const std::string config = image.id().Hex() + ".json";
  TRY(AddText(output, config, image.config_text));
  Json names = Json::array();
  if (!name.empty()) names.push_back(FullName(name));
  const Json entry = {
      {"Config", config}, {"RepoTags", names}, {"Layers", layers}};
  TRY(AddText(output, "manifest.json", Json::array({entry}).dump()));
  return output.Finish();
}

Result<Image> MakeImageOf(const LayerStore& store,
                          const std::vector<Digest>& bottom_to_top) {
  const Platform platform = Platform::OfThisMachine();
  Json diff_ids = Json::array();
  std::vector<Descriptor> blobs;
  std::vector<Digest> kept;
  for (const Digest& diff_id : bottom_to_top) {
    diff_ids.push_back(diff_id.ToString());
    const LayerInfo info = TRY(store.Info(diff_id));
    if (info.blob) {
      kept.push_back(info.blob->digest);
      blobs.push_back({info.blob->media_type,
                       info.blob->digest,
                       info.blob->size_bytes,
                       {},
                       {}});
    } else {
      // Its size is found when it is written.
      blobs.push_back({kOciLayer, diff_id, 0, {}, {}});
    }
  }
  const std::string config =
      Json{{"architecture", platform.architecture},
           {"os", platform.os},
           {"config", Json::object()},
           {"rootfs", {{"type", "layers"}, {"diff_ids", diff_ids}}}}
          .dump();
  Image image = TRY(Image::Make(
      MakeImageManifest({kOciConfig, Sha256Of(config), config.size(), {}, {}},
                        blobs),
      config));
  image.blobs = std::move(kept);
  return image;
}

}  // namespace ufs
