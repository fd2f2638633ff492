// A line of text made of a head word and key=value words: the form in which a
// script keeps its layers and operations.
// Values may hold any byte: what would break the line is percent-encoded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ufs::model {

std::string Quote(std::string_view bytes);
std::optional<std::string> Unquote(std::string_view text);

class FieldWriter {
 public:
  explicit FieldWriter(std::string_view head) : line_(head) {}
  void Text(std::string_view key, std::string_view value);
  void Number(std::string_view key, int64_t value);
  void Octal(std::string_view key, uint64_t value);
  const std::string& line() const { return line_; }

 private:
  std::string line_;
};

// Reads such a line; a number with a leading 0 is octal. Missing keys leave the
// target as it was. A malformed or unread word is remembered in error().
class FieldReader {
 public:
  explicit FieldReader(std::string_view line);
  const std::string& head() const { return head_; }
  bool Text(std::string_view key, std::string* value);
  // Every value of a key that may repeat.
  std::vector<std::string> Texts(std::string_view key);
  template <typename T>
  bool Number(std::string_view key, T* value) {
    std::optional<int64_t> number = TakeNumber(key);
    if (number) *value = static_cast<T>(*number);
    return number.has_value();
  }
  // Empty when everything on the line was understood and taken.
  std::string error() const;

 private:
  struct Field {
    std::string key;
    std::string value;
    bool taken = false;
  };
  std::optional<int64_t> TakeNumber(std::string_view key);

  std::string head_;
  std::vector<Field> fields_;
  std::string error_;
};

}  // namespace ufs::model
