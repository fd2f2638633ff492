#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "layerdb/base/syscall.h"
#include "runtime/dbus_connection.h"
#include "runtime/kernel.h"

namespace ufs::runtime {
namespace {

using namespace std::chrono_literals;

std::string Hex(std::string_view bytes) {
  std::string text;
  for (const unsigned char byte : bytes) {
    char two[3];
    snprintf(two, sizeof(two), "%02x", byte);
    text += two;
  }
  return text;
}

TEST(DBusMessageTest, ArgumentsAreAligned) {
  DBusWriter out;
  out.PutByte(7);
  out.PutUint32(1);
  out.PutString("ab");
  const auto array = out.BeginArray(8);
  out.BeginStruct();
  out.PutString("n");
  out.BeginVariant("t");
  out.PutUint64(2);
  out.EndArray(array);
  EXPECT_EQ(Hex(out.data()),
            "07000000"
            "01000000"  // a byte, a number
            "02000000"
            "616200"
            "00"  // a string, to the next number
            "18000000"
            "00000000"  // length; to the first structure
            "01000000"
            "6e00"  // its string
            "017400"
            "00000000000000"  // a type; to the number
            "0200000000000000");
}

TEST(DBusMessageTest, AnEmptyArrayIsPaddedToo) {
  DBusWriter out;
  out.EndArray(out.BeginArray(8));
  EXPECT_EQ(Hex(out.data()), "0000000000000000");
}

// A message as it is read is one as it is written, of another type.
std::string Message(DBusType type, const DBusCall& call) {
  std::string bytes = EncodeCall(call, 77);
  bytes[1] = static_cast<char>(type);
  return bytes;
}

TEST(DBusMessageTest, IsReadAsItIsWritten) {
  DBusWriter arguments;
  arguments.PutUint32(5);
  arguments.PutString("/job/5");
  const std::string bytes = Message(
      DBusType::kSignal,
      {"a.dest", "/a/path", "an.interface", "Member", "uo", arguments.data()});
  ASSERT_EQ(DBusLength(bytes).value(), bytes.size());
  const auto message = DecodeDBus(bytes);
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(message->type, DBusType::kSignal);
  EXPECT_EQ(message->path, "/a/path");
  EXPECT_EQ(message->interface, "an.interface");
  EXPECT_EQ(message->member, "Member");
  EXPECT_EQ(message->signature, "uo");
  DBusReader reader(message->arguments);
  EXPECT_EQ(reader.TakeUint32(), 5u);
  EXPECT_EQ(reader.TakeString(), "/job/5");
  EXPECT_FALSE(reader.failed());
  EXPECT_EQ(reader.TakeString(), "");
  EXPECT_TRUE(reader.failed());
}

TEST(DBusMessageTest, DamagedOnesAreRefusedOrRead) {
  DBusWriter arguments;
  arguments.PutString("text");
  const std::string good =
      Message(DBusType::kReturn, {"d", "/p", "i", "m", "s", arguments.data()});
  for (size_t at = 0; at < good.size(); ++at)
    for (const int value : {0, 1, 0x7f, 0x80, 0xff}) {
      std::string bad = good;
      bad[at] = static_cast<char>(value);
      const auto length = DBusLength(bad);
      if (length.ok() && *length == bad.size()) (void)DecodeDBus(bad);
    }
  std::string long_one = good;
  std::memset(long_one.data() + 4, 0xff, 4);
  EXPECT_EQ(DBusLength(long_one).code(), EPROTO);
  EXPECT_EQ(DBusLength("HTTP/1.1 400 Bad").code(), EPROTO);
  EXPECT_EQ(DecodeDBus(good.substr(0, 40)).code(), EPROTO);
}

TEST(DBusAddressTest, Sockets) {
  const auto sockets = ParseDBusAddress(
      "tcp:host=a,port=1;unix:path=/a%20b%2fc,guid=12;autolaunch:;"
      "unixexec:path=/bin/sh;unix:guid=1,abstract=/x;unix:path=/%zz%");
  ASSERT_EQ(sockets.size(), 3u);
  EXPECT_EQ(sockets[0].name, "/a b/c");
  EXPECT_FALSE(sockets[0].abstract);
  EXPECT_EQ(sockets[1].name, "/x");
  EXPECT_TRUE(sockets[1].abstract);
  EXPECT_EQ(sockets[2].name, "/%zz%");
  EXPECT_TRUE(ParseDBusAddress("").empty());
  EXPECT_TRUE(ParseDBusAddress(";;unix:;:=,").empty());
}

// A bus that says what it is told to, whatever it hears, and hangs up or waits.
class DBusConnectionTest : public testing::Test {
 protected:
  DBusConnectionTest() {
    std::string path = testing::TempDir() + "dbus.XXXXXX";
    directory_ = mkdtemp(path.data());
    socket_ = directory_ + "/bus";
    const auto directory = sys::Open(directory_.c_str(), O_PATH | O_DIRECTORY);
    listener_ = kernel::ListenUnix({*directory, "bus"}, SOCK_STREAM).value();
  }
  ~DBusConnectionTest() override {
    if (bus_.joinable()) bus_.join();
    (void)unlink(socket_.c_str());
    (void)rmdir(directory_.c_str());
  }

  void Say(std::string text, bool hang_up) {
    bus_ = std::thread([this, text = std::move(text), hang_up] {
      const UniqueFd peer = kernel::Accept(listener_).value();
      char buffer[4096];
      (void)kernel::Read(peer, buffer, sizeof(buffer));
      (void)kernel::WriteAll(peer, text);
      // The peer's end, unless it is we who end.
      while (!hang_up) {
        const auto got = kernel::Read(peer, buffer, sizeof(buffer));
        if (!got.ok() || *got == 0) break;
      }
    });
  }
  int OpenFails() {
    return DBusConnection::Open({{directory_ + "/none"}, {socket_}},
                                std::chrono::steady_clock::now() + 200ms)
        .code();
  }

  std::string directory_, socket_;
  UniqueFd listener_;
  std::thread bus_;
};

TEST_F(DBusConnectionTest, ABusThatSaysNothing) {
  Say("", false);
  EXPECT_EQ(OpenFails(), ETIMEDOUT);
}

TEST_F(DBusConnectionTest, ABusThatStopsAfterTheGreeting) {
  Say("DATA\r\nOK 12\r\nl", false);
  EXPECT_EQ(OpenFails(), ETIMEDOUT);
}

TEST_F(DBusConnectionTest, ABusThatHangsUp) {
  Say("DATA\r\n", true);
  EXPECT_EQ(OpenFails(), ECONNRESET);
}

TEST_F(DBusConnectionTest, ABusThatRejects) {
  Say("REJECTED EXTERNAL\r\n", false);
  EXPECT_EQ(OpenFails(), EACCES);
}

TEST_F(DBusConnectionTest, WhatIsNoBus) {
  Say("DATA\r\nOK 12\r\nHTTP/1.1 400 Bad Request\r\n", false);
  EXPECT_EQ(OpenFails(), EPROTO);
}

TEST(DBusOpenTest, NoSocket) {
  EXPECT_EQ(DBusConnection::Open({{"/nowhere/bus"}},
                                 std::chrono::steady_clock::now() + 1s)
                .code(),
            ENOENT);
}

}  // namespace
}  // namespace ufs::runtime
