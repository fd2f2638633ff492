#include "layerdb/tar_header.h"

#include <cerrno>
#include <cstring>

namespace ufs::tar {
namespace {

Error NoNumber(const char* why) { return Error(EBADMSG, why); }

// Big-endian two's complement whose first bit only says that it is one.
Result<int64_t> ParseBase256(std::string_view field) {
  const bool negative = (static_cast<uint8_t>(field[0]) & 0x40) != 0;
  const uint8_t fill = negative ? 0xff : 0;
  uint64_t value = negative ? ~uint64_t{0} : 0;
  for (size_t i = 0; i < field.size(); ++i) {
    uint8_t byte = static_cast<uint8_t>(field[i]);
    if (i == 0) byte = (byte & 0x7f) | (negative ? 0x80 : 0);
    if (field.size() - i > sizeof(value)) {
      if (byte != fill) return NoNumber("a number beyond 64 bits");
      continue;
    }
    value = value << 8 | byte;
  }
  if ((static_cast<int64_t>(value) < 0) != negative)
    return NoNumber("a number beyond 64 bits");
  return static_cast<int64_t>(value);
}

struct Sums {
  uint64_t of_unsigned = 0;
  int64_t of_signed = 0;
};

Sums SumOf(const Block& block) {
  Sums sums;
  for (size_t i = 0; i < block.size(); ++i) {
    const bool in_checksum =
        i >= kChecksum.offset && i < kChecksum.offset + kChecksum.size;
    const char c = in_checksum ? ' ' : block[i];
    sums.of_unsigned += static_cast<unsigned char>(c);
    sums.of_signed += static_cast<signed char>(c);
  }
  return sums;
}

}  // namespace

std::string_view GetText(const Block& block, Field field) {
  const std::string_view all = Get(block, field);
  return all.substr(0, all.find('\0'));
}

Result<int64_t> ParseNumber(std::string_view field) {
  if (!field.empty() && (static_cast<uint8_t>(field[0]) & 0x80) != 0)
    return ParseBase256(field);
  const size_t begin = field.find_first_not_of(' ');
  if (begin == field.npos) return int64_t{0};
  field.remove_prefix(begin);
  uint64_t value = 0;
  size_t digits = 0;
  while (digits < field.size() && field[digits] >= '0' &&
         field[digits] <= '7') {
    value = value << 3 | static_cast<uint64_t>(field[digits] - '0');
    ++digits;  // at most 12 of 3 bits each
  }
  const std::string_view rest = field.substr(digits);
  if (!rest.empty() && rest[0] != '\0' && rest[0] != ' ')
    return NoNumber("not an octal number");
  return static_cast<int64_t>(value);
}

bool FitsOctal(Field field, uint64_t value) {
  return value >> (3 * (field.size - 1)) == 0;
}

void PutOctal(Block& block, Field field, uint64_t value) {
  char* const at = block.data() + field.offset;
  for (size_t i = field.size - 1; i-- > 0; value >>= 3)
    at[i] = static_cast<char>('0' + (value & 7));
  at[field.size - 1] = '\0';
}

void PutText(Block& block, Field field, std::string_view text) {
  std::memcpy(block.data() + field.offset, text.data(),
              text.size() < field.size ? text.size() : field.size);
}

bool HasValidChecksum(const Block& block) {
  const auto told = ParseNumber(Get(block, kChecksum));
  if (!told.ok() || *told < 0) return false;
  const Sums sums = SumOf(block);
  return static_cast<uint64_t>(*told) == sums.of_unsigned ||
         *told == sums.of_signed;
}

void PutChecksum(Block& block) {
  // Six digits, a NUL, a blank: as everybody writes it.
  PutOctal(block, {kChecksum.offset, kChecksum.size - 1},
           SumOf(block).of_unsigned);
  block[kChecksum.offset + kChecksum.size - 1] = ' ';
}

}  // namespace ufs::tar
