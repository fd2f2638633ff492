#include "tests/model/fields.h"

#include <cstdlib>
#include <cstring>
#include <sstream>

namespace ufs::model {
namespace {

constexpr char kHex[] = "0123456789abcdef";

bool IsPlain(unsigned char byte) {
  return byte > ' ' && byte < 0x7f && byte != '%' && byte != '=';
}

int HexDigit(char digit) {
  const char* at = digit == 0 ? nullptr : std::strchr(kHex, digit);
  return at == nullptr ? -1 : static_cast<int>(at - kHex);
}

}  // namespace

std::string Quote(std::string_view bytes) {
  std::string text;
  for (unsigned char byte : bytes) {
    if (IsPlain(byte)) {
      text += static_cast<char>(byte);
    } else {
      text += '%';
      text += kHex[byte >> 4];
      text += kHex[byte & 15];
    }
  }
  return text;
}

std::optional<std::string> Unquote(std::string_view text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      bytes += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    int high = HexDigit(text[i + 1]), low = HexDigit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return bytes;
}

void FieldWriter::Text(std::string_view key, std::string_view value) {
  line_.append(" ").append(key).append("=").append(Quote(value));
}

void FieldWriter::Number(std::string_view key, int64_t value) {
  Text(key, std::to_string(value));
}

void FieldWriter::Octal(std::string_view key, uint64_t value) {
  char digits[32];
  snprintf(digits, sizeof(digits), "0%llo",
           static_cast<unsigned long long>(value));
  Text(key, digits);
}

FieldReader::FieldReader(std::string_view line) {
  std::istringstream words{std::string(line)};
  words >> head_;
  for (std::string word; words >> word;) {
    size_t equals = word.find('=');
    std::optional<std::string> value;
    if (equals != std::string::npos) value = Unquote(word.substr(equals + 1));
    if (!value) {
      error_ = "not key=value: " + word;
      return;
    }
    fields_.push_back({word.substr(0, equals), *value});
  }
}

bool FieldReader::Text(std::string_view key, std::string* value) {
  for (Field& field : fields_) {
    if (field.key != key || field.taken) continue;
    field.taken = true;
    *value = field.value;
    return true;
  }
  return false;
}

std::vector<std::string> FieldReader::Texts(std::string_view key) {
  std::vector<std::string> values;
  for (std::string value; Text(key, &value);) values.push_back(value);
  return values;
}

std::optional<int64_t> FieldReader::TakeNumber(std::string_view key) {
  std::string text;
  if (!Text(key, &text)) return std::nullopt;
  char* end = nullptr;
  int64_t number = std::strtoll(text.c_str(), &end, 0);
  if (text.empty() || *end != 0) {
    error_ = "not a number: " + std::string(key) + "=" + text;
    return std::nullopt;
  }
  return number;
}

std::string FieldReader::error() const {
  if (!error_.empty()) return error_;
  for (const Field& field : fields_)
    if (!field.taken) return "unknown key: " + field.key;
  return "";
}

}  // namespace ufs::model
