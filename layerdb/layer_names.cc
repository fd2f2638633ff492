#include "layerdb/layer_names.h"

#include <algorithm>
#include <cerrno>

#include "layerdb/base/fault.h"
#include "layerdb/percent.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

FaultPoint kSet("name.set");
FaultPoint kRemove("name.remove");

constexpr size_t kMostBytes = 255;  // of the encoded name, a file's
constexpr size_t kMostTagBytes = 128;
constexpr size_t kDigestFileBytes = 100;
constexpr std::string_view kLatest = ":latest";

bool IsWordByte(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
         (c >= 'A' && c <= 'Z') || c == '_';
}

bool IsWord(std::string_view text) {
  return !text.empty() && IsWordByte(text.front()) &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return IsWordByte(c) || c == '.' || c == '-';
         });
}

// HOST:PORT, which only the first of several parts may be.
bool IsHost(std::string_view part) {
  const size_t colon = part.find(':');
  if (colon == part.npos) return IsWord(part);
  const std::string_view port = part.substr(colon + 1);
  return IsWord(part.substr(0, colon)) && !port.empty() && port.size() <= 5 &&
         std::all_of(port.begin(), port.end(),
                     [](char c) { return c >= '0' && c <= '9'; });
}

bool IsRepository(std::string_view text) {
  for (bool first = true;; first = false) {
    const size_t slash = text.find('/');
    const std::string_view part = text.substr(0, slash);
    const bool last = slash == text.npos;
    if (!(first && !last ? IsHost(part) : IsWord(part))) return false;
    if (last) return true;
    text.remove_prefix(slash + 1);
  }
}

std::string FileName(const std::string& name) { return PercentEncode(name); }

}  // namespace

Result<std::string> NormalizeLayerName(std::string_view name) {
  const size_t slash = name.rfind('/');
  const size_t colon = name.find(':', slash == name.npos ? 0 : slash);
  const std::string_view repository = name.substr(0, colon);
  const bool tagged = colon != name.npos;
  const std::string_view tag = tagged ? name.substr(colon + 1) : "";
  if (!IsRepository(repository) ||
      (tagged && (!IsWord(tag) || tag.size() > kMostTagBytes)))
    return Error(EINVAL,
                 "'" + std::string(name.substr(0, 300)) +
                     "' is no name of a layer: letters, digits and ._-/, "
                     "then perhaps a colon and a tag");
  std::string normal(name);
  if (normal.ends_with(kLatest)) normal.resize(normal.size() - kLatest.size());
  // Or an image could call itself what another's digest is.
  if (normal.starts_with("sha256:") || Digest::Parse(normal).ok())
    return Error(EINVAL, "'" + std::string(name.substr(0, 300)) +
                             "' is no name of a layer: it reads as a digest");
  if (FileName(normal).size() > kMostBytes)
    return Error(ENAMETOOLONG, "the name of a layer may have about 250 bytes");
  return normal;
}

Result<Digest> LayerNames::Get(const std::string& name) const {
  const std::string text =
      TRY(ReadSmallFile({dir_, FileName(name).c_str()}, kDigestFileBytes)
              .With("name " + name));
  std::string_view line = text;
  if (line.ends_with('\n')) line.remove_suffix(1);
  const auto digest = Digest::Parse(line);
  if (!digest.ok())
    return Error(EUCLEAN, "name " + name + ": its file holds no digest");
  return digest;
}

Status LayerNames::Set(const std::string& name, const Digest& digest) {
  TRY(kSet.Visit());
  return ReplaceFile(dir_, FileName(name), digest.ToString() + "\n")
      .With("name " + name);
}

Status LayerNames::Remove(const std::string& name) {
  TRY(kRemove.Visit());
  TRY(sys::UnlinkAt({dir_, FileName(name).c_str()}).With("name " + name));
  return sys::FSync(dir_);
}

Result<std::map<std::string, Digest>> LayerNames::All(
    std::vector<std::string>* damaged) const {
  std::map<std::string, Digest> names;
  for (const std::string& file : TRY(ListNames({dir_}))) {
    if (IsTemporaryName(file)) continue;
    const auto name = PercentDecode(file);
    const auto digest =
        name.ok() ? Get(*name) : Result<Digest>(Error(name.code()));
    if (digest.ok()) {
      names.emplace(*name, *digest);
    } else if (digest.code() == ENOENT) {
      continue;  // removed since we listed it
    } else if (damaged != nullptr) {
      damaged->push_back(file);
    }
  }
  return names;
}

}  // namespace ufs
