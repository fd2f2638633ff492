// ufs port: which ports of the machine lead into a container.
#include <cerrno>
#include <cstdio>

#include "tools/command.h"
#include "tools/output.h"
#include "tools/run/commands.h"
#include "tools/run/find.h"

namespace ufs {
namespace {

// "80" as "80/tcp"; what is published is what there is.
std::string WithProtocol(const std::string& port) {
  return port.find('/') == port.npos ? port + "/tcp" : port;
}

Status PrintPorts(const std::string& name, const std::string& wanted) {
  const FoundContainer found = TRY(FindContainer(name));
  bool any = false;
  for (const std::string& port : found.record.ports) {
    // "0.0.0.0:8080->80/tcp", see PublishedPort.
    const size_t arrow = port.find("->");
    if (arrow == port.npos) continue;
    const std::string host = port.substr(0, arrow);
    const std::string inside = port.substr(arrow + 2);
    if (wanted.empty()) {
      std::printf("%s -> %s\n", inside.c_str(), host.c_str());
    } else if (inside == WithProtocol(wanted)) {
      std::printf("%s\n", host.c_str());
      any = true;
    }
  }
  if (any || wanted.empty()) return Ok();
  return Error(ENOENT, "no port of the machine leads to " +
                           WithProtocol(wanted) + " of " + name +
                           "; 'ufs port " + name + "' lists those that do");
}

}  // namespace

int RunPort(int argc, char** argv) {
  constexpr char kWho[] = "ufs port";
  std::vector<std::string> words;
  ArgumentParser parser(kWho, "ufs port CONTAINER [PORT[/udp]]",
                        "Prints which ports of the machine lead to those of a "
                        "container, or to one of them.",
                        "");
  parser.add_option("words", words);
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (words.empty() || words.size() > 2)
    return Complain(kWho, "say which container, and at most one port of it",
                    kExitUsage);
  const auto printed =
      PrintPorts(words[0], words.size() > 1 ? words[1] : std::string());
  if (!printed.ok())
    return Complain(kWho, Explain(printed.error()), kExitFailure);
  return FinishOutput(kWho);
}

}  // namespace ufs
