// ufs store check and repair.
#include <cstdio>

#include "tools/layer_commands.h"
#include "tools/layer_json.h"
#include "tools/output.h"
#include "tools/store_option.h"

namespace ufs {
namespace {

Json ToJson(const std::vector<Finding>& findings) {
  Json list = Json::array();
  for (const Finding& finding : findings) list.push_back(ufs::ToJson(finding));
  return list;
}

void PrintFindings(const char* who, const std::vector<Finding>& findings) {
  for (const Finding& finding : findings)
    Complain(who,
             EscapePath(finding.subject + ": " + finding.text) + " (S" +
                 std::to_string(finding.invariant) + ")",
             kExitFailure);
}

int Finish(const char* who, bool clean) {
  if (FinishOutput(who) != kExitOk) return kExitFailure;
  return clean ? kExitOk : kExitFailure;
}

}  // namespace

int RunStoreCheck(int argc, char** argv) {
  constexpr char kWho[] = "ufs store check";
  bool json = false;
  ArgumentParser parser(
      kWho, "ufs store check [--json]",
      "Proves what may be relied upon in a store (S1 to S11 of "
      "layerdb/README.md),\nreading no contents: 'ufs layer verify' does that. "
      "Exits with 1 and says what\nis broken.",
      "");
  const StoreOption store_option(parser);
  parser.add_flag("--json", json, "For programs");
  if (auto done = parser.Parse(argc, argv)) return *done;
  const auto store = store_option.Open(LayerStore::Access::kRead);
  if (!store.ok()) return Complain(kWho, Explain(store.error()), kExitFailure);
  const auto report = (*store)->Check();
  if (!report.ok())
    return Complain(kWho, Explain(report.error()), kExitFailure);
  if (json) {
    PrintJson({{"layers", report->layers},
               {"images", report->images},
               {"objects", report->objects},
               {"names", report->names},
               {"views", report->views},
               {"unused_objects", report->unused_objects},
               {"leftovers", report->leftovers},
               {"findings", ToJson(report->findings)}});
    return Finish(kWho, report->clean());
  }
  PrintFindings(kWho, report->findings);
  if (report->images > 0)
    std::printf("%s, ", FormatCountOf(report->images, "image").c_str());
  std::printf("%s, %s, %s, %s: %s\n",
              FormatCountOf(report->layers, "layer").c_str(),
              FormatCountOf(report->objects, "object").c_str(),
              FormatCountOf(report->names, "name").c_str(),
              FormatCountOf(report->views, "view").c_str(),
              report->clean() ? "sound" : "broken");
  if (report->unused_objects + report->leftovers > 0)
    std::printf("%s and %s, which 'ufs store gc' frees\n",
                FormatCountOf(report->unused_objects, "unused object").c_str(),
                FormatCountOf(report->leftovers, "leftover").c_str());
  return Finish(kWho, report->clean());
}

int RunStoreRepair(int argc, char** argv) {
  constexpr char kWho[] = "ufs store repair";
  bool json = false;
  ArgumentParser parser(
      kWho, "ufs store repair [--json]",
      "Mends what can be made from something else: the catalog, descriptions, "
      "views.\nTouches nothing that is sound. A layer whose index or contents "
      "are lost is\nmended by importing it again; those are named, and the "
      "exit "
      "code is 1.",
      "");
  const StoreOption store_option(parser);
  parser.add_flag("--json", json, "For programs");
  if (auto done = parser.Parse(argc, argv)) return *done;
  const auto store = store_option.Open(LayerStore::Access::kChange);
  if (!store.ok())
    return Complain(kWho, ExplainWriting(store.error()), kExitFailure);
  const auto report = (*store)->Repair();
  if (!report.ok())
    return Complain(kWho, ExplainWriting(report.error()), kExitFailure);
  if (json) {
    PrintJson({{"mended", report->mended}, {"left", ToJson(report->left)}});
    return Finish(kWho, report->left.empty());
  }
  for (const std::string& line : report->mended)
    std::puts(EscapePath(line).c_str());
  PrintFindings(kWho, report->left);
  if (report->mended.empty() && report->left.empty())
    std::puts("nothing is broken");
  return Finish(kWho, report->left.empty());
}

}  // namespace ufs
