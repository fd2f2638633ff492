// -e and --env-file of ufs run and ufs exec.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"
#include "tools/run/options.h"

namespace ufs {
namespace {

constexpr size_t kFileBytesMax = 1 << 20;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr char kBlanks[] = " \t\v\f\r";

// A later one replaces an earlier one of that name.
void Put(const std::string& entry, std::vector<std::string>& env) {
  const std::string prefix = entry.substr(0, entry.find('=') + 1);
  std::erase_if(
      env, [&](const std::string& old) { return old.starts_with(prefix); });
  env.push_back(entry);
}

Status AddLine(const std::string& line, std::vector<std::string>& env) {
  const std::string name = line.substr(0, line.find('='));
  if (name.find_first_of(kBlanks) != name.npos)
    return Error(
        EINVAL,
        "'" + name +
            "': a name has no white space; these are lines "
            "NAME=VALUE, and no script" +
            (name.starts_with("export ") ? ": leave 'export' out" : ""));
  return AddEnvironment(line, env);
}

}  // namespace

Status AddEnvironment(const std::string& text, std::vector<std::string>& env) {
  const size_t equals = text.find('=');
  if (text.empty() || equals == 0)
    return Error(EINVAL, "'" + text + "' is not NAME=VALUE");
  if (equals != text.npos) {
    Put(text, env);
  } else if (const char* value = getenv(text.c_str())) {
    Put(text + "=" + value, env);
  }
  return Ok();
}

Status AddEnvironmentFile(const std::string& path,
                          std::vector<std::string>& env) {
  const std::string text = TRY(runtime::kernel::ReadFile(path, kFileBytesMax)
                                   .With("--env-file " + path));
  // Editors of other systems begin a file with a mark and end lines with CR.
  size_t begin = text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  for (int number = 1; begin < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    if (line.ends_with('\r')) line.pop_back();
    line.erase(0, std::min(line.find_first_not_of(kBlanks), line.size()));
    if (line.empty() || line[0] == '#') continue;
    TRY(AddLine(line, env).With("--env-file " + path + ", line " +
                                std::to_string(number)));
  }
  return Ok();
}

}  // namespace ufs
