// ufs layer ls.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "tools/layer_commands.h"
#include "tools/layer_json.h"
#include "tools/output.h"
#include "tools/store_option.h"

namespace ufs {
namespace {

constexpr char kWho[] = "ufs layer ls";
using Align = Table::Align;

void PrintTable(const std::vector<LayerInfo>& layers) {
  Table table({Align::kLeft, Align::kLeft, Align::kRight, Align::kRight,
               Align::kLeft, Align::kLeft});
  table.AddRow({"NAME", "DIGEST", "ENTRIES", "CONTENTS", "CREATED", "SOURCE"});
  for (const LayerInfo& info : layers) {
    std::vector<std::string> names = info.names;
    if (names.empty()) names.emplace_back("-");
    for (const std::string& name : names)
      table.AddRow({name, ShortDigest(info.diff_id), FormatCount(info.entries),
                    FormatBytes(info.content_bytes), FormatTime(info.created),
                    EscapePath(info.source)});
  }
  std::fputs(table.ToString().c_str(), stdout);
}

}  // namespace

int RunLayerLs(int argc, char** argv) {
  bool json = false, quiet = false;
  ArgumentParser parser(kWho, "ufs layer ls [--json | --quiet]",
                        "Lists the layers of the store, the oldest first.",
                        "Example:\n  ufs layer ls --quiet | xargs ufs layer "
                        "verify\n");
  const StoreOption store_option(parser);
  parser.add_flag("--json", json, "For programs");
  parser.add_flag("-q,--quiet", quiet, "Whole digests alone");
  if (auto done = parser.Parse(argc, argv)) return *done;

  const auto store = store_option.Open(LayerStore::Access::kRead);
  if (!store.ok())
    return Complain(kWho, store.error().ToString(), kExitFailure);
  const auto layers = (*store)->List();
  if (!layers.ok())
    return Complain(kWho, layers.error().ToString(), kExitFailure);
  if (json) {
    auto list = nlohmann::json::array();
    for (const LayerInfo& info : *layers) list.push_back(ToJson(info));
    PrintJson(list);
  } else if (quiet) {
    for (const LayerInfo& info : *layers)
      std::puts(info.diff_id.ToString().c_str());
  } else {
    PrintTable(*layers);
  }
  return FinishOutput(kWho);
}

}  // namespace ufs
