// Cleanup runs a function when it goes out of scope, unless dismissed: the undo
// of work that is not published yet.
#pragma once

#include <utility>

namespace ufs {

template <typename F>
class [[nodiscard]] Cleanup {
 public:
  explicit Cleanup(F undo) : undo_(std::move(undo)) {}
  Cleanup(const Cleanup&) = delete;
  Cleanup& operator=(const Cleanup&) = delete;
  ~Cleanup() {
    if (armed_) undo_();
  }
  void Dismiss() { armed_ = false; }

 private:
  F undo_;
  bool armed_ = true;
};

}  // namespace ufs
