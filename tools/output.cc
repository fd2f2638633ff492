#include "tools/output.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "layerdb/base/printable.h"
#include "tools/command.h"

namespace ufs {
namespace {

// Columns a terminal takes for UTF-8 text: one for each character, as good as
// it gets without tables of wide ones.
size_t Width(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  });
}

std::string Format(const char* format, double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof(buffer), format, value);
  return buffer;
}

// Three digits are enough to compare.
std::string Significant(double value) {
  return Format(value < 9.995   ? "%.2f"
                : value < 99.95 ? "%.1f"
                                : "%.0f",
                value);
}

}  // namespace

void Table::AddRow(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::ToString(size_t indent) const {
  std::vector<size_t> widths(columns_.size());
  for (const auto& row : rows_)
    for (size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], Width(row[i]));
  std::string text;
  for (const auto& row : rows_) {
    std::string line(indent, ' ');
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - Width(row[i]), ' ');
      line += i == 0 ? "" : "  ";
      line +=
          columns_[i] == Align::kRight ? padding + row[i] : row[i] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string FormatBytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1023.5 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return Significant(value) + " " + kUnits[unit];
}

std::string FormatMicros(double micros) {
  if (micros < 999.5) return Significant(micros) + " us";
  if (micros < 999.5e3) return Significant(micros / 1e3) + " ms";
  return Significant(micros / 1e6) + " s";
}

std::string FormatSeconds(uint64_t seconds) {
  const auto two = [](uint64_t value) {
    return (value < 10 ? "0" : "") + std::to_string(value);
  };
  if (seconds < 60) return std::to_string(seconds) + " s";
  if (seconds < 3600)
    return std::to_string(seconds / 60) + " min " + two(seconds % 60) + " s";
  if (seconds < 86400)
    return std::to_string(seconds / 3600) + " h " + two(seconds / 60 % 60) +
           " min";
  return std::to_string(seconds / 86400) + " d " + two(seconds / 3600 % 24) +
         " h";
}

std::string FormatCount(uint64_t count) {
  std::string digits = std::to_string(count);
  for (size_t at = digits.size(); at > 3; at -= 3)
    digits.insert(at - 3, 1, ',');
  return digits;
}

std::string FormatCountOf(uint64_t count, std::string_view thing,
                          std::string_view things) {
  const bool regular = count == 1 || things.empty();
  return FormatCount(count) + " " + std::string(regular ? thing : things) +
         (regular && count != 1 ? "s" : "");
}

std::string EscapePath(std::string_view path) {
  std::string escaped;
  for (const char c : path) {
    if (c == '\\') escaped.push_back(c);
    escaped.push_back(c);
  }
  return Printable(escaped, /*kept=*/"");
}

Status FlushOutput() {
  if (std::fflush(stdout) == 0 && !std::ferror(stdout)) return Ok();
  return Error(errno, "standard output");
}

int FinishOutput(std::string_view who) {
  const Status flushed = FlushOutput();
  return flushed.ok() ? kExitOk
                      : Complain(who, flushed.error().ToString(), kExitFailure);
}

}  // namespace ufs
