// JsonReader: a place in a JSON document that knows its own path, so that every
// complaint names the field. Reading a field that is absent, or null, leaves
// the target as it is; a field of the wrong type or out of range is EINVAL.
// Nothing here throws.
// Threads: values, borrowed from a document that outlives them.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "layerdb/base/result.h"

namespace ufs {

// A document of at most `limit_bytes`, nested at most 32 deep.
Result<nlohmann::json> ParseJson(std::string_view text, size_t limit_bytes);

// `text` as a JSON string, quotes included; what is not UTF-8 is replaced.
std::string QuoteJson(std::string_view text);

class JsonReader {
 public:
  // `json` may be null: a field that is not there.
  JsonReader(const nlohmann::json* json, std::string path);

  bool present() const { return json_ != nullptr; }
  const std::string& path() const { return path_; }

  // A member of an object; absent when this is absent.
  Result<JsonReader> Get(const char* key) const;
  // Elements of an array; none when absent.
  Result<std::vector<JsonReader>> Elements() const;
  // Members of an object, in the order of their names; none when absent.
  Result<std::vector<std::pair<std::string, JsonReader>>> Members() const;

  // This value itself.
  Status Read(std::string& target) const;
  Status Read(bool& target) const;
  template <typename Number>
  requires std::is_integral_v<Number> Status Read(Number& target)
  const;
  template <typename T>
  Status Read(std::optional<T>& target) const;
  template <typename T>
  Status Read(std::vector<T>& target) const;
  template <typename T>
  Status Read(std::map<std::string, T>& target) const;

  // A member of this object.
  template <typename T>
  Status Read(const char* key, T& target) const {
    const JsonReader member = TRY(Get(key));
    return member.Read(target);
  }
  // As Read, for what must be there.
  template <typename T>
  Status Require(const char* key, T& target) const {
    const JsonReader member = TRY(Get(key));
    if (!member.present()) return member.Invalid("is missing");
    return member.Read(target);
  }

  // "linux.namespaces[2].type MESSAGE".
  Error Invalid(std::string_view message) const;

 private:
  Status ReadInteger(int64_t min, uint64_t max, bool& negative,
                     uint64_t& bits) const;

  const nlohmann::json* json_;
  std::string path_;
};

template <typename Number>
requires std::is_integral_v<Number> Status JsonReader::Read(Number& target)
const {
  if (!present()) return Ok();
  using Limits = std::numeric_limits<Number>;
  bool negative = false;
  uint64_t bits = 0;
  TRY(ReadInteger(static_cast<int64_t>(Limits::min()),
                  static_cast<uint64_t>(Limits::max()), negative, bits));
  target = static_cast<Number>(bits);
  return Ok();
}

template <typename T>
Status JsonReader::Read(std::optional<T>& target) const {
  if (!present()) return Ok();
  T value{};
  TRY(Read(value));
  target = std::move(value);
  return Ok();
}

template <typename T>
Status JsonReader::Read(std::vector<T>& target) const {
  for (const JsonReader& element : TRY(Elements())) {
    T value{};
    if (!element.present()) return element.Invalid("is null");
    TRY(element.Read(value));
    target.push_back(std::move(value));
  }
  return Ok();
}

template <typename T>
Status JsonReader::Read(std::map<std::string, T>& target) const {
  for (const auto& [name, member] : TRY(Members())) {
    T value{};
    TRY(member.Read(value));
    target[name] = std::move(value);
  }
  return Ok();
}

}  // namespace ufs
