#include "layerdb/image_manifest.h"

#include <sys/utsname.h>

#include <algorithm>
#include <cerrno>

#include "layerdb/base/json_reader.h"
#include "layerdb/descriptor_json.h"

namespace ufs {
namespace {

constexpr std::string_view kLayerPrefixes[] = {
    "application/vnd.oci.image.layer.",
    "application/vnd.docker.image.rootfs.",
};
constexpr std::string_view kConfigTypes[] = {
    kOciConfig, "application/vnd.docker.container.image.v1+json"};

Status ReadDigest(const JsonReader& field, Digest& digest) {
  std::string text;
  TRY(field.Read(text));
  const size_t colon = text.find(':');
  if (colon != text.npos && text.substr(0, colon) != "sha256")
    return Error(ENOTSUP,
                 std::string(field.Invalid("is not SHA-256").context()));
  const auto parsed = Digest::Parse(text);
  if (!parsed.ok() || colon == text.npos)
    return field.Invalid("must be 'sha256:' and 64 hexadecimal digits");
  digest = *parsed;
  return Ok();
}

Status ReadPlatform(const JsonReader& object, Platform& platform) {
  TRY(object.Read("os", platform.os));
  TRY(object.Read("architecture", platform.architecture));
  return object.Read("variant", platform.variant);
}

Status ReadDescriptor(const JsonReader& object, Descriptor& descriptor) {
  if (!object.present()) return object.Invalid("is missing");
  TRY(object.Read("mediaType", descriptor.media_type));
  const JsonReader digest = TRY(object.Get("digest"));
  if (!digest.present()) return digest.Invalid("is missing");
  TRY(ReadDigest(digest, descriptor.digest));
  TRY(object.Require("size", descriptor.size_bytes));
  TRY(object.Read("artifactType", descriptor.artifact_type));
  TRY(ReadPlatform(TRY(object.Get("platform")), descriptor.platform));
  return object.Read("annotations", descriptor.annotations);
}

Result<std::vector<Descriptor>> ReadDescriptors(const JsonReader& array,
                                                size_t most) {
  std::vector<Descriptor> descriptors;
  const std::vector<JsonReader> elements = TRY(array.Elements());
  if (elements.size() > most)
    return Error(EFBIG, array.path() + " has more than " +
                            std::to_string(most) + " entries");
  for (const JsonReader& element : elements)
    TRY(ReadDescriptor(element, descriptors.emplace_back()));
  return descriptors;
}

// An index or manifest, and that it is not the other at the same time.
Status CheckKind(const JsonReader& document, const char* wanted,
                 const char* forbidden, std::string& media_type) {
  int schema = 0;
  TRY(document.Require("schemaVersion", schema));
  if (schema != 2)
    return Error(ENOTSUP, "schemaVersion is " + std::to_string(schema) +
                              "; only 2 is read");
  TRY(document.Read("mediaType", media_type));
  if (!TRY(document.Get(wanted)).present())
    return document.Invalid("has no '" + std::string(wanted) + "'");
  if (TRY(document.Get(forbidden)).present())
    return document.Invalid("has both '" + std::string(wanted) + "' and '" +
                            std::string(forbidden) +
                            "', so that it could be taken for two things");
  return Ok();
}

bool IsConfigType(std::string_view media_type) {
  return std::find(std::begin(kConfigTypes), std::end(kConfigTypes),
                   media_type) != std::end(kConfigTypes);
}

Status CheckLayerType(const Descriptor& layer, const std::string& where) {
  if (layer.media_type.ends_with("+encrypted"))
    return Error(ENOTSUP, where + " is encrypted; decrypt the image first");
  for (const std::string_view prefix : kLayerPrefixes)
    if (layer.media_type.starts_with(prefix)) return Ok();
  return Error(ENOTSUP, where + " is no layer but '" + layer.media_type + "'");
}

std::vector<std::string> KeysOf(
    const std::vector<std::pair<std::string, JsonReader>>& members) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : members) keys.push_back(key);
  return keys;
}

Status ReadHealthcheck(const JsonReader& object, ImageHealthcheck& check) {
  TRY(object.Read("Test", check.test));
  TRY(object.Read("Interval", check.interval_ns));
  TRY(object.Read("Timeout", check.timeout_ns));
  TRY(object.Read("StartPeriod", check.start_period_ns));
  TRY(object.Read("StartInterval", check.start_interval_ns));
  return object.Read("Retries", check.retries);
}

Json ToJson(const std::vector<Descriptor>& descriptors) {
  Json array = Json::array();
  for (const Descriptor& descriptor : descriptors)
    array.push_back(ToJson(descriptor));
  return array;
}

}  // namespace

std::string Platform::ToString() const {
  std::string text = os + "/" + architecture;
  if (!variant.empty()) text += "/" + variant;
  return text;
}

Result<Platform> Platform::Parse(std::string_view text) {
  Platform platform;
  std::string* const parts[] = {&platform.os, &platform.architecture,
                                &platform.variant};
  size_t count = 0;
  std::string_view rest = text;
  for (std::string* part : parts) {
    const size_t slash = rest.find('/');
    *part = rest.substr(0, slash);
    if (part->empty()) break;
    ++count;
    if (slash == rest.npos) {
      if (count >= 2) return platform;
      break;
    }
    rest.remove_prefix(slash + 1);
  }
  return Error(EINVAL, "'" + std::string(text) +
                           "' is no platform: OS/ARCHITECTURE[/VARIANT], as "
                           "'linux/arm64'");
}

Platform Platform::OfThisMachine() {
  static constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"x86_64", "amd64"},   {"aarch64", "arm64"}, {"i686", "386"},
      {"i386", "386"},       {"armv7l", "arm"},    {"armv6l", "arm"},
      {"riscv64", "riscv64"}};
  struct utsname machine {};
  uname(&machine);  // cannot fail with a buffer of its own
  Platform platform{"linux", machine.machine, ""};
  for (const auto& [kernel, go] : kNames)
    if (platform.architecture == kernel) {
      platform.architecture = go;
      break;
    }
  return platform;
}

bool Platform::Serves(const Platform& wanted) const {
  return os == wanted.os && architecture == wanted.architecture &&
         (wanted.variant.empty() || variant.empty() ||
          variant == wanted.variant);
}

bool Descriptor::IsIndex() const {
  return media_type == kOciIndex || media_type == kDockerIndex;
}

bool Descriptor::IsManifest() const {
  return media_type == kOciManifest || media_type == kDockerManifest;
}

// The type of an image's own manifest is that of its config.
bool Descriptor::IsArtifact() const {
  return !artifact_type.empty() && !IsConfigType(artifact_type);
}

Result<ImageIndex> ParseImageIndex(std::string_view text) {
  const nlohmann::json json = TRY(ParseJson(text, kMostDocumentBytes));
  const JsonReader document(&json, "");
  std::string media_type;
  TRY(CheckKind(document, "manifests", "layers", media_type));
  ImageIndex index;
  index.manifests =
      TRY(ReadDescriptors(TRY(document.Get("manifests")), kMostIndexEntries));
  return index;
}

Result<ImageManifest> ParseImageManifest(std::string_view text) {
  const nlohmann::json json = TRY(ParseJson(text, kMostDocumentBytes));
  const JsonReader document(&json, "");
  ImageManifest manifest;
  TRY(CheckKind(document, "layers", "manifests", manifest.media_type));
  if (manifest.media_type.empty()) manifest.media_type = kOciManifest;
  TRY(ReadDescriptor(TRY(document.Get("config")), manifest.config));
  if (!IsConfigType(manifest.config.media_type))
    return Error(ENOTSUP, "its config is '" + manifest.config.media_type +
                              "': an artifact, no image");
  manifest.layers =
      TRY(ReadDescriptors(TRY(document.Get("layers")), kMostImageLayers));
  for (size_t i = 0; i < manifest.layers.size(); ++i)
    TRY(CheckLayerType(manifest.layers[i],
                       "layers[" + std::to_string(i) + "]"));
  return manifest;
}

Result<ImageConfig> ParseImageConfig(std::string_view text) {
  const nlohmann::json json = TRY(ParseJson(text, kMostDocumentBytes));
  const JsonReader document(&json, "");
  ImageConfig config;
  TRY(ReadPlatform(document, config.platform));
  const JsonReader rootfs = TRY(document.Get("rootfs"));
  if (!rootfs.present()) return document.Invalid("has no 'rootfs'");
  const std::vector<JsonReader> diff_ids =
      TRY(TRY(rootfs.Get("diff_ids")).Elements());
  if (diff_ids.size() > kMostImageLayers)
    return Error(EFBIG, "rootfs.diff_ids has more than " +
                            std::to_string(kMostImageLayers) + " entries");
  for (const JsonReader& diff_id : diff_ids)
    TRY(ReadDigest(diff_id, config.diff_ids.emplace_back()));

  const JsonReader run = TRY(document.Get("config"));
  TRY(run.Read("User", config.user));
  TRY(run.Read("Env", config.env));
  TRY(run.Read("Entrypoint", config.entrypoint));
  TRY(run.Read("Cmd", config.cmd));
  TRY(run.Read("WorkingDir", config.working_dir));
  TRY(run.Read("StopSignal", config.stop_signal));
  TRY(run.Read("Labels", config.labels));
  config.exposed_ports = KeysOf(TRY(TRY(run.Get("ExposedPorts")).Members()));
  config.volumes = KeysOf(TRY(TRY(run.Get("Volumes")).Members()));
  TRY(ReadHealthcheck(TRY(run.Get("Healthcheck")), config.healthcheck));
  return config;
}

std::string MakeImageManifest(const Descriptor& config,
                              const std::vector<Descriptor>& layers) {
  const Json manifest = {{"schemaVersion", 2},
                         {"mediaType", kOciManifest},
                         {"config", ToJson(config)},
                         {"layers", ToJson(layers)}};
  return manifest.dump();
}

Result<std::string> ReplaceLayers(std::string_view text,
                                  const std::vector<Descriptor>& layers) {
  TRY(ParseImageManifest(text));  // bounded, and of the right form
  Json manifest = Json::parse(text.begin(), text.end(), nullptr,
                              /*allow_exceptions=*/false);
  manifest["layers"] = ToJson(layers);
  return manifest.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace ufs
