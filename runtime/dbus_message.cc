#include "runtime/dbus_message.h"

#include <bit>
#include <cerrno>
#include <cstring>

namespace ufs::runtime {
namespace {

constexpr bool kLittle = std::endian::native == std::endian::little;
constexpr char kByteOrder = kLittle ? 'l' : 'B';
constexpr char kOtherOrder = kLittle ? 'B' : 'l';
constexpr uint8_t kProtocol = 1;
constexpr size_t kBytesMax = size_t{128} << 20;
constexpr size_t kFieldsMax = size_t{64} << 20;  // as of any array

enum Field : uint8_t {
  kPath = 1,
  kInterface = 2,
  kMember = 3,
  kErrorName = 4,
  kReplySerial = 5,
  kDestination = 6,
  kSender = 7,
  kSignature = 8,
};

constexpr size_t AlignedTo(size_t alignment, size_t at) {
  return (at + alignment - 1) / alignment * alignment;
}

uint32_t NumberAt(std::string_view bytes, size_t at) {
  uint32_t number = 0;
  std::memcpy(&number, bytes.data() + at, sizeof(number));
  return number;
}

// Where a field of text goes that anybody asks for.
std::string* TextOf(DBusMessage& message, uint8_t code) {
  switch (code) {
    case kPath:
      return &message.path;
    case kInterface:
      return &message.interface;
    case kMember:
      return &message.member;
    case kErrorName:
      return &message.error_name;
    case kSender:
      return &message.sender;
    default:
      return nullptr;
  }
}

Error NoMessage() { return Error(EPROTO, "no message of D-Bus"); }
Error NotUnderstood() {
  return Error(EBADMSG, "a message of D-Bus that is not understood");
}

}  // namespace

size_t DBusAlignment(char type) {
  switch (type) {
    case 'y':
    case 'g':
    case 'v':
      return 1;
    case 'n':
    case 'q':
      return 2;
    case 'x':
    case 't':
    case 'd':
    case '(':
    case '{':
      return 8;
    default:  // lengths come first in strings and arrays
      return 4;
  }
}

void DBusWriter::PutAligned(const void* number, size_t size) {
  Align(size);
  data_.append(static_cast<const char*>(number), size);
}

void DBusWriter::Align(size_t alignment) {
  data_.resize(AlignedTo(alignment, data_.size()));
}

void DBusWriter::PutString(std::string_view text) {
  PutUint32(static_cast<uint32_t>(text.size()));
  data_ += text;
  data_ += '\0';
}

void DBusWriter::PutSignature(std::string_view types) {
  PutByte(static_cast<uint8_t>(types.size()));
  data_ += types;
  data_ += '\0';
}

DBusWriter::Array DBusWriter::BeginArray(size_t alignment) {
  PutUint32(0);
  Array array;
  array.length_at = data_.size() - sizeof(uint32_t);
  Align(alignment);  // which the length does not count
  array.begin = data_.size();
  return array;
}

void DBusWriter::EndArray(Array array) {
  const uint32_t length = static_cast<uint32_t>(data_.size() - array.begin);
  std::memcpy(data_.data() + array.length_at, &length, sizeof(length));
}

std::string_view DBusReader::Take(size_t size) {
  if (failed_ || size > data_.size() - at_) {
    failed_ = true;
    return {};
  }
  at_ += size;
  return data_.substr(at_ - size, size);
}

void DBusReader::Align(size_t alignment) {
  (void)Take(AlignedTo(alignment, at_) - at_);
}

uint8_t DBusReader::TakeByte() {
  const std::string_view byte = Take(1);
  return byte.empty() ? 0 : static_cast<uint8_t>(byte[0]);
}

uint32_t DBusReader::TakeUint32() {
  Align(sizeof(uint32_t));
  const std::string_view bytes = Take(sizeof(uint32_t));
  return bytes.empty() ? 0 : NumberAt(bytes, 0);
}

std::string DBusReader::TakeString() {
  const uint32_t size = TakeUint32();
  const std::string_view text = Take(size);
  if (TakeByte() != 0) failed_ = true;
  return failed_ ? "" : std::string(text);
}

std::string DBusReader::TakeSignature() {
  const uint8_t size = TakeByte();
  const std::string_view types = Take(size);
  if (TakeByte() != 0) failed_ = true;
  return failed_ ? "" : std::string(types);
}

size_t DBusReader::BeginArray(size_t alignment) {
  const uint32_t length = TakeUint32();
  Align(alignment);
  if (failed_ || length > data_.size() - at_) {
    failed_ = true;
    return at_;
  }
  return at_ + length;
}

void DBusReader::Skip(std::string_view type) {
  switch (type.empty() ? '\0' : type[0]) {
    case 's':
    case 'o':
      (void)TakeString();
      return;
    case 'g':
      (void)TakeSignature();
      return;
    case 'a':
      if (type.size() > 1) {
        const size_t end = BeginArray(DBusAlignment(type[1]));
        (void)Take(end - at_);
        return;
      }
      break;
    case 'y':
    case 'n':
    case 'q':
    case 'b':
    case 'i':
    case 'u':
    case 'h':
    case 'x':
    case 't':
    case 'd': {
      const size_t size = DBusAlignment(type[0]);
      Align(size);
      (void)Take(size);
      return;
    }
    default:
      break;
  }
  failed_ = true;
}

std::string EncodeCall(const DBusCall& call, uint32_t serial) {
  constexpr uint8_t kNoFlags = 0;
  DBusWriter out;
  out.PutByte(static_cast<uint8_t>(kByteOrder));
  out.PutByte(static_cast<uint8_t>(DBusType::kCall));
  out.PutByte(kNoFlags);
  out.PutByte(kProtocol);
  out.PutUint32(static_cast<uint32_t>(call.arguments.size()));
  out.PutUint32(serial);
  const auto fields = out.BeginArray(8);
  const auto field = [&](Field code, std::string_view type) {
    out.BeginStruct();
    out.PutByte(code);
    out.BeginVariant(type);
  };
  field(kPath, "o");
  out.PutString(call.path);
  field(kDestination, "s");
  out.PutString(call.destination);
  field(kInterface, "s");
  out.PutString(call.interface);
  field(kMember, "s");
  out.PutString(call.method);
  if (!call.signature.empty()) {
    field(kSignature, "g");
    out.PutSignature(call.signature);
  }
  out.EndArray(fields);
  out.Align(8);
  return out.data() + call.arguments;
}

Result<size_t> DBusLength(std::string_view begin) {
  if (begin.size() < kDBusFixedBytes || begin[3] != kProtocol ||
      (begin[0] != kByteOrder && begin[0] != kOtherOrder))
    return NoMessage();
  const auto number = [&](size_t at) -> size_t {
    const uint32_t native = NumberAt(begin, at);
    return begin[0] == kByteOrder ? native : __builtin_bswap32(native);
  };
  const size_t fields = number(12);
  const size_t length = AlignedTo(8, kDBusFixedBytes + fields) + number(4);
  if (fields > kFieldsMax || length > kBytesMax) return NoMessage();
  return length;
}

Result<DBusMessage> DecodeDBus(std::string_view bytes) {
  DBusReader in(bytes);
  DBusMessage message;
  if (in.TakeByte() != static_cast<uint8_t>(kByteOrder)) return NotUnderstood();
  message.type = static_cast<DBusType>(in.TakeByte());
  (void)in.TakeByte();  // flags, which are for those who are called
  (void)in.TakeByte();  // the protocol
  const uint32_t arguments = in.TakeUint32();
  (void)in.TakeUint32();  // the serial
  const size_t end = in.BeginArray(8);
  while (!in.failed() && in.position() < end) {
    in.Align(8);
    const uint8_t code = in.TakeByte();
    const std::string type = in.TakeSignature();
    if (type == "s" || type == "o") {
      std::string text = in.TakeString();
      if (std::string* const field = TextOf(message, code))
        *field = std::move(text);
    } else if (type == "u") {
      const uint32_t number = in.TakeUint32();
      if (code == kReplySerial) message.reply_to = number;
    } else if (type == "g") {
      std::string types = in.TakeSignature();
      if (code == kSignature) message.signature = std::move(types);
    } else {
      // All that we know have these types; the others are to be ignored.
      in.Skip(type);
    }
  }
  if (in.position() != end) return NotUnderstood();
  in.Align(8);
  if (in.failed() || bytes.size() - in.position() != arguments)
    return NotUnderstood();
  message.arguments = bytes.substr(in.position());
  return message;
}

}  // namespace ufs::runtime
