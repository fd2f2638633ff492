// Which images an OCI layout or a docker archive holds, and where their parts
// are; nothing is imported yet, and of layers only the size was looked at.
//
//   OCI layout      image-layout.md of the OCI image specification
//   docker archive  what `docker save` and `podman save` write: manifest.json,
//                   configurations and layers by path
//
// Errors name the file or blob: EINVAL, EBADMSG for what is wrong with it,
// ENOENT for what is missing, ENOTUNIQ when it has to be said which is meant.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "layerdb/image_files.h"
#include "layerdb/image_manifest.h"

namespace ufs {

// Which of several.
struct ImageChoice {
  std::string reference;             // empty: all there are
  std::optional<Platform> platform;  // else that of this machine
};

// One image of them, on its way into a store.
struct ImageDraft {
  struct Layer {
    std::string path;
    uint64_t size_bytes = 0;
    std::optional<Digest> digest;  // that it must have; a manifest says it
  };
  std::string manifest_text;  // empty: it has none
  std::string config_text;
  ImageConfig config;
  std::vector<Layer> layers;       // bottom to top
  std::vector<std::string> names;  // it says that it has; normalized
};

bool IsOciLayout(const ImageFiles& files);
bool IsDockerArchive(const ImageFiles& files);

// ENOENT when none is chosen.
Result<std::vector<ImageDraft>> ReadOciLayout(const ImageFiles& files,
                                              const ImageChoice& choice);
Result<std::vector<ImageDraft>> ReadDockerArchive(const ImageFiles& files,
                                                  const ImageChoice& choice);
// Whichever it is; a layout first, as it has digests. EINVAL when it is none.
Result<std::vector<ImageDraft>> ReadImages(const ImageFiles& files,
                                           const ImageChoice& choice);

// Whether a tar that begins with `head` (some KiB, compressed or not) may hold
// images: by the name of its first entry.
bool MayHoldImages(std::string_view head);

// Whether a plain tar that does not begin like one is a docker archive all the
// same. Reads as far as its entries are such as one may have.
// REQUIRES: `tar` is a regular file.
bool HoldsDockerArchive(BorrowedFd tar);
// Whether that is what a docker archive's manifest.json says.
bool IsDockerManifest(std::string_view text);

}  // namespace ufs
