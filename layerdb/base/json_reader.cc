#include "layerdb/base/json_reader.h"

#include <cerrno>
#include <nlohmann/json.hpp>

namespace ufs {
namespace {

constexpr int kMaxDepth = 32;

}  // namespace

Result<nlohmann::json> ParseJson(std::string_view text, size_t limit_bytes) {
  if (text.size() > limit_bytes)
    return Error(EFBIG,
                 "longer than " + std::to_string(limit_bytes) + " bytes");
  bool too_deep = false;
  // Returning false drops the value: what lies deeper costs nothing.
  const auto filter = [&](int depth, nlohmann::json::parse_event_t,
                          nlohmann::json&) {
    if (depth > kMaxDepth) too_deep = true;
    return !too_deep;
  };
  auto json = nlohmann::json::parse(text.begin(), text.end(), filter,
                                    /*allow_exceptions=*/false);
  if (too_deep)
    return Error(EINVAL,
                 "nested deeper than " + std::to_string(kMaxDepth) + " levels");
  if (json.is_discarded()) return Error(EINVAL, "not valid JSON");
  return json;
}

std::string QuoteJson(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false,
                                   nlohmann::json::error_handler_t::replace);
}

JsonReader::JsonReader(const nlohmann::json* json, std::string path)
    : json_(json != nullptr && json->is_null() ? nullptr : json),
      path_(std::move(path)) {}

Error JsonReader::Invalid(std::string_view message) const {
  return Error(EINVAL, (path_.empty() ? "the document" : path_) + " " +
                           std::string(message));
}

Result<JsonReader> JsonReader::Get(const char* key) const {
  std::string path = path_.empty() ? key : path_ + "." + key;
  if (!present()) return JsonReader(nullptr, std::move(path));
  if (!json_->is_object()) return Invalid("must be an object");
  const auto found = json_->find(key);
  return JsonReader(found == json_->end() ? nullptr : &*found, std::move(path));
}

Result<std::vector<JsonReader>> JsonReader::Elements() const {
  std::vector<JsonReader> elements;
  if (!present()) return elements;
  if (!json_->is_array()) return Invalid("must be an array");
  for (size_t i = 0; i < json_->size(); ++i)
    elements.emplace_back(&(*json_)[i], path_ + "[" + std::to_string(i) + "]");
  return elements;
}

Result<std::vector<std::pair<std::string, JsonReader>>> JsonReader::Members()
    const {
  std::vector<std::pair<std::string, JsonReader>> members;
  if (!present()) return members;
  if (!json_->is_object()) return Invalid("must be an object");
  for (auto member = json_->begin(); member != json_->end(); ++member)
    members.emplace_back(
        member.key(), JsonReader(&member.value(), path_ + "." + member.key()));
  return members;
}

Status JsonReader::Read(std::string& target) const {
  if (!present()) return Ok();
  if (!json_->is_string()) return Invalid("must be a string");
  const std::string& text = *json_->get_ptr<const std::string*>();
  // It ends up in system calls, which would see less than we have checked.
  if (text.find('\0') != std::string::npos)
    return Invalid("contains a NUL character");
  target = text;
  return Ok();
}

Status JsonReader::Read(bool& target) const {
  if (!present()) return Ok();
  if (!json_->is_boolean()) return Invalid("must be true or false");
  target = *json_->get_ptr<const bool*>();
  return Ok();
}

Status JsonReader::ReadInteger(int64_t min, uint64_t max, bool& negative,
                               uint64_t& bits) const {
  if (!json_->is_number_integer()) return Invalid("must be a whole number");
  if (json_->is_number_unsigned()) {
    bits = *json_->get_ptr<const uint64_t*>();
    if (bits > max) return Invalid("must be at most " + std::to_string(max));
    return Ok();
  }
  const int64_t value = *json_->get_ptr<const int64_t*>();
  if (value < min) return Invalid("must be at least " + std::to_string(min));
  negative = value < 0;
  bits = static_cast<uint64_t>(value);
  if (!negative && bits > max)
    return Invalid("must be at most " + std::to_string(max));
  return Ok();
}

}  // namespace ufs
