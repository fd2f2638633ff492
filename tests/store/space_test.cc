// A store on file systems of its own: one that is full, one that shares blocks.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <fstream>

#include "layerdb/layer_store.h"
#include "layerdb/store_test_util.h"
#include "tests/harness/process.h"
#include "tests/harness/scratch_dir.h"

namespace ufs::test {
namespace {

// A mount that ends with the process. False where we may not.
bool MountPrivately(const char* source, const std::string& at, const char* type,
                    const char* options) {
  return unshare(CLONE_NEWNS) == 0 &&
         mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount(source, at.c_str(), type, 0, options) == 0;
}

constexpr int kSkip = 77;

uint64_t FreeBytes(const std::string& path) {
  struct statfs stat {};
  EXPECT_EQ(statfs(path.c_str(), &stat), 0);
  return stat.f_bfree * stat.f_bsize;
}

// The exit code of a process that does `work` with a store on a disk of 24 MiB;
// kSkip where it may not mount one.
template <typename Work>
int OnSmallDisk(Work work) {
  const ScratchDir scratch;
  const std::string& disk = scratch.path();
  return InChild([&] {
    if (!MountPrivately("tmpfs", disk, "tmpfs", "size=24m")) return kSkip;
    const auto store =
        LayerStore::Open(disk + "/store", LayerStore::Access::kWrite);
    EXPECT_TRUE(store.ok());
    if (store.ok()) work(disk, **store);
    return testing::Test::HasFailure() ? 1 : 0;
  });
}

TEST(StoreSpaceTest, AFullDiskIsSaidAndItsRoomGivenBack) {
  const int code = OnSmallDisk([](const std::string& disk, LayerStore& store) {
    EXPECT_TRUE(Import(store, "small", {{"f", Contents('a')}}).ok());
    const uint64_t before = FreeBytes(disk);
    const auto full = Import(store, "large",
                             {{"first", Contents('b', 4 << 20)},
                              {"second", Contents('c', 30 << 20)}});
    EXPECT_EQ(full.code(), ENOSPC);
    EXPECT_NE(full.error().ToString().find("writing an object"),
              std::string::npos)
        << full.error().ToString();
    EXPECT_EQ(FreeBytes(disk), before);
    EXPECT_EQ(Text(store.Check().value()), "");
    EXPECT_EQ(store.Check().value().leftovers, 0u);
    EXPECT_TRUE(Import(store, "more", {{"f", Contents('d')}}).ok());
  });
  if (code == kSkip) GTEST_SKIP() << "may not mount";
  EXPECT_EQ(code, 0);
}

// Fills a file system to its last block.
void Fill(const std::string& path) {
  const UniqueFd file =
      sys::Open(path.c_str(), O_WRONLY | O_CREAT, 0600).value();
  const std::string data(64 << 10, 'x');
  uint64_t at = 0;
  for (size_t piece = data.size(); piece > 0;) {
    const auto wrote = sys::Pwrite(file, data.data(), piece, at);
    if (wrote.ok())
      at += *wrote;
    else
      piece /= 2;
  }
}

TEST(StoreSpaceTest, WhatIsRemovedFromAFullDiskGivesRoom) {
  const int code = OnSmallDisk([](const std::string& disk, LayerStore& store) {
    const Digest kept =
        Import(store, "kept", {{"f", Contents('a')}}).value().diff_id;
    const Digest gone =
        Import(store, "gone", {{"f", Contents('b', 4 << 20)}}).value().diff_id;
    EXPECT_TRUE(store.SetName("gone", gone).ok());
    const std::string fill = disk + "/fill";
    Fill(fill);
    const auto full = Import(store, "more", {{"f", "1"}});
    EXPECT_EQ(full.code(), ENOSPC);
    EXPECT_EQ(store.Repair().code(), ENOSPC);
    const auto removed = store.Remove(gone, /*names_too=*/true);
    EXPECT_TRUE(removed.ok()) << removed.error().ToString();
    EXPECT_EQ(store.Resolve("gone").code(), ENOENT);
    const auto swept = store.Gc({});
    EXPECT_TRUE(swept.ok()) << swept.error().ToString();
    EXPECT_GE(swept->freed_bytes, uint64_t{4} << 20);
    EXPECT_TRUE(Import(store, "more", {{"f", Contents('d')}}).ok());
    EXPECT_EQ(Text(store.Check().value()), "");
    EXPECT_EQ(Text(store.Verify(kept).value()), "");
  });
  if (code == kSkip) GTEST_SKIP() << "may not mount";
  EXPECT_EQ(code, 0);
}

TEST(StoreSpaceTest, ARefusedRemovalChangesNothing) {
  const int code = OnSmallDisk([](const std::string& disk, LayerStore& store) {
    const Digest layer =
        Import(store, "a", {{"f", Contents('a')}}).value().diff_id;
    EXPECT_TRUE(store.SetName("a", layer).ok());
    EXPECT_EQ(
        mount(nullptr, disk.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr),
        0);
    for (const Status& refused : {store.Remove(layer, /*names_too=*/true),
                                  Status(store.Gc({}).error())}) {
      EXPECT_EQ(refused.code(), EROFS);
      EXPECT_EQ(refused.error().context().find("new catalog"),
                std::string_view::npos)
          << refused.error().ToString();
    }
    EXPECT_EQ(store.Resolve("a").value(), layer);
  });
  if (code == kSkip) GTEST_SKIP() << "may not mount";
  EXPECT_EQ(code, 0);
}

TEST(StoreSpaceTest, BlocksAreSharedWhereTheFileSystemCan) {
  const ScratchDir scratch;
  const std::string image = scratch.path() + "/image";
  const std::string at = scratch.path() + "/mnt";
  ASSERT_EQ(mkdir(at.c_str(), 0755), 0);
  std::ofstream(image).close();
  ASSERT_EQ(truncate(image.c_str(), 400 << 20), 0);
  if (RunProgram({"/sbin/mkfs.xfs", "-q", image}, 60).exit_code != 0 &&
      RunProgram({"/sbin/mkfs.btrfs", "-q", image}, 60).exit_code != 0)
    GTEST_SKIP() << "neither mkfs.xfs nor mkfs.btrfs";
  const int code = InChild([&] {
    if (unshare(CLONE_NEWNS) != 0 ||
        mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        RunProgram({"/bin/mount", "-o", "loop", image, at}, 60).exit_code != 0)
      return kSkip;
    std::ofstream(at + "/file") << Contents('x', 64 << 20);
    sync();
    const auto store =
        LayerStore::Open(at + "/store", LayerStore::Access::kWrite);
    EXPECT_TRUE(store.ok());
    const uint64_t before = FreeBytes(at);
    {
      const auto ingest = (*store)->BeginIngest("file").value();
      const UniqueFd file = sys::Open((at + "/file").c_str(), O_RDONLY).value();
      const auto put = ingest->objects().PutFile(file).value();
      TreeNode node = FileNode("");
      node.size_bytes = put.size_bytes;
      node.content = put.id;
      EXPECT_TRUE(ingest->tree().Put("file", node).ok());
      EXPECT_TRUE(ingest->Seal(Sha256Of("file")).ok());
    }
    sync();
    EXPECT_LT(before - FreeBytes(at), 16u << 20) << "64 MiB were copied";
    EXPECT_EQ(Text((*store)->Verify(Sha256Of("file")).value()), "");
    return testing::Test::HasFailure() ? 1 : 0;
  });
  if (code == kSkip) GTEST_SKIP() << "may not mount";
  EXPECT_EQ(code, 0);
}

}  // namespace
}  // namespace ufs::test
