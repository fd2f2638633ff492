#include "runtime/channel.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "runtime/kernel.h"

namespace ufs::runtime {
namespace {

constexpr size_t kMessageBytesMax = 64 << 10;

// What SayError has written.
Error ParseError(const std::string& text) {
  char* rest = nullptr;
  const long code = std::strtol(text.c_str(), &rest, 10);
  const bool explained = *rest == '!';
  if (explained) ++rest;
  if (*rest == ' ') ++rest;
  if (code <= 0 || code > 4095) return Error(EPROTO, text);
  Error error(static_cast<int>(code));
  if (*rest == '\0') return error;
  return explained ? Error(error.code(), rest) : std::move(error).With(rest);
}

}  // namespace

Status Say(BorrowedFd channel, Word word, std::string_view text, int fd) {
  if (text.size() >= kMessageBytesMax) return Error(EMSGSIZE);
  std::string message(1, static_cast<char>(word));
  message += text;
  return kernel::SendMessage(channel, message, fd);
}

Result<Said> Listen(BorrowedFd channel) {
  auto message = TRY(kernel::ReceiveMessage(channel, kMessageBytesMax));
  if (message.eof || message.data.empty()) return Error(EPIPE);
  Said said{static_cast<Word>(message.data[0]), message.data.substr(1),
            std::move(message.fd)};
  if (said.word == Word::kError) return ParseError(said.text);
  return said;
}

Result<Said> Expect(BorrowedFd channel, Word word) {
  auto said = TRY(Listen(channel));
  if (said.word != word)
    return Error(EPROTO, std::string("unexpected message ") +
                             static_cast<char>(said.word));
  return said;
}

Status HandOverListener(BorrowedFd channel, UniqueFd listener) {
  const std::string text =
      static_cast<char>(Word::kNotify) + std::to_string(listener.get());
  TRY(kernel::WriteOnce(channel, text));
  // Where this call is notified of, too, the agent answers, who has it by then.
  char answer = 0;
  TRY(kernel::Read(channel, &answer, 1));
  return answer == static_cast<char>(Word::kGo) ? Ok() : Error(EPIPE);
}

void SayError(BorrowedFd channel, const Error& error) {
  std::string text = std::to_string(error.code()) +
                     (error.explained() ? "! " : " ") +
                     std::string(error.context());
  text.resize(std::min(text.size(), kMessageBytesMax - 1));
  // If nobody listens any more, nobody needs to know.
  (void)Say(channel, Word::kError, text);
}

}  // namespace ufs::runtime
