// ufs logs: what a container has written.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"
#include "runtime/state.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/run/commands.h"
#include "tools/run/container_log.h"
#include "tools/run/duration.h"
#include "tools/run/find.h"
#include "tools/run/options.h"

namespace ufs {
namespace {

namespace kernel = runtime::kernel;

constexpr char kUfsLogs[] = "ufs logs";
constexpr useconds_t kFollowPauseUs = 100'000;

struct LogsArguments {
  std::string name;
  bool follow = false, timestamps = false;
  std::string tail_word = "all";
  int64_t tail = -1;         // -1: all
  std::string since, until;  // as times stand in the log; empty: all

  bool Wants(std::string_view time) const {
    return time >= since && (until.empty() || time <= until);
  }
};

void Print(const LogLine& line, bool timestamps) {
  FILE* const out = line.errors ? stderr : stdout;
  // In the order in which they were written, also where both go to one place.
  if (line.errors) std::fflush(stdout);
  const auto put = [&](std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), out);
  };
  if (timestamps) {
    put(line.time);
    put(" ");
  }
  put(line.text);
  // A line in parts is put together, unless each part has a time.
  if (!line.partial || timestamps) put("\n");
}

// Takes whole lines off the front of `text`.
template <typename Visit>
void TakeLines(std::string& text, Visit visit) {
  size_t begin = 0;
  while (true) {
    const size_t end = text.find('\n', begin);
    if (end == text.npos) break;
    visit(text.substr(begin, end - begin));
    begin = end + 1;
  }
  text.erase(0, begin);
}

class LogReader {
 public:
  LogReader(std::string directory, const LogsArguments& arguments)
      : path_(std::move(directory) + "/log"), arguments_(arguments) {}

  Status PrintAll() {
    std::deque<std::string> last;
    const auto keep = [&](std::string line) {
      const auto parsed = Wanted(line);
      if (!parsed) return;
      if (arguments_.tail < 0) return Print(*parsed, arguments_.timestamps);
      last.push_back(std::move(line));
      if (last.size() > static_cast<size_t>(arguments_.tail)) last.pop_front();
    };
    const std::string older = path_ + ".1";
    if (auto file = sys::Open(older.c_str(), O_RDONLY | O_NOFOLLOW);
        file.ok()) {
      std::string text;
      TRY(Read(*file, text, keep));
    }
    TRY(Open());
    TRY(Read(file_, rest_, keep));
    for (const std::string& line : last)
      Print(*ParseLogLine(line), arguments_.timestamps);
    return Ok();
  }

  // Prints what has come since, over a change of the file.
  Status PrintMore() {
    const auto print = [&](const std::string& line) {
      if (const auto parsed = Wanted(line))
        Print(*parsed, arguments_.timestamps);
    };
    TRY(Read(file_, rest_, print));
    const auto ours = TRY(sys::Statx({file_}));
    const auto now = sys::Statx({AT_FDCWD, path_.c_str()});
    if (now.ok() && now->stx_ino != ours.stx_ino) {
      TRY(Read(file_, rest_, print));
      TRY(Open());
      TRY(Read(file_, rest_, print));
    }
    std::fflush(stdout);
    std::fflush(stderr);
    return Ok();
  }

 private:
  Status Open() {
    auto file = sys::Open(path_.c_str(), O_RDONLY | O_NOFOLLOW);
    if (file.code() == ENOENT)
      return Error(
          ENOENT, arguments_.name + " has no log yet; it has not been started");
    file_ = TRY(std::move(file).With(path_));
    return Ok();
  }

  std::optional<LogLine> Wanted(std::string_view line) const {
    const auto parsed = ParseLogLine(line);
    return parsed && arguments_.Wants(parsed->time) ? parsed : std::nullopt;
  }

  template <typename Visit>
  static Status Read(BorrowedFd file, std::string& text, Visit visit) {
    char buffer[64 << 10];
    while (const size_t got = TRY(kernel::Read(file, buffer, sizeof(buffer)))) {
      text.append(buffer, got);
      TakeLines(text, visit);
    }
    return Ok();
  }

  const std::string path_;
  const LogsArguments& arguments_;
  UniqueFd file_;
  std::string rest_;  // the beginning of a line
};

Status ShowLogs(const LogsArguments& arguments) {
  const FoundContainer found = TRY(FindContainer(arguments.name));
  LogReader reader(found.directory(), arguments);
  TRY(reader.PrintAll());
  if (!arguments.follow) return Ok();
  std::fflush(stdout);
  while (true) {
    // First looked, then read: what it wrote last is not missed.
    const bool alive = !found.record.ended && HasSupervisor(found.record);
    TRY(reader.PrintMore());
    const bool over =
        !arguments.until.empty() && runtime::NowRfc3339() > arguments.until;
    if (!alive || over || std::ferror(stdout) != 0) return Ok();
    usleep(kFollowPauseUs);
  }
}

// As it stands in the log; empty for none.
Result<std::string> ReadMoment(const char* option, const std::string& text) {
  if (text.empty()) return text;
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return runtime::FormatRfc3339(TRY(ParseMoment(text, now).With(option)));
}

Status ReadTail(const std::string& word, int64_t& lines) {
  if (word == "all" || word == "-1") return Ok();
  const char* const end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, lines);
  if (error == std::errc() && stop == end && lines >= 0) return Ok();
  return InvalidOption("--tail", word, "not a number of lines, or all");
}

Status ReadMoments(LogsArguments& arguments) {
  arguments.since = TRY(ReadMoment("--since", arguments.since));
  arguments.until = TRY(ReadMoment("--until", arguments.until));
  return Ok();
}

}  // namespace

int RunLogs(int argc, char** argv) {
  LogsArguments arguments;
  ArgumentParser parser(
      kUfsLogs, "ufs logs [options] CONTAINER",
      "Prints what a container has written to its standard output and error, "
      "or its\nterminal: the last 16 to 32 MiB of it.",
      "");
  parser.add_option("container", arguments.name);
  parser.add_flag("-f,--follow", arguments.follow, "Until it has ended");
  parser.add_flag("-t,--timestamps", arguments.timestamps,
                  "When each line was written");
  parser
      .add_option("-n,--tail", arguments.tail_word,
                  "The last lines alone; all, if nobody says")
      ->type_name("LINES");
  parser
      .add_option("--since", arguments.since,
                  "From then on: 10m (ago), 2026-12-01T08:30:00Z")
      ->type_name("TIME");
  parser.add_option("--until", arguments.until, "Up to then")
      ->type_name("TIME");
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (const Status read = ReadTail(arguments.tail_word, arguments.tail);
      !read.ok())
    return Complain(kUfsLogs, Explain(read.error()), kExitUsage);
  if (const Status read = ReadMoments(arguments); !read.ok())
    return Complain(kUfsLogs, Explain(read.error()), kExitUsage);
  if (arguments.name.empty())
    return Complain(kUfsLogs, "no container given; see 'ufs logs --help'",
                    kExitUsage);
  if (const auto shown = ShowLogs(arguments); !shown.ok())
    return Complain(kUfsLogs, Explain(shown.error()), kExitFailure);
  return FinishOutput(kUfsLogs);
}

}  // namespace ufs
