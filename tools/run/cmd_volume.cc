// ufs volume: directories with a name that outlive containers.
#include <cerrno>
#include <cstdio>

#include "tools/command.h"
#include "tools/output.h"
#include "tools/print_json.h"
#include "tools/run/commands.h"
#include "tools/run/find.h"
#include "tools/run/for_each.h"
#include "tools/run/format_option.h"
#include "tools/run/volume_store.h"
#include "tools/subcommand.h"

namespace ufs {
namespace {

using Align = Table::Align;

Result<Json> ToJson(const Volume& volume) {
  return Json{{"name", volume.name},
              {"mountpoint", volume.data},
              {"created", volume.created},
              {"anonymous", volume.anonymous},
              {"used_by", TRY(UsersOfVolume(volume.name))}};
}

// The directory of volumes, once what killed containers have left is put right:
// they may have been removed with it.
Result<std::string> PreparedDirectory() {
  Sweep(TRY(ContainersDirectory()));
  return VolumesDirectory();
}

int Finish(const char* who, const Status& done) {
  if (!done.ok()) return Complain(who, Explain(done.error()), kExitFailure);
  return FinishOutput(who);
}

int RunVolumeCreate(int argc, char** argv) {
  constexpr char kWho[] = "ufs volume create";
  std::string name;
  ArgumentParser parser(kWho, "ufs volume create NAME",
                        "Makes a volume, unless there is one of that name. Its "
                        "first container fills it\nas it does one that 'ufs "
                        "run -v' makes.",
                        "");
  parser.add_option("name", name);
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (name.empty())
    return Complain(kWho, "no name given; see 'ufs volume create --help'",
                    kExitUsage);
  const auto create = [&]() -> Status {
    TRY(MakeVolume(TRY(VolumesDirectory()), name));
    std::printf("%s\n", name.c_str());
    return Ok();
  };
  return Finish(kWho, create());
}

int RunVolumeLs(int argc, char** argv) {
  constexpr char kWho[] = "ufs volume ls";
  bool quiet = false, json = false;
  ArgumentParser parser(kWho, "ufs volume ls [--quiet | --json]",
                        "Lists the volumes of this user.", "");
  parser.add_flag("-q,--quiet", quiet, "Names alone");
  parser.add_flag("--json", json, "For programs");
  FormatOption format;
  format.Declare(parser);
  if (auto done = parser.Parse(argc, argv)) return *done;
  json |= format.json();
  const auto list = [&]() -> Status {
    Json array = Json::array();
    Table table({Align::kLeft, Align::kLeft, Align::kLeft});
    table.AddRow({"NAME", "CREATED", "USED BY"});
    for (const Volume& volume : TRY(ListVolumes(TRY(PreparedDirectory())))) {
      if (quiet) {
        std::printf("%s\n", volume.name.c_str());
      } else if (json) {
        array.push_back(TRY(ToJson(volume)));
      } else {
        std::string users;
        for (const std::string& user : TRY(UsersOfVolume(volume.name)))
          users += (users.empty() ? "" : " ") + user;
        table.AddRow({volume.name, volume.created, users});
      }
    }
    if (json) PrintJson(array);
    if (!json && !quiet) std::fputs(table.ToString().c_str(), stdout);
    return Ok();
  };
  return Finish(kWho, list());
}

// `act` gets the directory of volumes and a name.
template <typename Act>
int ForEachVolume(const char* who, const std::vector<std::string>& names,
                  Act act) {
  const auto root =
      names.empty() ? Result<std::string>("") : PreparedDirectory();
  if (!root.ok()) return Finish(who, root.error());
  return ForEach(who, "volume", names,
                 [&](const std::string& name) { return act(*root, name); });
}

int RunVolumeInspect(int argc, char** argv) {
  constexpr char kWho[] = "ufs volume inspect";
  std::vector<std::string> names;
  ArgumentParser parser(kWho, "ufs volume inspect VOLUME...",
                        "Prints all that is known of volumes, as JSON.", "");
  parser.add_option("volumes", names);
  FormatOption format;
  format.Declare(parser, "-f,--format");
  if (auto done = parser.Parse(argc, argv)) return *done;
  Json list = Json::array();
  const int code = ForEachVolume(
      kWho, names,
      [&](const std::string& root, const std::string& name) -> Status {
        list.push_back(TRY(ToJson(TRY(FindVolume(root, name)))));
        return Ok();
      });
  if (code == kExitUsage) return code;
  PrintIndented(list);
  return FinishWith(kWho, code);
}

int RunVolumeRm(int argc, char** argv) {
  constexpr char kWho[] = "ufs volume rm";
  std::vector<std::string> names;
  bool force = false;
  ArgumentParser parser(kWho, "ufs volume rm [--force] VOLUME...",
                        "Removes volumes and what is in them. One that a "
                        "container has, running or not,\nstays.",
                        "");
  parser.add_option("volumes", names);
  parser.add_flag("-f,--force", force, "One that is not there is no failure");
  if (auto done = parser.Parse(argc, argv)) return *done;
  const int code = ForEachVolume(
      kWho, names,
      [&](const std::string& root, const std::string& name) -> Status {
        auto removed = RemoveVolume(root, name);
        if (removed.code() == ENOENT && force) return Ok();
        if (removed.ok()) std::printf("%s\n", name.c_str());
        return removed;
      });
  return FinishWith(kWho, code);
}

// Whether the user says yes. The end of input, as in a script, is a no.
bool Ask(const char* question) {
  std::printf("%s [y/N] ", question);
  std::fflush(stdout);
  const int answer = std::getchar();
  return answer == 'y' || answer == 'Y';
}

int RunVolumePrune(int argc, char** argv) {
  constexpr char kWho[] = "ufs volume prune";
  bool force = false;
  ArgumentParser parser(kWho, "ufs volume prune [--force]",
                        "Removes all volumes that no container has, and "
                        "prints their names.",
                        "");
  parser.add_flag("-f,--force", force, "Do not ask first");
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (!force &&
      !Ask("All volumes that no container has will be removed. Go on?"))
    return kExitFailure;
  const auto prune = [&]() -> Status {
    const std::string root = TRY(PreparedDirectory());
    for (const Volume& volume : TRY(ListVolumes(root))) {
      const auto removed = RemoveVolume(root, volume.name);
      // In use, or another's to remove.
      if (removed.code() == EBUSY || removed.code() == ENOENT) continue;
      TRY(Status(removed));
      std::printf("%s\n", volume.name.c_str());
    }
    return Ok();
  };
  return Finish(kWho, prune());
}

}  // namespace

int RunVolume(int argc, char** argv) {
  static constexpr Command kVerbs[] = {
      {"create", "Make one", RunVolumeCreate},
      {"ls", "List them", RunVolumeLs},
      {"inspect", "Print all that is known of them", RunVolumeInspect},
      {"rm", "Remove them", RunVolumeRm},
      {"prune", "Remove all that no container has", RunVolumePrune},
  };
  return RunSubcommand("ufs volume",
                       "Volumes are directories with a name that outlive "
                       "containers:\n'ufs run -v NAME:/PATH'.\n",
                       kVerbs, argc, argv);
}

}  // namespace ufs
