#include "layerdb/tar_recipe.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

namespace ufs {
namespace {

constexpr std::string_view kMagic = "UFSrecipe\n1\n";

void PutNumber(std::string& to, uint64_t number, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i)
    to += static_cast<char>(number >> (8 * i) & 0xff);
}

Error Damaged(std::string_view why) {
  return Error(EUCLEAN, "damaged recipe: " + std::string(why));
}

Result<uint64_t> TakeNumber(ByteSource& source, size_t bytes) {
  char text[8];
  if (TRY(ReadFull(source, text, bytes)) != bytes) return Damaged("cut off");
  uint64_t number = 0;
  for (size_t i = bytes; i-- > 0;)
    number = number << 8 | static_cast<uint8_t>(text[i]);
  return number;
}

// `size` bytes from `source` to `out`.
Status Copy(ByteSource& source, uint64_t size, ByteSink& out) {
  char buffer[64 << 10];
  while (size > 0) {
    const size_t want = std::min<uint64_t>(size, sizeof(buffer));
    const size_t got = TRY(source.Read(buffer, want));
    if (got == 0) return Damaged("cut off");
    TRY(out.Write({buffer, got}));
    size -= got;
  }
  return Ok();
}

}  // namespace

Result<std::unique_ptr<RecipeWriter>> RecipeWriter::Make(ByteSink& out) {
  auto sink = TRY(Compress(out, Compression::kZstd));
  TRY(sink->Write(kMagic));
  return std::unique_ptr<RecipeWriter>(new RecipeWriter(std::move(sink)));
}

Status RecipeWriter::Raw(std::string_view bytes) {
  if (bytes.empty()) return Ok();
  std::string step = "R";
  PutNumber(step, bytes.size(), 8);
  TRY(out_->Write(step));
  return out_->Write(bytes);
}

Status RecipeWriter::Part(const ObjectId& id, uint64_t offset, uint64_t size) {
  std::string step = "O";
  PutNumber(step, id.hi, 8);
  PutNumber(step, id.lo, 8);
  PutNumber(step, id.variant, 4);
  PutNumber(step, offset, 8);
  PutNumber(step, size, 8);
  return out_->Write(step);
}

Status RecipeWriter::Finish() {
  TRY(out_->Write("E"));
  return out_->Finish();
}

Status FollowRecipe(BorrowedFd recipe, const ObjectStore& objects,
                    ByteSink& out) {
  FdSource file(recipe);
  DecompressLimits limits;
  limits.max_ratio = UINT64_MAX;  // our own, and zeros are many
  const auto source = TRY(Decompress(file, limits).With("recipe"));
  char magic[kMagic.size()];
  if (TRY(ReadFull(*source, magic, sizeof(magic))) != sizeof(magic) ||
      std::string_view(magic, sizeof(magic)) != kMagic)
    return Damaged("it does not begin as one");
  while (true) {
    char step;
    if (TRY(ReadFull(*source, &step, 1)) != 1) return Damaged("cut off");
    if (step == 'E') return Ok();
    if (step == 'R') {
      TRY(Copy(*source, TRY(TakeNumber(*source, 8)), out));
      continue;
    }
    if (step != 'O') return Damaged("an unknown step");
    ObjectId id;
    id.hi = TRY(TakeNumber(*source, 8));
    id.lo = TRY(TakeNumber(*source, 8));
    id.variant = static_cast<uint32_t>(TRY(TakeNumber(*source, 4)));
    const uint64_t offset = TRY(TakeNumber(*source, 8));
    const uint64_t size = TRY(TakeNumber(*source, 8));
    const UniqueFd object = TRY(objects.OpenObject(id));
    FileRangeSource part(object, offset, size);
    TRY(CopyAll(part, out));
  }
}

}  // namespace ufs
