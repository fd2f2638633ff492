#include "layerdb/tar_pax.h"

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <limits>

#include "layerdb/base/posix_acl.h"
#include "layerdb/tar_acl.h"

namespace ufs::tar {
namespace {

constexpr std::string_view kLibarchiveXattr = "LIBARCHIVE.xattr.";
constexpr std::string_view kAccessAcl = "SCHILY.acl.access";
constexpr std::string_view kDefaultAcl = "SCHILY.acl.default";
constexpr std::string_view kSelinux = "RHT.security.selinux";
constexpr std::string_view kSparsePrefix = "GNU.sparse.";
constexpr size_t kMaxXattrNameBytes = 255;

Error Bad(std::string_view keyword, std::string_view why) {
  return Error(EBADMSG, "pax record '" + std::string(keyword.substr(0, 80)) +
                            "': " + std::string(why));
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// "user.a%20b"; a % that begins no code stands for itself.
std::string DecodePercent(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const int high = HexDigit(text[i + 1]), low = HexDigit(text[i + 2]);
      if (high >= 0 && low >= 0) {
        out += static_cast<char>(high << 4 | low);
        i += 2;
        continue;
      }
    }
    out += text[i];
  }
  return out;
}

std::string Replaced(std::string text, std::string_view what,
                     std::string_view by) {
  for (size_t at = 0; (at = text.find(what, at)) != text.npos; at += by.size())
    text.replace(at, what.size(), by);
  return text;
}

// What PaxXattrKeyword made of it. Other codes stand for themselves.
std::string XattrNameOf(std::string_view keyword) {
  return Replaced(Replaced(std::string(keyword), "%3D", "="), "%25", "%");
}

// RFC 4648, with or without padding.
Result<std::string> DecodeBase64(std::string_view keyword,
                                 std::string_view text) {
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    uint32_t digit;
    if (c >= 'A' && c <= 'Z')
      digit = c - 'A';
    else if (c >= 'a' && c <= 'z')
      digit = c - 'a' + 26;
    else if (c >= '0' && c <= '9')
      digit = c - '0' + 52;
    else if (c == '+')
      digit = 62;
    else if (c == '/')
      digit = 63;
    else
      return Bad(keyword, "not base64");
    bits = bits << 6 | digit;
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count & 0xff);
    }
  }
  if (count == 6) return Bad(keyword, "not base64");
  return out;
}

Status SetName(std::string_view keyword, std::string_view value,
               std::optional<std::string>& to) {
  if (value.find('\0') != value.npos) return Bad(keyword, "a NUL byte in it");
  if (value.empty())
    to.reset();
  else
    to = std::string(value);
  return Ok();
}

Status SetNumber(std::string_view keyword, std::string_view value,
                 std::optional<uint64_t>& to) {
  to.reset();
  if (value.empty()) return Ok();
  const auto number = ParseDecimal(value);
  if (!number.ok())
    return Bad(keyword, "'" + std::string(value.substr(0, 40)) +
                            "' is no number that fits");
  to = *number;
  return Ok();
}

Status SetXattr(std::string_view keyword, std::string name,
                std::string_view value, bool weak, PaxRecords& records) {
  if (name.empty() || name.size() > kMaxXattrNameBytes ||
      name.find('\0') != name.npos)
    return Bad(keyword, "not the name of an extended attribute");
  if (weak)
    records.xattrs.try_emplace(std::move(name), value);
  else
    records.xattrs.insert_or_assign(std::move(name), std::string(value));
  return Ok();
}

Status SetAcl(std::string_view keyword, const char* name,
              std::string_view value, PaxRecords& records) {
  const auto acl = AclFromText(value);
  if (!acl.ok()) {
    records.unreadable.insert_or_assign(name,
                                        Bad(keyword, acl.error().context()));
    return Ok();
  }
  records.unreadable.erase(name);
  if (acl->value.empty()) return Ok();
  if (keyword == kAccessAcl && !records.xattrs.contains(name))
    records.acl_mode = acl->mode;
  return SetXattr(keyword, name, acl->value, /*weak=*/true, records);
}

// GNU.sparse.map of 0.1: "offset,size,offset,size,...".
Status SetMap(std::string_view keyword, std::string_view value,
              PaxRecords::Sparse& sparse) {
  sparse.extents.clear();
  const auto next = [&]() -> Result<uint64_t> {
    const size_t comma = value.find(',');
    const auto number = ParseDecimal(value.substr(0, comma));
    value.remove_prefix(comma == value.npos ? value.size() : comma + 1);
    return number;
  };
  while (!value.empty()) {
    const auto offset = next();
    const auto size = next();
    if (!offset.ok() || !size.ok())
      return Bad(keyword, "not a map of pairs of numbers");
    sparse.extents.push_back({*offset, *size});
    if (sparse.extents.size() > kMaxExtents) return Bad(keyword, "too long");
  }
  return Ok();
}

Status SetSparse(std::string_view keyword, std::string_view value,
                 PaxRecords::Sparse& sparse) {
  sparse.present = true;
  const std::string_view key = keyword.substr(kSparsePrefix.size());
  if (key == "major") return SetNumber(keyword, value, sparse.major);
  if (key == "minor") return SetNumber(keyword, value, sparse.minor);
  if (key == "realsize" || key == "size")
    return SetNumber(keyword, value, sparse.real_size);
  if (key == "name") return SetName(keyword, value, sparse.name);
  if (key == "map") return SetMap(keyword, value, sparse);
  if (key == "offset") {
    if (sparse.pending_offset) return Bad(keyword, "twice in a row");
    return SetNumber(keyword, value, sparse.pending_offset);
  }
  if (key == "numbytes") {
    std::optional<uint64_t> size;
    TRY(SetNumber(keyword, value, size));
    if (!sparse.pending_offset || !size) return Bad(keyword, "without offset");
    sparse.extents.push_back({*sparse.pending_offset, *size});
    sparse.pending_offset.reset();
    if (sparse.extents.size() > kMaxExtents) return Bad(keyword, "too many");
    return Ok();
  }
  if (key == "numblocks") return Ok();  // the extents count themselves
  return Bad(keyword, "unknown");
}

Status SetRecord(std::string_view keyword, std::string_view value,
                 PaxRecords& records) {
  if (keyword == "path") return SetName(keyword, value, records.path);
  if (keyword == "linkpath")
    return SetName(keyword, value, records.link_target);
  if (keyword == "size") return SetNumber(keyword, value, records.size);
  if (keyword == "uid") return SetNumber(keyword, value, records.uid);
  if (keyword == "gid") return SetNumber(keyword, value, records.gid);
  if (keyword == "mtime") {
    records.mtime.reset();
    if (value.empty()) return Ok();
    const auto time = ParsePaxTime(value);
    if (!time.ok()) return Bad(keyword, "not a time");
    records.mtime = *time;
    return Ok();
  }
  if (keyword.starts_with(kPaxXattr))
    return SetXattr(keyword, XattrNameOf(keyword.substr(kPaxXattr.size())),
                    value, /*weak=*/false, records);
  // libarchive writes both forms; the other one holds the value as it is.
  if (keyword.starts_with(kLibarchiveXattr))
    return SetXattr(keyword,
                    DecodePercent(keyword.substr(kLibarchiveXattr.size())),
                    TRY(DecodeBase64(keyword, value)), /*weak=*/true, records);
  if (keyword == kAccessAcl)
    return SetAcl(keyword, kAccessAclXattr, value, records);
  if (keyword == kDefaultAcl)
    return SetAcl(keyword, kDefaultAclXattr, value, records);
  if (keyword == kSelinux)
    return SetXattr(keyword, "security.selinux", value, /*weak=*/true, records);
  if (keyword.starts_with(kSparsePrefix))
    return SetSparse(keyword, value, records.sparse);
  return Ok();
}

}  // namespace

Result<uint64_t> ParseDecimal(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size())
    return Error(EBADMSG);
  return number;
}

Status ParsePax(std::string_view text, PaxRecords& records) {
  while (!text.empty()) {
    const size_t blank = text.find(' ');
    const auto length = blank > 20 ? Result<uint64_t>(Error(EBADMSG))
                                   : ParseDecimal(text.substr(0, blank));
    if (!length.ok() || *length > text.size() || *length < blank + 4 ||
        text[*length - 1] != '\n')
      return Error(EBADMSG, "a pax record with a wrong length");
    const std::string_view record = text.substr(blank + 1, *length - blank - 2);
    const size_t equals = record.find('=');
    if (equals == record.npos || equals == 0)
      return Error(EBADMSG, "a pax record without a keyword");
    TRY(SetRecord(record.substr(0, equals), record.substr(equals + 1),
                  records));
    text.remove_prefix(*length);
  }
  for (const auto& [name, error] : records.unreadable)
    if (!records.xattrs.contains(name)) return error;
  records.unreadable.clear();
  if (records.sparse.pending_offset)
    return Error(EBADMSG, "pax record 'GNU.sparse.offset': without numbytes");
  return Ok();
}

std::string PaxXattrKeyword(std::string_view name) {
  return std::string(kPaxXattr) +
         Replaced(Replaced(std::string(name), "%", "%25"), "=", "%3D");
}

std::string FormatPax(std::string_view keyword, std::string_view value) {
  // The length counts its own digits.
  const size_t rest = keyword.size() + value.size() + 3;
  size_t length = rest + 1;
  while (std::to_string(length).size() + rest != length) ++length;
  std::string record = std::to_string(length);
  record += ' ';
  record += keyword;
  record += '=';
  record += value;
  record += '\n';
  return record;
}

Result<std::pair<int64_t, uint32_t>> ParsePaxTime(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const size_t point = text.find('.');
  const uint64_t whole = TRY(ParseDecimal(text.substr(0, point)));
  uint32_t nanoseconds = 0;
  if (point != text.npos) {
    uint32_t unit = 100'000'000;
    for (const char c : text.substr(point + 1)) {
      if (c < '0' || c > '9') return Error(EBADMSG);
      nanoseconds += static_cast<uint32_t>(c - '0') * unit;
      unit /= 10;
    }
  }
  if (whole > static_cast<uint64_t>(std::numeric_limits<int64_t>::max() - 1))
    return Error(EBADMSG);
  auto seconds = static_cast<int64_t>(whole);
  if (!negative) return std::pair{seconds, nanoseconds};
  // Nanoseconds count forwards from the second before.
  if (nanoseconds == 0) return std::pair{-seconds, nanoseconds};
  return std::pair{-seconds - 1, 1'000'000'000 - nanoseconds};
}

std::string FormatPaxTime(int64_t seconds, uint32_t nanoseconds) {
  if (nanoseconds == 0) return std::to_string(seconds);
  const bool negative = seconds < 0;
  if (negative) {
    seconds = -(seconds + 1);
    nanoseconds = 1'000'000'000 - nanoseconds;
  }
  char digits[16];
  std::snprintf(digits, sizeof(digits), ".%09u", nanoseconds);
  std::string text = (negative ? "-" : "") + std::to_string(seconds) + digits;
  text.resize(text.find_last_not_of('0') + 1);
  return text;
}

}  // namespace ufs::tar
