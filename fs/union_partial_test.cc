// Files of which a part is in the upper: whatever is done to them, they read as
// an ordinary file would.
#include <signal.h>
#include <sys/resource.h>
#include <sys/xattr.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <random>
#include <thread>
#include <vector>

#include "fs/ioctl.h"
#include "fs/union_fixture.h"
#include "layerdb/base/privilege.h"

namespace ufs {
namespace {

constexpr uint64_t kChunkBytes = ChunkMap::kMinChunkBytes;

// Bytes that tell where in the file they are.
std::string Pattern(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i)
    text[i] = static_cast<char>('a' + (i / 7 + i / kChunkBytes) % 26);
  return text;
}

class PartialTest : public UnionFsTest {
 protected:
  std::string ReadAll(NodeId node) {
    std::string text(Stat(node).size_bytes + 10, '\0');
    const auto got =
        fs_->Read(node, text.data(), text.size(), 0, UnionFs::Wait::kMayWait);
    EXPECT_TRUE(got.ok()) << got.error().ToString();
    text.resize(got.ok() ? *got : 0);
    return text;
  }
  int Resize(NodeId node, uint64_t size) {
    AttrChange change;
    change.size_bytes = size;
    return fs_->SetAttr(node, change, {}).code();
  }
  std::string MarkName(const char* mark) const {
    return (IsHostRoot() ? "trusted.overlay." : "user.overlay.") +
           std::string(mark);
  }
  // A mark of an upper file; empty when it has none.
  std::string Mark(const std::string& path, const char* mark) const {
    char value[8192];
    const ssize_t size = getxattr((root_ / "upper" / path).c_str(),
                                  MarkName(mark).c_str(), value, sizeof(value));
    return size < 0 ? "" : std::string(value, size);
  }
  void SetMark(const std::string& path, const char* mark,
               const std::string& value) const {
    ASSERT_EQ(setxattr((root_ / "upper" / path).c_str(), MarkName(mark).c_str(),
                       value.data(), value.size(), 0),
              0);
  }
  // What a power cut leaves: the marks as they were, seen by another boot.
  void CutPower(const std::string& path) {
    std::string chunks = Mark(path, "ufs.chunks");
    const std::string metacopy = Mark(path, "metacopy");
    ASSERT_GT(chunks.size(), 32u);
    fs_.reset();
    for (size_t i = 16; i < 32; ++i) chunks[i] = static_cast<char>(~chunks[i]);
    SetMark(path, "ufs.chunks", chunks);
    SetMark(path, "metacopy", metacopy);
    Mount();
  }
};

TEST_F(PartialTest, OneByteCopiesOneChunk) {
  std::string text = Pattern(40 * kChunkBytes + 100);
  Put(root_ / "base/f", text);
  Mount();
  ASSERT_EQ(WriteAt(Walk("f"), "!", 17 * kChunkBytes + 5), 0);
  EXPECT_EQ(fs_->Stats().copy_up_bytes, kChunkBytes);
  EXPECT_TRUE(Get(root_ / "base/f") == text);
  text[17 * kChunkBytes + 5] = '!';
  EXPECT_TRUE(ReadAll(Walk("f")) == text);
  Mount();
  EXPECT_TRUE(ReadAll(Walk("f")) == text);
  EXPECT_EQ(fs_->Stats().copy_up_bytes, 0u);
}

TEST_F(PartialTest, AnAppendCopiesNothing) {
  std::string text = Pattern(3 * kChunkBytes + 1);
  Put(root_ / "base/f", text);
  Mount();
  ASSERT_EQ(WriteAt(Walk("f"), "more", text.size()), 0);
  ASSERT_EQ(WriteAt(Walk("f"), "far", text.size() + 2 * kChunkBytes), 0);
  EXPECT_EQ(fs_->Stats().copy_up_bytes, 0u);
  text += "more" + std::string(2 * kChunkBytes - 4, '\0') + "far";
  EXPECT_TRUE(ReadAll(Walk("f")) == text);
  Mount();
  EXPECT_TRUE(ReadAll(Walk("f")) == text);
}

TEST_F(PartialTest, WhatAWriteCoversIsNotCopied) {
  std::string text = Pattern(10 * kChunkBytes);
  Put(root_ / "base/f", text);
  Mount();
  const std::string chunks(4 * kChunkBytes, '#');
  ASSERT_EQ(WriteAt(Walk("f"), chunks, 2 * kChunkBytes), 0);
  EXPECT_EQ(fs_->Stats().copy_up_bytes, 0u);
  ASSERT_EQ(WriteAt(Walk("f"), std::string(kChunkBytes + 2, '%'),
                    7 * kChunkBytes - 1),
            0);
  EXPECT_EQ(fs_->Stats().copy_up_bytes, 2 * kChunkBytes);
  text.replace(2 * kChunkBytes, chunks.size(), chunks);
  text.replace(7 * kChunkBytes - 1, kChunkBytes + 2, kChunkBytes + 2, '%');
  EXPECT_TRUE(ReadAll(Walk("f")) == text);
}

TEST_F(PartialTest, WhatIsCutOffIsGone) {
  const std::string text = Pattern(4 * kChunkBytes);
  Put(root_ / "base/f", text);
  Mount();
  const NodeId node = Walk("f");
  ASSERT_EQ(Resize(node, kChunkBytes + 10), 0);
  ASSERT_EQ(Resize(node, 3 * kChunkBytes), 0);
  const std::string cut = text.substr(0, kChunkBytes + 10) +
                          std::string(2 * kChunkBytes - 10, '\0');
  EXPECT_TRUE(ReadAll(node) == cut);
  EXPECT_EQ(fs_->Stats().copy_up_bytes, 0u);
  Mount();
  EXPECT_TRUE(ReadAll(Walk("f")) == cut);
  ASSERT_EQ(Resize(Walk("f"), 0), 0);
  ASSERT_EQ(Resize(Walk("f"), 5), 0);
  EXPECT_TRUE(ReadAll(Walk("f")) == std::string(5, '\0'));
  EXPECT_EQ(Mark("f", "metacopy"), "");
}

// A kill between the truncation and its map leaves a map that is right until
// the file grows.
TEST_F(PartialTest, WhatGrowsAfterAKilledTruncationIsNotTheLayers) {
  constexpr uint64_t kCut = 10;
  const std::string text = Pattern(2 * kChunkBytes);
  const auto write = [&](NodeId node) { return WriteAt(node, "+++", kCut); };
  const auto resize = [&](NodeId node) { return Resize(node, kCut + 3); };
  const auto fallocate = [&](NodeId node) {
    return fs_->Fallocate(node, 0, kCut, 3, nullptr).code();
  };
  const auto copy = [&](NodeId node) {
    return fs_->CopyFileRange(Walk("other"), 0, node, kCut, 3, nullptr).code();
  };
  struct Growth {
    std::function<int(NodeId)> grow;
    std::string end;
  };
  const std::string zeros(3, '\0');
  for (const auto& [grow, end] :
       {Growth{write, "+++"}, Growth{resize, zeros}, Growth{fallocate, zeros},
        Growth{copy, "***"}}) {
    Put(root_ / "base/f", text);
    Put(root_ / "base/other", "***");
    Mount();
    ASSERT_EQ(WriteAt(Walk("f"), "!", kChunkBytes), 0);
    const std::string map = Mark("f", "ufs.chunks");
    const std::string metacopy = Mark("f", "metacopy");
    ASSERT_EQ(Resize(Walk("f"), kCut), 0);
    fs_.reset();
    ASSERT_NE(Mark("f", "ufs.chunks"), map);
    SetMark("f", "ufs.chunks", map);
    SetMark("f", "metacopy", metacopy);
    Mount();
    EXPECT_EQ(ReadAll(Walk("f")), text.substr(0, kCut));
    ASSERT_EQ(grow(Walk("f")), 0);
    EXPECT_EQ(ReadAll(Walk("f")), text.substr(0, kCut) + end);
    // What the next kill would leave.
    const auto then =
        ChunkMap::Parse(Mark("f", "ufs.chunks"), BootId(), kCut + 3);
    ASSERT_TRUE(then.ok());
    EXPECT_EQ(then->limit(), kCut);
    Mount();
    EXPECT_EQ(ReadAll(Walk("f")), text.substr(0, kCut) + end);
    fs_.reset();
    std::filesystem::remove(root_ / "upper/f");
  }
}

TEST_F(PartialTest, ASmallFileDoesNotStaySplit) {
  std::string text = Pattern(10 * kChunkBytes);
  Put(root_ / "base/f", text);
  Mount();
  const NodeId node = Walk("f");
  ASSERT_EQ(WriteAt(node, "x", 3 * kChunkBytes), 0);
  AttrChange set_id;
  set_id.mode = 06755;
  ASSERT_TRUE(fs_->SetAttr(node, set_id, {}).ok());
  // cap_net_raw, permitted
  const std::string capability("\1\0\0\2\0\40\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  const bool has_capability =
      fs_->SetXattr(node, "security.capability", capability, 0, root_caller_)
          .ok();
  const Attr before = Stat(node);
  ASSERT_TRUE(fs_->Settle().ok());
  text[3 * kChunkBytes] = 'x';
  EXPECT_EQ(Mark("f", "metacopy"), "");
  EXPECT_TRUE(Get(root_ / "upper/f") == text);
  EXPECT_TRUE(ReadAll(node) == text);
  EXPECT_EQ(Stat(node).mtime.tv_nsec, before.mtime.tv_nsec);
  // Nobody has written to it since.
  EXPECT_EQ(Stat(node).mode, before.mode);
  if (has_capability) {
    EXPECT_EQ(*fs_->GetXattr(node, "security.capability"), capability);
  }
}

TEST_F(PartialTest, AWholeFileOnDiskIsAnOrdinaryOne) {
  Put(root_ / "base/f", Pattern(kChunkBytes + 1));
  Mount();
  ASSERT_EQ(WriteAt(Walk("f"), "x", 0), 0);
  ASSERT_EQ(WriteAt(Walk("f"), "y", kChunkBytes), 0);
  EXPECT_NE(Mark("f", "metacopy"), "");
  ASSERT_TRUE(fs_->Settle().ok());
  EXPECT_EQ(Mark("f", "metacopy"), "");
  EXPECT_EQ(Mark("f", "ufs.chunks"), "");
  std::string text = Pattern(kChunkBytes + 1);
  text[0] = 'x';
  text[kChunkBytes] = 'y';
  EXPECT_TRUE(Get(root_ / "upper/f") == text);
  EXPECT_TRUE(ReadAll(Walk("f")) == text);
}

TEST_F(PartialTest, APowerCutTakesOnlyWhatWasNotSynced) {
  std::string text = Pattern(6 * kChunkBytes);
  Put(root_ / "base/f", text);
  Mount();
  ASSERT_EQ(WriteAt(Walk("f"), "synced", kChunkBytes), 0);
  ASSERT_TRUE(fs_->FSync(Walk("f"), /*data_only=*/true).ok());
  ASSERT_EQ(WriteAt(Walk("f"), "lost", 4 * kChunkBytes), 0);
  text.replace(kChunkBytes, 6, "synced");
  CutPower("f");
  EXPECT_TRUE(ReadAll(Walk("f")) == text);
}

TEST_F(PartialTest, AKilledDaemonTakesNothing) {
  std::string text = Pattern(6 * kChunkBytes);
  Put(root_ / "base/f", text);
  Mount();
  ASSERT_EQ(WriteAt(Walk("f"), "kept", 4 * kChunkBytes), 0);
  const std::string chunks = Mark("f", "ufs.chunks");
  fs_.reset();
  SetMark("f", "ufs.chunks", chunks);  // as it was before the end
  Mount();
  text.replace(4 * kChunkBytes, 4, "kept");
  EXPECT_TRUE(ReadAll(Walk("f")) == text);
}

TEST_F(PartialTest, ADamagedMapIsAnError) {
  Put(root_ / "base/f", Pattern(20 * kChunkBytes));
  Mount();
  ASSERT_EQ(WriteAt(Walk("f"), "x", 0), 0);
  fs_.reset();
  SetMark("f", "ufs.chunks", "\x09nonsense");
  Mount();
  EXPECT_EQ(fs_->Lookup(NodeId::kRoot, N("f")).code(), EIO);
}

TEST_F(PartialTest, ALayerWithHalfAFileSaysSo) {
  Put(root_ / "base/f", Pattern(20 * kChunkBytes));
  Mount();
  ASSERT_EQ(WriteAt(Walk("f"), "x", 0), 0);
  fs_.reset();
  stdfs::rename(root_ / "upper", root_ / "app2");
  stdfs::create_directory(root_ / "upper");
  stdfs::remove_all(root_ / "upper.work");
  stdfs::remove_all(root_ / "app");
  stdfs::rename(root_ / "app2", root_ / "app");
  Mount();
  char byte;
  const auto got = fs_->Read(Walk("f"), &byte, 1, 0, UnionFs::Wait::kMayWait);
  EXPECT_EQ(got.code(), EIO);
  EXPECT_NE(got.error().context().find("ufs complete"), std::string::npos);
}

// What was copied up shows; what is lost is an error, in place of zeros that
// the next copy-up would make last.
TEST_F(PartialTest, WhatTheLayerHasLostIsAnError) {
  const std::string text = Pattern(20 * kChunkBytes);
  Put(root_ / "base/f", text);
  Put(root_ / "base/attributes", text);
  Mount();
  ASSERT_EQ(WriteAt(Walk("f"), "x", 17 * kChunkBytes), 0);
  AttrChange change;
  change.mode = 0600;
  ASSERT_TRUE(fs_->SetAttr(Walk("attributes"), change, {}).ok());
  fs_.reset();
  for (const char* name : {"f", "attributes"})
    stdfs::resize_file(root_ / "base" / name, 4 * kChunkBytes);
  Mount();
  for (const char* name : {"f", "attributes"}) {
    const NodeId node = Walk(name);
    EXPECT_EQ(Stat(node).size_bytes, text.size()) << name;
    char byte;
    const auto read = [&](uint64_t offset) {
      return fs_->Read(node, &byte, 1, offset, UnionFs::Wait::kMayWait);
    };
    EXPECT_TRUE(read(3 * kChunkBytes).ok()) << name;
    EXPECT_EQ(byte, text[3 * kChunkBytes]) << name;
    EXPECT_EQ(*read(text.size() + 5), 0u) << name;
    const auto lost = read(4 * kChunkBytes);
    EXPECT_EQ(lost.code(), EIO) << name;
    EXPECT_NE(lost.error().context().find("shorter"), std::string::npos);
    EXPECT_EQ(WriteAt(node, "y", 9 * kChunkBytes + 1), EIO) << name;
    EXPECT_EQ(WriteAt(node, "y", kChunkBytes + 1), 0) << name;
    uint64_t copied = 0;
    EXPECT_EQ(fs_->Ioctl(node, kIoctlComplete, &copied).code(), EIO) << name;
    EXPECT_EQ(read(4 * kChunkBytes).code(), EIO) << name;
  }
  char byte;
  EXPECT_TRUE(
      fs_->Read(Walk("f"), &byte, 1, 17 * kChunkBytes, UnionFs::Wait::kMayWait)
          .ok());
  EXPECT_EQ(byte, 'x');
}

TEST_F(PartialTest, ALayerThatIsCutShortInUseIsNotCopiedWithZeros) {
  const std::string text = Pattern(20 * kChunkBytes);
  Put(root_ / "base/f", text);
  UnionConfig config = Config();
  config.partial = false;
  auto fs = UnionFs::Open(config);
  ASSERT_TRUE(fs.ok()) << fs.error().ToString();
  fs_ = std::move(*fs);
  const NodeId node = Walk("f");
  stdfs::resize_file(root_ / "base/f", 4 * kChunkBytes);
  EXPECT_EQ(WriteAt(node, "x", 0), EIO);
  EXPECT_FALSE(stdfs::exists(root_ / "upper/f"));
}

TEST_F(PartialTest, EveryFailureLeavesTheFileAsItWas) {
  for (const char* point : {"partial.chunk_copied", "copy_up.attributes"}) {
    std::string text = Pattern(3 * kChunkBytes);
    Put(root_ / "base" / point, text);
    Mount();
    ASSERT_TRUE(ArmFault(std::string(point) + ":ENOSPC").ok());
    EXPECT_EQ(WriteAt(Walk(point), "x", kChunkBytes + 1), ENOSPC) << point;
    EXPECT_TRUE(ReadAll(Walk(point)) == text) << point;
    EXPECT_EQ(WriteAt(Walk(point), "x", kChunkBytes + 1), 0) << point;
    text[kChunkBytes + 1] = 'x';
    EXPECT_TRUE(ReadAll(Walk(point)) == text) << point;
  }
}

// As on a disk that is full: what was written is there, and of what was not the
// layer's bytes are.
TEST_F(PartialTest, AWriteThatIsCutShortLeavesTheRestAsItWas) {
  std::string text = Pattern(16 * kChunkBytes);
  Put(root_ / "base/f", text);
  Mount();
  const NodeId node = Walk("f");
  ASSERT_EQ(WriteAt(node, "x", 10 * kChunkBytes), 0);
  text[10 * kChunkBytes] = 'x';
  const std::string put(8 * kChunkBytes, 'p');
  const auto write = [&](uint64_t size_limit) {
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    const auto handler = signal(SIGXFSZ, SIG_IGN);
    const rlimit less{size_limit, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &less);
    const auto written =
        fs_->Write(node, put.data(), put.size(), 0, /*loses=*/nullptr);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    return written;
  };
  EXPECT_EQ(write(kChunkBytes / 2).code(), EFBIG);
  EXPECT_TRUE(ReadAll(node) == text);
  const auto written = write(3 * kChunkBytes + 5);
  ASSERT_TRUE(written.ok());
  EXPECT_EQ(*written, 3 * kChunkBytes);
  text.replace(0, *written, *written, 'p');
  EXPECT_TRUE(ReadAll(node) == text);
  Mount();
  EXPECT_TRUE(ReadAll(Walk("f")) == text);
}

TEST_F(PartialTest, OtherNamesAndNoNameReadTheSame) {
  std::string text = Pattern(4 * kChunkBytes);
  Put(root_ / "base/f", text);
  stdfs::create_hard_link(root_ / "base/f", root_ / "base/g");
  Put(root_ / "base/d/h", text);
  Mount();
  ASSERT_EQ(WriteAt(Walk("f"), "one", 2 * kChunkBytes), 0);
  ASSERT_EQ(WriteAt(Walk("d/h"), "one", 2 * kChunkBytes), 0);
  text.replace(2 * kChunkBytes, 3, "one");
  EXPECT_TRUE(ReadAll(Walk("g")) == text);
  ASSERT_TRUE(
      fs_->Rename(Walk("d"), N("h"), NodeId::kRoot, N("moved"), 0).ok());
  ASSERT_TRUE(fs_->Link(Walk("moved"), NodeId::kRoot, N("linked")).ok());
  Mount();
  for (const char* name : {"f", "g", "moved", "linked"})
    EXPECT_TRUE(ReadAll(Walk(name)) == text) << name;
  ASSERT_EQ(WriteAt(Walk("linked"), "two", 0), 0);
  const NodeId node = Walk("moved");
  for (const char* name : {"moved", "linked"})
    ASSERT_TRUE(fs_->Unlink(NodeId::kRoot, N(name)).ok());
  text.replace(0, 3, "two");
  ASSERT_EQ(WriteAt(node, "three", 3 * kChunkBytes), 0);
  text.replace(3 * kChunkBytes, 5, "three");
  EXPECT_TRUE(ReadAll(node) == text);
}

TEST_F(PartialTest, AttributesAloneDoNotHideTheMap) {
  std::string text = Pattern(4 * kChunkBytes);
  Put(root_ / "base/f", text);
  Mount();
  AttrChange change;
  change.mode = 0600;
  ASSERT_TRUE(fs_->SetAttr(Walk("f"), change, {}).ok());
  ASSERT_EQ(WriteAt(Walk("f"), "x", kChunkBytes), 0);
  change.mode = 0640;
  ASSERT_TRUE(fs_->SetAttr(Walk("f"), change, {}).ok());
  text[kChunkBytes] = 'x';
  Mount();
  EXPECT_TRUE(ReadAll(Walk("f")) == text);
  EXPECT_EQ(Stat(Walk("f")).mode & 07777, 0640u);
}

TEST_F(PartialTest, ManyWritersLoseNothing) {
  std::string text = Pattern(8 * kChunkBytes);
  Put(root_ / "base/f", text);
  Mount();
  const NodeId node = Walk("f");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (uint64_t at = t; at < text.size(); at += 4099)
        EXPECT_EQ(WriteAt(node, std::string(1, static_cast<char>('0' + t)), at),
                  0);
    });
  threads.emplace_back([&] {
    for (int i = 0; i < 20; ++i) {
      EXPECT_TRUE(fs_->Settle().ok());
      EXPECT_EQ(ReadAll(node).size(), text.size());
    }
  });
  for (auto& thread : threads) thread.join();
  for (int t = 0; t < 4; ++t)
    for (uint64_t at = t; at < text.size(); at += 4099)
      text[at] = static_cast<char>('0' + t);
  // Where two wrote the same byte either may have won.
  const std::string now = ReadAll(node);
  ASSERT_EQ(now.size(), text.size());
  for (size_t i = 0; i < now.size(); ++i)
    ASSERT_TRUE(now[i] == text[i] || (now[i] >= '0' && now[i] <= '3')) << i;
}

// --- completed by and by ----------------------------------------------------

class CompleteTest : public PartialTest {
 protected:
  // As the session would, step by step, until nothing is left to do.
  uint64_t CompleteAll(int most_steps = 1 << 20) {
    EXPECT_TRUE(fs_->Settle().ok());  // whoever wrote has stopped
    uint64_t copied = 0;
    while (most_steps-- > 0) {
      const auto step = fs_->CompleteSome();
      EXPECT_TRUE(step.ok()) << step.error().ToString();
      if (!step.ok() || *step == 0) break;
      copied += *step;
    }
    return copied;
  }
};

constexpr uint64_t kLargeBytes = 40 * kChunkBytes + 100;

TEST_F(CompleteTest, ALargeFileBecomesAnOrdinaryOne) {
  std::string text = Pattern(kLargeBytes);
  Put(root_ / "base/f", text);
  Mount();
  const NodeId node = Walk("f");
  ASSERT_EQ(WriteAt(node, "x", 3 * kChunkBytes), 0);
  text[3 * kChunkBytes] = 'x';
  const Attr before = Stat(node);
  EXPECT_EQ(fs_->Stats().partial_files, 1u);
  EXPECT_EQ(fs_->Stats().partial_bytes_missing, text.size() - kChunkBytes);
  EXPECT_EQ(CompleteAll(), text.size() - kChunkBytes);
  EXPECT_EQ(fs_->Stats().partial_files, 0u);
  EXPECT_TRUE(ReadAll(node) == text);
  ASSERT_TRUE(fs_->Settle().ok());
  EXPECT_EQ(Mark("f", "metacopy"), "");
  EXPECT_EQ(Mark("f", "ufs.chunks"), "");
  EXPECT_TRUE(Get(root_ / "upper/f") == text);
  EXPECT_EQ(Stat(node).mtime.tv_nsec, before.mtime.tv_nsec);
  EXPECT_EQ(CompleteAll(), 0u);
}

TEST_F(CompleteTest, AStepIsSmall) {
  Put(root_ / "base/f", Pattern(kLargeBytes));
  Mount();
  ASSERT_EQ(WriteAt(Walk("f"), "x", 0), 0);
  EXPECT_EQ(CompleteAll(1), 4 * kChunkBytes);
}

TEST_F(CompleteTest, WhoWritesIsNotDisturbed) {
  Put(root_ / "base/f", Pattern(kLargeBytes));
  Mount();
  ASSERT_EQ(WriteAt(Walk("f"), "x", 0), 0);
  EXPECT_EQ(*fs_->CompleteSome(), 0u);
  ASSERT_TRUE(fs_->Settle().ok());
  EXPECT_GT(*fs_->CompleteSome(), 0u);
}

TEST_F(CompleteTest, TheFileThatLacksLeastComesFirst) {
  Put(root_ / "base/large", Pattern(2 * kLargeBytes));
  Put(root_ / "base/small", Pattern(kLargeBytes));
  Mount();
  ASSERT_EQ(WriteAt(Walk("large"), "x", 0), 0);
  ASSERT_EQ(WriteAt(Walk("small"), "x", 0), 0);
  EXPECT_EQ(CompleteAll(10), kLargeBytes - kChunkBytes);
  EXPECT_EQ(fs_->Stats().partial_bytes_missing, 2 * kLargeBytes - kChunkBytes);
}

TEST_F(CompleteTest, FilesOfAnEarlierMountAreFoundWhenTheyAreUsed) {
  Put(root_ / "base/d/f", Pattern(kLargeBytes));
  Mount();
  ASSERT_EQ(WriteAt(Walk("d/f"), "x", 0), 0);
  Mount();
  EXPECT_EQ(CompleteAll(), 0u);
  Walk("d/f");
  EXPECT_EQ(CompleteAll(), kLargeBytes - kChunkBytes);
}

TEST_F(CompleteTest, ADeletedFileIsLeftAlone) {
  Put(root_ / "base/f", Pattern(kLargeBytes));
  Mount();
  ASSERT_EQ(WriteAt(Walk("f"), "x", 0), 0);
  EXPECT_EQ(CompleteAll(2), 8 * kChunkBytes);
  ASSERT_TRUE(fs_->Unlink(NodeId::kRoot, N("f")).ok());
  EXPECT_EQ(CompleteAll(), 0u);
  EXPECT_EQ(fs_->Stats().partial_files, 0u);
}

TEST_F(CompleteTest, AFileWrittenToAfterItsEndIsNotKept) {
  Put(root_ / "base/f", Pattern(kLargeBytes));
  Mount();
  const size_t inodes = fs_->Stats().inodes;
  const NodeId node = Walk("f");
  AttrChange change;
  change.mode = 0600;
  ASSERT_TRUE(fs_->SetAttr(node, change, root_caller_).ok());
  ASSERT_TRUE(fs_->Unlink(NodeId::kRoot, N("f")).ok());
  ASSERT_EQ(WriteAt(node, "x", 0), 0);
  EXPECT_EQ(CompleteAll(), 0u);
  fs_->Forget(node, 1);
  EXPECT_EQ(fs_->Stats().inodes, inodes);
}

TEST_F(CompleteTest, AFileWithAnotherNameIsNotForgotten) {
  Put(root_ / "base/f", Pattern(kLargeBytes));
  stdfs::create_hard_link(root_ / "base/f", root_ / "base/g");
  Mount();
  ASSERT_EQ(WriteAt(Walk("f"), "x", 0), 0);
  ASSERT_TRUE(fs_->Unlink(NodeId::kRoot, N("f")).ok());
  EXPECT_EQ(fs_->Stats().partial_files, 1u);
  EXPECT_EQ(CompleteAll(), kLargeBytes - kChunkBytes);
  ASSERT_TRUE(fs_->Unlink(NodeId::kRoot, N("g")).ok());
}

TEST_F(CompleteTest, TheKernelHearsThatTheTimeMoved) {
  Put(root_ / "base/f", Pattern(kLargeBytes));
  Mount();
  const NodeId node = Walk("f");
  ASSERT_EQ(WriteAt(node, "x", 0), 0);
  ASSERT_TRUE(fs_->Settle().ok());
  int told = 0;
  fs_->SetInvalidate([&](NodeId moved) {
    EXPECT_EQ(moved, node);
    ++told;
  });
  for (int before = told; *fs_->CompleteSome() != 0; before = told)
    EXPECT_GT(told, before);
  const int before = told;
  ASSERT_TRUE(fs_->Settle().ok());  // it becomes an ordinary file
  EXPECT_GT(told, before);
  fs_->SetInvalidate({});
}

// As a daemon leaves it that is killed while it copies.
TEST_F(CompleteTest, AHeldTimeEndsWithTheNextChange) {
  Put(root_ / "base/f", Pattern(kLargeBytes));
  Mount();
  ASSERT_EQ(WriteAt(Walk("f"), "x", 0), 0);
  fs_.reset();
  const HeldTime held{kLargeBytes, {1000, 5}};
  SetMark("f", "ufs.mtime", FormatHeldTime(held));
  Mount();
  const NodeId node = Walk("f");
  EXPECT_EQ(Stat(node).mtime.tv_sec, held.mtime.tv_sec);
  EXPECT_EQ(CompleteAll(1), 4 * kChunkBytes);
  EXPECT_EQ(Stat(node).mtime.tv_sec, held.mtime.tv_sec);

  SetMark("f", "ufs.mtime", FormatHeldTime(held));
  Mount();
  ASSERT_EQ(WriteAt(Walk("f"), "y", 0), 0);
  EXPECT_GT(Stat(Walk("f")).mtime.tv_sec, held.mtime.tv_sec);
  EXPECT_EQ(Mark("f", "ufs.mtime"), "");

  Put(root_ / "base/other", "***");
  SetMark("f", "ufs.mtime", FormatHeldTime(held));
  Mount();
  ASSERT_EQ(
      fs_->CopyFileRange(Walk("other"), 0, Walk("f"), 0, 3, nullptr).code(), 0);
  EXPECT_GT(Stat(Walk("f")).mtime.tv_sec, held.mtime.tv_sec);
}

TEST_F(CompleteTest, AllAtOnceCanBeEnded) {
  Put(root_ / "base/f", Pattern(kLargeBytes));
  Mount();
  ASSERT_EQ(WriteAt(Walk("f"), "x", 0), 0);
  fs_->StopCompleting();
  EXPECT_EQ(fs_->CompleteAll().code(), ECANCELED);
}

TEST_F(CompleteTest, OneThatFailsDoesNotKeepTheOthersBack) {
  Put(root_ / "base/bad", Pattern(kLargeBytes));
  Put(root_ / "base/good", Pattern(2 * kLargeBytes));
  Mount();
  ASSERT_EQ(WriteAt(Walk("bad"), "x", 0), 0);
  ASSERT_EQ(WriteAt(Walk("good"), "x", 0), 0);
  Mount();
  for (const char* name : {"bad", "good"}) Walk(name);
  ASSERT_TRUE(stdfs::remove(root_ / "base/bad"));
  EXPECT_NE(fs_->CompleteSome().code(), 0);
  EXPECT_EQ(CompleteAll(), 2 * kLargeBytes - kChunkBytes);
  EXPECT_EQ(fs_->Stats().partial_bytes_missing, kLargeBytes - kChunkBytes);
}

TEST_F(CompleteTest, APowerCutInTheMiddleTakesNothing) {
  std::string text = Pattern(kLargeBytes);
  Put(root_ / "base/f", text);
  Mount();
  ASSERT_EQ(WriteAt(Walk("f"), "x", 9 * kChunkBytes), 0);
  text[9 * kChunkBytes] = 'x';
  ASSERT_TRUE(fs_->FSync(Walk("f"), /*data_only=*/true).ok());
  EXPECT_GT(CompleteAll(3), 0u);
  CutPower("f");
  EXPECT_TRUE(ReadAll(Walk("f")) == text);
  // What was not synced is to be brought up once more.
  EXPECT_EQ(CompleteAll(), text.size() - kChunkBytes);
  EXPECT_TRUE(ReadAll(Walk("f")) == text);
}

TEST_F(CompleteTest, WritersAtTheSameTimeLoseNothing) {
  std::string text = Pattern(kLargeBytes);
  Put(root_ / "base/f", text);
  Mount();
  const NodeId node = Walk("f");
  ASSERT_EQ(WriteAt(node, "x", 0), 0);
  text[0] = 'x';
  std::atomic<bool> written{false};
  std::thread completer([&] {
    do {
      EXPECT_TRUE(fs_->Settle().ok());
      EXPECT_TRUE(fs_->CompleteSome().ok());
    } while (!written || fs_->Stats().partial_files > 0);
  });
  // Each its own bytes, back to front, so that both meet.
  for (uint64_t at = text.size() / 4099 * 4099; at > 0; at -= 4099) {
    EXPECT_EQ(WriteAt(node, "!", at - 1), 0);
    text[at - 1] = '!';
    char byte = 0;
    EXPECT_TRUE(
        fs_->Read(node, &byte, 1, at - 1, UnionFs::Wait::kMayWait).ok());
    EXPECT_EQ(byte, '!');
  }
  written = true;
  completer.join();
  EXPECT_TRUE(ReadAll(node) == text);
  ASSERT_TRUE(fs_->Settle().ok());
  EXPECT_TRUE(Get(root_ / "upper/f") == text);
}

// Every kind of change, at random, against a string; over remounts.
class RandomTest : public PartialTest, public testing::WithParamInterface<int> {
 protected:
  uint64_t Below(uint64_t n) { return random_() % n; }
  void ExpectSame(const std::string& text, int step) {
    const std::string now = ReadAll(Walk("f"));
    ASSERT_EQ(now.size(), text.size()) << "step " << step;
    for (size_t i = 0; i < now.size(); ++i)
      ASSERT_EQ(now[i], text[i]) << "step " << step << " byte " << i;
  }
  void ExpectHolesAreZeros(const std::string& text, int step) {
    const NodeId node = Walk("f");
    for (uint64_t at = 0; at < text.size();) {
      const auto data = fs_->LSeek(node, at, SEEK_DATA);
      const uint64_t end = data.ok() ? *data : text.size();
      ASSERT_EQ(text.find_first_not_of('\0', at) < end, false)
          << "step " << step << ": data in the hole at " << at;
      if (!data.ok()) return;
      at = *fs_->LSeek(node, *data, SEEK_HOLE);
      ASSERT_GT(at, *data);
    }
  }
  std::mt19937_64 random_;
};

TEST_P(RandomTest, ReadsAsAnOrdinaryFile) {
  random_.seed(GetParam());
  std::string text = Pattern(kChunkBytes * (1 + Below(6)) + Below(kChunkBytes));
  const std::string lower = text;
  Put(root_ / "base/f", text);
  // With holes of its own.
  for (int i = 0; i < 2; ++i) {
    const uint64_t at = Below(text.size());
    const uint64_t size = std::min<uint64_t>(kChunkBytes, text.size() - at);
    const int fd = open((root_ / "base/f").c_str(), O_WRONLY);
    ASSERT_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                        static_cast<off_t>(at), static_cast<off_t>(size)),
              0);
    close(fd);
    text.replace(at, size, size, '\0');
  }
  Mount();
  for (int step = 0; step < 60; ++step) {
    const NodeId node = Walk("f");
    const uint64_t at = Below(text.size() + kChunkBytes);
    const uint64_t size = 1 + Below(Below(2) != 0 ? 3 * kChunkBytes : 100);
    const auto grow = [&](uint64_t end) {
      if (text.size() < end) text.resize(end);
    };
    switch (Below(9)) {
      case 0:
      case 1:
      case 2: {
        const std::string put(size, static_cast<char>('A' + step % 26));
        ASSERT_EQ(WriteAt(node, put, at), 0);
        grow(at + size);
        text.replace(at, size, put);
        break;
      }
      case 3:
        if (Below(3) != 0) break;
        ASSERT_EQ(Resize(node, at), 0);
        text.resize(at);
        break;
      case 4: {
        const int mode = Below(2) != 0
                             ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
                             : FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
        ASSERT_TRUE(fs_->Fallocate(node, mode, at, size, nullptr).ok());
        if (at < text.size()) {
          const uint64_t cut = std::min<uint64_t>(size, text.size() - at);
          text.replace(at, cut, cut, '\0');
        }
        break;
      }
      case 5:
        ASSERT_TRUE(fs_->Fallocate(node, 0, at, size, nullptr).ok());
        grow(at + size);
        break;
      case 6: {
        const uint64_t from = Below(text.size() + 1);
        if (from < at + size && at < from + size) break;
        const auto copied =
            fs_->CopyFileRange(node, from, node, at, size, nullptr);
        ASSERT_TRUE(copied.ok()) << copied.error().ToString();
        const std::string moved = text.substr(from, *copied);
        ASSERT_EQ(moved.size(), *copied);
        if (*copied == 0) break;
        grow(at + *copied);
        text.replace(at, *copied, moved);
        break;
      }
      case 7:
        ASSERT_TRUE(fs_->Settle().ok());
        ASSERT_TRUE(fs_->CompleteSome().ok());
        break;
      case 8:
        Mount();
        break;
    }
    ASSERT_NO_FATAL_FAILURE(ExpectSame(text, step));
    ASSERT_NO_FATAL_FAILURE(ExpectHolesAreZeros(text, step));
    if (text.empty()) break;
  }
  EXPECT_EQ(Get(root_ / "base/f").size(), lower.size());
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomTest, testing::Range(1, 9));

}  // namespace
}  // namespace ufs
