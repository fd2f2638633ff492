// Reading OCI layouts.
#include <algorithm>
#include <cerrno>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "layerdb/base/json_reader.h"
#include "layerdb/image.h"
#include "layerdb/image_source.h"
#include "layerdb/layer_names.h"

namespace ufs {
namespace {

constexpr char kLayoutFile[] = "oci-layout";
constexpr char kIndexFile[] = "index.json";
constexpr char kRefName[] = "org.opencontainers.image.ref.name";
constexpr char kContainerdName[] = "io.containerd.image.name";
// BuildKit's provenance beside an image is no image.
constexpr char kReferenceType[] = "vnd.docker.reference.type";
constexpr int kDeepestIndex = 4;

std::string Annotation(const Descriptor& descriptor, const char* key) {
  const auto found = descriptor.annotations.find(key);
  return found == descriptor.annotations.end() ? "" : found->second;
}

class LayoutReader {
 public:
  LayoutReader(const ImageFiles& files, const ImageChoice& choice)
      : files_(files),
        choice_(choice),
        platform_(choice.platform.value_or(Platform::OfThisMachine())) {}

  Result<std::vector<ImageDraft>> Read() {
    TRY(CheckVersion());
    const std::string text = TRY(files_.ReadDocument(kIndexFile));
    const ImageIndex index = TRY(ParseImageIndex(text).With(kIndexFile));
    // What has the same name is one image for several platforms.
    std::map<std::string, std::vector<Descriptor>> groups;
    std::string names;
    for (const Descriptor& entry : index.manifests) {
      if (!IsImage(entry)) continue;
      const std::string name = Annotation(entry, kRefName);
      names += (names.empty() ? "" : ", ") +
               (name.empty() ? entry.digest.ToString() : name);
      if (IsChosen(entry)) groups[name].push_back(entry);
    }
    if (groups.empty())
      return Error(ENOENT, names.empty()
                               ? std::string(kIndexFile) + " names no image"
                               : "'" + choice_.reference +
                                     "' is not in it; it holds " + names);
    std::vector<ImageDraft> drafts;
    for (const auto& [name, entries] : groups)
      drafts.push_back(TRY(ReadGroup(entries)));
    return drafts;
  }

 private:
  Status CheckVersion() const {
    const std::string text = TRY(files_.ReadDocument(kLayoutFile));
    const nlohmann::json json =
        TRY(ParseJson(text, kMostDocumentBytes).With(kLayoutFile));
    std::string version;
    TRY(JsonReader(&json, kLayoutFile).Require("imageLayoutVersion", version));
    if (!version.starts_with("1."))
      return Error(ENOTSUP, std::string(kLayoutFile) + ": version '" + version +
                                "'; 1.0.0 is read");
    return Ok();
  }

  static bool IsImage(const Descriptor& entry) {
    return (entry.IsIndex() || entry.IsManifest()) && !entry.IsArtifact() &&
           Annotation(entry, kReferenceType).empty();
  }

  bool IsChosen(const Descriptor& entry) const {
    const std::string& wanted = choice_.reference;
    return wanted.empty() || wanted == Annotation(entry, kRefName) ||
           wanted == Annotation(entry, kContainerdName) ||
           wanted == entry.digest.ToString();
  }

  Result<ImageDraft> ReadGroup(const std::vector<Descriptor>& entries) const {
    const Descriptor& first = entries[0];
    std::vector<Descriptor> images;
    std::set<Digest> read;
    const Status gathered = Gather(entries, 0, read, images);
    // One that has no other to be mistaken for need not be for this machine.
    const bool alone = entries.size() == 1 && first.IsManifest();
    const auto chosen = alone && !choice_.platform ? Result<Descriptor>(first)
                                                   : ChoosePlatform(images);
    // What is wrong with others is of no matter.
    if (!chosen.ok()) TRY(gathered);
    ImageDraft draft = TRY(ReadManifest(TRY(chosen)));
    AddName(first, draft);
    return draft;
  }

  // Adds the images among `entries` and in the indexes among them, each of
  // which is read once, if it may hold what is wanted. The first error, after
  // all that can be had.
  Status Gather(const std::vector<Descriptor>& entries, int depth,
                std::set<Digest>& read, std::vector<Descriptor>& images) const {
    Status all = Ok();
    for (const Descriptor& entry : entries) {
      if (!IsImage(entry)) continue;
      const bool other =
          !entry.platform.os.empty() && !entry.platform.Serves(platform_);
      if (entry.IsManifest() || other) {
        images.push_back(entry);  // to be chosen, or to be told of
        continue;
      }
      if (!read.insert(entry.digest).second) continue;
      const Status gathered = GatherFrom(entry, depth, read, images);
      if (all.ok()) all = gathered;
    }
    return all;
  }

  Status GatherFrom(const Descriptor& entry, int depth, std::set<Digest>& read,
                    std::vector<Descriptor>& images) const {
    const std::string what = "index " + entry.digest.ToString();
    if (depth == kDeepestIndex)
      return Error(ELOOP, what + ": nested too deeply");
    const ImageIndex index =
        TRY(ParseImageIndex(TRY(ReadBlob(entry))).With(what));
    return Gather(index.manifests, depth + 1, read, images);
  }

  Result<Descriptor> ChoosePlatform(
      const std::vector<Descriptor>& entries) const {
    std::string there;
    const Descriptor* best = nullptr;
    // Without a variant is what every machine of its kind can run.
    const auto is_exact = [&](const Descriptor& entry) {
      return entry.platform.variant == platform_.variant;
    };
    for (const Descriptor& entry : entries) {
      if (entry.platform.os.empty() && entries.size() == 1) return entry;
      if (entry.platform.Serves(platform_) &&
          (best == nullptr || (is_exact(entry) && !is_exact(*best))))
        best = &entry;
      there += (there.empty() ? "" : ", ") + (entry.platform.os.empty()
                                                  ? entry.digest.ToString()
                                                  : entry.platform.ToString());
    }
    if (best != nullptr) return *best;
    return Error(ENOENT, "nothing for " + platform_.ToString() +
                             (there.empty() ? "" : "; there is " + there) +
                             "; choose with --platform or --image");
  }

  static std::string PathOf(const Digest& digest) {
    return "blobs/sha256/" + digest.Hex();
  }

  // Of a small one, checked.
  Result<std::string> ReadBlob(const Descriptor& blob) const {
    TRY(FindBlob(blob));
    std::string text = TRY(files_.ReadDocument(PathOf(blob.digest)));
    if (const Digest own = Sha256Of(text); own != blob.digest)
      return Error(EBADMSG, "blob " + blob.digest.ToString() +
                                ": is damaged, its contents have the digest " +
                                own.ToString() + "; copy the image again");
    return text;
  }

  Status FindBlob(const Descriptor& blob) const {
    const std::string what = "blob " + blob.digest.ToString();
    const auto file = files_.Open(PathOf(blob.digest));
    if (file.code() == ENOENT)
      return Error(ENOENT, what +
                               ": is named but not there; copy the image "
                               "again, with all its layers");
    if (!file.ok()) return Error(file.error());
    if (file->size_bytes != blob.size_bytes)
      return Error(EBADMSG, what + ": has " + std::to_string(file->size_bytes) +
                                " bytes instead of " +
                                std::to_string(blob.size_bytes) +
                                "; copy the image again");
    return Ok();
  }

  Result<ImageDraft> ReadManifest(const Descriptor& entry) const {
    const std::string what = "manifest " + entry.digest.ToString();
    ImageDraft draft;
    draft.manifest_text = TRY(ReadBlob(entry));
    const ImageManifest manifest =
        TRY(ParseImageManifest(draft.manifest_text).With(what));
    if (manifest.media_type != entry.media_type)
      return Error(EINVAL, what + ": is '" + manifest.media_type + "', not '" +
                               entry.media_type + "' as it is called");
    draft.config_text = TRY(ReadBlob(manifest.config));
    const Image image =
        TRY(Image::Make(draft.manifest_text, draft.config_text).With(what));
    draft.config = image.config;
    for (const Descriptor& layer : manifest.layers) {
      TRY(FindBlob(layer));
      draft.layers.push_back(
          {PathOf(layer.digest), layer.size_bytes, layer.digest});
    }
    return draft;
  }

  // A tag alone is no name.
  static void AddName(const Descriptor& entry, ImageDraft& draft) {
    for (const char* key : {kContainerdName, kRefName}) {
      const std::string name = Annotation(entry, key);
      const auto normal = NormalizeLayerName(name);
      if (!normal.ok() || name.find_first_of(":/") == name.npos) continue;
      draft.names.push_back(*normal);
      return;
    }
  }

  const ImageFiles& files_;
  const ImageChoice& choice_;
  const Platform platform_;
};

}  // namespace

bool IsOciLayout(const ImageFiles& files) {
  return files.Has(kLayoutFile) && files.Has(kIndexFile);
}

Result<std::vector<ImageDraft>> ReadOciLayout(const ImageFiles& files,
                                              const ImageChoice& choice) {
  return LayoutReader(files, choice).Read();
}

}  // namespace ufs
