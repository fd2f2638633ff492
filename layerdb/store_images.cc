// The images of a store: one file each, below images/.
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "layerdb/base/fault.h"
#include "layerdb/layer_store.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

FaultPoint kPut("image.put");
FaultPoint kRemove("image.remove");

constexpr size_t kMostListed = 8;

}  // namespace

std::string ImageFileName(const Digest& digest) {
  return digest.Hex() + ".image";
}

Result<std::vector<Digest>> LayerStore::ImageFiles() const {
  std::vector<Digest> digests;
  if (!images_dir_.valid()) return digests;
  for (const std::string& name : TRY(ListNames({images_dir_})))
    if (const auto digest = DigestOfFile(name, ".image"))
      digests.push_back(*digest);
  return digests;
}

bool LayerStore::HasImage(const Digest& digest) const {
  return images_dir_.valid() &&
         sys::Statx({images_dir_, ImageFileName(digest).c_str()}).ok();
}

Result<Image> LayerStore::ImageFromFile(const Digest& digest) const {
  const std::string what = "image " + digest.ToString();
  if (!HasImage(digest)) return Error(ENOENT, what + " is not in " + path_);
  const std::string text =
      TRY(ReadSmallFile({images_dir_, ImageFileName(digest).c_str()},
                        kMostImageBytes)
              .With(what));
  Image image = TRY(Image::Parse(text).With(what));
  if (image.digest != digest)
    return Error(EUCLEAN, what + ": its record is that of another image");
  return image;
}

Result<Image> LayerStore::OpenImage(const Digest& digest) const {
  Image image = TRY(ImageFromFile(digest));
  image.names = TRY(NamesOf(digest));
  return image;
}

Result<std::vector<Image>> LayerStore::Images() const {
  std::vector<Image> images;
  for (const Digest& digest : TRY(ImageFiles())) {
    auto image = OpenImage(digest);
    if (image.code() == ENOENT) continue;  // removed meanwhile
    if (!image.ok()) {
      image = Image{};
      image->digest = digest;
      image->source = "(damaged; see 'ufs store check')";
    }
    images.push_back(std::move(*image));
  }
  std::sort(images.begin(), images.end(), [](const Image& a, const Image& b) {
    return std::tie(a.created, a.digest) < std::tie(b.created, b.digest);
  });
  return images;
}

Result<StoreReference> LayerStore::Find(std::string_view reference) const {
  const std::string shown(reference.substr(0, 300));
  if (const auto name = NormalizeLayerName(reference); name.ok()) {
    const auto digest = names().Get(*name);
    if (digest.ok() && Has(*digest)) return StoreReference{*digest, false};
    if (digest.ok() && HasImage(*digest)) return StoreReference{*digest, true};
    if (digest.ok())
      return Error(ENOENT, "name " + *name + ": what it names, " +
                               digest->ToString() +
                               ", is not in the store (see 'ufs store check')");
    if (digest.code() != ENOENT) return Error(digest.error());
  }
  // A whole digest needs no look at every image.
  if (const auto whole = Digest::Parse(reference); whole.ok()) {
    if (Has(*whole)) return StoreReference{*whole, false};
    if (HasImage(*whole)) return StoreReference{*whole, true};
  }
  std::string_view hex = reference;
  if (hex.starts_with("sha256:")) hex.remove_prefix(7);
  std::vector<StoreReference> matches;
  if (IsDigestPrefix(hex)) {
    for (const Digest& digest : TRY(LayerFiles()))
      if (digest.Hex().starts_with(hex)) matches.push_back({digest, false});
    for (const Digest& digest : TRY(ImageFiles())) {
      bool matched = digest.Hex().starts_with(hex);
      if (!matched) {
        const auto image = ImageFromFile(digest);
        matched = image.ok() && image->id().Hex().starts_with(hex);
      }
      if (matched) matches.push_back({digest, true});
    }
  }
  if (matches.size() == 1) return matches[0];
  if (matches.empty()) {
    const bool short_digits =
        hex.size() < kLeastPrefix &&
        hex.find_first_not_of("0123456789abcdef") == hex.npos;
    return Error(ENOENT,
                 "'" + shown +
                     "': no layer or image with this name or digest in " +
                     path_ +
                     (short_digits ? "; or give four or more digits of its "
                                     "digest"
                                   : "; see 'ufs layer ls'"));
  }
  std::string list;
  for (size_t i = 0; i < matches.size() && i < kMostListed; ++i)
    list +=
        (i > 0 ? ", " : "") + matches[i].digest.Hex().substr(0, hex.size() + 4);
  if (matches.size() > kMostListed) list += ", ...";
  return Error(ENOTUNIQ, "'" + shown + "' begins the digests of " +
                             std::to_string(matches.size()) +
                             " layers or images: " + list +
                             "; give more digits");
}

Result<Digest> LayerStore::Resolve(std::string_view reference) const {
  const StoreReference found = TRY(Find(reference));
  if (!found.is_image) return found.digest;
  return Error(EINVAL, "'" + std::string(reference) +
                           "' is an image; name one of its layers, which 'ufs "
                           "layer show' lists");
}

Result<std::vector<Digest>> LayerStore::ResolveRun(
    std::string_view reference) const {
  const StoreReference found = TRY(Find(reference));
  if (!found.is_image) return std::vector<Digest>{found.digest};
  const Image image = TRY(ImageFromFile(found.digest));
  if (image.config.diff_ids.empty())
    return Error(ENODATA, "'" + std::string(reference) +
                              "' is an image without any layers");
  return image.config.diff_ids;
}

Result<Image> LayerStore::FindImage(std::string_view reference) const {
  const StoreReference found = TRY(Find(reference));
  if (found.is_image) return OpenImage(found.digest);
  return Error(EINVAL, "'" + std::string(reference) + "' is a layer, no image");
}

Result<std::vector<Digest>> LayerStore::ImagesWith(
    const Digest& diff_id) const {
  std::vector<Digest> users;
  for (const Digest& digest : TRY(ImageFiles())) {
    const Image image = TRY(ImageFromFile(digest));
    const std::vector<Digest>& layers = image.config.diff_ids;
    if (std::find(layers.begin(), layers.end(), diff_id) != layers.end())
      users.push_back(digest);
  }
  return users;
}

Status LayerStore::PutImage(Image& image) {
  const std::string what = "image " + image.digest.ToString();
  const HeldLock lock = TRY(LockExclusive({dir_, "lock"}).With(path_));
  for (const Digest& diff_id : image.config.diff_ids)
    if (!Has(diff_id))
      return Error(ENOENT, what + ": its layer " + diff_id.ToString() +
                               " was removed meanwhile; import it again");
  if (const auto known = ImageFromFile(image.digest); known.ok()) {
    // The same manifest: only blobs may be new.
    image.created = known->created;
    image.source = known->source;
    for (const Digest& blob : known->blobs)
      if (std::find(image.blobs.begin(), image.blobs.end(), blob) ==
          image.blobs.end())
        image.blobs.push_back(blob);
  } else {
    image.created = time(nullptr);
    image.source = ShortSource(std::move(image.source));
  }
  TRY(kPut.Visit());
  // The publication: before the rename in it the image is not there.
  return ReplaceFile(images_dir_, ImageFileName(image.digest), image.Encode())
      .With(what);
}

Status LayerStore::RemoveImage(const Digest& digest, bool names_too) {
  const std::string what = "image " + digest.ToString();
  const HeldLock lock = TRY(LockExclusive({dir_, "lock"}).With(path_));
  if (!HasImage(digest)) return Error(ENOENT, what + " is not in " + path_);
  const std::vector<std::string> own_names = TRY(NamesOf(digest));
  if (!own_names.empty() && !names_too)
    return Error(EBUSY, what + " is named " + own_names.front() +
                            (own_names.size() > 1 ? " and more" : ""));
  if (TRY(IsImageMounted(digest)))
    return Error(EBUSY, what + " is in use by a mount or another command");
  for (const std::string& name : own_names) TRY(names().Remove(name));
  return RemoveImageLocked(digest);
}

Result<bool> LayerStore::IsImageMounted(const Digest& digest) const {
  const auto image = ImageFromFile(digest);
  // A damaged one cannot be mounted, and is to be got rid of.
  if (!image.ok() || image->config.diff_ids.empty()) return false;
  const std::vector<Digest>& layers = image->config.diff_ids;
  const std::string file = IndexFileName(ChainId(layers));
  const auto lock = TryLockExclusive(
      {layers.size() == 1 ? layers_dir_ : views_dir_, file.c_str()});
  if (lock.code() == EBUSY) return true;
  if (!lock.ok() && lock.code() != ENOENT) return Error(lock.error());
  return false;
}

Status LayerStore::RemoveImageLocked(const Digest& digest) {
  const std::string file = ImageFileName(digest);
  TRY(kRemove.Visit());
  TRY(sys::UnlinkAt({images_dir_, file.c_str()})
          .With("image " + digest.ToString()));
  return sys::FSync(images_dir_);
}

}  // namespace ufs
