// Text for people: aligned tables, and numbers with units.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "layerdb/base/result.h"

namespace ufs {

// Columns as wide as their widest cell, two blanks between them.
class Table {
 public:
  enum class Align { kLeft, kRight };
  explicit Table(std::vector<Align> columns) : columns_(std::move(columns)) {}

  // REQUIRES: no more cells than columns. Missing ones are empty.
  void AddRow(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }

  // Each line begins with `indent` blanks and ends in a newline.
  std::string ToString(size_t indent = 0) const;

 private:
  const std::vector<Align> columns_;
  std::vector<std::vector<std::string>> rows_;
};

std::string FormatBytes(uint64_t bytes);      // "512 B", "1.5 MiB"
std::string FormatMicros(double micros);      // "12 us", "3.4 ms", "1.2 s"
std::string FormatSeconds(uint64_t seconds);  // "42 s", "3 h 05 min"
std::string FormatCount(uint64_t count);      // "1,234,567"
// "1 layer", "2 layers"; `things` where it is not `thing` and an s.
std::string FormatCountOf(uint64_t count, std::string_view thing,
                          std::string_view things = {});

// A path as it can stand in a line of text: control characters and backslashes
// as \ooo and \\, so that no name can forge another line.
std::string EscapePath(std::string_view path);

// Flushes stdout: a full disk or a closed pipe behind `ufs stat > file` is a
// failure that must show.
Status FlushOutput();
// The same; tells it as `who`, and returns the exit code.
int FinishOutput(std::string_view who);

}  // namespace ufs
