// ufs doctor: is this machine fit, and if not, what is to be done.
#include <cstdio>

#include "tools/command.h"
#include "tools/host_checks.h"
#include "tools/output.h"
#include "tools/print_json.h"
#include "tools/run/commands.h"

namespace ufs {

int RunDoctor(int argc, char** argv) {
  constexpr char kWho[] = "ufs doctor";
  bool json = false;
  ArgumentParser parser(
      kWho, "ufs doctor [--json]",
      "Checks what this machine has, and lets this user have, for unions and\n"
      "containers, and says what to do where something is missing. Changes "
      "nothing.",
      "Exit code: 1 when something is missing without which unions or "
      "containers do not\nwork for this user.\n");
  parser.add_flag("--json", json, "For programs");
  if (auto done = parser.Parse(argc, argv)) return *done;

  using Align = Table::Align;
  bool fit = true;
  auto list = Json::array();
  Table table({Align::kLeft, Align::kLeft, Align::kLeft});
  for (const HostCheck& check : CheckHost()) {
    fit &= check.state != HostCheck::State::kMissing;
    list.push_back({{"name", check.name},
                    {"state", NameOf(check.state)},
                    {"found", check.found},
                    {"remedy", check.remedy}});
    table.AddRow({check.name, NameOf(check.state), check.found});
    if (!check.remedy.empty()) table.AddRow({"", "", "-> " + check.remedy});
  }
  if (json)
    PrintJson(list);
  else
    std::fputs(table.ToString().c_str(), stdout);
  const int finished = FinishOutput(kWho);
  return fit ? finished : kExitFailure;
}

}  // namespace ufs
