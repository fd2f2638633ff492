// ufs store df.
#include <cstdio>

#include "tools/layer_commands.h"
#include "tools/layer_json.h"
#include "tools/output.h"
#include "tools/store_option.h"

namespace ufs {
namespace {

constexpr char kStoreDf[] = "ufs store df";
using Align = Table::Align;

void PrintText(const std::string& path, const DiskUsage& usage) {
  Table table({Align::kLeft, Align::kRight, Align::kLeft});
  table.AddRow({"objects", FormatBytes(usage.objects),
                FormatCount(usage.object_count) + " different contents"});
  table.AddRow({"layers", FormatBytes(usage.layers),
                FormatCountOf(usage.layer_count, "layer")});
  if (usage.image_count > 0)
    table.AddRow({"images", FormatBytes(usage.images),
                  FormatCountOf(usage.image_count, "image")});
  table.AddRow({"views", FormatBytes(usage.views), "made again when needed"});
  table.AddRow({"blobs", FormatBytes(usage.blobs), "compressed, for push"});
  table.AddRow({"catalog", FormatBytes(usage.catalog), ""});
  table.AddRow({"ingest", FormatBytes(usage.ingest), "imports under way"});
  table.AddRow({"the rest", FormatBytes(usage.rest), ""});
  table.AddRow({"together", FormatBytes(usage.total), EscapePath(path)});
  std::fputs(table.ToString().c_str(), stdout);
  if (usage.content_bytes > 0)
    std::printf("\nUnpacked one by one, the layers would take %s.\n",
                FormatBytes(usage.content_bytes).c_str());
}

}  // namespace

int RunStoreDf(int argc, char** argv) {
  bool json = false;
  ArgumentParser parser(kStoreDf, "ufs store df [--json]",
                        "Shows how much room the store takes, as du(1) counts "
                        "it, and for what.",
                        "");
  const StoreOption store_option(parser);
  parser.add_flag("--json", json, "For programs: bytes");
  if (auto done = parser.Parse(argc, argv)) return *done;
  const auto store = store_option.Open(LayerStore::Access::kRead);
  if (!store.ok())
    return Complain(kStoreDf, Explain(store.error()), kExitFailure);
  const auto usage = (*store)->Usage();
  if (!usage.ok())
    return Complain(kStoreDf, Explain(usage.error()), kExitFailure);
  if (json) {
    PrintJson({{"store", (*store)->path()},
               {"total", usage->total},
               {"objects", usage->objects},
               {"layers", usage->layers},
               {"images", usage->images},
               {"views", usage->views},
               {"blobs", usage->blobs},
               {"catalog", usage->catalog},
               {"ingest", usage->ingest},
               {"rest", usage->rest},
               {"object_count", usage->object_count},
               {"layer_count", usage->layer_count},
               {"image_count", usage->image_count},
               {"content_bytes", usage->content_bytes}});
  } else {
    PrintText((*store)->path(), *usage);
  }
  return FinishOutput(kStoreDf);
}

}  // namespace ufs
