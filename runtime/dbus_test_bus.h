// For tests: a bus that says what it is told to, whatever it hears, and hangs
// up or waits for its peer to do so. Threads: that of the test.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "layerdb/base/syscall.h"
#include "runtime/dbus_message.h"
#include "runtime/kernel.h"

namespace ufs::runtime {

// As anybody may send it.
inline std::string Encode(const DBusMessage& message) {
  DBusWriter out;
  out.PutByte(static_cast<uint8_t>(EncodeCall({}, 1)[0]));
  out.PutByte(static_cast<uint8_t>(message.type));
  out.PutByte(0);  // flags
  out.PutByte(1);  // protocol
  out.PutUint32(static_cast<uint32_t>(message.arguments.size()));
  out.PutUint32(77);
  const auto fields = out.BeginArray(8);
  const auto field = [&](uint8_t code, const char* type) {
    out.BeginStruct();
    out.PutByte(code);
    out.BeginVariant(type);
  };
  const auto text = [&](uint8_t code, const char* type,
                        const std::string& value) {
    if (value.empty()) return;
    field(code, type);
    out.PutString(value);
  };
  text(1, "o", message.path);
  text(2, "s", message.interface);
  text(3, "s", message.member);
  text(4, "s", message.error_name);
  if (message.reply_to != 0) {
    field(5, "u");
    out.PutUint32(message.reply_to);
  }
  text(7, "s", message.sender);
  if (!message.signature.empty()) {
    field(8, "g");
    out.PutSignature(message.signature);
  }
  out.EndArray(fields);
  out.Align(8);
  return out.data() + message.arguments;
}

// The same as by a machine of the other byte order, as far as it has to be read
// to know its end.
inline std::string Foreign(std::string bytes) {
  bytes[0] = bytes[0] == 'l' ? 'B' : 'l';
  for (const size_t at : {4, 8, 12}) {
    uint32_t number;
    std::memcpy(&number, bytes.data() + at, sizeof(number));
    number = __builtin_bswap32(number);
    std::memcpy(bytes.data() + at, &number, sizeof(number));
  }
  return bytes;
}

class DBusTestBus {
 public:
  // The bus agrees to whom we are.
  static constexpr char kGreeting[] = "DATA\r\nOK 12\r\n";

  DBusTestBus() {
    std::string path = testing::TempDir() + "dbus.XXXXXX";
    directory_ = mkdtemp(path.data());
    socket_ = directory_ + "/bus";
    const auto directory = sys::Open(directory_.c_str(), O_PATH | O_DIRECTORY);
    listener_ = kernel::ListenUnix({*directory, "bus"}, SOCK_STREAM).value();
  }
  DBusTestBus(const DBusTestBus&) = delete;
  DBusTestBus& operator=(const DBusTestBus&) = delete;
  ~DBusTestBus() {
    if (thread_.joinable()) thread_.join();
    (void)unlink(socket_.c_str());
    (void)rmdir(directory_.c_str());
  }

  void Say(std::string text, bool hang_up) {
    thread_ = std::thread([this, text = std::move(text), hang_up] {
      const UniqueFd peer = kernel::Accept(listener_).value();
      char buffer[4096];
      (void)kernel::Read(peer, buffer, sizeof(buffer));
      for (std::string_view left = text; !left.empty();) {
        const auto sent =
            send(peer.get(), left.data(), left.size(), MSG_NOSIGNAL);
        if (sent < 0) break;
        left.remove_prefix(static_cast<size_t>(sent));
      }
      // The peer's end, unless it is we who end.
      while (!hang_up) {
        const auto got = kernel::Read(peer, buffer, sizeof(buffer));
        if (!got.ok() || *got == 0) break;
      }
    });
  }

  const std::string& directory() const { return directory_; }
  const std::string& socket() const { return socket_; }

 private:
  std::string directory_, socket_;
  UniqueFd listener_;
  std::thread thread_;
};

}  // namespace ufs::runtime
