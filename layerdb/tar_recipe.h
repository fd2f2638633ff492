// A recipe: what makes a layer's tar again, byte for byte, of its objects. It
// holds all of the tar but the file contents that the store has.
//
// Format, zstd-compressed: "UFSrecipe\n1\n", then steps:
//   'R' length(8) bytes               these bytes
//   'O' hi(8) lo(8) variant(4) offset(8) length(8)   a part of an object
//   'E'                               the end
// Numbers are little-endian.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "layerdb/byte_stream.h"
#include "layerdb/compress.h"
#include "layerdb/object_store.h"

namespace ufs {

class RecipeWriter {
 public:
  // Borrows `out`.
  static Result<std::unique_ptr<RecipeWriter>> Make(ByteSink& out);
  Status Raw(std::string_view bytes);
  Status Part(const ObjectId& id, uint64_t offset, uint64_t size);
  Status Finish();

 private:
  explicit RecipeWriter(std::unique_ptr<CompressedSink> out)
      : out_(std::move(out)) {}
  std::unique_ptr<CompressedSink> out_;
};

// Writes the recipe anew to `out`, with the bytes of every object that `lasts`
// says no to. Errors as FollowRecipe.
Status CompleteRecipe(BorrowedFd recipe,
                      const std::function<bool(const ObjectId&)>& lasts,
                      const OpenObjectFn& open_object, ByteSink& out);

// Reads the recipe and none of the objects. EUCLEAN when it is not what was
// written.
Status CheckRecipe(BorrowedFd recipe);

// Writes what the recipe makes to `out`. EUCLEAN for a damaged recipe, or an
// object that is shorter than it says.
Status FollowRecipe(BorrowedFd recipe, const ObjectStore& objects,
                    ByteSink& out);

}  // namespace ufs
