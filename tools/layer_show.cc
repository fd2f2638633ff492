// ufs layer show.
#include <cstdio>

#include "tools/layer_commands.h"
#include "tools/layer_json.h"
#include "tools/output.h"
#include "tools/store_option.h"

namespace ufs {
namespace {

constexpr char kWho[] = "ufs layer show";
using Align = Table::Align;

void PrintText(const LayerInfo& info, const Result<uint64_t>& own) {
  Table table({Align::kLeft, Align::kLeft});
  table.AddRow({"digest", info.diff_id.ToString()});
  for (const std::string& name : info.names) table.AddRow({"name", name});
  table.AddRow({"source", EscapePath(info.source)});
  table.AddRow({"created", FormatTime(info.created)});
  table.AddRow({"entries", FormatCount(info.entries) + ", of them " +
                               FormatCount(info.whiteouts) + " whiteouts"});
  table.AddRow({"contents", FormatBytes(info.content_bytes) + " in files, " +
                                FormatCount(info.objects) + " objects"});
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

}  // namespace

int RunLayerShow(int argc, char** argv) {
  std::string reference;
  bool json = false;
  ArgumentParser parser(kWho, "ufs layer show [--json] LAYER",
                        "Tells about one layer.", "");
  const StoreOption store_option(parser);
  parser.add_option("layer", reference);
  parser.add_flag("--json", json, "For programs");
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (reference.empty())
    return Complain(kWho, "no layer given; see 'ufs layer show --help'",
                    kExitUsage);

  const auto store = store_option.Open(LayerStore::Access::kRead);
  if (!store.ok())
    return Complain(kWho, store.error().ToString(), kExitFailure);
  const auto digest = (*store)->Resolve(reference);
  const auto info = digest.ok() ? (*store)->Info(*digest)
                                : Result<LayerInfo>(Error(digest.error()));
  if (!info.ok()) return Complain(kWho, info.error().ToString(), kExitFailure);
  const auto own = (*store)->ExclusiveBytes(*digest);
  if (json) {
    auto document = ToJson(*info);
    if (own.ok()) document["exclusive_bytes"] = *own;
    PrintJson(document);
  } else {
    PrintText(*info, own);
  }
  return FinishOutput(kWho);
}

}  // namespace ufs
