#include "tools/command.h"

#include <cerrno>
#include <cstdio>

#include "layerdb/base/printable.h"

namespace ufs {
std::string Explain(const Error& error) {
  const std::string context(error.context());
  if (context.empty()) return error.ToString();
  const auto says = [&](const char* words) {
    return context.find(words) != std::string::npos;
  };
  switch (error.code()) {
    case EINVAL:
    case EBADMSG:
      return error.explained() ? context : error.ToString();
    case ENOTSUP:
    case EEXIST:
    case EBUSY:
    case ESRCH:
    case ECHILD:
      return context;
    case ENOENT:
      if (says("does not exist")) return context;
      [[fallthrough]];
    default:  // a remedy ends it
      return says("; ") ? context : error.ToString();
  }
}

int Complain(std::string_view who, std::string_view message, int code) {
  std::fprintf(stderr, "%.*s: %s\n", static_cast<int>(who.size()), who.data(),
               Printable(message).c_str());
  return code;
}

}  // namespace ufs
