#include "fs/request_gate.h"

#include <thread>

namespace ufs {
namespace {

// How long whoever closes sleeps between two looks.
constexpr auto kLookAgain = std::chrono::microseconds(100);

}  // namespace

std::atomic<uint32_t>& RequestGate::PlaceOfThisThread() {
  static std::atomic<size_t> threads{0};
  thread_local const size_t place =
      threads.fetch_add(1, std::memory_order_relaxed) % kPlaces;
  return places_[place].inside;
}

bool RequestGate::Close(std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  closed_.store(true);
  // One after the other: nobody enters a place again that was seen empty.
  for (Place& place : places_)
    while (place.inside.load() != 0) {
      if (std::chrono::steady_clock::now() > deadline) {
        Open();
        return false;
      }
      std::this_thread::sleep_for(kLookAgain);
    }
  return true;
}

void RequestGate::Open() {
  closed_.store(false);
  closed_.notify_all();
}

}  // namespace ufs
