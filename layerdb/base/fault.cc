#include "layerdb/base/fault.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <iterator>

namespace ufs {
namespace {

// Set up before any FaultPoint, whatever the order of static initialisation:
// a plain pointer is constant-initialised.
FaultPoint* g_points = nullptr;

struct ErrnoName {
  std::string_view name;
  int code;
};
constexpr ErrnoName kErrnos[] = {
    {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"EIO", EIO},
    {"EMFILE", EMFILE}, {"ENOMEM", ENOMEM}, {"EROFS", EROFS},
};

}  // namespace

FaultPoint::FaultPoint(const char* name) : name_(name), next_(g_points) {
  g_points = this;
}

Status FaultPoint::VisitArmed() {
  if (countdown_.fetch_sub(1) != 1) return Ok();
  armed_ = false;
  if (errno_ == 0) std::raise(SIGKILL);
  return Error(errno_, std::string("injected at ") + name_);
}

Status ArmFault(std::string_view spec) {
  if (spec.empty()) {
    for (FaultPoint* p = g_points; p != nullptr; p = p->next_)
      p->armed_ = false;
    return Ok();
  }
  const size_t first = spec.find(':');
  if (first == spec.npos)
    return Error(EINVAL, "fault '" + std::string(spec) + "' has no action");
  const std::string_view name = spec.substr(0, first);
  std::string_view action = spec.substr(first + 1);
  int nth = 1;
  if (const size_t second = action.find(':'); second != action.npos) {
    nth = std::atoi(std::string(action.substr(second + 1)).c_str());
    action = action.substr(0, second);
  }
  if (nth < 1) return Error(EINVAL, "fault count must be 1 or more");

  int code = 0;
  if (action != "kill") {
    const auto* known =
        std::find_if(std::begin(kErrnos), std::end(kErrnos),
                     [&](const ErrnoName& e) { return e.name == action; });
    if (known == std::end(kErrnos))
      return Error(EINVAL,
                   "unknown fault action '" + std::string(action) + "'");
    code = known->code;
  }
  for (FaultPoint* p = g_points; p != nullptr; p = p->next_) {
    if (p->name_ != name) continue;
    p->errno_ = code;
    p->countdown_ = nth;
    p->armed_ = true;
    return Ok();
  }
  return Error(EINVAL, "no fault point '" + std::string(name) + "'");
}

std::vector<std::string> FaultPointNames() {
  std::vector<std::string> names;
  for (FaultPoint* p = g_points; p != nullptr; p = p->next_)
    names.emplace_back(p->name());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace ufs
