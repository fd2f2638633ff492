// IntrusiveMap: objects found by a key of their own, chained by a pointer of
// their own, so that one more of millions is no allocation: a word in it, and
// one to two in the array of chains. It owns none of them.
//
// `Traits` says of a T
//   static Key KeyOf(const T&);       the same as long as it is in here
//   static uint64_t HashOf(Key);      neighbours near each other, if at all
//   static T*& NextOf(T&);            for the map alone
// Threads: one at a time.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>

namespace ufs {

template <typename T, typename Traits>
class IntrusiveMap {
 public:
  using Key = decltype(Traits::KeyOf(std::declval<const T&>()));

  IntrusiveMap() : chains_(kFewest) {}

  T* Find(const Key& key) const {
    T* at = chains_[HomeOf(key)];
    while (at != nullptr && !(Traits::KeyOf(*at) == key))
      at = Traits::NextOf(*at);
    return at;
  }

  // Adds one that is not in; who had its key is out.
  void Put(T& object) {
    if (T* const before = Find(Traits::KeyOf(object))) Remove(*before);
    if (size_ >= chains_.size()) Resize(chains_.size() * 2);
    Link(object);
    ++size_;
  }

  // Nothing for one that is not in.
  void Remove(T& object) {
    T** at = &chains_[HomeOf(Traits::KeyOf(object))];
    while (*at != nullptr && *at != &object) at = &Traits::NextOf(**at);
    if (*at == nullptr) return;
    *at = std::exchange(Traits::NextOf(object), nullptr);
    --size_;
  }

  size_t size() const { return size_; }

  void ForEach(auto visit) const {
    for (T* at : chains_)
      for (; at != nullptr; at = Traits::NextOf(*at)) visit(*at);
  }

  // Gives memory back that a larger number needed.
  void Shrink() {
    const size_t enough = std::max(kFewest, std::bit_ceil(size_));
    if (enough < chains_.size()) Resize(enough);
  }

 private:
  static constexpr size_t kFewest = 16;

  // Keys that differ in the last four bits alone are beside each other, for the
  // processor's cache; the others anywhere (Fibonacci hashing, Knuth, TAOCP 3,
  // 6.4).
  size_t HomeOf(const Key& key) const {
    const uint64_t hash = Traits::HashOf(key);
    const uint64_t scattered = (hash >> 4) * 0x9E3779B97F4A7C15u;
    return ((scattered >> 32 & ~uint64_t{15}) | (hash & 15)) &
           (chains_.size() - 1);
  }

  void Link(T& object) {
    T*& chain = chains_[HomeOf(Traits::KeyOf(object))];
    Traits::NextOf(object) = std::exchange(chain, &object);
  }

  void Resize(size_t count) {
    std::vector<T*> before;
    try {
      before.resize(count);
    } catch (const std::bad_alloc&) {
      return;  // longer chains do as well
    }
    chains_.swap(before);
    for (T* at : before)
      while (at != nullptr) {
        T& object = *at;
        at = Traits::NextOf(object);
        Link(object);
      }
  }

  std::vector<T*> chains_;  // as many as a power of two
  size_t size_ = 0;
};

}  // namespace ufs
