#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "runtime/dbus_connection.h"
#include "runtime/dbus_test_bus.h"
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

// One byte is wrong: no frame, another length, not understood, or read as what
// it says then.
TEST(DBusMessageTest, DamagedOnesAreRefusedOrRead) {
  DBusWriter arguments;
  arguments.PutString("text");
  const std::string good =
      Message(DBusType::kReturn, {"d", "/p", "i", "m", "s", arguments.data()});
  int no_frame = 0, other_length = 0, not_understood = 0, read = 0;
  for (size_t at = 0; at < good.size(); ++at)
    for (const int value : {0, 1, 0x7f, 0x80, 0xff}) {
      std::string bad = good;
      bad[at] = static_cast<char>(value);
      const auto length = DBusLength(bad);
      if (!length.ok()) {
        EXPECT_EQ(length.code(), EPROTO) << at;
        EXPECT_LT(at, kDBusFixedBytes);
        ++no_frame;
      } else if (*length != bad.size()) {
        EXPECT_GE(*length, kDBusFixedBytes);
        EXPECT_LE(*length, size_t{128} << 20);
        EXPECT_LT(at, kDBusFixedBytes);
        ++other_length;
      } else if (const auto message = DecodeDBus(bad); !message.ok()) {
        EXPECT_EQ(message.code(), EBADMSG) << at;
        ++not_understood;
      } else {
        EXPECT_EQ(message->arguments,
                  bad.substr(bad.size() - arguments.data().size()));
        EXPECT_EQ(static_cast<uint8_t>(message->type),
                  static_cast<uint8_t>(bad[1]));
        ++read;
      }
    }
  EXPECT_GT(no_frame, 0);
  EXPECT_GT(other_length, 0);
  EXPECT_GT(not_understood, 0);
  EXPECT_GT(read, 0);
  std::string long_one = good;
  std::memset(long_one.data() + 4, 0xff, 4);
  EXPECT_EQ(DBusLength(long_one).code(), EPROTO);
  EXPECT_EQ(DBusLength("HTTP/1.1 400 Bad").code(), EPROTO);
  EXPECT_EQ(DecodeDBus(good.substr(0, 40)).code(), EBADMSG);
}

DBusMessage Answer(uint32_t serial, std::string text) {
  DBusMessage message;
  message.type = DBusType::kReturn;
  message.reply_to = serial;
  message.sender = ":1.1";
  DBusWriter arguments;
  arguments.PutString(text);
  message.signature = "s";
  message.arguments = arguments.data();
  return message;
}

DBusMessage Signal(std::string member, std::string arguments = "") {
  DBusMessage message;
  message.type = DBusType::kSignal;
  message.sender = ":1.66";
  message.path = "/p";
  message.interface = "an.interface";
  message.member = std::move(member);
  message.signature = arguments.empty() ? "" : "ay";
  message.arguments = std::move(arguments);
  return message;
}

TEST(DBusMessageTest, LengthsInEitherByteOrder) {
  const std::string bytes = Encode(Signal("M", std::string(300, 'x')));
  EXPECT_EQ(DBusLength(bytes).value(), bytes.size());
  EXPECT_EQ(DBusLength(Foreign(bytes)).value(), bytes.size());
  EXPECT_EQ(DecodeDBus(Foreign(bytes)).code(), EBADMSG);
  // As long as the specification lets one be, and a byte more.
  std::string longest = bytes;
  const uint32_t fields = static_cast<uint32_t>(bytes.size() - 300 - 16);
  uint32_t arguments = (uint32_t{128} << 20) - 16 - fields;
  std::memcpy(longest.data() + 4, &arguments, sizeof(arguments));
  EXPECT_EQ(DBusLength(longest).value(), size_t{128} << 20);
  EXPECT_EQ(DBusLength(Foreign(longest)).value(), size_t{128} << 20);
  ++arguments;
  std::memcpy(longest.data() + 4, &arguments, sizeof(arguments));
  EXPECT_EQ(DBusLength(longest).code(), EPROTO);
}

// A signal with one field more, before the others; `value` is aligned to 8.
std::string WithField(std::string_view type, std::string_view value) {
  DBusWriter out;
  out.PutByte(99);
  out.BeginVariant(type);
  out.Align(DBusAlignment(type[0]));
  std::string field = out.data() + std::string(value);
  field.resize((field.size() + 7) / 8 * 8);
  std::string bytes = Encode(Signal("M"));
  bytes.insert(kDBusFixedBytes, field);
  uint32_t length;
  std::memcpy(&length, bytes.data() + 12, sizeof(length));
  length += static_cast<uint32_t>(field.size());
  std::memcpy(bytes.data() + 12, &length, sizeof(length));
  return bytes;
}

TEST(DBusMessageTest, UnknownFieldsAreIgnored) {
  using namespace std::string_view_literals;
  for (const auto& [type, value] : {std::pair("y", "\1"sv),
                                    {"n", "\1\0"sv},
                                    {"d", "\1\0\0\0\0\0\0\0"sv},
                                    {"b", "\1\0\0\0"sv},
                                    {"s", "\2\0\0\0ab\0"sv},
                                    {"g", "\1s\0"sv},
                                    {"ay", "\3\0\0\0abc"sv},
                                    {"as", "\7\0\0\0\2\0\0\0ab\0"sv}}) {
    const std::string bytes = WithField(type, value);
    ASSERT_EQ(DBusLength(bytes).value(), bytes.size()) << type;
    const auto message = DecodeDBus(bytes);
    ASSERT_TRUE(message.ok()) << type;
    EXPECT_EQ(message->member, "M") << type;
  }
  // That message alone is not understood.
  for (const char* type : {"v", "(s)", "a", "z"}) {
    const std::string bytes = WithField(type, "\0\0\0\0"sv);
    ASSERT_EQ(DBusLength(bytes).value(), bytes.size()) << type;
    EXPECT_EQ(DecodeDBus(bytes).code(), EBADMSG) << type;
  }
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

DBusConnection::Time In(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

class DBusConnectionTest : public testing::Test {
 protected:
  void Say(std::string text, bool hang_up) {
    bus_.Say(std::move(text), hang_up);
  }
  int OpenFails() {
    return DBusConnection::Open({{bus_.directory() + "/none"}, {bus_.socket()}},
                                In(200ms))
        .code();
  }

  DBusTestBus bus_;
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

// What Hello is answered with.
std::string Welcome() {
  return DBusTestBus::kGreeting + Encode(Answer(1, ":1.9"));
}

std::string TextIn(const Result<DBusMessage>& message) {
  if (!message.ok()) return "error " + message.error().ToString();
  return DBusReader(message->arguments).TakeString();
}

const DBusCall kCall{"a.dest", "/p", "an.interface", "Method"};

TEST_F(DBusConnectionTest, StrangersDoNotEndTheConversation) {
  const std::string mib(1 << 20, 'x');
  Say(Welcome() + Encode(Signal("Long", mib + mib)) +
          Foreign(Encode(Signal("Foreign", "abc"))) +
          Foreign(Encode(Signal("Both", mib + mib))) + WithField("v", "") +
          Encode(Answer(2, "answer")),
      false);
  auto bus = DBusConnection::Open({{bus_.socket()}}, In(10s));
  ASSERT_TRUE(bus.ok()) << bus.error().ToString();
  EXPECT_EQ(TextIn(bus->Call(kCall, In(10s))), "answer");
}

TEST_F(DBusConnectionTest, AnswersToOthersAreLeftOut) {
  DBusMessage call = Answer(2, "a call");
  call.type = DBusType::kCall;
  DBusMessage unknown = Answer(2, "of a type to come");
  unknown.type = static_cast<DBusType>(9);
  DBusMessage error = Answer(3, "it says why");
  error.type = DBusType::kError;
  error.error_name = "an.error.Name";
  Say(Welcome() + Encode(Answer(1, "late")) + Encode(Answer(7, "early")) +
          Encode(call) + Encode(unknown) + Encode(Answer(2, "answer")) +
          Encode(error),
      false);
  auto bus = DBusConnection::Open({{bus_.socket()}}, In(10s));
  ASSERT_TRUE(bus.ok()) << bus.error().ToString();
  EXPECT_EQ(TextIn(bus->Call(kCall, In(10s))), "answer");
  const auto second = bus->Call(kCall, In(10s));
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->type, DBusType::kError);
  EXPECT_EQ(second->error_name, "an.error.Name");
  EXPECT_EQ(TextOfDBusError(*second), "it says why");
}

TEST_F(DBusConnectionTest, SignalsThatAreWantedAreKept) {
  constexpr size_t kKept = 4096;
  std::string text = Welcome() + Encode(Answer(2, "")) + Encode(Signal("No"));
  for (size_t i = 0; i < kKept + 5; ++i)
    text += Encode(Signal("Yes", std::to_string(i)));
  text += Encode(Answer(3, "answer")) + Encode(Signal("No")) +
          Encode(Signal("Yes", "last"));
  Say(std::move(text), false);
  auto bus = DBusConnection::Open({{bus_.socket()}}, In(10s));
  ASSERT_TRUE(bus.ok()) << bus.error().ToString();
  const auto wanted = [](const DBusMessage& signal) {
    return signal.member == "Yes";
  };
  ASSERT_TRUE(bus->Subscribe("rule", wanted, In(10s)).ok());
  EXPECT_EQ(TextIn(bus->Call(kCall, In(10s))), "answer");
  // The newest: it is shortly before its answer that a signal comes.
  for (size_t i = 5; i < kKept + 5; ++i) {
    const auto signal = bus->NextSignal(In(10s));
    ASSERT_TRUE(signal.ok()) << i;
    ASSERT_EQ(signal->arguments, std::to_string(i));
  }
  EXPECT_EQ(bus->NextSignal(In(10s))->arguments, "last");
  EXPECT_EQ(bus->NextSignal(In(50ms)).code(), ETIMEDOUT);
}

TEST(DBusOpenTest, NoSocket) {
  EXPECT_EQ(DBusConnection::Open({{"/nowhere/bus"}}, In(1s)).code(), ENOENT);
}

// Whoever listens takes nobody in, as one does who is stopped.
TEST(DBusOpenTest, AFullBacklog) {
  DBusTestBus bus;
  std::vector<UniqueFd> waiting;
  for (int i = 0; i < 2; ++i)
    waiting.push_back(kernel::ConnectUnix(bus.socket(), SOCK_STREAM).value());
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(DBusConnection::Open({{bus.socket()}}, In(200ms)).code(),
            ETIMEDOUT);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 200ms);
}

TEST(DBusOpenTest, SignalsOfTheKernelDoNotEndIt) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "ufs dbus_test " + std::to_string(getpid());
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address),
                 static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 +
                                        name.size())),
            0);
  ASSERT_EQ(listen(listener.get(), 0), 0);
  const UniqueFd waiting = kernel::ConnectAbstract(name, SOCK_STREAM).value();
  struct sigaction action {
  }, before{};
  action.sa_handler = [](int) {};
  ASSERT_EQ(sigaction(SIGALRM, &action, &before), 0);
  itimerval timer{{0, 20'000}, {0, 20'000}};
  ASSERT_EQ(setitimer(ITIMER_REAL, &timer, nullptr), 0);
  EXPECT_EQ(DBusConnection::Open({{name, true}}, In(200ms)).code(), ETIMEDOUT);
  timer = {};
  ASSERT_EQ(setitimer(ITIMER_REAL, &timer, nullptr), 0);
  ASSERT_EQ(sigaction(SIGALRM, &before, nullptr), 0);
}

}  // namespace
}  // namespace ufs::runtime
