#include "layerdb/object_store.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <fstream>
#include <latch>
#include <memory>
#include <new>
#include <set>
#include <thread>
#include <vector>

#include "layerdb/base/fault.h"
#include "layerdb/base/syscall.h"
#include "layerdb/checked_objects.h"
#include "layerdb/object_stage.h"
#include "layerdb/store_io.h"
#include "tests/harness/scratch_dir.h"

namespace ufs {
namespace {

class ObjectStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = sys::Open(scratch_.path().c_str(), O_RDONLY | O_DIRECTORY).value();
    ASSERT_TRUE(sys::MkDirAt({dir_, "objects"}, 0755).ok());
    Reopen(nullptr);
  }
  void Reopen(ObjectStore::HashFilter filter) {
    store_ = ObjectStore::Open(dir_, filter).value();
  }
  std::unique_ptr<ObjectStage> NewStage() {
    const std::string name = "stage" + std::to_string(++stages_);
    return std::make_unique<ObjectStage>(
        store_, MakeDir({dir_, name.c_str()}, 0755).value());
  }
  std::string Read(const ObjectId& id) {
    const UniqueFd file = store_->OpenObject(id).value();
    std::string data(store_->StatObject(id).value().size_bytes, '\0');
    EXPECT_EQ(sys::Pread(file, data.data(), data.size(), 0).value(),
              data.size());
    return data;
  }
  std::set<std::string> Objects() {
    std::set<std::string> names;
    EXPECT_TRUE(store_
                    ->ForEach([&](const ObjectStore::Found& found) {
                      names.insert(found.id ? found.id->FileName()
                                            : "unknown " + found.path);
                      return Ok();
                    })
                    .ok());
    return names;
  }
  ObjectId Store(std::string_view contents) {
    const auto stage = NewStage();
    const ObjectId id = stage->Put(contents).value();
    EXPECT_TRUE(stage->Publish().ok());
    return id;
  }
  void Damage(const ObjectId& id, off_t offset) {
    const std::string path = scratch_.path() + "/objects/" + id.Path();
    chmod(path.c_str(), 0644);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(offset);
    file.put('!');
    ASSERT_TRUE(file.good());
  }

  test::ScratchDir scratch_;
  UniqueFd dir_;
  std::shared_ptr<const ObjectStore> store_;
  int stages_ = 0;
};

std::string Pattern(size_t size, char seed) {
  std::string data(size, '\0');
  for (size_t i = 0; i < size; ++i)
    data[i] = static_cast<char>(seed + i * 7 + i / 251);
  return data;
}

TEST_F(ObjectStoreTest, KeepsEachContentOnce) {
  const std::string small = Pattern(5000, 'a'), large = Pattern(3 << 20, 'b');
  const auto stage = NewStage();
  const ObjectId first = stage->Put(small).value();
  EXPECT_EQ(stage->Put(small).value(), first);
  ObjectWriter writer = stage->NewWriter();
  for (size_t at = 0; at < large.size(); at += 100'000)
    ASSERT_TRUE(
        writer.Append(std::string_view(large).substr(at, 100'000)).ok());
  const ObjectId second = writer.Finish().value();
  EXPECT_EQ(store_->OpenObject(first).code(), ENOENT) << "not yet published";
  ASSERT_TRUE(stage->Publish().ok());
  EXPECT_EQ(Read(first), small);
  EXPECT_EQ(Read(second), large);
  EXPECT_TRUE(store_->Verify(first).ok());
  EXPECT_TRUE(store_->Verify(second).ok());
  EXPECT_EQ(stage->counts().objects, 3u);
  EXPECT_EQ(stage->counts().new_objects, 2u);

  // Another import of the same, in one piece and in other pieces.
  const auto again = NewStage();
  EXPECT_EQ(again->Put(small).value(), first);
  ObjectWriter other = again->NewWriter();
  ASSERT_TRUE(other.Append(large).ok());
  EXPECT_EQ(other.Finish().value(), second);
  ASSERT_TRUE(again->Publish().ok());
  EXPECT_EQ(again->counts().new_objects, 0u);
  EXPECT_EQ(Objects().size(), 2u);
  EXPECT_TRUE(ListNames({dir_, "stage1"}).value().empty());
  EXPECT_TRUE(ListNames({dir_, "stage2"}).value().empty());
}

TEST_F(ObjectStoreTest, TellsContentsWithOneHashApart) {
  Reopen([](const Hash128&) { return Hash128{1, 2}; });
  const auto stage = NewStage();
  const ObjectId a = stage->Put("first").value();
  const ObjectId b = stage->Put("other").value();
  const ObjectId longer = stage->Put("a longer one").value();
  EXPECT_EQ(a.variant, 0u);
  EXPECT_EQ(b.variant, 1u);
  EXPECT_EQ(longer.variant, 2u);
  EXPECT_EQ(stage->Put("other").value(), b);
  ASSERT_TRUE(stage->Publish().ok());

  const auto again = NewStage();
  EXPECT_EQ(again->Put("other").value(), b);
  EXPECT_EQ(again->Put("fourth").value().variant, 3u);
  ASSERT_TRUE(again->Publish().ok());
  EXPECT_EQ(Read(a), "first");
  EXPECT_EQ(Read(b), "other");
  EXPECT_EQ(Read(longer), "a longer one");
  EXPECT_EQ(Objects().size(), 4u);
}

TEST_F(ObjectStoreTest, TwoImportsThatMeetShareWhatIsEqual) {
  const auto one = NewStage(), two = NewStage();
  const ObjectId id = one->Put("the same").value();
  EXPECT_EQ(two->Put("the same").value(), id);
  ASSERT_TRUE(one->Publish().ok());
  ASSERT_TRUE(two->Publish().ok());
  EXPECT_EQ(Objects().size(), 1u);
}

TEST_F(ObjectStoreTest, TwoImportsThatMeetWithOneHashAreToldApart) {
  Reopen([](const Hash128&) { return Hash128{1, 2}; });
  const auto one = NewStage(), two = NewStage();
  ASSERT_TRUE(one->Put("this").ok());
  ASSERT_TRUE(two->Put("that").ok());
  ASSERT_TRUE(one->Publish().ok());
  const auto refused = two->Publish();
  EXPECT_EQ(refused.code(), EAGAIN);
  EXPECT_EQ(Read({1, 2}), "this");
}

TEST_F(ObjectStoreTest, KeepsHoles) {
  const auto stage = NewStage();
  ObjectWriter writer = stage->NewWriter();
  ASSERT_TRUE(writer.Append("start").ok());
  ASSERT_TRUE(writer.Hole(100 << 20).ok());
  ASSERT_TRUE(writer.Append("end").ok());
  ASSERT_TRUE(writer.Hole(1 << 20).ok());
  EXPECT_EQ(writer.size_bytes(), (101u << 20) + 8);
  const ObjectId id = writer.Finish().value();
  ASSERT_TRUE(stage->Publish().ok());
  const ObjectStore::Stat stat = store_->StatObject(id).value();
  EXPECT_EQ(stat.size_bytes, (101u << 20) + 8);
  EXPECT_LT(stat.disk_bytes, 100u << 10);
  EXPECT_TRUE(store_->Verify(id).ok());

  // The same bytes without holes are the same object; so is the file itself.
  const auto again = NewStage();
  const UniqueFd file = store_->OpenObject(id).value();
  EXPECT_EQ(again->PutFile(file).value().id, id);
  ObjectWriter plain = again->NewWriter();
  ASSERT_TRUE(plain
                  .Append("start" + std::string(100 << 20, '\0') + "end" +
                          std::string(1 << 20, '\0'))
                  .ok());
  EXPECT_EQ(plain.Finish().value(), id);
}

TEST_F(ObjectStoreTest, PublishesOnlyWhatIsToBeKept) {
  const auto stage = NewStage();
  const ObjectId kept = *stage->Put("kept"), dropped = *stage->Put("dropped");
  ASSERT_TRUE(stage->KeepOnly({kept}).ok());
  const ObjectId later = *stage->Put("later");
  ASSERT_TRUE(stage->Publish().ok());
  EXPECT_TRUE(store_->OpenObject(kept).ok());
  EXPECT_EQ(store_->OpenObject(dropped).code(), ENOENT);
  EXPECT_TRUE(store_->OpenObject(later).ok());
}

TEST_F(ObjectStoreTest, RefusesSizesThatNoFileCanHave) {
  const auto stage = NewStage();
  ObjectWriter writer = stage->NewWriter();
  ASSERT_TRUE(writer.Append("x").ok());
  EXPECT_EQ(writer.Hole(UINT64_MAX).code(), EFBIG);
  EXPECT_EQ(writer.Hole(INT64_MAX).code(), EFBIG);
}

TEST_F(ObjectStoreTest, AWriterThatIsNotFinishedLeavesNothing) {
  const auto stage = NewStage();
  {
    ObjectWriter writer = stage->NewWriter();
    ASSERT_TRUE(writer.Append(Pattern(1 << 20, 'c')).ok());
    EXPECT_EQ(ListNames({dir_, "stage1"}).value().size(), 1u);
  }
  EXPECT_TRUE(ListNames({dir_, "stage1"}).value().empty());
}

TEST_F(ObjectStoreTest, TakesFiles) {
  const std::string large = Pattern(1 << 20, 'd');
  std::ofstream(scratch_.path() + "/small") << "small";
  std::ofstream(scratch_.path() + "/large") << large;
  const auto stage = NewStage();
  const UniqueFd small_file = sys::OpenAt({dir_, "small"}, O_RDONLY).value();
  const UniqueFd large_file = sys::OpenAt({dir_, "large"}, O_RDONLY).value();
  const auto copied = stage->PutFile(small_file).value();
  const auto big = stage->PutFile(large_file).value();
  EXPECT_EQ(big.size_bytes, large.size());
  // By hard link: the same file under another name.
  std::ofstream(scratch_.path() + "/linked") << Pattern(9000, 'e');
  const UniqueFd linked_file = sys::OpenAt({dir_, "linked"}, O_RDONLY).value();
  const auto linked =
      stage->PutFile(linked_file, ObjectStage::Copy::kHardLink).value();
  ASSERT_TRUE(stage->Publish().ok());
  EXPECT_EQ(Read(copied.id), "small");
  EXPECT_EQ(Read(big.id), large);
  EXPECT_EQ(Read(linked.id), Pattern(9000, 'e'));
  const auto object = sys::Statx({store_->OpenObject(linked.id).value()});
  EXPECT_EQ(object.value().stx_ino, sys::Statx({linked_file}).value().stx_ino);
}

TEST_F(ObjectStoreTest, FindsDamageAndAnotherImportHealsIt) {
  const std::string contents = Pattern(70'000, 'f');
  const ObjectId id = Store(contents);
  Damage(id, 69'000);
  const auto verified = store_->Verify(id);
  ASSERT_EQ(verified.code(), EUCLEAN);
  EXPECT_NE(verified.error().ToString().find(id.FileName()), std::string::npos);
  EXPECT_EQ(Store(contents), id) << "healed in place, no second variant";
  EXPECT_TRUE(store_->Verify(id).ok());
  EXPECT_EQ(Read(id), contents);
}

TEST_F(ObjectStoreTest, NamesWhatIsNoObject) {
  Store("x");
  ASSERT_TRUE(sys::MkDirAt({dir_, "objects/zz"}, 0755).ok());
  std::ofstream(scratch_.path() + "/objects/stray") << "";
  const ObjectId id{0, 7};
  ASSERT_TRUE(sys::MkDirAt({dir_, "objects/ff"}, 0755).ok());
  std::ofstream(scratch_.path() + "/objects/ff/" + id.FileName()) << "";
  const std::set<std::string> found = Objects();
  EXPECT_TRUE(found.contains("unknown zz"));
  EXPECT_TRUE(found.contains("unknown stray"));
  EXPECT_TRUE(found.contains("unknown ff/" + id.FileName())) << "misplaced";
}

TEST_F(ObjectStoreTest, ManyWritersAtOnce) {
  constexpr int kThreads = 8, kContents = 60;
  const auto stage = NewStage();
  std::vector<std::vector<ObjectId>> ids(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kContents; ++i) {
        // Every thread writes the same contents, each in an order of its own.
        const int which = (i * 7 + t * 13) % kContents;
        ObjectWriter writer = stage->NewWriter();
        const std::string data = Pattern(which * 9000 + 1, 'g');
        for (size_t at = 0; at < data.size(); at += 50'000)
          ASSERT_TRUE(
              writer.Append(std::string_view(data).substr(at, 50'000)).ok());
        ids[t].resize(kContents);
        ids[t][which] = writer.Finish().value();
      }
    });
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(stage->Publish().ok());
  for (int t = 1; t < kThreads; ++t) EXPECT_EQ(ids[t], ids[0]);
  EXPECT_EQ(Objects().size(), static_cast<size_t>(kContents));
  for (const ObjectId& id : ids[0]) EXPECT_TRUE(store_->Verify(id).ok());
}

TEST_F(ObjectStoreTest, AFailureInTheMiddlePublishesNothingHalf) {
  const auto stage = NewStage();
  for (char c = 'a'; c < 'g'; ++c)
    ASSERT_TRUE(stage->Put(Pattern(600, c)).ok());
  ASSERT_TRUE(ArmFault("object.publish:ENOSPC:4").ok());
  EXPECT_EQ(stage->Publish().code(), ENOSPC);
  ASSERT_TRUE(ArmFault("").ok());
  EXPECT_EQ(Objects().size(), 3u) << "whole ones, without a user yet";
  for (const std::string& name : Objects())
    EXPECT_TRUE(store_->Verify(*ObjectId::FromFileName(name)).ok());
}

TEST_F(ObjectStoreTest, WhatWasFoundSoundIsNotReadAgain) {
  const ObjectId id = Store(Pattern(5000, 'x'));
  CheckedObjects checked(store_);
  Damage(id, 3);
  EXPECT_EQ(checked.Check(id).code(), EUCLEAN);
  Store(Pattern(5000, 'x'));  // mends it
  EXPECT_TRUE(checked.Check(id).ok());
  Damage(id, 3);
  EXPECT_TRUE(checked.Check(id).ok());
  EXPECT_EQ(CheckedObjects(store_).Check(id).code(), EUCLEAN);
  EXPECT_EQ(checked.Check({1, 2, 0}).code(), ENOENT);
}

// What this process has read from files, by any thread.
uint64_t BytesRead() {
  std::ifstream io("/proc/self/io");
  std::string what;
  uint64_t bytes = 0;
  io >> what >> bytes;
  EXPECT_EQ(what, "rchar:");
  return bytes;
}

TEST_F(ObjectStoreTest, OneReadsAnObjectForAllWhoAskAtOnce) {
  constexpr size_t kReaders = 8;
  constexpr uint64_t kBytes = 32 << 20;
  const ObjectId id = Store(std::string(kBytes, 'x'));
  const auto ask = [&](CheckedObjects& checked, int verdict) {
    const uint64_t before = BytesRead();
    std::latch start(kReaders);
    std::vector<std::thread> readers;
    for (size_t i = 0; i < kReaders; ++i)
      readers.emplace_back([&] {
        start.arrive_and_wait();
        EXPECT_EQ(checked.Check(id).code(), verdict);
      });
    for (std::thread& reader : readers) reader.join();
    return BytesRead() - before;
  };
  CheckedObjects checked(store_);
  EXPECT_LT(ask(checked, 0), 2 * kBytes);
  EXPECT_LT(ask(checked, 0), kBytes / 2);
  Damage(id, 3);
  CheckedObjects again(store_);
  ask(again, EUCLEAN);
}

#ifndef UFS_SANITIZED  // which ends a program that gets no memory
TEST_F(ObjectStoreTest, WhoGetsNoMemoryForItMayAskAgain) {
  const ObjectId id = Store(Pattern(5000, 'x'));
  const auto ask_without_memory = [&](CheckedObjects& checked) {
    constexpr size_t kPieceBytes = 64 << 10;
    std::vector<std::unique_ptr<char[]>> taken;
    taken.reserve(1 << 16);
    rlimit before{};
    if (getrlimit(RLIMIT_DATA, &before) != 0) return false;
    const rlimit none{1, before.rlim_max};
    if (setrlimit(RLIMIT_DATA, &none) != 0) return false;
    while (auto* const piece = new (std::nothrow) char[kPieceBytes])
      taken.emplace_back(piece);
    bool failed = false;
    try {
      failed = !checked.Check(id).ok();
    } catch (const std::bad_alloc&) {
      failed = true;
    }
    return setrlimit(RLIMIT_DATA, &before) == 0 && failed;
  };
  EXPECT_EXIT(
      {
        CheckedObjects checked(store_);
        if (!ask_without_memory(checked)) _exit(1);
        _exit(checked.Check(id).ok() ? 0 : 2);
      },
      testing::ExitedWithCode(0), "");
}
#endif

}  // namespace
}  // namespace ufs
