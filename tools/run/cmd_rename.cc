// ufs rename: another name for a container that has ended.
#include <string>
#include <vector>

#include "tools/command.h"
#include "tools/run/commands.h"
#include "tools/run/find.h"

namespace ufs {

int RunRename(int argc, char** argv) {
  constexpr char kWho[] = "ufs rename";
  std::vector<std::string> names;
  ArgumentParser parser(kWho, "ufs rename CONTAINER NAME",
                        "Gives a container that has ended another name: one "
                        "that runs has its name inside,\ntoo.",
                        "");
  parser.add_option("names", names);
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (names.size() != 2)
    return Complain(kWho,
                    "say which container, and its new name; see 'ufs rename "
                    "--help'",
                    kExitUsage);
  const auto rename = [&]() -> Status {
    return RenameRecord(TRY(FindContainer(names[0])).root, names[0], names[1]);
  };
  if (const Status renamed = rename(); !renamed.ok())
    return Complain(kWho, Explain(renamed.error()), kExitFailure);
  return kExitOk;
}

}  // namespace ufs
