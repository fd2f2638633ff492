#include "layerdb/layer_path.h"

#include <algorithm>
#include <cerrno>

namespace ufs {
namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kMeta = ".wh..wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";

}  // namespace

Result<LayerPath> ParseLayerPath(std::string_view text) {
  LayerPath result;
  std::string& path = result.path;
  std::string_view last;
  while (!text.empty()) {
    const std::string_view name = text.substr(0, text.find('/'));
    text.remove_prefix(std::min(name.size() + 1, text.size()));
    if (name.empty() || name == ".") continue;
    if (name == "..") return Error(EINVAL, "its path leads upwards ('..')");
    if (last.starts_with(kWhiteout)) {
      // Below ".wh..wh.plnk" and the like AUFS keeps files of its own.
      if (!last.starts_with(kMeta))
        return Error(EINVAL, "its path goes through a whiteout");
      result.kind = LayerPath::Kind::kNothing;
    }
    if (!path.empty()) path += '/';
    path += name;
    last = name;
  }
  if (result.kind == LayerPath::Kind::kNothing) return result;
  if (!last.starts_with(kWhiteout)) return result;
  const std::string dir =
      path.substr(0, std::max(path.size() - last.size(), size_t{1}) - 1);
  const std::string_view target = last.substr(kWhiteout.size());
  if (last == kOpaque) {
    result.kind = LayerPath::Kind::kOpaque;
    path = dir;
  } else if (last.starts_with(kMeta)) {
    result.kind = LayerPath::Kind::kNothing;
  } else if (target.empty() || target == "." || target == "..") {
    return Error(EINVAL, "a whiteout that names nothing");
  } else {
    result.kind = LayerPath::Kind::kWhiteout;
    const std::string deleted =
        dir.empty() ? std::string(target) : dir + "/" + std::string(target);
    path = deleted;
  }
  return result;
}

}  // namespace ufs
