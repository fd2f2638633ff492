// Writing images for others to read: OCI layouts and docker archives.
//
// A layer's compressed form is written as it came, where it was kept, and its
// digest compared on the way; the manifest then is the one that came, too. What
// has no such form is written as its tar, or compressed if that is asked for.
// Threads: one.
// Errors: EUCLEAN for what is damaged in the store; else those of the output.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "layerdb/byte_stream.h"
#include "layerdb/compress.h"
#include "layerdb/layer_store.h"

namespace ufs {

// Takes the files of an image, each once.
class ImageOutput {
 public:
  virtual ~ImageOutput() = default;
  // A directory; those above it come first.
  virtual Status AddDirectory(const std::string& path) = 0;
  // A file of what is left of `contents`, which are `size_bytes`.
  virtual Status AddFile(const std::string& path, ByteSource& contents,
                         uint64_t size_bytes) = 0;
  // After the last: everything is where it should be, durably if that can be.
  virtual Status Finish() = 0;
};

// Below `dir`, an empty directory.
std::unique_ptr<ImageOutput> OutputToDirectory(BorrowedFd dir);
// A tar into `sink`, which is borrowed.
std::unique_ptr<ImageOutput> OutputToTar(ByteSink& sink);

struct ImageExportOptions {
  std::string name;  // the image's, with or without a tag; may be empty
  Compression compression = Compression::kNone;  // of what was not compressed
};

// The digest of the manifest that was written: not the image's when a
// compressed form was not kept, or another one was asked for.
Result<Digest> WriteOciLayout(const LayerStore& store, const Image& image,
                              const ImageExportOptions& options,
                              ImageOutput& output);
Status WriteDockerArchive(const LayerStore& store, const Image& image,
                          const std::string& name, ImageOutput& output);

// An image of layers that are none yet: for this machine, with nothing to run.
Result<Image> MakeImageOf(const LayerStore& store,
                          const std::vector<Digest>& bottom_to_top);

}  // namespace ufs
