// Messages of D-Bus, as its specification has them on the wire: what a caller
// of methods sends, and what it gets. We write in the byte order of this
// machine, as systemd and the bus do. Anybody on the bus may send us signals in
// the other one: of those we know where they end, no more.
//
// We speak it ourselves: libdbus says to the bus that it is the user it sees,
// which in a user namespace is not whom the bus sees, and ends the process over
// a wrong argument. Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "layerdb/base/result.h"

namespace ufs::runtime {

// Arguments, one after another; their types are the signature of the message.
// REQUIRES: text is UTF-8 without NUL, and altogether less than 64 MiB.
class DBusWriter {
 public:
  void PutByte(uint8_t value) { data_ += static_cast<char>(value); }
  void PutBool(bool value) { PutUint32(value ? 1 : 0); }
  void PutUint16(uint16_t value) { PutAligned(&value, sizeof(value)); }
  void PutUint32(uint32_t value) { PutAligned(&value, sizeof(value)); }
  void PutUint64(uint64_t value) { PutAligned(&value, sizeof(value)); }
  // A string, or the path of an object.
  void PutString(std::string_view text);
  void PutSignature(std::string_view types);
  // The type of what follows, as the first half of a variant.
  void BeginVariant(std::string_view type) { PutSignature(type); }
  void BeginStruct() { Align(8); }

  // An array whose elements are aligned to `alignment`: 8 for structures, the
  // size of numbers. What BeginArray returns is for its EndArray.
  struct Array {
    size_t length_at = 0;
    size_t begin = 0;
  };
  Array BeginArray(size_t alignment);
  void EndArray(Array array);

  void Align(size_t alignment);
  const std::string& data() const { return data_; }

 private:
  void PutAligned(const void* number, size_t size);

  std::string data_;
};

// What values of a type are aligned to, by its first letter.
size_t DBusAlignment(char type);

// Takes arguments in order. What is not there, or is not as it must be, fails,
// and so does all after it. `data` stays the caller's.
class DBusReader {
 public:
  explicit DBusReader(std::string_view data) : data_(data) {}

  uint8_t TakeByte();
  uint32_t TakeUint32();
  std::string TakeString();
  std::string TakeSignature();
  // Ends with the returned position; the elements are taken by the caller.
  size_t BeginArray(size_t alignment);
  // Passes over one value of that type. Fails at structures and variants.
  void Skip(std::string_view type);
  void Align(size_t alignment);
  size_t position() const { return at_; }
  bool failed() const { return failed_; }

 private:
  std::string_view Take(size_t size);

  std::string_view data_;
  size_t at_ = 0;
  bool failed_ = false;
};

struct DBusCall {
  std::string_view destination;
  std::string_view path;
  std::string_view interface;
  std::string_view method;
  std::string_view signature = {};  // of `arguments`
  std::string arguments = {};
};

std::string EncodeCall(const DBusCall& call, uint32_t serial);

enum class DBusType : uint8_t {
  kCall = 1,
  kReturn = 2,
  kError = 3,
  kSignal = 4
};

struct DBusMessage {
  DBusType type{};
  uint32_t reply_to = 0;  // the call's serial
  std::string sender, path, interface, member, error_name, signature;
  std::string arguments;
};

// As many bytes as say how long a message is.
constexpr size_t kDBusFixedBytes = 16;
// The length of the message that begins so, in either byte order; EPROTO if
// none does, or one beyond the 128 MiB of the specification.
Result<size_t> DBusLength(std::string_view begin);
// EBADMSG for one that is not to be understood, the other byte order among it:
// where the next begins is known all the same.
// REQUIRES: `bytes` is as long as DBusLength says.
Result<DBusMessage> DecodeDBus(std::string_view bytes);

}  // namespace ufs::runtime
