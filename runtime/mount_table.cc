#include "runtime/mount_table.h"

#include <algorithm>
#include <charconv>

namespace ufs::runtime {
namespace {

// The next word of `line`, which loses it.
std::string_view TakeWord(std::string_view& line) {
  const size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

bool IsNumber(std::string_view word, uint64_t number) {
  uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(word.data(), word.data() + word.size(), value);
  return error == std::errc() && end == word.data() + word.size() &&
         value == number;
}

}  // namespace

std::string UnescapeMountPath(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](size_t at) { return text[at] - '0'; };
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain.push_back(static_cast<char>(digit(i + 1) * 64 + digit(i + 2) * 8 +
                                        digit(i + 3)));
      i += 3;
    } else {
      plain.push_back(text[i]);
    }
  }
  return plain;
}

std::vector<std::string> MountPointsOn(std::string_view mountinfo,
                                       uint64_t parent, uint64_t except) {
  std::vector<std::string> points;
  while (!mountinfo.empty()) {
    const size_t end = std::min(mountinfo.find('\n'), mountinfo.size());
    std::string_view line = mountinfo.substr(0, end);
    mountinfo.remove_prefix(std::min(end + 1, mountinfo.size()));
    // ID PARENT MAJ:MIN ROOT POINT ...
    const std::string_view id = TakeWord(line);
    if (!IsNumber(TakeWord(line), parent) || IsNumber(id, except)) continue;
    TakeWord(line);
    TakeWord(line);
    points.push_back(UnescapeMountPath(TakeWord(line)));
  }
  std::reverse(points.begin(), points.end());
  return points;
}

}  // namespace ufs::runtime
