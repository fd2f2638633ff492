#include "tools/run/selinux_labels.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string_view>
#include <utility>

#include "layerdb/base/selinux.h"
#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"

namespace ufs {
namespace {

namespace kernel = runtime::kernel;

constexpr char kOption[] = "--security-opt label=";

// Each level holds a descriptor.
constexpr int kMaxDepth = 200;

// What would take the machine's own programs from their labels, as podman has
// it.
constexpr std::string_view kNotToRelabel[] = {
    "/",        "/bin",        "/boot", "/dev", "/etc",     "/etc/passwd",
    "/etc/pki", "/etc/shadow", "/home", "/lib", "/lib64",   "/media",
    "/opt",     "/proc",       "/root", "/run", "/sbin",    "/srv",
    "/sys",     "/tmp",        "/usr",  "/var", "/var/lib", "/var/log"};

// "user:role:type[:level]"; the level may have colons of its own.
struct Label {
  std::string user, role, type, level;

  static Result<Label> Parse(const std::string& text) {
    Label label;
    size_t begin = 0;
    for (std::string* part : {&label.user, &label.role, &label.type}) {
      const size_t end = std::min(text.find(':', begin), text.size());
      *part = text.substr(std::min(begin, text.size()), end - begin);
      if (part->empty()) return Error(EINVAL, "\"" + text + "\" is no label");
      begin = end + 1;
    }
    if (begin < text.size()) label.level = text.substr(begin);
    return label;
  }

  std::string ToString() const {
    return user + ":" + role + ":" + type + (level.empty() ? "" : ":" + level);
  }
};

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// Of a line `KEY = "VALUE"`; the last one counts. Empty: none.
std::string ValueOf(std::string_view text, std::string_view key) {
  std::string value;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = Trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t equals = line.find('=');
    if (line.starts_with('#') || line.starts_with(';') || equals == line.npos ||
        Trimmed(line.substr(0, equals)) != key)
      continue;
    std::string_view word = Trimmed(line.substr(equals + 1));
    if (word.size() >= 2 && word.front() == '"' && word.back() == '"')
      word = word.substr(1, word.size() - 2);
    value = word;
  }
  return value;
}

// What names the labels of containers: a file of the containers' own policy,
// else of the machine's. Empty: none does.
Result<std::string> ReadDefaults() {
  auto text = kernel::ReadFile("/usr/share/containers/selinux/contexts");
  if (text.code() != ENOENT) return text;
  const auto config = kernel::ReadFile("/etc/selinux/config");
  const std::string policy = config.ok() ? ValueOf(*config, "SELINUXTYPE") : "";
  text = kernel::ReadFile("/etc/selinux/" + policy + "/contexts/lxc_contexts");
  if (text.code() == ENOENT) return std::string();
  return text;
}

// A sensitivity and two categories of 1,024, as podman has them.
Result<std::string> RandomLevel() {
  uint32_t numbers[2] = {};
  while (numbers[0] == numbers[1]) {
    TRY(kernel::Check(getrandom(numbers, sizeof(numbers), 0)));
    for (uint32_t& number : numbers) number %= 1024;
  }
  std::sort(std::begin(numbers), std::end(numbers));
  return "s0:c" + std::to_string(numbers[0]) + ",c" +
         std::to_string(numbers[1]);
}

Status SetLabel(sys::At at, const std::string& label) {
  const auto now = sys::GetXattr(at, kSelinuxXattr);
  if (now.ok() && now->c_str() == label) return Ok();
  const auto set = sys::SetXattr(at, kSelinuxXattr, label);
  // One for the whole file system; or gone meanwhile.
  if (set.code() == EOPNOTSUPP || set.code() == ENOENT) return Ok();
  return set;
}

Status LabelEntries(BorrowedFd dir, const std::string& label, int depth);

// A directory last: whoever finds it labelled finds all below it so.
Status LabelEntry(sys::At at, const std::string& label, int depth) {
  const auto stat = sys::Statx(at);
  if (stat.code() == ENOENT) return Ok();
  if (!stat.ok()) return stat.error();
  if (S_ISDIR(stat->stx_mode)) {
    const UniqueFd dir = TRY(sys::OpenAt(at, O_RDONLY | O_DIRECTORY));
    TRY(LabelEntries(dir, label, depth));
  }
  return SetLabel(at, label);
}

Status LabelEntries(BorrowedFd dir, const std::string& label, int depth) {
  if (depth > kMaxDepth) return Error(ELOOP, "directories nested too deep");
  Status status;
  TRY(sys::ForEachEntry(dir, [&](const char* name, uint8_t, uint64_t) {
    status = LabelEntry({dir, name}, label, depth + 1).With(name);
    return status.ok();
  }));
  return status;
}

Status LabelTree(const std::string& path, const std::string& label) {
  const UniqueFd top = TRY(sys::Open(path.c_str(), O_PATH));
  if (S_ISDIR(TRY(sys::Statx({top})).stx_mode)) {
    const UniqueFd dir = TRY(sys::Reopen(top, O_RDONLY | O_DIRECTORY));
    TRY(LabelEntries(dir, label, 0));
  }
  return SetLabel({top}, label);
}

}  // namespace

Status AddLabelWish(const std::string& text, LabelWish& wish) {
  if (text == "disable") {
    wish.disable = true;
    return Ok();
  }
  const size_t colon = text.find(':');
  const std::string value = colon == text.npos ? "" : text.substr(colon + 1);
  const std::pair<std::string_view, std::string*> known[] = {
      {"user", &wish.user},
      {"role", &wish.role},
      {"type", &wish.type},
      {"level", &wish.level},
      {"filetype", &wish.filetype}};
  for (const auto& [name, target] : known) {
    if (text.substr(0, colon) != name || value.empty()) continue;
    *target = value;
    return Ok();
  }
  return Error(EINVAL, kOption + text +
                           ": not disable, or user:, role:, type:, level: or "
                           "filetype: with a value");
}

Result<SelinuxLabels> CombineLabels(const std::string& defaults,
                                    const std::string& level,
                                    const LabelWish& wish) {
  const std::string of_processes = ValueOf(defaults, "process");
  const std::string of_files = ValueOf(defaults, "file");
  if (of_processes.empty() || of_files.empty())
    return Error(EINVAL,
                 "no file of its policy, as lxc_contexts, names labels for "
                 "containers");
  Label process = TRY(Label::Parse(of_processes));
  Label mount = TRY(Label::Parse(of_files));
  if (!process.level.empty()) process.level = mount.level = level;
  const auto choose = [](const std::string& wished, std::string& part) {
    if (!wished.empty()) part = wished;
  };
  choose(wish.user, process.user);
  choose(wish.user, mount.user);
  choose(wish.role, process.role);
  choose(wish.type, process.type);
  choose(wish.filetype, mount.type);
  choose(wish.level, process.level);
  choose(wish.level, mount.level);
  return SelinuxLabels{process.ToString(), mount.ToString()};
}

Result<SelinuxLabels> ChooseLabels(const LabelWish& wish,
                                   std::vector<std::string>& notes) {
  if (wish.disable) return SelinuxLabels();
  if (!HasSelinuxPolicy()) {
    if (wish.any())
      notes.push_back(std::string(kOption) +
                      " has no effect: SELinux is not enabled here");
    return SelinuxLabels();
  }
  auto labels = CombineLabels(TRY(ReadDefaults()), TRY(RandomLevel()), wish);
  if (labels.ok())
    for (const std::string& label : {labels->process, labels->mount})
      if (auto known = CheckSelinuxLabel(label); labels.ok() && !known.ok())
        labels = std::move(known).error();
  if (labels.ok()) return labels;
  if (wish.any())
    return Error(EINVAL, std::string(kOption) + ": " +
                             std::string(labels.error().context()));
  // A policy that knows of no containers has nothing to say about ours.
  notes.push_back(
      "SELinux does not confine it: " + std::string(labels.error().context()) +
      "; --security-opt label=disable says that this is meant");
  return SelinuxLabels();
}

Status Relabel(const std::string& path, const std::string& mount, bool shared) {
  if (mount.empty()) return Ok();
  std::error_code error;
  const std::string real = std::filesystem::canonical(path, error);
  if (error) return Error(error.value(), path);
  const char* const home = getenv("HOME");
  if ((home != nullptr && real == home) ||
      std::find(std::begin(kNotToRelabel), std::end(kNotToRelabel), real) !=
          std::end(kNotToRelabel))
    return Error(EINVAL, real +
                             ": the machine needs its labels; leave z and Z "
                             "out, or use --security-opt label=disable");
  Label label = TRY(Label::Parse(mount));
  if (shared && !label.level.empty()) label.level = "s0";
  return LabelTree(real, label.ToString())
      .With("giving " + real + " the label " + label.ToString());
}

}  // namespace ufs
