#include "tools/run/detach_keys.h"

#include <cctype>
#include <cerrno>

namespace ufs {

Result<std::string> ParseDetachKeys(std::string_view text) {
  constexpr std::string_view kCtrl = "ctrl-";
  std::string keys;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    const std::string_view word = rest.substr(0, comma);
    rest.remove_prefix(comma == rest.npos ? rest.size() : comma + 1);
    char key = 0;
    bool known = false;
    if (word.size() == 1) {
      key = word[0];
      known = std::isalnum(static_cast<unsigned char>(key)) != 0;
    } else if (word.size() == kCtrl.size() + 1 && word.starts_with(kCtrl)) {
      // @A-Z[\]^_ are 0x40 to 0x5f; the key with ctrl is that less 0x40.
      const int upper = std::toupper(static_cast<unsigned char>(word.back()));
      known = upper >= '@' && upper <= '_';
      key = static_cast<char>(upper - '@');
    }
    if (!known)
      return Error(EINVAL, "--detach-keys '" + std::string(text) +
                               "': not letters or ctrl-X, divided by commas");
    keys += key;
  }
  return keys;
}

std::string DetachKeys::Filter(std::string_view typed) {
  std::string out;
  for (const char c : typed) {
    if (detached_) break;
    if (keys_.empty()) {
      out += c;
      continue;
    }
    // Sequences are short and rarely repeat a key: starting over at the first
    // key is enough.
    if (c != keys_[matched_]) {
      out += keys_.substr(0, matched_);
      matched_ = 0;
    }
    if (c == keys_[matched_]) {
      detached_ = ++matched_ == keys_.size();
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace ufs
