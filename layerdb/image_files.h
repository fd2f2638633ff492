// ImageFiles: the files an image is kept in outside a store, by path: those of
// a directory, or of a tar that is read at any place.
//
// Both are outside data. No path leads out of them; what is no regular file is
// not opened. Threads: reading from any.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

class ImageFiles {
 public:
  // Where the bytes of one are: `size_bytes` of `fd` from `offset` on.
  struct File {
    UniqueFd own;  // closes `fd`, unless others use it
    BorrowedFd fd = -1;
    uint64_t offset = 0;
    uint64_t size_bytes = 0;
  };

  virtual ~ImageFiles() = default;
  // ENOENT when there is none. Valid as long as the ImageFiles.
  virtual Result<File> Open(const std::string& path) const = 0;

  bool Has(const std::string& path) const { return Open(path).ok(); }
  // All of a JSON document. EFBIG for more than kMostDocumentBytes.
  Result<std::string> ReadDocument(const std::string& path) const;
};

Result<std::unique_ptr<ImageFiles>> OpenImageDirectory(const std::string& path);

// Reads the headers of all of a plain tar. EBADMSG for one that is damaged, has
// a file twice, or one with holes; EFBIG for too many entries.
// REQUIRES: `tar` is a regular file.
Result<std::unique_ptr<ImageFiles>> OpenImageTar(UniqueFd tar);

}  // namespace ufs
