// ufs stat: what the daemon of a mount says about itself, for people or, with
// --json, as it is.
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "fs/control.h"
#include "fs/open_layers.h"
#include "layerdb/layer_store.h"
#include "tools/command.h"
#include "tools/mountpoint.h"
#include "tools/output.h"
#include "tools/print_json.h"
#include "tools/run/container_union.h"

namespace ufs {
namespace {

using Align = Table::Align;

constexpr char kUfsStat[] = "ufs stat";

// Fields that an older or newer daemon may not have.
std::string Text(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>()
                                                     : "";
}

uint64_t Number(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number()
             ? static_cast<uint64_t>(found->get<double>())
             : 0;
}

double Real(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

bool Flag(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

Json Part(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() ? *found : Json::object();
}

// "io_uring", or "classic: why not better".
std::string UsedBecause(const Json& part) {
  const std::string used = Text(part, "used"), reason = Text(part, "reason");
  return reason.empty() ? used : used + " (" + reason + ")";
}

std::string Headline(const Json& report) {
  return EscapePath(Text(report, "mountpoint")) + ": ufs " +
         Text(report, "version") + ", process " +
         std::to_string(Number(report, "pid")) + ", mounted for " +
         FormatSeconds(Number(report, "uptime_s")) + "\n";
}

// A sealed layer with the names it has now.
std::string LayerText(const LayerStore* store, const std::string& layer) {
  std::string text = EscapePath(layer);
  if (store == nullptr || !IsSealedName(layer)) return text;
  const auto digest = Digest::Parse(layer);
  if (!digest.ok()) return text;
  const auto info = store->Info(*digest);
  if (!info.ok()) return text;
  for (const std::string& name : info->names) text += " " + EscapePath(name);
  return text;
}

std::string LayersText(const Json& parts) {
  Table table({Align::kLeft, Align::kLeft});
  const std::string upper = Text(parts, "upper");
  if (upper.empty()) {
    table.AddRow({"upper", "none: the union is read-only"});
  } else {
    table.AddRow({"upper", EscapePath(upper)});
    table.AddRow({"work", EscapePath(Text(parts, "work"))});
  }
  const std::string store_path = Text(parts, "store");
  if (!store_path.empty()) table.AddRow({"store", EscapePath(store_path)});
  const auto store = LayerStore::Open(store_path, LayerStore::Access::kRead);
  const auto layers = parts.find("layers");
  if (layers != parts.end() && layers->is_array())
    for (size_t i = layers->size(); i-- > 0;)
      table.AddRow({"layer " + std::to_string(i + 1),
                    (*layers)[i].is_string()
                        ? LayerText(store.ok() ? &**store : nullptr,
                                    (*layers)[i].get<std::string>())
                        : ""});
  return table.ToString(2);
}

std::string ModeText(const Json& report) {
  Table table({Align::kLeft, Align::kLeft});
  const Json parts = Part(report, "union");
  table.AddRow({"transport", UsedBecause(Part(report, "transport"))});
  table.AddRow({"data path", UsedBecause(Part(report, "data_path"))});
  const Json threads = Part(report, "threads");
  table.AddRow(
      {"threads", std::to_string(Number(threads, "readers")) + " readers, " +
                      std::to_string(Number(threads, "workers")) + " workers"});
  if (!Text(parts, "store").empty())
    table.AddRow({"verify", Flag(parts, "verify") ? "on" : "off"});
  if (!Text(parts, "upper").empty()) {
    table.AddRow({"durability", Text(parts, "durability")});
    table.AddRow({"whiteouts", Text(parts, "whiteout_form")});
    table.AddRow({"marks", Text(parts, "xattr_prefix") + "*"});
    table.AddRow({"metacopy", Flag(parts, "metacopy") ? "on" : "off"});
    table.AddRow({"index", Flag(parts, "index") ? "on" : "off"});
    table.AddRow({"owners", Flag(parts, "overrides_owner")
                                ? "kept in override xattrs"
                                : "kept by the host"});
  }
  return table.ToString(2);
}

std::string Share(uint64_t hits, uint64_t misses) {
  if (hits + misses == 0) return "none yet";
  return FormatCount(hits) + " of " + FormatCount(hits + misses) + " (" +
         std::to_string(100 * hits / (hits + misses)) + " %)";
}

std::string CountersText(const Json& report) {
  Table table({Align::kLeft, Align::kLeft});
  const Json stats = Part(report, "stats");
  table.AddRow({"memory", FormatBytes(Number(report, "memory_bytes"))});
  table.AddRow({"inodes", FormatCount(Number(stats, "inodes"))});
  table.AddRow({"descriptors", FormatCount(Number(stats, "open_descriptors"))});
  table.AddRow(
      {"copy-ups", FormatCount(Number(stats, "copy_ups_data")) + " whole, " +
                       FormatCount(Number(stats, "copy_ups_partial")) +
                       " in parts, " +
                       FormatCount(Number(stats, "copy_ups_metadata")) +
                       " of attributes alone; " +
                       FormatBytes(Number(stats, "copy_up_bytes"))});
  if (const uint64_t files = Number(stats, "partial_files"); files > 0)
    table.AddRow(
        {"in parts", FormatCountOf(files, "file") + ", " +
                         FormatBytes(Number(stats, "partial_bytes_missing")) +
                         " of it in layers"});
  table.AddRow({"listing hits", Share(Number(stats, "listing_hits"),
                                      Number(stats, "listing_misses"))});
  return table.ToString(2);
}

std::string MessagesText(const Json& messages) {
  Table table({Align::kLeft, Align::kRight, Align::kRight, Align::kRight,
               Align::kRight, Align::kRight});
  table.AddRow({"message", "count", "errors", "mean", "p50", "p99"});
  uint64_t total = 0;
  for (const Json& kind : messages) {
    const uint64_t count = Number(kind, "count");
    if (count == 0) continue;
    total += count;
    table.AddRow({Text(kind, "message"), FormatCount(count),
                  FormatCount(Number(kind, "errors")),
                  FormatMicros(Real(kind, "mean_us")),
                  FormatMicros(Real(kind, "p50_us")),
                  FormatMicros(Real(kind, "p99_us"))});
  }
  table.AddRow({"total", FormatCount(total)});
  return table.ToString(2);
}

std::string ReportText(const Json& report) {
  return Headline(report) + "\n" + LayersText(Part(report, "union")) + "\n" +
         ModeText(report) + "\n" + CountersText(report) + "\n" +
         MessagesText(Part(report, "messages"));
}

Result<std::string> Ask(const std::string& mountpoint, bool as_json) {
  const std::string answer = TRY(QueryControl(mountpoint));
  if (as_json) return answer;  // a line
  const Json report = Json::parse(answer, nullptr, /*allow_exceptions=*/false);
  if (!report.is_object())
    return Error(EPROTO, mountpoint + ": its daemon does not answer in JSON");
  return ReportText(report);
}

// ENOTCONN says in words which of its causes it was.
std::string Reason(const Error& error) {
  return error.code() == ENOTCONN ? std::string(error.context())
                                  : error.ToString();
}

int PrintOnce(const std::string& mountpoint, bool as_json) {
  const auto text = Ask(mountpoint, as_json);
  if (!text.ok()) return Complain(kUfsStat, Reason(text.error()), kExitFailure);
  std::fputs(text->c_str(), stdout);
  return FinishOutput(kUfsStat);
}

// Until the mount is gone or the user interrupts. On a terminal each report
// takes the place of the one before.
int Watch(const std::string& mountpoint, bool as_json, double seconds) {
  const bool is_terminal = isatty(STDOUT_FILENO) == 1;
  for (bool first = true;; first = false) {
    const auto text = Ask(mountpoint, as_json);
    if (!text.ok() && !first) return FinishOutput(kUfsStat);  // unmounted
    if (!text.ok())
      return Complain(kUfsStat, Reason(text.error()), kExitFailure);
    if (is_terminal && !as_json) std::fputs("\033[H\033[2J", stdout);
    if (!is_terminal && !as_json && !first) std::fputs("\n", stdout);
    std::fputs(text->c_str(), stdout);
    if (const int code = FinishOutput(kUfsStat)) return code;
    poll(nullptr, 0, static_cast<int>(seconds * 1000));
  }
}

// Of one that runs; it says itself what is wrong.
int ShowContainer(const FoundContainer& container,
                  const std::function<int(const std::string&)>& show) {
  const auto done =
      InContainer(container, {}, [&](const UnmountedUpper& where) -> Status {
        if (!where.layers.empty())
          return Error(ESRCH, container.record.name +
                                  ": has ended, so that nothing is mounted; "
                                  "'ufs diff' shows what it changed");
        return show(where.path) == kExitOk ? Ok() : Error(ECANCELED);
      });
  if (done.ok()) return kExitOk;
  if (done.code() == ECANCELED) return kExitFailure;
  return Complain(kUfsStat, Explain(done.error()), kExitFailure);
}

}  // namespace

int RunStat(int argc, char** argv) {
  std::string mountpoint;
  bool as_json = false;
  bool watch = false;
  double interval = 1;
  ArgumentParser parser(
      kUfsStat, "ufs stat [--json] [--watch] MOUNTPOINT|CONTAINER",
      "Shows what a mounted union is made of: layers, how messages and data "
      "travel and\nwhy not faster, messages by kind with their latencies, "
      "cache hits, copy-ups,\ninodes, memory.",
      "Examples:\n"
      "  ufs stat /mnt\n"
      "  ufs stat web\n"
      "  ufs stat --json /mnt | jq .stats.inodes\n"
      "  ufs stat --watch /mnt\n");
  parser.add_option("mountpoint", mountpoint);
  parser.add_flag("--json", as_json,
                  "Print the daemon's report as JSON, format 1, described in "
                  "ufs(1)");
  parser.add_flag("-w,--watch", watch,
                  "Print again and again, until it is unmounted; with --json "
                  "a line each time");
  parser
      .add_option("--interval", interval,
                  "Between two reports of --watch "
                  "(default: 1)")
      ->type_name("SECONDS")
      ->range(0.05, 86400.0);
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (mountpoint.empty())
    return Complain(kUfsStat,
                    "no mount point or container given; see 'ufs stat --help'",
                    kExitUsage);
  const auto show = [&](const std::string& where) {
    return watch ? Watch(where, as_json, interval) : PrintOnce(where, as_json);
  };
  const auto container = ContainerNamed(mountpoint);
  if (!container.ok())
    return Complain(kUfsStat, Explain(container.error()), kExitFailure);
  if (*container) return ShowContainer(**container, show);
  return show(ResolveMountpoint(mountpoint));
}

}  // namespace ufs
