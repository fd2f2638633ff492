// RequestGate: what every request passes, so that there can be a moment in
// which none runs and nothing changes. A layer of a busy mount is sealed in
// such a moment (control.h).
//
// A request is inside from before it begins until nothing more is done for it,
// whichever threads it moves to. To pass an open gate costs two atomic
// operations on a cache line that few threads share.
//
// Threads: any may enter; one at a time closes and opens.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace ufs {

class RequestGate {
 public:
  // Who holds one is inside.
  class Pass {
   public:
    Pass(Pass&& other) noexcept
        : inside_(std::exchange(other.inside_, nullptr)) {}
    Pass& operator=(Pass&&) = delete;
    ~Pass() {
      if (inside_ != nullptr) inside_->fetch_sub(1);
    }

   private:
    friend class RequestGate;
    explicit Pass(std::atomic<uint32_t>* inside) : inside_(inside) {}
    std::atomic<uint32_t>* inside_;
  };

  // Waits while the gate is closed.
  Pass Enter() {
    std::atomic<uint32_t>& inside = PlaceOfThisThread();
    while (true) {
      // In this order, as Close stores and then looks: one of us sees the
      // other.
      inside.fetch_add(1);
      if (!closed_.load()) [[likely]]
        return Pass(&inside);
      inside.fetch_sub(1);
      closed_.wait(true);
    }
  }

  // From here on nobody enters. True once nobody is inside; false where that
  // takes longer than `patience`, and then the gate is open again.
  bool Close(std::chrono::milliseconds patience);
  // Whoever waits goes on. An open gate stays open.
  void Open();

 private:
  static constexpr size_t kPlaces = 16;
  static constexpr size_t kCacheLineBytes = 64;
  struct alignas(kCacheLineBytes) Place {
    std::atomic<uint32_t> inside{0};
  };

  std::atomic<uint32_t>& PlaceOfThisThread();

  std::array<Place, kPlaces> places_;
  std::atomic<bool> closed_{false};
};

}  // namespace ufs
