// Names of numbers: capabilities, resource limits, signals, as config.json and
// command lines spell them. Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ufs::runtime {

// A row of a table of names.
template <typename T>
struct Named {
  std::string_view name;
  T value;
};

template <typename T, size_t N>
std::optional<T> ValueOf(const Named<T> (&table)[N], std::string_view name) {
  for (const Named<T>& row : table)
    if (row.name == name) return row.value;
  return std::nullopt;
}

// "CAP_CHOWN" -> 0. Nullopt for what is no capability we know.
std::optional<int> ParseCapability(std::string_view name);
// Every capability we know, in the order of their numbers.
const std::vector<std::string_view>& CapabilityNames();

// "RLIMIT_NOFILE" -> 7.
std::optional<int> ParseRlimit(std::string_view name);
std::string RlimitName(int resource);  // its number, if we know none

// "KILL", "SIGKILL", "9", "RTMIN+1" -> 9. In any case.
std::optional<int> ParseSignal(std::string_view text);

// A whole decimal number of 32 bits that is not (uid_t)-1; nothing else around
// it.
std::optional<uint32_t> ParseId(std::string_view text);

}  // namespace ufs::runtime
