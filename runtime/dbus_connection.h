// DBusConnection: to a bus, for a few calls of methods and the signals they
// bring about. Each step says until when it may take.
//
// Anybody on the bus may send us anything. What is too long for our purposes or
// is not understood is passed over, and what nobody waits for is not kept.
// Threads: one at a time. Errors: ETIMEDOUT; ECONNRESET when the bus hangs up;
// EPROTO for what is no D-Bus.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/dbus_message.h"

namespace ufs::runtime {

struct DBusSocket {
  std::string name;
  bool abstract = false;  // a name that no file system has
};

// The sockets among the places that an address as in DBUS_SYSTEM_BUS_ADDRESS
// names; others, over networks and by programs to start, are left out.
std::vector<DBusSocket> ParseDBusAddress(std::string_view address);

class DBusConnection {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // To the first of them that can be reached; else the error of the last. As
  // whom the kernel says we are.
  static Result<DBusConnection> Open(const std::vector<DBusSocket>& sockets,
                                     Time end);

  // What answers it, which may be an error. Signals that come before it and
  // are wanted are kept.
  Result<DBusMessage> Call(const DBusCall& call, Time end);
  // Asks for signals; `rule` as AddMatch has it. It keeps away what others
  // broadcast, but not what they send to us alone: `wanted` is asked about
  // each. Of many that are not taken the newest are kept. To be called once.
  using Filter = std::function<bool(const DBusMessage&)>;
  Status Subscribe(std::string_view rule, Filter wanted, Time end);
  Result<DBusMessage> NextSignal(Time end);

 private:
  explicit DBusConnection(UniqueFd socket) : socket_(std::move(socket)) {}

  Status Authenticate(Time end);
  Status Send(std::string_view bytes, Time end);
  // More of what comes, into received_.
  Status Receive(Time end);
  Status Await(short events, Time end);
  // The next that is understood.
  Result<DBusMessage> Next(Time end);
  bool IsWanted(const DBusMessage& message) const;
  Result<DBusMessage> CallBus(std::string_view method, std::string_view rule,
                              Time end);

  UniqueFd socket_;
  std::string received_;
  size_t passed_over_ = 0;  // bytes that are still to come, and not kept
  Filter wanted_;
  std::deque<DBusMessage> signals_;
  uint32_t serial_ = 0;
};

// What an error says: its name is in `error_name`, a text its first argument.
std::string TextOfDBusError(const DBusMessage& error);

}  // namespace ufs::runtime
