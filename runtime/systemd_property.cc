#include "runtime/systemd_property.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

namespace ufs::runtime {
namespace {

constexpr std::string_view kPrefix = "org.systemd.property.";
constexpr std::string_view kIntegers = "ynqiuxt";
constexpr size_t kSignatureMax = 255;

// What stays within the scope and takes back nothing that it is made with. All
// else, who may name an annotation must not get by it: other processes moved
// into the scope (PIDs), other units started or stopped with it (Wants,
// Conflicts, OnFailure), the host rebooted at its end (FailureAction).
//
// Those that callers set themselves are among them: podman KillSignal and
// TimeoutStopUSec; CRI-O CollectMode, DefaultDependencies, by which a shutdown
// ends the scope, and After, which orders and starts nothing.
constexpr std::string_view kTaken[] = {
    "After",         "AllowedCPUs",    "AllowedMemoryNodes",
    "Before",        "CollectMode",    "DefaultDependencies",
    "DeviceAllow",   "DevicePolicy",   "FinalKillSignal",
    "IPAddressDeny", "IPAddressAllow", "KillMode",
    "KillSignal",    "OOMPolicy",      "RestartKillSignal",
    "SendSIGHUP",    "SendSIGKILL",
};
// Resource control: CPUWeight, StartupCPUWeight, IOReadBandwidthMax. With what
// else begins so no scope of systemd's is made.
constexpr std::string_view kTakenBeginnings[] = {
    "BlockIO", "CPU",    "DefaultMemory", "DefaultStartupMemory",
    "IO",      "Memory", "RuntimeMax",    "RuntimeRandomizedExtra",
    "Startup", "Tasks",  "TimeoutStop",
};
constexpr std::string_view kTakenEnd = "Accounting";

bool IsTaken(std::string_view name) {
  const auto is_name = [&](std::string_view taken) { return name == taken; };
  const auto begins = [&](std::string_view taken) {
    return name.starts_with(taken);
  };
  return std::any_of(std::begin(kTaken), std::end(kTaken), is_name) ||
         std::any_of(std::begin(kTakenBeginnings), std::end(kTakenBeginnings),
                     begins) ||
         name.ends_with(kTakenEnd);
}

constexpr struct {
  std::string_view word;
  char type;
} kTypeWords[] = {{"boolean", 'b'}, {"byte", 'y'},       {"int16", 'n'},
                  {"uint16", 'q'},  {"int32", 'i'},      {"uint32", 'u'},
                  {"int64", 'x'},   {"uint64", 't'},     {"double", 'd'},
                  {"string", 's'},  {"objectpath", 'o'}, {"signature", 'g'}};

Error Wrong(const std::string& what) { return Error(EINVAL, what); }

bool IsObjectPath(std::string_view text) {
  if (text == "/") return true;
  if (!text.starts_with('/') || text.ends_with('/') ||
      text.find("//") != text.npos)
    return false;
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return c == '/' || c == '_' || (c < 0x80 && std::isalnum(c) != 0);
  });
}

bool Fits(char type, bool negative, uint64_t magnitude) {
  const auto in = [&](int bits) {
    const uint64_t half = uint64_t{1} << (bits - 1);
    return negative ? magnitude <= half : magnitude < half;
  };
  const auto below = [&](int bits) {
    return (!negative || magnitude == 0) &&
           (bits == 64 || magnitude >> bits == 0);
  };
  switch (type) {
    case 'y':
      return below(8);
    case 'n':
      return in(16);
    case 'q':
      return below(16);
    case 'i':
      return in(32);
    case 'u':
      return below(32);
    case 'x':
      return in(64);
    default:
      return below(64);
  }
}

class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  Result<PropertyValue> Whole() {
    PropertyValue value = TRY(Value("", 0));
    SkipBlanks();
    if (!rest_.empty())
      return Wrong("more than a value: \"" + std::string(rest_) + "\"");
    return value;
  }

 private:
  // `type` is what it has to be; empty: what it looks like.
  Result<PropertyValue> Value(const std::string& type, int depth) {
    constexpr int kMaxDepth = 8;
    if (depth > kMaxDepth) return Wrong("too deep");
    SkipBlanks();
    if (rest_.empty()) return Wrong("no value");
    const char first = rest_.front();
    if (first == '@') return Annotated(type, depth);
    if (first == '[') return Array(type, depth);
    if (first == '(') return Structure(type, depth);
    if (first == '\'' || first == '"') return String(type);
    if (std::isalpha(static_cast<unsigned char>(first)))
      return Word(type, depth);
    return Number(type);
  }

  // "@as []"
  Result<PropertyValue> Annotated(const std::string& type, int depth) {
    const size_t end = std::min(rest_.find_first_of(" \t"), rest_.size());
    const std::string given(rest_.substr(1, end - 1));
    rest_.remove_prefix(end);
    std::string_view left = given;
    if (given.size() > kSignatureMax || !SkipType(left, 0) || !left.empty())
      return Wrong("\"" + given + "\" is no type that is known here");
    TRY(Agree(type, given));
    return Value(given, depth + 1);
  }

  Result<PropertyValue> Array(const std::string& type, int depth) {
    if (!type.empty() && type[0] != 'a') return Disagrees(type, "an array");
    std::string element = type.empty() ? "" : type.substr(1);
    PropertyValue array;
    rest_.remove_prefix(1);
    while (!Take(']')) {
      if (!array.parts.empty() && !Take(',')) return Wrong("no , or ]");
      array.parts.push_back(TRY(Value(element, depth + 1)));
      element = array.parts.back().type;
    }
    if (element.empty()) return Wrong("an empty array needs its type: @as []");
    array.type = "a" + element;
    if (array.type.size() > kSignatureMax) return Wrong("too much in one");
    return array;
  }

  Result<PropertyValue> Structure(const std::string& type, int depth) {
    if (!type.empty() && type[0] != '(') return Disagrees(type, "a structure");
    std::string_view wanted = type;
    if (!wanted.empty()) wanted.remove_prefix(1);
    PropertyValue value;
    value.type = "(";
    rest_.remove_prefix(1);
    while (!Take(')')) {
      if (!value.parts.empty() && !Take(',')) return Wrong("no , or )");
      if (value.parts.size() == 1 && Take(')')) break;  // "(1,)"
      std::string member;
      if (!type.empty()) {
        const std::string_view before = wanted;
        if (!SkipType(wanted, 0)) return Disagrees(type, "one with more in it");
        member = before.substr(0, before.size() - wanted.size());
      }
      value.parts.push_back(TRY(Value(member, depth + 1)));
      value.type += value.parts.back().type;
    }
    value.type += ")";
    if (value.parts.empty()) return Wrong("an empty structure");
    if (value.type.size() > kSignatureMax) return Wrong("too much in one");
    TRY(Agree(type, value.type));
    return value;
  }

  Result<PropertyValue> String(const std::string& type) {
    PropertyValue value;
    value.type = type.empty() ? "s" : type;
    if (value.type != "s" && value.type != "o" && value.type != "g")
      return Disagrees(type, "a string");
    const char quote = rest_.front();
    rest_.remove_prefix(1);
    while (!rest_.empty() && rest_.front() != quote) {
      char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '\\') {
        if (rest_.empty()) break;
        c = rest_.front();
        rest_.remove_prefix(1);
        constexpr std::string_view kLetters = "abfnrtv";
        if (const size_t at = kLetters.find(c); at != kLetters.npos)
          c = "\a\b\f\n\r\t\v"[at];
        else if (std::isalnum(static_cast<unsigned char>(c)))
          return Wrong(std::string("the escape \\") + c + " is not known here");
      }
      value.text += c;
    }
    if (rest_.empty()) return Wrong("a string without its end");
    rest_.remove_prefix(1);
    // The bus hangs up on who sends another.
    if (value.text.find('\0') != value.text.npos)
      return Wrong("a string with a NUL");
    if (value.type == "o" && !IsObjectPath(value.text))
      return Wrong("\"" + value.text + "\" is no path of an object");
    if (value.type == "g") {
      std::string_view types = value.text;
      while (!types.empty())
        if (!SkipType(types, 0) || value.text.size() > kSignatureMax)
          return Wrong("\"" + value.text + "\" is no signature");
    }
    return value;
  }

  // true, false, or the name of a type and its value.
  Result<PropertyValue> Word(const std::string& type, int depth) {
    const size_t end = static_cast<size_t>(
        std::find_if_not(rest_.begin(), rest_.end(),
                         [](unsigned char c) { return std::isalnum(c) != 0; }) -
        rest_.begin());
    const std::string word(rest_.substr(0, end));
    rest_.remove_prefix(end);
    if (word == "true" || word == "false") {
      TRY(Agree(type, "b"));
      PropertyValue value;
      value.type = "b";
      value.number = word == "true" ? 1 : 0;
      return value;
    }
    for (const auto& known : kTypeWords) {
      if (word != known.word) continue;
      const std::string given(1, known.type);
      TRY(Agree(type, given));
      return Value(given, depth + 1);
    }
    return Wrong("\"" + word + "\" is no value; a string is in quotes");
  }

  Result<PropertyValue> Number(const std::string& type) {
    const size_t end = std::min(rest_.find_first_of(" \t,])"), rest_.size());
    const std::string word(rest_.substr(0, end));
    rest_.remove_prefix(end);
    const Error none = Wrong("\"" + word + "\" is no number");
    PropertyValue value;
    const bool hex = word.find("0x") != word.npos;
    const bool real = !hex && word.find_first_of(".eE") != word.npos;
    value.type = !type.empty() ? type : real ? "d" : "i";
    const char* at = word.data();
    const char* const stop = at + word.size();
    if (value.type == "d") {
      const auto [left, error] = std::from_chars(at, stop, value.real);
      if (error != std::errc() || left != stop || !std::isfinite(value.real))
        return none;
      return value;
    }
    if (value.type.size() != 1 || kIntegers.find(value.type) == kIntegers.npos)
      return Disagrees(type, "a number");
    const bool negative = word.starts_with('-');
    at += negative || word.starts_with('+') ? 1 : 0;
    if (hex) at += 2;
    // GVariant reads 010 as 8, who writes it means 10 rather.
    if (!hex && stop - at > 1 && *at == '0')
      return Wrong("\"" + word + "\" begins with a 0");
    uint64_t magnitude = 0;
    const auto [left, error] =
        std::from_chars(at, stop, magnitude, hex ? 16 : 10);
    if (error != std::errc() || left != stop) return none;
    if (!Fits(value.type[0], negative, magnitude))
      return Wrong(word + " is out of range; say which number it is, as in " +
                   "uint64 " + word);
    value.number = negative ? ~magnitude + 1 : magnitude;
    return value;
  }

  // Takes one complete type off.
  static bool SkipType(std::string_view& types, int depth) {
    constexpr int kMaxDepth = 8;
    if (types.empty() || depth > kMaxDepth) return false;
    const char first = types.front();
    types.remove_prefix(1);
    if (first == 'a') return SkipType(types, depth + 1);
    if (first != '(')
      return std::any_of(
          std::begin(kTypeWords), std::end(kTypeWords),
          [&](const auto& known) { return known.type == first; });
    if (types.starts_with(')')) return false;
    while (!types.empty() && types.front() != ')')
      if (!SkipType(types, depth + 1)) return false;
    if (types.empty()) return false;
    types.remove_prefix(1);
    return true;
  }

  static Error Disagrees(const std::string& type, const std::string& found) {
    return Wrong("is " + found + " where the type is " + type);
  }
  static Status Agree(const std::string& type, const std::string& found) {
    if (type.empty() || type == found) return Ok();
    return Disagrees(type, "of type " + found);
  }

  void SkipBlanks() {
    while (rest_.starts_with(' ') || rest_.starts_with('\t'))
      rest_.remove_prefix(1);
  }
  bool Take(char c) {
    SkipBlanks();
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  std::string_view rest_;
};

// From seconds.
Status ToMicroseconds(PropertyValue& value) {
  constexpr uint64_t kMicros = 1'000'000;
  if (value.type == "d") {
    const double micros = value.real * kMicros;
    // A double has no more than that exactly.
    if (!(micros >= 0 && micros < 9e15))
      return Wrong("is no number of seconds");
    value.number = static_cast<uint64_t>(micros);
  } else if (value.type.size() == 1 &&
             kIntegers.find(value.type) != kIntegers.npos) {
    const bool negative =
        std::string_view("nix").find(value.type) != std::string_view::npos &&
        static_cast<int64_t>(value.number) < 0;
    if (negative || value.number > UINT64_MAX / kMicros)
      return Wrong("is no number of seconds");
    value.number *= kMicros;
  } else {
    return Wrong("is no number of seconds");
  }
  value.type = "t";
  return Ok();
}

Result<SystemdProperty> PropertyOf(std::string name, const std::string& text) {
  const bool letters = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  });
  if (!letters || name.size() < 3)
    return Wrong("\"" + name + "\" is no name of a property");
  // By it a scope is told from another of its name.
  if (name == "Description")
    return Wrong("the description of the scope names the container");
  if (!IsTaken(name))
    return Wrong("\"" + name +
                 "\" is not among the properties that may be given: it may "
                 "reach beyond the scope, or undo what it is made with");
  PropertyValue value = TRY(ParsePropertyValue(text).With("\"" + text + "\""));
  if (name.size() > 3 && name.ends_with("Sec") &&
      std::islower(static_cast<unsigned char>(name[name.size() - 4]))) {
    name.replace(name.size() - 3, 3, "USec");
    TRY(ToMicroseconds(value).With("\"" + text + "\""));
  }
  return SystemdProperty{std::move(name), std::move(value)};
}

}  // namespace

Result<PropertyValue> ParsePropertyValue(std::string_view text) {
  return Parser(text).Whole();
}

Result<std::vector<SystemdProperty>> PropertiesIn(
    const std::map<std::string, std::string>& annotations) {
  std::vector<SystemdProperty> properties;
  for (const auto& [key, text] : annotations)
    if (key.starts_with(kPrefix))
      properties.push_back(TRY(PropertyOf(key.substr(kPrefix.size()), text)
                                   .With("annotation " + key)));
  return properties;
}

}  // namespace ufs::runtime
