// -e and --env-file of ufs run and ufs exec.
#include <fcntl.h>

#include <cerrno>
#include <cstdlib>

#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"
#include "tools/run/options.h"

namespace ufs {
namespace {

constexpr size_t kFileBytesMax = 1 << 20;

// A later one replaces an earlier one of that name.
void Put(const std::string& entry, std::vector<std::string>& env) {
  const std::string prefix = entry.substr(0, entry.find('=') + 1);
  std::erase_if(
      env, [&](const std::string& old) { return old.starts_with(prefix); });
  env.push_back(entry);
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
  size_t begin = 0;
  while (begin < text.size()) {
    size_t end = text.find('\n', begin);
    if (end == text.npos) end = text.size();
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    if (line.empty() || line[0] == '#') continue;
    TRY(AddEnvironment(line, env).With("--env-file " + path));
  }
  return Ok();
}

}  // namespace ufs
