#include "layerdb/base/fault.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstring>
#include <iterator>
#include <optional>
#include <thread>

#include "layerdb/base/syscall.h"

namespace ufs {
namespace {

// Set up before any FaultPoint, whatever the order of static initialisation:
// a plain pointer is constant-initialised.
FaultPoint* g_points = nullptr;
// Where visits are written; -1: nowhere. Set before any point is armed, and
// open as long as the process is.
int g_trace = -1;
// Ends all waiting.
std::atomic<bool> g_disarmed{false};

struct ErrnoName {
  std::string_view name;
  int code;
};
constexpr ErrnoName kErrnos[] = {
    {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"EIO", EIO},
    {"EMFILE", EMFILE}, {"ENOMEM", ENOMEM}, {"EROFS", EROFS},
};

constexpr std::string_view kTrace = "trace:";
constexpr std::string_view kSleep = "sleep=";

std::optional<int> ErrnoNamed(std::string_view name) {
  for (const ErrnoName& known : kErrnos)
    if (known.name == name) return known.code;
  return std::nullopt;
}

// A decimal number of 1 or more, and nothing else.
std::optional<int> Count(std::string_view text) {
  int value = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end || value < 1)
    return std::nullopt;
  return value;
}

Error Wrong(const std::string& what) { return Error(EINVAL, what); }

void Sleep(std::chrono::milliseconds time) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds kPiece(2);
  const auto end = Clock::now() + time;
  while (!g_disarmed && Clock::now() < end)
    std::this_thread::sleep_for(std::min<Clock::duration>(
        kPiece, std::max(end - Clock::now(), Clock::duration::zero())));
}

}  // namespace

FaultPoint::FaultPoint(const char* name, bool may_fail)
    : name_(name), may_fail_(may_fail), next_(g_points) {
  g_points = this;
}

Status FaultPoint::VisitArmed() {
  if (g_trace >= 0) {
    const std::string line = std::string(name_) + "\n";
    // One write for a line, so that those of several threads stay whole.
    if (write(g_trace, line.data(), line.size()) < 0) std::raise(SIGABRT);
    return Ok();
  }
  if (countdown_.fetch_sub(1) != 1) return Ok();
  armed_ = false;
  if (sleep_ms_ > 0) {
    Sleep(std::chrono::milliseconds(sleep_ms_));
    return Ok();
  }
  if (errno_ == 0) std::raise(SIGKILL);
  return Error(errno_, std::string("injected at ") + name_);
}

std::vector<const FaultPoint*> FaultPoint::All() {
  std::vector<const FaultPoint*> points;
  for (const FaultPoint* p = g_points; p != nullptr; p = p->next_)
    points.push_back(p);
  std::sort(points.begin(), points.end(),
            [](const FaultPoint* a, const FaultPoint* b) {
              return strcmp(a->name_, b->name_) < 0;
            });
  return points;
}

Status ArmFault(std::string_view spec) {
  if (spec.empty() || spec.starts_with(kTrace)) {
    if (!spec.empty()) {
      const std::string path(spec.substr(kTrace.size()));
      UniqueFd file =
          TRY(sys::Open(path.c_str(), O_CREAT | O_APPEND | O_WRONLY, 0600)
                  .With("trace file " + path));
      g_trace = file.release();
    }
    g_disarmed = spec.empty();
    for (FaultPoint* p = g_points; p != nullptr; p = p->next_)
      p->armed_ = !spec.empty();
    return Ok();
  }
  const size_t first = spec.find(':');
  if (first == spec.npos)
    return Wrong("fault '" + std::string(spec) + "' has no action");
  const std::string_view name = spec.substr(0, first);
  std::string_view action = spec.substr(first + 1);
  std::optional<int> nth = 1;
  if (const size_t second = action.find(':'); second != action.npos) {
    nth = Count(action.substr(second + 1));
    action = action.substr(0, second);
  }
  if (!nth) return Wrong("fault count must be 1 or more");

  std::optional<int> code = 0, sleep_ms = 0;
  if (action.starts_with(kSleep)) {
    sleep_ms = Count(action.substr(kSleep.size()));
    if (!sleep_ms) return Wrong("'sleep' takes 1 or more milliseconds");
  } else if (action != "kill") {
    code = ErrnoNamed(action);
    if (!code)
      return Wrong("unknown fault action '" + std::string(action) + "'");
  }
  for (FaultPoint* p = g_points; p != nullptr; p = p->next_) {
    if (p->name_ != name) continue;
    if (*code != 0 && !p->may_fail_)
      return Wrong("'" + std::string(name) +
                   "' stands after its step, which cannot fail any more");
    p->errno_ = *code;
    p->sleep_ms_ = *sleep_ms;
    p->countdown_ = *nth;
    g_disarmed = false;
    p->armed_ = true;
    return Ok();
  }
  return Wrong("no fault point '" + std::string(name) + "'");
}

}  // namespace ufs
