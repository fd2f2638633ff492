// What an image says about itself: the JSON documents of the OCI image
// specification 1.1 (image-index.md, manifest.md, config.md) and of Docker's
// "Image Manifest V2, Schema 2", which tell the same under other media types.
//
// All of it comes from outside: sizes, counts and depths are bounded, and
// errors (EINVAL, EFBIG; ENOTSUP for what is known but not read) name the
// field. What the documents say of others is to be checked by who reads those.
// Threads: values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/digest.h"

namespace ufs {

// Of one index, manifest or config. containers/image and registries refuse
// larger manifests too.
inline constexpr size_t kMostDocumentBytes = 4 << 20;
inline constexpr size_t kMostImageLayers = 500;
inline constexpr size_t kMostIndexEntries = 1000;

inline constexpr char kOciIndex[] = "application/vnd.oci.image.index.v1+json";
inline constexpr char kOciManifest[] =
    "application/vnd.oci.image.manifest.v1+json";
inline constexpr char kOciConfig[] = "application/vnd.oci.image.config.v1+json";
inline constexpr char kOciLayer[] = "application/vnd.oci.image.layer.v1.tar";
inline constexpr char kDockerIndex[] =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr char kDockerManifest[] =
    "application/vnd.docker.distribution.manifest.v2+json";

struct Platform {
  std::string os;            // "linux"; empty: not said
  std::string architecture;  // as Go spells it: "amd64", "arm64"
  std::string variant;       // "v8"; mostly empty

  // "linux/arm64/v8".
  std::string ToString() const;
  // EINVAL for what is not OS/ARCHITECTURE[/VARIANT].
  static Result<Platform> Parse(std::string_view text);
  static Platform OfThisMachine();
  // Whether somebody who wants `wanted` can take this one.
  bool Serves(const Platform& wanted) const;
};

struct Descriptor {
  std::string media_type;
  Digest digest;
  uint64_t size_bytes = 0;
  Platform platform;
  std::map<std::string, std::string> annotations;
  std::string artifact_type = {};  // of a manifest that is no image's

  bool IsIndex() const;
  bool IsManifest() const;
  // A manifest of something else than an image, as a signature.
  bool IsArtifact() const;
};

struct ImageIndex {
  std::vector<Descriptor> manifests;
};

struct ImageManifest {
  std::string media_type;
  Descriptor config;
  std::vector<Descriptor> layers;  // bottom to top
};

// As Docker has it; the OCI specification does not. 0: not said.
struct ImageHealthcheck {
  std::vector<std::string> test;  // "CMD", "CMD-SHELL" or "NONE" first
  int64_t interval_ns = 0;
  int64_t timeout_ns = 0;
  int64_t start_period_ns = 0;
  int64_t start_interval_ns = 0;
  int retries = 0;
};

struct ImageConfig {
  Platform platform;
  std::vector<Digest> diff_ids;  // bottom to top

  // How a container of it is to be run.
  std::string user;
  std::vector<std::string> env;  // "NAME=VALUE"
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::string working_dir;
  std::string stop_signal;
  std::vector<std::string> exposed_ports;  // "80/tcp"
  std::vector<std::string> volumes;        // paths
  std::map<std::string, std::string> labels;
  ImageHealthcheck healthcheck;
};

// An index and a manifest are told apart by what they hold; one that could be
// taken for both is refused (CVE-2021-41190).
Result<ImageIndex> ParseImageIndex(std::string_view json);
// ENOTSUP for an artifact that is no image, and for encrypted layers.
Result<ImageManifest> ParseImageManifest(std::string_view json);
Result<ImageConfig> ParseImageConfig(std::string_view json);

// The manifest of an image that came without one. The same image gives the
// same bytes.
std::string MakeImageManifest(const Descriptor& config,
                              const std::vector<Descriptor>& layers);
// `json`, a manifest that parses, with other layers; all else stays.
Result<std::string> ReplaceLayers(std::string_view json,
                                  const std::vector<Descriptor>& layers);

}  // namespace ufs
