#include "layerdb/image.h"

#include <cerrno>

#include "layerdb/percent.h"
#include "layerdb/record_text.h"

namespace ufs {
namespace {

constexpr std::string_view kFirstLine = "ufs-image 1";

Error Damaged(const std::string& why) {
  return Error(EUCLEAN, "its record is damaged: " + why);
}

}  // namespace

Result<Image> Image::Make(std::string manifest_text, std::string config_text) {
  Image image;
  image.digest = Sha256Of(manifest_text);
  image.manifest = TRY(ParseImageManifest(manifest_text).With("manifest"));
  const std::string what = "config " + image.id().ToString();
  if (image.manifest.config.size_bytes != config_text.size())
    return Error(EINVAL, what + " has " + std::to_string(config_text.size()) +
                             " bytes, its manifest says " +
                             std::to_string(image.manifest.config.size_bytes));
  if (const Digest own = Sha256Of(config_text); own != image.id())
    return Error(EINVAL,
                 what + ": its contents have the digest " + own.ToString());
  image.config = TRY(ParseImageConfig(config_text).With(what));
  if (image.config.diff_ids.size() != image.manifest.layers.size())
    return Error(EINVAL, what + " names " +
                             std::to_string(image.config.diff_ids.size()) +
                             " layers, its manifest " +
                             std::to_string(image.manifest.layers.size()));
  image.manifest_text = std::move(manifest_text);
  image.config_text = std::move(config_text);
  return image;
}

Result<Image> Image::Parse(std::string_view text) {
  if (TakeUntil(text, '\n') != kFirstLine) return Damaged("no record at all");
  int64_t created = 0;
  std::string source;
  std::vector<Digest> blobs;
  size_t manifest_bytes = 0, config_bytes = 0;
  const auto parse = [&](std::string_view key,
                         std::string_view value) -> Status {
    if (key == "created") return ParseNumber(value, created);
    if (key == "manifest") return ParseNumber(value, manifest_bytes);
    if (key == "config") return ParseNumber(value, config_bytes);
    if (key == "source") source = TRY(PercentDecode(value));
    if (key == "blob") blobs.push_back(TRY(Digest::Parse(value)));
    // Other keys are those of a later ufs.
    return Ok();
  };
  bool ended = false;
  while (!text.empty() && !ended) {
    std::string_view line = TakeUntil(text, '\n');
    const std::string_view key = TakeUntil(line, ' ');
    ended = key == "end";
    const Status parsed = parse(key, line);
    if (!parsed.ok()) return Damaged(parsed.error().ToString());
  }
  if (!ended || manifest_bytes > text.size() ||
      config_bytes != text.size() - manifest_bytes)
    return Damaged("cut short");
  auto image = Make(std::string(text.substr(0, manifest_bytes)),
                    std::string(text.substr(manifest_bytes)));
  if (!image.ok()) return Damaged(image.error().ToString());
  image->created = created;
  image->source = std::move(source);
  image->blobs = std::move(blobs);
  return image;
}

std::string Image::Encode() const {
  std::string text(kFirstLine);
  const auto add = [&](std::string_view key, const std::string& value) {
    text += "\n" + std::string(key) + " " + value;
  };
  add("created", std::to_string(created));
  add("source", PercentEncode(source));
  for (const Digest& blob : blobs) add("blob", blob.ToString());
  add("manifest", std::to_string(manifest_text.size()));
  add("config", std::to_string(config_text.size()));
  return text + "\nend\n" + manifest_text + config_text;
}

}  // namespace ufs
