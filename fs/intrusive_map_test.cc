#include "fs/intrusive_map.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <vector>

namespace ufs {
namespace {

struct Thing {
  uint64_t key = 0;
  Thing* next = nullptr;
};

struct ByKey {
  static uint64_t KeyOf(const Thing& thing) { return thing.key; }
  static uint64_t HashOf(uint64_t key) { return key; }
  static Thing*& NextOf(Thing& thing) { return thing.next; }
};

// All in one chain.
struct Colliding : ByKey {
  static uint64_t HashOf(uint64_t) { return 7; }
};

template <typename Map>
std::set<const Thing*> AllOf(const Map& map) {
  std::set<const Thing*> all;
  map.ForEach([&](const Thing& thing) { all.insert(&thing); });
  return all;
}

// Against std::map, in as many steps as make it grow and shrink.
template <typename Traits>
void CompareWithStdMap(unsigned seed, uint64_t keys, int steps) {
  std::mt19937_64 random(seed);
  std::vector<Thing> things(keys * 2);
  for (uint64_t i = 0; i < things.size(); ++i) things[i].key = i % keys;
  IntrusiveMap<Thing, Traits> map;
  std::map<uint64_t, Thing*> expected;
  for (int step = 0; step < steps; ++step) {
    Thing& thing = things[random() % things.size()];
    const auto at = expected.find(thing.key);
    const bool is_in = at != expected.end() && at->second == &thing;
    if (random() % 2 == 0) {
      map.Remove(thing);
      if (is_in) expected.erase(at);
    } else if (!is_in) {
      map.Put(thing);
      expected[thing.key] = &thing;
    }
    if (random() % 64 == 0) map.Shrink();
    ASSERT_EQ(map.size(), expected.size());
    const uint64_t asked = random() % keys;
    const auto found = expected.find(asked);
    ASSERT_EQ(map.Find(asked),
              found == expected.end() ? nullptr : found->second);
  }
  std::set<const Thing*> all;
  for (const auto& [key, thing] : expected) all.insert(thing);
  EXPECT_EQ(AllOf(map), all);
}

TEST(IntrusiveMapTest, IsAsAStdMap) {
  CompareWithStdMap<ByKey>(1, 10, 5000);
  CompareWithStdMap<ByKey>(2, 1000, 50000);
  CompareWithStdMap<Colliding>(3, 100, 20000);
}

TEST(IntrusiveMapTest, TheLaterTakesThePlaceOfTheFirst) {
  Thing first{5}, second{5};
  IntrusiveMap<Thing, ByKey> map;
  map.Put(first);
  map.Put(second);
  EXPECT_EQ(map.Find(5), &second);
  map.Remove(first);  // is not in
  EXPECT_EQ(map.Find(5), &second);
  EXPECT_EQ(map.size(), 1u);
  map.Remove(second);
  EXPECT_EQ(map.Find(5), nullptr);
  EXPECT_EQ(map.size(), 0u);
}

// As inode numbers come: in a row, with gaps, with the layer above them.
TEST(IntrusiveMapTest, ChainsStayShort) {
  for (const uint64_t stride :
       {1ull, 2ull, 16ull, 32ull, 4096ull, 1ull << 32}) {
    std::vector<Thing> things(10000);
    IntrusiveMap<Thing, ByKey> map;
    for (uint64_t i = 0; i < things.size(); ++i) {
      things[i].key = i * stride;
      map.Put(things[i]);
    }
    // Each is the last of its chain but for those that follow it.
    size_t longest = 0;
    for (Thing& thing : things) {
      size_t length = 0;
      for (const Thing* at = &thing; at != nullptr; at = at->next) ++length;
      longest = std::max(longest, length);
    }
    EXPECT_LE(longest, 24u) << stride;
  }
}

}  // namespace
}  // namespace ufs
