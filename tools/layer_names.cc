// ufs layer tag and untag.
#include <cstdio>

#include "tools/layer_commands.h"
#include "tools/output.h"
#include "tools/print_json.h"
#include "tools/store_option.h"

namespace ufs {

int RunLayerTag(int argc, char** argv) {
  constexpr char kWho[] = "ufs layer tag";
  std::vector<std::string> words;
  bool json = false;
  ArgumentParser parser(kWho, "ufs layer tag [--json] LAYER NAME...",
                        "Gives a layer or image names; a name that another "
                        "has moves to this one.",
                        "Example:\n  ufs layer tag 3f2a0c base base:v2\n");
  const StoreOption store_option(parser);
  parser.add_option("words", words);
  parser.add_flag("--json", json, "For programs");
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (words.size() < 2)
    return Complain(kWho,
                    "a layer and a name are needed; see 'ufs layer tag "
                    "--help'",
                    kExitUsage);
  const auto run = [&]() -> Status {
    const auto store = TRY(store_option.Open(LayerStore::Access::kChange));
    const Digest digest = TRY(store->Find(words[0])).digest;
    // All or none: a name that is none is said before the first is given.
    Json names = Json::array();
    for (size_t i = 1; i < words.size(); ++i)
      names.push_back(TRY(NormalizeLayerName(words[i])));
    for (size_t i = 1; i < words.size(); ++i)
      TRY(store->SetName(words[i], digest));
    if (json) PrintJson({{"digest", digest.ToString()}, {"names", names}});
    return Ok();
  };
  if (const auto done = run(); !done.ok())
    return Complain(kWho, ExplainWriting(done.error()), kExitFailure);
  return FinishOutput(kWho);
}

int RunLayerUntag(int argc, char** argv) {
  constexpr char kWho[] = "ufs layer untag";
  std::vector<std::string> names;
  bool json = false;
  ArgumentParser parser(kWho, "ufs layer untag [--json] NAME...",
                        "Takes names away; what they named stays.", "");
  const StoreOption store_option(parser);
  parser.add_option("names", names);
  parser.add_flag("--json", json, "For programs");
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (names.empty())
    return Complain(kWho, "no name given; see 'ufs layer untag --help'",
                    kExitUsage);
  const auto store = store_option.Open(LayerStore::Access::kChange);
  if (!store.ok())
    return Complain(kWho, ExplainWriting(store.error()), kExitFailure);
  int code = kExitOk;
  Json untagged = Json::array();
  for (const std::string& name : names) {
    const auto done = (*store)->RemoveName(name);
    if (done.ok())
      untagged.push_back(*NormalizeLayerName(name));
    else
      code = Complain(kWho, ExplainWriting(done.error()), kExitFailure);
  }
  if (json) PrintJson({{"untagged", untagged}});
  return FinishOutput(kWho) == kExitOk ? code : kExitFailure;
}

}  // namespace ufs
