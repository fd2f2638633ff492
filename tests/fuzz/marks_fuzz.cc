// What a layer says beside its files: the values and names of marks, chunk maps
// among them, ACLs, and the names whiteouts have. Whatever is accepted comes
// back the same when it is written and read again.
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "fs/acl.h"
#include "fs/chunk_map.h"
#include "fs/marks.h"
#include "fs/types.h"

namespace {

void Require(bool condition) {
  if (!condition) abort();
}

template <typename Parse, typename Format>
void CheckRoundTrip(std::string_view text, Parse parse, Format format) {
  const auto value = parse(text);
  if (!value.ok()) {
    Require(value.code() == EIO && !value.error().context().empty());
    return;
  }
  const std::string written = format(*value);
  const auto again = parse(written);
  Require(again.ok() && format(*again) == written);
}

// A redirect leads nowhere but down from the root of the layers.
void CheckRedirect(std::string_view text) {
  const auto redirect = ufs::ParseRedirect(text);
  if (!redirect.ok()) return;
  Require(*redirect == text && text.size() < PATH_MAX);
  const std::string wrapped = "/" + std::string(text) + "/";
  Require(wrapped.find("/../") == wrapped.npos);
  Require(wrapped.find("/./") == wrapped.npos);
  Require(wrapped.find("//", 2) == wrapped.npos);
  Require(text.find('\0') == text.npos);
}

// No name of a user's is a mark of ours, and each comes back.
void CheckNames(std::string_view text) {
  const std::string name(text.substr(0, text.find('\0')));
  for (const bool trusted : {false, true}) {
    const ufs::MarkNames names(trusted);
    (void)names.ToVisible(name);
    const std::string stored = names.ToStored(name);
    const auto visible = names.ToVisible(stored);
    Require(visible && *visible == name);
    const auto kept = names.ToVisible(names.ToOverride(name));
    Require(kept && *kept == name);
    for (const std::string* mark :
         {&names.opaque, &names.redirect, &names.metacopy, &names.impure,
          &names.whiteout, &names.origin, &names.nlink, &names.literal,
          &names.held_time})
      Require(stored != *mark && !names.ToVisible(*mark));
  }
}

void CheckWhiteoutNames(std::string_view text) {
  const std::string bytes(text.substr(0, text.find('\0')));
  const auto name = ufs::Name::Parse(bytes.c_str());
  if (!name.ok()) return;
  if (const auto mark = ufs::AufsWhiteoutName(*name)) {
    Require(mark->size() <= NAME_MAX);
    Require(ufs::IsAufsMarkName(*mark));
    Require(mark->ends_with(name->view()));
  }
  struct statx stat {};
  stat.stx_mode = S_IFREG;
  if (ufs::IsAufsMark(name->view(), stat, ufs::Marks()))
    Require(ufs::IsAufsMarkName(name->view()));
}

// The runs of a map follow each other from the start to the end of a file of
// any size, and what they leave to the layer is what is missing.
void CheckChunkMap(std::string_view text) {
  const std::string this_boot(16, 'b'), other_boot(16, 'o');
  for (const uint64_t size : {uint64_t{0}, uint64_t{100000}, UINT64_MAX}) {
    const auto map = ufs::ChunkMap::Parse(text, this_boot, size);
    if (!map.ok()) {
      Require(map.code() == EIO && !map.error().context().empty());
      continue;
    }
    Require(map->limit() <= size);
    uint64_t missing = 0;
    for (uint64_t at = 0; at != UINT64_MAX;) {
      const auto run = map->RunAt(at);
      Require(run.end > at && (run.in_upper || run.end <= map->limit()));
      Require(map->Covers(at, run.end) == run.in_upper);
      if (!run.in_upper) missing += run.end - at;
      at = run.end;
    }
    Require(missing == map->MissingBytes() && map->Whole() == (missing == 0));
    const auto piece = map->FirstMissing(1);
    Require(piece.begin <= piece.end && piece.end <= map->limit());
    for (const std::string& boot : {this_boot, other_boot}) {
      const std::string written = map->Format(boot);
      const auto again = ufs::ChunkMap::Parse(written, boot, size);
      Require(again.ok() && again->Format(boot) == written);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  CheckRoundTrip(text, ufs::ParseOverride, ufs::FormatOverride);
  if (const auto foreign = ufs::ParseForeignOverride(text); foreign.ok())
    Require((foreign->mode & ~(07777u | S_IFMT)) == 0);
  CheckRoundTrip(text, ufs::ParseOrigin, ufs::FormatOrigin);
  CheckRoundTrip(text, ufs::ParseHeldTime, ufs::FormatHeldTime);
  CheckRedirect(text);
  CheckChunkMap(text);
  CheckNames(text);
  CheckWhiteoutNames(text);
  if (const auto acl = ufs::InheritAcl(text, 0666); acl.ok())
    Require((acl->mode & ~07777u) == 0 && acl->access.size() <= text.size());
  return 0;
}
