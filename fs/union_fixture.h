// For unit tests: a union without FUSE over small trees in a scratch directory.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "fs/union_fs.h"
#include "layerdb/base/fault.h"

namespace ufs {

namespace stdfs = std::filesystem;

inline void Put(const stdfs::path& path, const std::string& text) {
  stdfs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

inline std::string Get(const stdfs::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

class NameSink final : public DirSink {
 public:
  bool Add(const char* name, uint64_t ino, mode_t, uint64_t next_offset,
           const Entry*) override {
    if (taken_ == limit_) return false;
    ++taken_;
    offset = next_offset;
    inos[name] = ino;
    if (!names.insert(name).second) doubled = true;
    return true;
  }
  void Again(int limit) {
    taken_ = 0;
    limit_ = limit;
  }
  std::set<std::string> names;
  std::map<std::string, uint64_t> inos;
  uint64_t offset = 0;
  bool doubled = false;

 private:
  int taken_ = 0;
  int limit_ = 1 << 30;
};

class UnionFsTest : public testing::Test {
 protected:
  void SetUp() override {
    umask(0);
    char path[] = "/var/tmp/ufs-union-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    root_ = path;
    for (const char* dir : {"base", "app", "upper"})
      stdfs::create_directory(root_ / dir);
  }
  void TearDown() override {
    fs_.reset();
    (void)ArmFault("");
    stdfs::remove_all(root_);
  }

  UnionConfig Config() {
    UnionConfig config;
    config.layers = {root_ / "base", root_ / "app"};
    config.upper = root_ / "upper";
    return config;
  }
  void Mount() {
    fs_.reset();
    auto fs = UnionFs::Open(Config());
    ASSERT_TRUE(fs.ok()) << fs.error().ToString();
    fs_ = std::move(*fs);
  }

  Status MountAs(WhiteoutForm form) {
    fs_.reset();
    UnionConfig config = Config();
    config.whiteout = form;
    fs_ = TRY(UnionFs::Open(config));
    return Ok();
  }

  // The node of a path; kNone where there is nothing.
  NodeId Walk(const std::string& path) {
    NodeId at = NodeId::kRoot;
    for (const auto& part : stdfs::path(path)) {
      auto found = fs_->Lookup(at, Name::Trusted(part.c_str()));
      EXPECT_TRUE(found.ok()) << path << ": " << found.error().ToString();
      if (!found.ok() || !found->has_value()) return NodeId::kNone;
      at = (**found).node;
    }
    return at;
  }
  std::string Read(NodeId node) {
    char buffer[256];
    auto got =
        fs_->Read(node, buffer, sizeof(buffer), 0, UnionFs::Wait::kMayWait);
    EXPECT_TRUE(got.ok()) << got.error().ToString();
    return got.ok() ? std::string(buffer, *got) : "";
  }
  Attr Stat(NodeId node) {
    auto attr = fs_->GetAttr(node);
    EXPECT_TRUE(attr.ok()) << attr.error().ToString();
    return attr.ok() ? *attr : Attr{};
  }
  int WriteAt(NodeId node, const std::string& text, uint64_t offset) {
    return fs_->Write(node, text.data(), text.size(), offset, nullptr).code();
  }
  std::set<std::string> List(const std::string& path) {
    NameSink sink;
    EXPECT_TRUE(fs_->ReadDir(Walk(path), 0, false, sink).ok());
    sink.names.erase(".");
    sink.names.erase("..");
    return sink.names;
  }
  // Returns when somebody has come to the fault point that was armed.
  static void AwaitFault() {
    const auto points = FaultPoint::All();
    while (std::any_of(points.begin(), points.end(),
                       [](const FaultPoint* point) { return point->armed(); }))
      std::this_thread::yield();
  }
  // Whether `work` comes to its end while somebody waits at a fault point, who
  // is let go on then.
  template <typename Work>
  static bool EndsMeanwhile(Work work) {
    constexpr std::chrono::minutes kPatience(1);  // for who waits, too
    const auto end = std::async(std::launch::async, work);
    const bool ended = end.wait_for(kPatience) == std::future_status::ready;
    EXPECT_TRUE(ArmFault("").ok());
    return ended;
  }
  // The names of directories with what is in them, and of files with what they
  // say.
  std::map<std::string, std::string> Shown() {
    std::map<std::string, std::string> shown;
    for (const std::string& name : List("")) {
      const NodeId node = Walk(name);
      if (!S_ISDIR(Stat(node).mode)) {
        shown[name] = Read(node);
        continue;
      }
      for (const std::string& below : List(name)) shown[name] += below + "/";
    }
    return shown;
  }
  static Name N(const char* name) { return Name::Trusted(name); }

  stdfs::path root_;
  std::unique_ptr<UnionFs> fs_;
  const Caller root_caller_{0, 0, 0, 022};
};

}  // namespace ufs
