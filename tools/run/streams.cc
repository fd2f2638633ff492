#include "tools/run/streams.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "runtime/kernel.h"

namespace ufs {
namespace {

namespace kernel = runtime::kernel;

// Beyond that a client makes the container wait, and a container the client.
constexpr size_t kQueueBytesMax = 256 << 10;

}  // namespace

Status Streams::Connect(UniqueFd input, UniqueFd output, UniqueFd errors,
                        bool terminal) {
  terminal_ = terminal;
  for (const UniqueFd* fd : {&input, &output, &errors})
    if (fd->valid()) TRY(kernel::SetNonBlocking(*fd));
  if (!input_ends_) input_ = std::move(input);
  if (terminal_ && window_) (void)sys::Ioctl(output, TIOCSWINSZ, &*window_);
  typed_.clear();
  sources_.clear();
  if (output.valid())
    sources_.push_back({std::move(output), AttachWord::kOutput, "stdout"});
  if (errors.valid())
    sources_.push_back({std::move(errors), AttachWord::kErrors, "stderr"});
  return Ok();
}

void Streams::AddClient(UniqueFd socket, bool watches) {
  if (!kernel::SetNonBlocking(socket).ok()) return;
  Client client;
  client.socket = std::move(socket);
  client.watches = watches;
  clients_.push_back(std::move(client));
}

void Streams::Tell(AttachWord word, std::string_view text) {
  for (Client& client : clients_) Queue(client, word, text);
}

bool Streams::IsCongested() const {
  for (const Client& client : clients_)
    if (client.queued > kQueueBytesMax) return true;
  return false;
}

void Streams::Prepare(std::vector<pollfd>& fds) {
  polled_sources_.clear();
  polled_clients_.clear();
  const bool wait_for_input = input_.valid() && !typed_.empty();
  fds.push_back({wait_for_input ? input_.get() : -1, POLLOUT, 0});
  const bool congested = IsCongested();
  for (Source& source : sources_) {
    polled_sources_.push_back(&source);
    fds.push_back({congested ? -1 : source.fd.get(), POLLIN, 0});
  }
  const bool full = typed_.size() > kQueueBytesMax;
  for (Client& client : clients_) {
    polled_clients_.push_back(&client);
    const int events =
        (full ? 0 : POLLIN) | (client.queue.empty() ? 0 : POLLOUT);
    fds.push_back({client.socket.get(), static_cast<short>(events), 0});
  }
}

void Streams::Handle(const pollfd* fds) {
  if (fds[0].revents != 0) WriteInput();
  ++fds;
  for (Source* source : polled_sources_)
    if ((fds++)->revents != 0) (void)CopyOut(*source);
  for (Client* client : polled_clients_) {
    const short events = (fds++)->revents;
    if (events & POLLOUT) Send(*client);
    if (events & (POLLIN | POLLHUP | POLLERR)) Receive(*client);
  }
  RemoveGone();
}

bool Streams::CopyOut(Source& source) {
  char buffer[kAttachBytesMax - 1];
  const auto got = kernel::Read(source.fd, buffer, sizeof(buffer));
  if (got.code() == EAGAIN) return false;
  // EIO of a terminal: no process has it open.
  if (!got.ok() || *got == 0) {
    source.fd.reset();
    return false;
  }
  const std::string_view text(buffer, *got);
  log_.Write(source.name, text);
  for (Client& client : clients_)
    if (client.watches) Queue(client, source.word, text);
  return true;
}

void Streams::WriteInput() {
  while (!typed_.empty()) {
    const auto wrote = sys::Write(input_, typed_.data(), typed_.size());
    if (wrote.code() == EAGAIN) return;
    // Nobody reads it any more.
    if (!wrote.ok()) {
      typed_.clear();
      input_.reset();
      return;
    }
    typed_.erase(0, *wrote);
  }
  if (input_ends_) input_.reset();
}

void Streams::Queue(Client& client, AttachWord word, std::string_view text) {
  std::string message(1, static_cast<char>(word));
  message += text;
  client.queued += message.size();
  client.queue.push_back(std::move(message));
  Send(client);
}

void Streams::Send(Client& client) {
  while (!client.queue.empty() && client.socket.valid()) {
    const auto sent = kernel::SendMessage(client.socket, client.queue.front());
    if (sent.code() == EAGAIN) return;
    if (!sent.ok()) {
      client.socket.reset();
      return;
    }
    client.queued -= client.queue.front().size();
    client.queue.pop_front();
  }
}

void Streams::Receive(Client& client) {
  if (!client.socket.valid()) return;
  const auto message = kernel::ReceiveMessage(client.socket, kAttachBytesMax);
  if (message.code() == EAGAIN) return;
  if (!message.ok() || message->eof || message->data.empty()) {
    client.socket.reset();
    return;
  }
  Obey(client, message->data);
}

void Streams::Obey(Client& client, const std::string& message) {
  const std::string text = message.substr(1);
  switch (static_cast<AttachWord>(message[0])) {
    case AttachWord::kWatch:
      client.watches = true;
      break;
    case AttachWord::kInput:
      if (!input_.valid() || input_ends_) break;
      typed_ += text;
      WriteInput();
      break;
    case AttachWord::kNoInput:
      // A terminal's end of input is a key.
      if (terminal_ || keeps_input_) break;
      input_ends_ = true;
      if (input_.valid()) WriteInput();
      break;
    case AttachWord::kNoOutput:
      // What it writes next fails, as in a pipe without a reader.
      for (Source& source : sources_)
        if (source.word == static_cast<AttachWord>(text[0])) source.fd.reset();
      break;
    case AttachWord::kWindow: {
      unsigned rows = 0, columns = 0;
      if (!terminal_ ||
          std::sscanf(text.c_str(), "%u %u", &rows, &columns) != 2)
        break;
      window_.emplace();
      window_->ws_row = static_cast<unsigned short>(rows);
      window_->ws_col = static_cast<unsigned short>(columns);
      if (input_.valid()) (void)sys::Ioctl(input_, TIOCSWINSZ, &*window_);
      break;
    }
    case AttachWord::kSignal:
    case AttachWord::kStop:
    case AttachWord::kRestart:
      if (on_signal_)
        on_signal_(static_cast<AttachWord>(message[0]),
                   std::atoi(text.c_str()));
      break;
    default:
      break;
  }
}

void Streams::RemoveGone() {
  clients_.remove_if(
      [](const Client& client) { return !client.socket.valid(); });
  sources_.remove_if([](const Source& source) { return !source.fd.valid(); });
}

void Streams::Drain() {
  for (Source& source : sources_)
    while (CopyOut(source)) {
    }
  RemoveGone();
}

void Streams::Flush() {
  while (true) {
    std::vector<pollfd> fds;
    for (Client& client : clients_)
      if (client.socket.valid() && !client.queue.empty())
        fds.push_back({client.socket.get(), POLLOUT, 0});
    if (fds.empty()) return;
    (void)poll(fds.data(), fds.size(), -1);
    for (Client& client : clients_) Send(client);
    RemoveGone();
  }
}

}  // namespace ufs
