#include "layerdb/layer_info.h"

#include <sys/stat.h>

#include <cerrno>

#include "layerdb/percent.h"
#include "layerdb/record_text.h"

namespace ufs {
namespace {

constexpr std::string_view kFirstLine = "ufs-layer 1";

Status ParseBlob(std::string_view value, LayerInfo& info) {
  BlobInfo blob;
  blob.digest = TRY(Digest::Parse(TakeUntil(value, ' ')));
  TRY(ParseNumber(TakeUntil(value, ' '), blob.size_bytes));
  blob.media_type = TRY(PercentDecode(value));
  info.blob = std::move(blob);
  return Ok();
}

Status ParseLine(std::string_view key, std::string_view value,
                 LayerInfo& info) {
  if (key == "diff-id") {
    info.diff_id = TRY(Digest::Parse(value));
  } else if (key == "created") {
    TRY(ParseNumber(value, info.created));
  } else if (key == "source") {
    info.source = TRY(PercentDecode(value));
  } else if (key == "entries") {
    TRY(ParseNumber(value, info.entries));
  } else if (key == "whiteouts") {
    TRY(ParseNumber(value, info.whiteouts));
  } else if (key == "content-bytes") {
    TRY(ParseNumber(value, info.content_bytes));
  } else if (key == "objects") {
    TRY(ParseNumber(value, info.objects));
  } else if (key == "blob") {
    TRY(ParseBlob(value, info));
  } else if (key == "recipe") {
    info.has_recipe = value == "yes";
  } else if (key == "of-image") {
    info.of_image = value == "yes";
  }
  // Other keys are those of a later ufs.
  return Ok();
}

}  // namespace

Result<LayerInfo> LayerInfo::Parse(std::string_view text) {
  if (TakeUntil(text, '\n') != kFirstLine)
    return Error(EINVAL, "no description of a layer");
  LayerInfo info;
  bool ended = false;
  while (!text.empty() && !ended) {
    std::string_view line = TakeUntil(text, '\n');
    const std::string_view key = TakeUntil(line, ' ');
    ended = key == "end";
    TRY(ParseLine(key, line, info).With(key));
  }
  if (!ended) return Error(EINVAL, "a description of a layer, cut short");
  return info;
}

std::string LayerInfo::Encode() const {
  std::string text(kFirstLine);
  const auto add = [&](std::string_view key, const std::string& value) {
    text += "\n" + std::string(key) + " " + value;
  };
  add("diff-id", diff_id.ToString());
  add("created", std::to_string(created));
  add("source", PercentEncode(source));
  add("entries", std::to_string(entries));
  add("whiteouts", std::to_string(whiteouts));
  add("content-bytes", std::to_string(content_bytes));
  add("objects", std::to_string(objects));
  if (blob)
    add("blob", blob->digest.ToString() + " " +
                    std::to_string(blob->size_bytes) + " " +
                    PercentEncode(blob->media_type));
  if (has_recipe) add("recipe", "yes");
  if (of_image) add("of-image", "yes");
  return text + "\nend\n";
}

std::string ShortSource(std::string source) {
  constexpr size_t kMostBytes = 4096;
  if (source.size() <= kMostBytes) return source;
  size_t end = kMostBytes;
  // Not within a character.
  while (end > 0 && (static_cast<unsigned char>(source[end]) & 0xC0) == 0x80)
    --end;
  return source.substr(0, end) + "...";
}

Status CountTree(const TreeFile& tree, LayerInfo& info) {
  info.entries = tree.entry_count();
  info.objects = tree.object_count();
  info.content_bytes = info.whiteouts = 0;
  for (TreeFile::NodeNo i = 0; i < tree.node_count(); ++i) {
    const TreeNodeView node = TRY(tree.Node(i));
    if (S_ISREG(node.mode)) info.content_bytes += node.size_bytes;
    if (!S_ISDIR(node.mode)) continue;
    TRY(tree.ForEachChild(i, [&](const TreeFile::Child& child) -> Status {
      if (child.whiteout) ++info.whiteouts;
      return Ok();
    }));
  }
  return Ok();
}

}  // namespace ufs
