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

struct Part {
  ObjectId id;
  uint64_t offset = 0;
  uint64_t size = 0;
};

// Tells what a recipe says, in order: `on_raw` some bytes, `on_part` a part of
// an object.
template <typename OnRaw, typename OnPart>
Status ReadRecipe(BorrowedFd recipe, OnRaw on_raw, OnPart on_part) {
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
    if (step == 'E') {
      // The checksum comes last.
      if (TRY(source->Read(&step, 1)) != 0)
        return Damaged("it goes on after its end");
      return Ok();
    }
    if (step == 'R') {
      char buffer[64 << 10];
      for (uint64_t left = TRY(TakeNumber(*source, 8)); left > 0;) {
        const size_t want = std::min<uint64_t>(left, sizeof(buffer));
        const size_t got = TRY(source->Read(buffer, want));
        if (got == 0) return Damaged("cut off");
        TRY(on_raw(std::string_view(buffer, got)));
        left -= got;
      }
      continue;
    }
    if (step != 'O') return Damaged("an unknown step");
    Part part;
    part.id.hi = TRY(TakeNumber(*source, 8));
    part.id.lo = TRY(TakeNumber(*source, 8));
    part.id.variant = static_cast<uint32_t>(TRY(TakeNumber(*source, 4)));
    part.offset = TRY(TakeNumber(*source, 8));
    part.size = TRY(TakeNumber(*source, 8));
    TRY(on_part(part));
  }
}

// The bytes of steps that are written anew.
class RawSink final : public ByteSink {
 public:
  explicit RawSink(RecipeWriter& recipe) : recipe_(recipe) {}
  Status Write(std::string_view bytes) override { return recipe_.Raw(bytes); }

 private:
  RecipeWriter& recipe_;
};

Status CopyPart(const Part& part, const OpenObjectFn& open_object,
                ByteSink& out) {
  const UniqueFd object = TRY(open_object(part.id));
  FileRangeSource bytes(object, part.offset, part.size);
  TRY(CopyAll(bytes, out));
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

Status CompleteRecipe(BorrowedFd recipe,
                      const std::function<bool(const ObjectId&)>& lasts,
                      const OpenObjectFn& open_object, ByteSink& out) {
  const auto anew = TRY(RecipeWriter::Make(out));
  RawSink raw(*anew);
  TRY(ReadRecipe(
      recipe, [&](std::string_view bytes) { return anew->Raw(bytes); },
      [&](const Part& part) -> Status {
        if (lasts(part.id)) return anew->Part(part.id, part.offset, part.size);
        return CopyPart(part, open_object, raw);
      }));
  return anew->Finish();
}

Status CheckRecipe(BorrowedFd recipe) {
  auto read = ReadRecipe(
      recipe, [](std::string_view) { return Ok(); },
      [](const Part&) { return Ok(); });
  if (read.ok() || read.code() == EUCLEAN) return read;
  return Damaged(read.error().ToString());
}

Status FollowRecipe(BorrowedFd recipe, const ObjectStore& objects,
                    ByteSink& out) {
  return ReadRecipe(
      recipe, [&](std::string_view bytes) { return out.Write(bytes); },
      [&](const Part& part) {
        return CopyPart(
            part, [&](const ObjectId& id) { return objects.OpenObject(id); },
            out);
      });
}

}  // namespace ufs
