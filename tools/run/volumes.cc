// -v, --mount and --tmpfs of ufs run.
#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "tools/run/options.h"
#include "tools/run/random_name.h"
#include "tools/run/volume_store.h"

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

// What is no path is the name of a volume.
bool IsVolumeName(const std::string& source) {
  return source.find('/') == source.npos && source != "." && source != "..";
}

Status SetVolume(const std::string& name, const std::string& text,
                 RequestedMount& requested) {
  TRY(CheckVolumeName(name).With("'" + text + "'"));
  requested.volume = name;
  requested.mount.source = VolumeDataPath(TRY(VolumesDirectory()), name);
  return Ok();
}

// As long as docker's.
Status SetAnonymousVolume(const std::string& text, RequestedMount& requested) {
  requested.anonymous = true;
  return SetVolume(TRY(RandomName(/*bytes=*/32)), text, requested);
}

// "/a/b" for "/a//b/".
std::string CleanTarget(const std::string& target) {
  std::string clean = std::filesystem::path(target).lexically_normal();
  if (clean.size() > 1 && clean.back() == '/') clean.pop_back();
  return clean;
}

// A path of the host.
Result<std::string> SourcePath(const std::string& source,
                               const std::string& text) {
  std::error_code error;
  auto path = std::filesystem::absolute(source, error).lexically_normal();
  if (error) return Error(error.value(), "'" + text + "'");
  if (!std::filesystem::exists(path, error))
    return Error(ENOENT, path.string() +
                             ": does not exist on the host; make it first "
                             "(mkdir -p)");
  return path.string();
}

// For SELinux; without it there is nothing to do.
Status SetRelabel(RequestedMount::Relabel relabel, const std::string& text,
                  RequestedMount& requested) {
  if (requested.relabel != RequestedMount::Relabel::kNo &&
      requested.relabel != relabel)
    return Error(EINVAL, "'" + text + "': z and Z: choose one");
  requested.relabel = relabel;
  return Ok();
}

Status AddBindOption(const std::string& word, const std::string& text,
                     RequestedMount& requested) {
  using enum RequestedMount::Relabel;
  Mount& mount = requested.mount;
  for (const char* known :
       {"ro", "rw", "private", "rprivate", "slave", "rslave", "shared",
        "rshared", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "rro"})
    if (word == known) {
      mount.options.push_back(word);
      return Ok();
    }
  // With or without maps, for the runtime to read.
  const std::string name = word.substr(0, word.find('='));
  if (name == "idmap" || name == "ridmap") {
    mount.options.push_back(word);
    return Ok();
  }
  if (word == "z" || word == "Z")
    return SetRelabel(word == "z" ? kShared : kPrivate, text, requested);
  // Of docker on other systems.
  if (word == "consistent" || word == "cached" || word == "delegated")
    return Ok();
  return Error(EINVAL, "'" + text + "': unknown option '" + word +
                           "'; ro, rw, noexec, nosuid, nodev, idmap, z, Z or a "
                           "propagation (rslave, rshared, ...)");
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

Result<RequestedMount> ParseVolume(const std::string& text) {
  const Strings parts = Split(text, ':');
  if (parts.size() > 3)
    return Error(EINVAL, "-v '" + text + "': not [SOURCE:]TARGET[:OPTIONS]");
  RequestedMount requested;
  requested.mount = Bind();
  Mount& mount = requested.mount;
  if (parts.size() == 1) {
    mount.destination = text;
    TRY(CheckTarget(text, text));
    TRY(SetAnonymousVolume(text, requested));
    return requested;
  }
  mount.destination = parts[1];
  TRY(CheckTarget(parts[1], text));
  if (IsVolumeName(parts[0]))
    TRY(SetVolume(parts[0], text, requested));
  else
    mount.source = TRY(SourcePath(parts[0], text));
  if (parts.size() < 3) return requested;
  for (const std::string& word : Split(parts[2], ',')) {
    if (word == "nocopy" && !requested.volume.empty())
      requested.fill = false;
    else
      TRY(AddBindOption(word, text, requested));
  }
  return requested;
}

Result<RequestedMount> ParseTmpfs(const std::string& text) {
  const size_t colon = text.find(':');
  RequestedMount requested;
  requested.mount = Tmpfs(text.substr(0, colon));
  Mount& mount = requested.mount;
  TRY(CheckTarget(mount.destination, text));
  // What is said last counts. The kernel refuses what it does not know.
  if (colon != text.npos)
    for (const std::string& word : Split(text.substr(colon + 1), ','))
      mount.options.push_back(word);
  return requested;
}

Result<RequestedMount> ParseMountOption(const std::string& text) {
  std::string type = "volume", source, target;  // as with docker
  Strings options, tmpfs;
  bool fill = true;
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
    } else if (key == "idmap") {
      if (value.empty() || value == "true")
        options.push_back("idmap");
      else if (value != "false")
        options.push_back("idmap=" + value);
    } else if (key == "relabel" && (value == "shared" || value == "private")) {
      options.push_back(value == "shared" ? "z" : "Z");
    } else if (key == "volume-nocopy") {
      fill = !(value.empty() || value == "true" || value == "1");
    } else {
      return Error(EINVAL,
                   "--mount '" + text + "': unknown key '" + key +
                       "'; type, src, dst, ro, bind-propagation, "
                       "idmap, relabel=shared, relabel=private, volume-nocopy, "
                       "tmpfs-size or tmpfs-mode");
    }
  }
  if (type == "volume" && !source.empty() && !IsVolumeName(source))
    return Error(EINVAL, "--mount '" + text + "': " + source +
                             " is a path, and no name of a volume; for a "
                             "directory or file of the host say type=bind");
  TRY(CheckTarget(target, text));
  if (type == "tmpfs") {
    RequestedMount requested;
    requested.mount = Tmpfs(target);
    Strings& all = requested.mount.options;
    all.insert(all.end(), tmpfs.begin(), tmpfs.end());
    all.insert(all.end(), options.begin(), options.end());
    return requested;
  }
  const bool is_volume = type == "volume";
  if (type != "bind" && !is_volume)
    return Error(ENOTSUP, "--mount '" + text + "': type " + type +
                              " is not supported; use bind, volume or tmpfs");
  if (!tmpfs.empty())
    return Error(EINVAL, "--mount '" + text + "': tmpfs-* is for type=tmpfs");
  if (!is_volume && !fill)
    return Error(EINVAL,
                 "--mount '" + text + "': volume-nocopy is for type=volume");
  if (!is_volume && source.empty())
    return Error(EINVAL, "--mount '" + text +
                             "': type=bind needs src=PATH; for a volume or "
                             "memory say type=volume or type=tmpfs");
  RequestedMount requested;
  requested.mount = Bind();
  requested.fill = fill;
  Mount& mount = requested.mount;
  if (is_volume && source.empty())
    TRY(SetAnonymousVolume(text, requested));
  else if (is_volume)
    TRY(SetVolume(source, text, requested));
  else
    mount.source = TRY(SourcePath(source, text));
  mount.destination = target;
  for (const std::string& word : options)
    TRY(AddBindOption(word, text, requested));
  return requested;
}

Status AddImageVolumes(const Strings& places,
                       std::vector<RequestedMount>& mounts) {
  for (const std::string& place : places) {
    RequestedMount requested;
    requested.mount = Bind();
    requested.mount.destination = CleanTarget("/" + place);
    const std::string& target = requested.mount.destination;
    TRY(CheckTarget(target, place).With("a volume of the image"));
    if (std::any_of(mounts.begin(), mounts.end(),
                    [&](const RequestedMount& other) {
                      return CleanTarget(other.mount.destination) == target;
                    }))
      continue;
    TRY(SetAnonymousVolume(place, requested));
    mounts.push_back(std::move(requested));
  }
  return Ok();
}

Status CheckTargets(const std::vector<RequestedMount>& mounts) {
  std::set<std::string> seen;
  for (const RequestedMount& requested : mounts) {
    const std::string target = CleanTarget(requested.mount.destination);
    if (!seen.insert(target).second)
      return Error(EINVAL, target +
                               ": two mounts are asked for there; leave one "
                               "of -v, --mount, --tmpfs out");
  }
  return Ok();
}

}  // namespace ufs
