// The streams of a container between its processes, its log, and whoever looks
// at it. Nothing here blocks: a client that does not read makes the container
// wait, as a full pipe would; what is typed waits for the container.
// Threads: one.
#pragma once

#include <poll.h>
#include <sys/ioctl.h>

#include <deque>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "tools/run/attach_protocol.h"
#include "tools/run/container_log.h"

namespace ufs {

class Streams {
 public:
  using SignalFn = std::function<void(AttachWord, int number)>;

  explicit Streams(ContainerLog log) : log_(std::move(log)) {}

  // What the container reads from and writes to; ends of ours. A terminal is
  // both, and has no errors. Once more for a container that was restarted,
  // whose window is as big and whose input has ended if that of the last has.
  Status Connect(UniqueFd input, UniqueFd output, UniqueFd errors,
                 bool terminal);
  void AddClient(UniqueFd socket, bool watches);
  // Its input does not end with that of a client: others may come.
  void KeepInput() { keeps_input_ = true; }
  // Whose window and signals are passed on.
  void OnSignal(SignalFn signal) { on_signal_ = std::move(signal); }

  // To every client.
  void Tell(AttachWord word, std::string_view text);

  // Appends what poll shall wait for; Handle takes the same elements back.
  void Prepare(std::vector<pollfd>& fds);
  void Handle(const pollfd* fds);

  // After the end of the container: passes on what it has left behind.
  void Drain();
  // Until every client has got all, or is gone.
  void Flush();

 private:
  struct Client {
    UniqueFd socket;
    bool watches = false;
    std::deque<std::string> queue;
    size_t queued = 0;
  };
  struct Source {
    UniqueFd fd;
    AttachWord word;
    const char* name;  // in the log
  };

  bool IsCongested() const;
  bool CopyOut(Source& source);  // false: nothing there now
  void WriteInput();
  void Queue(Client& client, AttachWord word, std::string_view text);
  void Send(Client& client);
  void Receive(Client& client);
  void Obey(Client& client, const std::string& message);
  void RemoveGone();

  ContainerLog log_;
  SignalFn on_signal_;
  UniqueFd input_;
  std::string typed_;        // not yet taken by the container
  bool input_ends_ = false;  // once `typed_` is
  bool keeps_input_ = false;
  bool terminal_ = false;
  std::optional<winsize> window_;  // as last heard of
  std::list<Source> sources_;
  std::list<Client> clients_;
  // What the elements of the last Prepare stand for, in their order.
  std::vector<Source*> polled_sources_;
  std::vector<Client*> polled_clients_;
};

}  // namespace ufs
