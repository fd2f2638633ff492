#include "layerdb/image_import.h"

#include <cerrno>
#include <memory>
#include <optional>
#include <string>

#include "layerdb/base/log.h"

namespace ufs {
namespace {

class ImageImport {
 public:
  ImageImport(LayerStore& store, const ImageFiles& files,
              const ImageImportOptions& options)
      : store_(store), files_(files), options_(options) {}

  Result<std::vector<Image>> Run(const std::vector<ImageDraft>& drafts) {
    std::vector<Image> images;
    for (const ImageDraft& draft : drafts) images.push_back(TRY(Read(draft)));
    began_to_seal_ = true;
    for (const Ready& layer : ready_)
      TRY(layer.ingest->Seal(layer.imported.diff_id));
    for (Image& image : images) TRY(store_.PutImage(image));
    for (Image& image : images)
      for (const std::string& name : image.names)
        TRY(SetName(name, image.digest));
    return images;
  }

  bool began_to_seal() const { return began_to_seal_; }

 private:
  // A layer that is ready to be sealed.
  struct Ready {
    std::unique_ptr<Ingest> ingest;
    Imported imported;
  };

  // One that nobody here has asked for may have been another's.
  Status SetName(const std::string& name, const Digest& digest) {
    const auto before = store_.Find(name);
    TRY(store_.SetName(name, digest));
    if (options_.name.empty() && before.ok() && before->digest != digest)
      log::Warn("the name " + name + " was that of " +
                before->digest.ToString() +
                ", and is that of what was imported now");
    return Ok();
  }

  Result<Image> Read(const ImageDraft& draft) {
    std::vector<Descriptor> blobs;
    std::vector<Digest> kept;
    for (size_t i = 0; i < draft.layers.size(); ++i) {
      const std::string what = "layer " + std::to_string(i + 1) + " of " +
                               std::to_string(draft.layers.size()) + ", " +
                               draft.layers[i].path;
      const Imported imported =
          TRY(ReadLayer(draft.layers[i], draft.config.diff_ids[i]).With(what));
      blobs.push_back({MediaTypeOf(imported.compression),
                       imported.input_digest,
                       draft.layers[i].size_bytes,
                       {},
                       {}});
      if (imported.compression != Compression::kNone &&
          options_.layer.keep_blob)
        kept.push_back(imported.input_digest);
    }
    std::string manifest = draft.manifest_text;
    if (manifest.empty())
      manifest = MakeImageManifest({kOciConfig,
                                    Sha256Of(draft.config_text),
                                    draft.config_text.size(),
                                    {},
                                    {}},
                                   blobs);
    Image image = TRY(Image::Make(std::move(manifest), draft.config_text));
    image.source = options_.source;
    image.blobs = std::move(kept);
    image.names = draft.names;
    if (!options_.name.empty()) image.names = {options_.name};
    return image;
  }

  Result<Imported> ReadLayer(const ImageDraft::Layer& layer,
                             const Digest& diff_id) {
    // Only what it was found to be counts, not what is said of it.
    for (const Ready& known : ready_)
      if (layer.digest && known.imported.diff_id == diff_id &&
          known.imported.input_digest == *layer.digest)
        return known.imported;
    Ready ready;
    ready.ingest = TRY(store_.BeginIngest(options_.source));
    ready.ingest->SetOfImage();
    const ImageFiles::File file = TRY(files_.Open(layer.path));
    FileRangeSource source(file.fd, file.offset, file.size_bytes);
    ImportOptions options = options_.layer;
    options.tar.needs_end_mark = false;  // its digest is compared below
    if (options.on_progress)
      options.on_progress = [&](uint64_t bytes) {
        options_.layer.on_progress(read_bytes_ + bytes);
      };
    ready.imported = TRY(ImportTar(source, *ready.ingest, options));
    read_bytes_ += file.size_bytes;
    const Imported imported = ready.imported;
    if (layer.digest && imported.input_digest != *layer.digest)
      return Error(EBADMSG, "is damaged: its contents have the digest " +
                                imported.input_digest.ToString() +
                                "; copy the image again");
    if (imported.diff_id != diff_id)
      return Error(EBADMSG,
                   "its tar has the digest " + imported.diff_id.ToString() +
                       ", but the configuration says " + diff_id.ToString() +
                       ": it is not the layer of this image");
    ready_.push_back(std::move(ready));
    return imported;
  }

  LayerStore& store_;
  const ImageFiles& files_;
  const ImageImportOptions& options_;
  std::vector<Ready> ready_;  // in the order of sealing
  bool began_to_seal_ = false;
  uint64_t read_bytes_ = 0;
};

}  // namespace

Result<std::vector<Image>> ImportImages(LayerStore& store,
                                        const ImageFiles& files,
                                        const std::vector<ImageDraft>& drafts,
                                        const ImageImportOptions& options) {
  std::optional<Result<std::vector<Image>>> images;
  bool began_to_seal = false;
  {
    ImageImport import(store, files, options);
    images.emplace(import.Run(drafts));
    began_to_seal = import.began_to_seal();
  }
  // A full disk between two layers: those that are there are nobody's.
  if (!images->ok() && began_to_seal) (void)store.Gc({});
  return std::move(*images);
}

}  // namespace ufs
