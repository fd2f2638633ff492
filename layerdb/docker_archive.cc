// Reading docker archives, and telling images from layers.
#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "layerdb/base/json_reader.h"
#include "layerdb/base/syscall.h"
#include "layerdb/byte_stream.h"
#include "layerdb/compress.h"
#include "layerdb/image_source.h"
#include "layerdb/layer_names.h"
#include "layerdb/layer_path.h"
#include "layerdb/tar_reader.h"

namespace ufs {
namespace {

constexpr char kManifestFile[] = "manifest.json";
constexpr size_t kMostImages = 1000;
constexpr size_t kMostArchiveEntries = 10'000;

// What manifest.json says of one image.
struct Listed {
  std::string config;
  std::vector<std::string> names;
  std::vector<std::string> layers;
};

Result<std::vector<Listed>> ReadList(const ImageFiles& files) {
  const std::string text = TRY(files.ReadDocument(kManifestFile));
  const nlohmann::json json =
      TRY(ParseJson(text, kMostDocumentBytes).With(kManifestFile));
  const std::vector<JsonReader> elements =
      TRY(JsonReader(&json, kManifestFile).Elements());
  if (elements.size() > kMostImages)
    return Error(EFBIG, std::string(kManifestFile) + " lists more than " +
                            std::to_string(kMostImages) + " images");
  std::vector<Listed> images;
  for (const JsonReader& element : elements) {
    Listed& image = images.emplace_back();
    TRY(element.Require("Config", image.config));
    TRY(element.Read("RepoTags", image.names));
    TRY(element.Read("Layers", image.layers));
    if (image.layers.size() > kMostImageLayers)
      return Error(EFBIG, element.path() + ".Layers has more than " +
                              std::to_string(kMostImageLayers) + " entries");
  }
  return images;
}

// The config's name is its digest, where it has the form of one.
Status CheckConfigName(const std::string& path, std::string_view text) {
  std::string name = path.substr(path.rfind('/') + 1);
  if (name.ends_with(".json")) name.resize(name.size() - 5);
  const auto digest = Digest::Parse(name);
  if (!digest.ok() || *digest == Sha256Of(text)) return Ok();
  return Error(EBADMSG, path + ": is damaged, its contents have the digest " +
                            Sha256Of(text).ToString() +
                            "; save the image again");
}

// "CONFIG.json", "ID/layer.tar" and what else tools have put beside them.
bool MayBeOfArchive(const TarEntry& entry, std::string_view path) {
  if (entry.type == TarType::kDirectory) return true;
  const size_t slash = path.rfind('/');
  const std::string_view name =
      slash == path.npos ? path : path.substr(slash + 1);
  if (name.ends_with(".json") || name.ends_with(".tar")) return true;
  if (slash == path.npos) return name == "repositories" || name == "oci-layout";
  return name == "json" || name == "VERSION" || path.starts_with("blobs/");
}

Result<ImageDraft> ReadOne(const ImageFiles& files, const Listed& listed) {
  ImageDraft draft;
  draft.config_text = TRY(files.ReadDocument(listed.config));
  TRY(CheckConfigName(listed.config, draft.config_text));
  draft.config = TRY(ParseImageConfig(draft.config_text).With(listed.config));
  if (draft.config.diff_ids.size() != listed.layers.size())
    return Error(EINVAL, listed.config + " names " +
                             std::to_string(draft.config.diff_ids.size()) +
                             " layers, " + kManifestFile + " " +
                             std::to_string(listed.layers.size()));
  for (const std::string& path : listed.layers) {
    const auto file = files.Open(path);
    if (!file.ok())
      return Error(file.code(), "layer " + path +
                                    ": is named but not there; save the image "
                                    "again");
    draft.layers.push_back({path, file->size_bytes, std::nullopt});
  }
  for (const std::string& name : listed.names)
    draft.names.push_back(TRY(NormalizeLayerName(name)));
  return draft;
}

}  // namespace

bool IsDockerArchive(const ImageFiles& files) {
  return files.Has(kManifestFile);
}

Result<std::vector<ImageDraft>> ReadDockerArchive(const ImageFiles& files,
                                                  const ImageChoice& choice) {
  const auto wanted = NormalizeLayerName(choice.reference);
  std::vector<ImageDraft> drafts;
  std::string there;
  for (const Listed& listed : TRY(ReadList(files))) {
    bool chosen = choice.reference.empty();
    for (const std::string& name : listed.names) {
      there += (there.empty() ? "" : ", ") + name;
      const auto normal = NormalizeLayerName(name);
      chosen = chosen || (normal.ok() && wanted.ok() && *normal == *wanted);
    }
    if (!chosen) continue;
    drafts.push_back(TRY(ReadOne(files, listed)));
    const Platform& platform = drafts.back().config.platform;
    if (choice.platform && !platform.Serves(*choice.platform))
      return Error(ENOENT, "nothing for " + choice.platform->ToString() +
                               "; it is for " + platform.ToString());
  }
  if (!drafts.empty()) return drafts;
  return Error(ENOENT, choice.reference.empty()
                           ? std::string(kManifestFile) + " lists no image"
                           : "'" + choice.reference + "' is not in it" +
                                 (there.empty() ? "" : "; it holds " + there));
}

Result<std::vector<ImageDraft>> ReadImages(const ImageFiles& files,
                                           const ImageChoice& choice) {
  if (IsOciLayout(files)) return ReadOciLayout(files, choice);
  if (IsDockerArchive(files)) return ReadDockerArchive(files, choice);
  return Error(EINVAL,
               "holds neither an OCI layout (oci-layout, index.json) nor a "
               "docker archive (manifest.json)");
}

bool MayHoldImages(std::string_view head) {
  MemorySource source(head);
  const auto tar = Decompress(source, DecompressLimits());
  if (!tar.ok()) return false;
  TarReader reader(**tar);
  TarEntry entry;
  // The root may come first. What is cut off behind the header does not matter.
  for (int i = 0; i < 2; ++i) {
    const auto got = reader.Next(entry);
    if (!got.ok() || !*got) return false;
    const auto path = ParseLayerPath(entry.path);
    if (!path.ok()) return false;
    if (path->path.empty()) continue;
    const std::string first = path->path.substr(0, path->path.find('/'));
    std::string_view stem = first;
    for (const std::string_view suffix : {".tar", ".json"})
      if (stem.ends_with(suffix)) stem.remove_suffix(suffix.size());
    return first == "oci-layout" || first == "index.json" ||
           first == kManifestFile || first == "repositories" ||
           first == "blobs" || Digest::Parse(stem).ok();
  }
  return false;
}

bool IsDockerManifest(std::string_view text) {
  const auto json = ParseJson(text, kMostDocumentBytes);
  if (!json.ok() || !json->is_array() || json->empty()) return false;
  return std::all_of(json->begin(), json->end(), [](const auto& image) {
    return image.is_object() && image.contains("Config") &&
           image.contains("Layers");
  });
}

bool HoldsDockerArchive(BorrowedFd tar) {
  const auto stat = sys::Statx({tar});
  if (!stat.ok()) return false;
  FileRangeSource source(tar, 0, stat->stx_size);
  TarReader reader(source);
  TarEntry entry;
  for (size_t count = 0; count < kMostArchiveEntries; ++count) {
    const auto more = reader.Next(entry);
    if (!more.ok() || !*more) return false;
    const auto path = ParseLayerPath(entry.path);
    if (!path.ok() || !MayBeOfArchive(entry, path->path)) return false;
    if (path->path != kManifestFile || entry.type != TarType::kFile) continue;
    if (entry.size_bytes > kMostDocumentBytes) return false;
    FileRangeSource document(tar, reader.offset(), entry.size_bytes);
    const auto text = ReadAll(document, kMostDocumentBytes);
    return text.ok() && IsDockerManifest(*text);
  }
  return false;
}

}  // namespace ufs
