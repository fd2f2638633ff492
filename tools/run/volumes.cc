// -v, --mount and --tmpfs of ufs run.
#include <cerrno>
#include <filesystem>

#include "tools/run/options.h"

namespace ufs {
namespace {

using runtime::Mount;
using Strings = std::vector<std::string>;

Strings Split(const std::string& text, char separator) {
  Strings parts;
  size_t begin = 0;
  while (true) {
    const size_t end = text.find(separator, begin);
    parts.push_back(text.substr(begin, end - begin));
    if (end == text.npos) return parts;
    begin = end + 1;
  }
}

Status CheckTarget(const std::string& target, const std::string& text) {
  if (target.starts_with('/') && target != "/") return Ok();
  return Error(EINVAL, "'" + text +
                           "': the place in the container must be an absolute "
                           "path below /");
}

// A path of the host. Docker's volumes have names; we have none.
Result<std::string> SourcePath(const std::string& source,
                               const std::string& text) {
  if (source.find('/') == source.npos && source != "." && source != "..")
    return Error(ENOTSUP, "'" + text + "': volumes with a name are not kept; " +
                              "give a path, './" + source + "'");
  std::error_code error;
  auto path = std::filesystem::absolute(source, error).lexically_normal();
  if (error) return Error(error.value(), "'" + text + "'");
  if (!std::filesystem::exists(path, error))
    return Error(ENOENT, path.string() +
                             ": does not exist on the host; make it first "
                             "(mkdir -p)");
  return path.string();
}

Status AddBindOption(const std::string& word, const std::string& text,
                     Mount& mount) {
  for (const char* known :
       {"ro", "rw", "private", "rprivate", "slave", "rslave", "shared",
        "rshared", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "rro"})
    if (word == known) {
      mount.options.push_back(word);
      return Ok();
    }
  // Labels of SELinux, which is not supported and so not in the way.
  if (word == "z" || word == "Z" || word == "consistent" || word == "cached" ||
      word == "delegated")
    return Ok();
  return Error(EINVAL, "'" + text + "': unknown option '" + word +
                           "'; ro, rw, noexec, nosuid, nodev or a propagation "
                           "(rslave, rshared, ...)");
}

Mount Bind() {
  Mount mount;
  mount.type = "bind";
  mount.options = {"rbind", "rprivate"};
  return mount;
}

Mount Tmpfs(const std::string& target) {
  Mount mount;
  mount.type = mount.source = "tmpfs";
  mount.destination = target;
  mount.options = {"nosuid", "nodev", "noexec"};
  return mount;
}

}  // namespace

Result<Mount> ParseVolume(const std::string& text) {
  const Strings parts = Split(text, ':');
  if (parts.size() < 2)
    return Error(ENOTSUP, "-v '" + text +
                              "': volumes without a source are not kept; say "
                              "SOURCE:TARGET");
  if (parts.size() > 3)
    return Error(EINVAL, "-v '" + text + "': not SOURCE:TARGET[:OPTIONS]");
  Mount mount = Bind();
  mount.source = TRY(SourcePath(parts[0], text));
  mount.destination = parts[1];
  TRY(CheckTarget(parts[1], text));
  if (parts.size() == 3)
    for (const std::string& word : Split(parts[2], ','))
      TRY(AddBindOption(word, text, mount));
  return mount;
}

Result<Mount> ParseTmpfs(const std::string& text) {
  const size_t colon = text.find(':');
  Mount mount = Tmpfs(text.substr(0, colon));
  TRY(CheckTarget(mount.destination, text));
  // What is said last counts. The kernel refuses what it does not know.
  if (colon != text.npos)
    for (const std::string& word : Split(text.substr(colon + 1), ','))
      mount.options.push_back(word);
  return mount;
}

Result<Mount> ParseMountOption(const std::string& text) {
  std::string type = "bind", source, target;
  Strings options, tmpfs;
  for (const std::string& word : Split(text, ',')) {
    const size_t equals = word.find('=');
    const std::string key = word.substr(0, equals);
    const std::string value =
        equals == word.npos ? "" : word.substr(equals + 1);
    if (key == "type") {
      type = value;
    } else if (key == "src" || key == "source") {
      source = value;
    } else if (key == "dst" || key == "destination" || key == "target") {
      target = value;
    } else if (key == "ro" || key == "readonly") {
      if (value.empty() || value == "true" || value == "1")
        options.push_back("ro");
    } else if (key == "bind-propagation") {
      options.push_back(value);
    } else if (key == "tmpfs-size") {
      tmpfs.push_back("size=" + value);
    } else if (key == "tmpfs-mode") {
      tmpfs.push_back("mode=" + value);
    } else {
      return Error(EINVAL, "--mount '" + text + "': unknown key '" + key +
                               "'; type, src, dst, ro, bind-propagation, "
                               "tmpfs-size or tmpfs-mode");
    }
  }
  TRY(CheckTarget(target, text));
  if (type == "tmpfs") {
    Mount mount = Tmpfs(target);
    mount.options.insert(mount.options.end(), tmpfs.begin(), tmpfs.end());
    mount.options.insert(mount.options.end(), options.begin(), options.end());
    return mount;
  }
  if (type != "bind")
    return Error(ENOTSUP, "--mount '" + text + "': type " + type +
                              " is not supported; use bind or tmpfs");
  if (!tmpfs.empty())
    return Error(EINVAL, "--mount '" + text + "': tmpfs-* is for type=tmpfs");
  Mount mount = Bind();
  mount.source = TRY(SourcePath(source, text));
  mount.destination = target;
  for (const std::string& word : options) TRY(AddBindOption(word, text, mount));
  return mount;
}

}  // namespace ufs
