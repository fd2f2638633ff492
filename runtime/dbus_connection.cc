#include "runtime/dbus_connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>

#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"

namespace ufs::runtime {
namespace {

constexpr char kBus[] = "org.freedesktop.DBus";
constexpr char kBusPath[] = "/org/freedesktop/DBus";

// Far beyond what we are told.
constexpr size_t kMessageMax = 1 << 20;
constexpr size_t kSignalsMax = 4096;

// "%2f" is '/'. A wrong one stays as it is, and is then no name of a socket.
std::string Unescaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned char code = 0;
    const char* const digits = text.data() + i + 1;
    if (text[i] == '%' && text.size() - i > 2 &&
        std::from_chars(digits, digits + 2, code, 16).ptr == digits + 2) {
      out += static_cast<char>(code);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

// Up to the separator, which is taken with it.
std::string_view TakeUpTo(char separator, std::string_view& text) {
  const size_t end = text.find(separator);
  const std::string_view piece = text.substr(0, end);
  text.remove_prefix(end == text.npos ? text.size() : end + 1);
  return piece;
}

}  // namespace

std::vector<DBusSocket> ParseDBusAddress(std::string_view address) {
  std::vector<DBusSocket> sockets;
  while (!address.empty()) {
    std::string_view place = TakeUpTo(';', address);
    if (TakeUpTo(':', place) != "unix") continue;
    while (!place.empty()) {
      std::string_view value = TakeUpTo(',', place);
      const std::string_view key = TakeUpTo('=', value);
      if (key == "path" || key == "abstract")
        sockets.push_back({Unescaped(value), key == "abstract"});
    }
  }
  return sockets;
}

Result<DBusConnection> DBusConnection::Open(
    const std::vector<DBusSocket>& sockets, Time end) {
  Error failure(EADDRNOTAVAIL);
  for (const DBusSocket& socket : sockets) {
    auto connected =
        socket.abstract ? kernel::ConnectAbstract(socket.name, SOCK_STREAM, end)
                        : kernel::ConnectUnix(socket.name, SOCK_STREAM, end);
    if (!connected.ok()) {
      failure = Error(connected.code());
      if (connected.code() == ETIMEDOUT) break;
      continue;
    }
    DBusConnection bus(std::move(connected).value());
    TRY(bus.Authenticate(end));
    const auto hello = TRY(bus.CallBus("Hello", {}, end));
    if (hello.type == DBusType::kError)
      return Error(EACCES, TextOfDBusError(hello));
    return bus;
  }
  return failure;
}

// EXTERNAL without a name asks to be whom the socket says. All is sent at once;
// the answers are a line that asks for the name, and one with the verdict.
Status DBusConnection::Authenticate(Time end) {
  constexpr char kAsk[] = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
  constexpr size_t kLinesMax = 4096;
  TRY(Send({kAsk, sizeof(kAsk) - 1}, end));
  for (int line = 0; line < 2; ++line) {
    size_t at;
    while ((at = received_.find("\r\n")) == received_.npos) {
      if (received_.size() > kLinesMax) return Error(EPROTO);
      TRY(Receive(end));
    }
    const bool wanted = received_.starts_with(line == 0 ? "DATA" : "OK ");
    if (!wanted)
      return Error(received_.starts_with("REJECTED") ? EACCES : EPROTO);
    received_.erase(0, at + 2);
  }
  return Ok();
}

Status DBusConnection::Await(short events, Time end) {
  using std::chrono::milliseconds;
  pollfd fd{socket_.get(), events, 0};
  while (true) {
    const auto left =
        std::chrono::ceil<milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0) return Error(ETIMEDOUT);
    const long ready =
        poll(&fd, 1, static_cast<int>(std::min<long>(left.count(), 60'000)));
    if (ready > 0) return Ok();
    if (const Status status = kernel::Check(ready);
        !status.ok() && status.code() != EINTR)
      return status;
  }
}

Status DBusConnection::Send(std::string_view bytes, Time end) {
  while (!bytes.empty()) {
    TRY(Await(POLLOUT, end));
    const long sent = sys::Restart([&] {
      return send(socket_.get(), bytes.data(), bytes.size(),
                  MSG_NOSIGNAL | MSG_DONTWAIT);
    });
    if (const Status status = kernel::Check(sent); status.ok())
      bytes.remove_prefix(sent);
    else if (status.code() != EAGAIN)
      return status;
  }
  return Ok();
}

Status DBusConnection::Receive(Time end) {
  char buffer[16 << 10];
  TRY(Await(POLLIN, end));
  const size_t got = TRY(kernel::Read(socket_, buffer, sizeof(buffer)));
  if (got == 0) return Error(ECONNRESET);
  const size_t dropped = std::min(passed_over_, got);
  passed_over_ -= dropped;
  received_.append(buffer + dropped, got - dropped);
  return Ok();
}

Result<DBusMessage> DBusConnection::Next(Time end) {
  while (true) {
    while (received_.size() < kDBusFixedBytes) TRY(Receive(end));
    const size_t length = TRY(DBusLength(received_));
    if (length > kMessageMax) {
      const size_t dropped = std::min(length, received_.size());
      passed_over_ = length - dropped;
      received_.erase(0, dropped);
      continue;
    }
    while (received_.size() < length) TRY(Receive(end));
    auto message = DecodeDBus(std::string_view(received_).substr(0, length));
    received_.erase(0, length);
    if (message.ok()) return message;
  }
}

bool DBusConnection::IsWanted(const DBusMessage& message) const {
  return message.type == DBusType::kSignal && wanted_ && wanted_(message);
}

Result<DBusMessage> DBusConnection::Call(const DBusCall& call, Time end) {
  const uint32_t serial = ++serial_;
  TRY(Send(EncodeCall(call, serial), end));
  while (true) {
    DBusMessage message = TRY(Next(end));
    // Nobody has a reason to call us, and answers to calls that were given up
    // are too late.
    if (IsWanted(message)) {
      // The signal that belongs to an answer comes shortly before it.
      if (signals_.size() == kSignalsMax) signals_.pop_front();
      signals_.push_back(std::move(message));
    } else if ((message.type == DBusType::kReturn ||
                message.type == DBusType::kError) &&
               message.reply_to == serial) {
      return message;
    }
  }
}

Result<DBusMessage> DBusConnection::CallBus(std::string_view method,
                                            std::string_view rule, Time end) {
  DBusCall call{kBus, kBusPath, kBus, method};
  if (!rule.empty()) {
    DBusWriter arguments;
    arguments.PutString(rule);
    call.signature = "s";
    call.arguments = arguments.data();
  }
  return Call(call, end);
}

Status DBusConnection::Subscribe(std::string_view rule, Filter wanted,
                                 Time end) {
  wanted_ = std::move(wanted);
  const auto answer = TRY(CallBus("AddMatch", rule, end));
  if (answer.type == DBusType::kError)
    return Error(EACCES, TextOfDBusError(answer));
  return Ok();
}

Result<DBusMessage> DBusConnection::NextSignal(Time end) {
  while (signals_.empty()) {
    DBusMessage message = TRY(Next(end));
    if (IsWanted(message)) return message;
  }
  DBusMessage message = std::move(signals_.front());
  signals_.pop_front();
  return message;
}

std::string TextOfDBusError(const DBusMessage& error) {
  if (!error.signature.starts_with('s')) return error.error_name;
  return DBusReader(error.arguments).TakeString();
}

}  // namespace ufs::runtime
