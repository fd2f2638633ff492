// ufs layer tag and untag.
#include <cstdio>

#include "tools/layer_commands.h"
#include "tools/store_option.h"

namespace ufs {

int RunLayerTag(int argc, char** argv) {
  constexpr char kWho[] = "ufs layer tag";
  std::vector<std::string> words;
  ArgumentParser parser(kWho, "ufs layer tag LAYER NAME...",
                        "Gives a layer or image names; a name that another "
                        "has moves to this one.",
                        "Example:\n  ufs layer tag 3f2a0c base base:v2\n");
  const StoreOption store_option(parser);
  parser.add_option("words", words);
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (words.size() < 2)
    return Complain(kWho,
                    "a layer and a name are needed; see 'ufs layer tag "
                    "--help'",
                    kExitUsage);
  const auto run = [&]() -> Status {
    const auto store = TRY(store_option.Open(LayerStore::Access::kWrite));
    const Digest digest = TRY(store->Find(words[0])).digest;
    // All or none: a name that is none is said before the first is given.
    for (size_t i = 1; i < words.size(); ++i) TRY(NormalizeLayerName(words[i]));
    for (size_t i = 1; i < words.size(); ++i)
      TRY(store->SetName(words[i], digest));
    return Ok();
  };
  if (const auto done = run(); !done.ok())
    return Complain(kWho, ExplainWriting(done.error()), kExitFailure);
  return kExitOk;
}

int RunLayerUntag(int argc, char** argv) {
  constexpr char kWho[] = "ufs layer untag";
  std::vector<std::string> names;
  ArgumentParser parser(kWho, "ufs layer untag NAME...",
                        "Takes names away; what they named stays.", "");
  const StoreOption store_option(parser);
  parser.add_option("names", names);
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (names.empty())
    return Complain(kWho, "no name given; see 'ufs layer untag --help'",
                    kExitUsage);
  const auto store = store_option.Open(LayerStore::Access::kWrite);
  if (!store.ok())
    return Complain(kWho, ExplainWriting(store.error()), kExitFailure);
  int code = kExitOk;
  for (const std::string& name : names)
    if (const auto done = (*store)->RemoveName(name); !done.ok())
      code = Complain(kWho, ExplainWriting(done.error()), kExitFailure);
  return code;
}

}  // namespace ufs
