// ufs layer show.
#include <cstdio>

#include "tools/layer_commands.h"
#include "tools/layer_json.h"
#include "tools/output.h"
#include "tools/store_option.h"

namespace ufs {
namespace {

constexpr char kLayerShow[] = "ufs layer show";
using Align = Table::Align;

void PrintText(const LayerInfo& info, const Result<uint64_t>& own) {
  Table table({Align::kLeft, Align::kLeft});
  table.AddRow({"digest", info.diff_id.ToString()});
  for (const std::string& name : info.names) table.AddRow({"name", name});
  table.AddRow({"source", EscapePath(info.source)});
  table.AddRow({"created", FormatTime(info.created)});
  table.AddRow({"entries", FormatCount(info.entries) + ", of them " +
                               FormatCountOf(info.whiteouts, "whiteout")});
  table.AddRow({"contents", FormatBytes(info.content_bytes) + " in files, " +
                                FormatCountOf(info.objects, "object")});
  table.AddRow({"its own", own.ok() ? FormatBytes(*own) +
                                          " on the disk that no other layer "
                                          "uses"
                                    : own.error().ToString()});
  if (info.blob)
    table.AddRow({"blob", info.blob->digest.ToString() + ", " +
                              FormatBytes(info.blob->size_bytes) + ", " +
                              EscapePath(info.blob->media_type)});
  if (info.has_recipe)
    table.AddRow({"tar", "can be exported byte for byte as it came"});
  std::fputs(table.ToString().c_str(), stdout);
}

std::string Joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += ' ';
    text += EscapePath(word);
  }
  return text;
}

void PrintImage(const LayerStore& store, const Image& image) {
  Table table({Align::kLeft, Align::kLeft});
  table.AddRow({"digest", image.digest.ToString()});
  table.AddRow({"image ID", image.id().ToString()});
  for (const std::string& name : image.names) table.AddRow({"name", name});
  table.AddRow({"source", EscapePath(image.source)});
  table.AddRow({"imported", FormatTime(image.created)});
  table.AddRow({"platform", EscapePath(image.config.platform.ToString())});
  const ImageConfig& config = image.config;
  const std::pair<const char*, std::string> fields[] = {
      {"user", EscapePath(config.user)},
      {"directory", EscapePath(config.working_dir)},
      {"entrypoint", Joined(config.entrypoint)},
      {"command", Joined(config.cmd)}};
  for (const auto& [key, value] : fields)
    if (!value.empty()) table.AddRow({key, value});
  for (const std::string& variable : config.env)
    table.AddRow({"env", EscapePath(variable)});
  for (size_t i = 0; i < config.diff_ids.size(); ++i) {
    const auto info = store.Info(config.diff_ids[i]);
    table.AddRow(
        {"layer " + std::to_string(i + 1),
         config.diff_ids[i].ToString() +
             (info.ok()
                  ? ", " + FormatCountOf(info->entries, "entry", "entries") +
                        ", " + FormatBytes(info->content_bytes)
                  : ", is missing")});
  }
  std::fputs(table.ToString().c_str(), stdout);
}

Status Show(const LayerStore& store, const std::string& reference, bool json) {
  const StoreReference found = TRY(store.Find(reference));
  if (found.is_image) {
    const Image image = TRY(store.OpenImage(found.digest));
    json ? PrintJson(ToJson(image)) : PrintImage(store, image);
    return Ok();
  }
  const LayerInfo info = TRY(store.Info(found.digest));
  const auto own = store.ExclusiveBytes(found.digest);
  if (json) {
    auto document = ToJson(info);
    if (own.ok()) document["exclusive_bytes"] = *own;
    PrintJson(document);
  } else {
    PrintText(info, own);
  }
  return Ok();
}

}  // namespace

int RunLayerShow(int argc, char** argv) {
  std::string reference;
  bool json = false;
  ArgumentParser parser(kLayerShow, "ufs layer show [--json] LAYER",
                        "Tells about one layer or image.", "");
  const StoreOption store_option(parser);
  parser.add_option("layer", reference);
  parser.add_flag("--json", json, "For programs");
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (reference.empty())
    return Complain(kLayerShow, "no layer given; see 'ufs layer show --help'",
                    kExitUsage);

  const auto store = store_option.Open(LayerStore::Access::kRead);
  if (!store.ok())
    return Complain(kLayerShow, Explain(store.error()), kExitFailure);
  if (const auto shown = Show(**store, reference, json); !shown.ok())
    return Complain(kLayerShow, Explain(shown.error()), kExitFailure);
  return FinishOutput(kLayerShow);
}

}  // namespace ufs
