// Turns: whoever works on a thing takes its turn, so that it is one at a time
// for each, and nobody waits for who works on another. A thing is known by its
// key. Who needs several takes them at once: he holds none while he waits, so
// that nobody waits for a third. Who has a turn takes no other of the same
// Turns.
//
// Threads: any.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace ufs {

template <typename Key>
class Turns {
 private:
  template <typename>
  friend class Turn;
  template <typename>
  friend class TurnOfAll;

  void Take(std::span<const Key> keys) {
    std::unique_lock lock(mu_);
    ++waiting_;
    freed_.wait(lock, [&] {
      return std::find_first_of(taken_.begin(), taken_.end(), keys.begin(),
                                keys.end()) == taken_.end();
    });
    --waiting_;
    // A key that is named twice is in it twice, and freed twice.
    taken_.insert(taken_.end(), keys.begin(), keys.end());
  }

  void Free(std::span<const Key> keys) {
    const std::lock_guard lock(mu_);
    for (const Key key : keys) {
      const auto at = std::find(taken_.begin(), taken_.end(), key);
      *at = taken_.back();
      taken_.pop_back();
    }
    if (waiting_ > 0) freed_.notify_all();
  }

  // No thread-safety annotations: std::condition_variable needs std::mutex.
  std::mutex mu_;  // a leaf; guards all that follows
  std::condition_variable freed_;
  std::vector<Key> taken_;  // by a few threads, a few each
  int waiting_ = 0;
};

template <typename Key>
class [[nodiscard]] Turn {
 public:
  // Waits until nobody else has the turn of `key`.
  Turn(Turns<Key>& turns, std::type_identity_t<Key> key)
      : turns_(turns), key_(key) {
    turns_.Take({&key_, 1});
  }
  ~Turn() { turns_.Free({&key_, 1}); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Turns<Key>& turns_;
  const Key key_;
};

// Of several things, or none.
template <typename Key>
class [[nodiscard]] TurnOfAll {
 public:
  // Waits until nobody else has the turn of any of `keys`.
  TurnOfAll(Turns<Key>& turns, std::type_identity_t<std::vector<Key>> keys)
      : turns_(turns), keys_(std::move(keys)) {
    turns_.Take(keys_);
  }
  ~TurnOfAll() { turns_.Free(keys_); }
  TurnOfAll(const TurnOfAll&) = delete;
  TurnOfAll& operator=(const TurnOfAll&) = delete;

 private:
  Turns<Key>& turns_;
  const std::vector<Key> keys_;
};

}  // namespace ufs
