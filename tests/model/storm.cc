#include "tests/model/storm.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "layerdb/base/unique_fd.h"
#include "tests/harness/expect.h"
#include "tests/harness/files.h"
#include "tests/harness/supervisor.h"
#include "tests/model/op.h"
#include "tests/model/session.h"
#include "tests/model/tree_reader.h"

namespace ufs::model {
namespace {

constexpr int kThreads = 4;
constexpr int kFiles = 5;  // shared, all of the lower layer
constexpr int64_t kStripe = 8192;
constexpr size_t kRecord = 64;  // what one append adds to the log
constexpr int kRounds = 3;      // with a remount after each

// The layers: shared files in a directory that is merged from two layers, one
// of them with two names; a log; and a directory for each thread to move about.
std::vector<LayerSpec> StormLayers() {
  std::vector<LayerSpec> layers(2);
  auto add = [](LayerSpec* layer, EntryType type, const std::string& path) {
    layer->emplace_back();
    layer->back().type = type;
    layer->back().path = path;
    if (type == EntryType::kDir) layer->back().mode = 0755;
  };
  for (LayerSpec& layer : layers) add(&layer, EntryType::kDir, "d");
  for (int i = 0; i < kFiles; ++i) {
    LayerSpec& layer = layers[static_cast<size_t>(i % 2)];
    add(&layer, EntryType::kFile, "d/f" + std::to_string(i));
    layer.back().size = kThreads * kStripe;
    layer.back().seed = static_cast<uint32_t>(i + 1);
  }
  add(&layers[0], EntryType::kHardLink, "d/linked");
  layers[0].back().target = "d/f0";
  add(&layers[0], EntryType::kFile, "d/log");
  for (int i = 0; i < kThreads; ++i) {
    const std::string dir = "d/dir" + std::to_string(i);
    add(&layers[1], EntryType::kDir, dir);
    add(&layers[1], EntryType::kFile, dir + "/low");
    layers[1].back().size = 100;
  }
  return layers;
}

// What one thread knows to be so.
class Worker {
 public:
  Worker(int number, uint64_t seed) : number_(number), random_(seed) {
    for (int i = 0; i < kFiles; ++i)
      stripes_[i] = Pattern(static_cast<uint32_t>(i + 1), kThreads * kStripe)
                        .substr(static_cast<size_t>(Begin()), kStripe);
  }

  // Empty, or what went wrong. `root` is that of the union.
  std::string Round(const std::string& root, int ops,
                    const std::atomic<bool>& stop) {
    root_.reset(::open((root + "/d").c_str(), O_PATH | O_CLOEXEC));
    if (!root_.valid()) return Wrong("open d");
    for (int i = 0; i < kFiles; ++i) {
      files_[i].reset(At("f" + std::to_string(i), O_RDWR));
      if (!files_[i].valid()) return Wrong("open f" + std::to_string(i));
    }
    log_.reset(At("log", O_WRONLY | O_APPEND));
    if (!log_.valid()) return Wrong("open log");
    for (int i = 0; i < ops && !stop; ++i) {
      test::TheWatchBoard().Extend(40);
      if (std::string wrong = Step(); !wrong.empty()) return wrong;
    }
    for (int i = 0; i < kFiles; ++i)
      if (std::string wrong = ReadStripe(i); !wrong.empty()) return wrong;
    for (UniqueFd& file : files_) file.reset();
    log_.reset();
    root_.reset();
    return "";
  }

  const std::string& StripeOf(int file) const { return stripes_.at(file); }
  const std::map<int, std::string>& attributes() const { return attributes_; }
  const std::map<std::string, int>& names() const { return names_; }
  int appended() const { return appended_; }
  static int64_t BeginOf(int number) { return number * kStripe; }

 private:
  int64_t Begin() const { return BeginOf(number_); }
  int Below(int bound) {
    return static_cast<int>(random_() % static_cast<uint64_t>(bound));
  }
  int At(const std::string& name, int flags) const {
    return ::openat(root_.get(), name.c_str(), flags | O_CLOEXEC, 0644);
  }
  std::string Wrong(const std::string& what) const {
    return "thread " + std::to_string(number_) + ": " + what + ": " +
           test::ErrnoName(errno) + "\n";
  }
  std::string AttributeName() const {
    return "user.t" + std::to_string(number_);
  }
  // A name that only this thread uses.
  std::string OwnName() {
    return "own" + std::to_string(number_) + "." + std::to_string(Below(4));
  }

  std::string Step() {
    const int file = Below(kFiles);
    switch (Below(12)) {
      case 0:
      case 1:
        return Write(file);
      case 2:
        return Store(file);
      case 3:
      case 4:
        return ReadStripe(file);
      case 5:
        return Append();
      case 6:
        return Attribute(file);
      case 7:
        if (::fchmod(files_[file].get(), Below(2) ? 0644 : 0600) != 0)
          return Wrong("fchmod");
        return "";
      case 8:
        return LinkOrRemove(file);
      case 9:
        return MoveOwn();
      case 10:
        return MoveDir();
      default:
        return ListOwn();
    }
  }

  std::string Write(int file) {
    const int at = Below(kStripe - 1);
    const std::string bytes =
        Pattern(static_cast<uint32_t>(random_()),
                1 + Below(static_cast<int>(kStripe) - at));
    // Through a descriptor from before any copy-up, or through a new one.
    UniqueFd fresh;
    int fd = files_[file].get();
    if (Below(3) == 0) {
      fresh.reset(At("f" + std::to_string(file), O_WRONLY));
      if (!fresh.valid()) return Wrong("open again");
      fd = fresh.get();
    }
    const ssize_t put = ::pwrite(fd, bytes.data(), bytes.size(), Begin() + at);
    if (put != static_cast<ssize_t>(bytes.size())) return Wrong("pwrite");
    stripes_[file].replace(static_cast<size_t>(at), bytes.size(), bytes);
    return "";
  }

  std::string Store(int file) {
    void* map = ::mmap(nullptr, kStripe, PROT_READ | PROT_WRITE, MAP_SHARED,
                       files_[file].get(), Begin());
    if (map == MAP_FAILED) return Wrong("mmap");
    const int at = Below(kStripe - 100);
    const std::string bytes = Pattern(static_cast<uint32_t>(random_()), 100);
    bytes.copy(static_cast<char*>(map) + at, bytes.size());
    stripes_[file].replace(static_cast<size_t>(at), bytes.size(), bytes);
    const bool same = stripes_[file].compare(
                          0, kStripe, static_cast<char*>(map), kStripe) == 0;
    ::munmap(map, kStripe);
    return same ? "" : Wrong("the mapping shows other bytes");
  }

  std::string ReadStripe(int file) {
    std::string bytes(kStripe, '\0');
    const ssize_t got =
        ::pread(files_[file].get(), bytes.data(), bytes.size(), Begin());
    if (got != kStripe) return Wrong("pread gave " + std::to_string(got));
    if (bytes == stripes_[file]) return "";
    return "thread " + std::to_string(number_) + ": f" + std::to_string(file) +
           ": its own stripe reads otherwise, " +
           FirstDifference(stripes_[file], bytes) + "\n";
  }

  std::string Append() {
    std::string record(kRecord, static_cast<char>('a' + number_));
    record.replace(0, 8, Pattern(static_cast<uint32_t>(appended_), 8));
    if (::write(log_.get(), record.data(), kRecord) != kRecord)
      return Wrong("append");
    ++appended_;
    return "";
  }

  std::string Attribute(int file) {
    const std::string name = AttributeName();
    const std::string value = Pattern(static_cast<uint32_t>(random_()), 30);
    if (::fsetxattr(files_[file].get(), name.c_str(), value.data(),
                    value.size(), 0) != 0)
      return Wrong("fsetxattr");
    attributes_[file] = value;
    return "";
  }

  // Names of shared files that come and go: nlink and the index under fire.
  std::string LinkOrRemove(int file) {
    const std::string name = OwnName();
    if (names_.erase(name) != 0)
      return ::unlinkat(root_.get(), name.c_str(), 0) == 0
                 ? ""
                 : Wrong("unlink " + name);
    const std::string from = "f" + std::to_string(file);
    if (::linkat(root_.get(), from.c_str(), root_.get(), name.c_str(), 0) != 0)
      return Wrong("link " + from + " " + name);
    names_[name] = file;
    return "";
  }

  std::string MoveOwn() {
    if (names_.empty()) return "";
    const std::string from = names_.begin()->first;
    const std::string to = OwnName();
    if (::renameat(root_.get(), from.c_str(), root_.get(), to.c_str()) != 0)
      return Wrong("rename " + from + " " + to);
    const int file = names_[from];
    const auto there = names_.find(to);
    // Two names of one object: rename does nothing.
    if (there != names_.end() && there->second == file) return "";
    names_.erase(from);
    names_[to] = file;
    return "";
  }

  // The thread's directory under its other name, while it is open and written.
  std::string MoveDir() {
    const std::string names[] = {"dir" + std::to_string(number_),
                                 "moved" + std::to_string(number_)};
    const std::string& from = names[dir_moved_];
    const std::string& to = names[!dir_moved_];
    UniqueFd dir(At(from, O_RDONLY | O_DIRECTORY));
    if (!dir.valid()) return Wrong("open " + from);
    if (::renameat(root_.get(), from.c_str(), root_.get(), to.c_str()) != 0)
      return Wrong("rename " + from + " " + to);
    dir_moved_ = !dir_moved_;
    UniqueFd low(::openat(dir.get(), "low", O_RDWR | O_CLOEXEC));
    if (!low.valid()) return Wrong("open low in a moved directory");
    if (::pwrite(low.get(), "x", 1, Below(100)) != 1) return Wrong("write low");
    if (::mkdirat(dir.get(), "new", 0755) != 0) return Wrong("mkdir new");
    if (::unlinkat(dir.get(), "new", AT_REMOVEDIR) != 0)
      return Wrong("rmdir new");
    return "";
  }

  std::string ListOwn() {
    UniqueFd dir(At(".", O_RDONLY | O_DIRECTORY));
    const Outcome listing = ListDir(dir.get());
    if (listing.err != 0) return Wrong("listing");
    if (!listing.repeated.empty())
      return Wrong("listed again: " + listing.repeated[0]);
    for (const auto& [name, file] : names_)
      if (!listing.items.contains(name)) return Wrong("not listed: " + name);
    const std::string own = "own" + std::to_string(number_) + ".";
    for (const auto& [name, item] : listing.items)
      if (name.starts_with(own) && !names_.contains(name))
        return Wrong("listed though removed: " + name);
    for (int i = 0; i < kFiles; ++i)
      if (!listing.items.contains("f" + std::to_string(i)))
        return Wrong("not listed: f" + std::to_string(i));
    return "";
  }

  const int number_;
  Random random_;
  UniqueFd root_;
  UniqueFd log_;
  UniqueFd files_[kFiles];
  std::map<int, std::string> stripes_;
  std::map<int, std::string> attributes_;  // by file
  std::map<std::string, int> names_;       // of its own, by file
  int appended_ = 0;
  bool dir_moved_ = false;
};

// Everything, once nobody changes it. `numbers` has the inode numbers so far.
std::string Check(const std::string& root,
                  const std::vector<std::unique_ptr<Worker>>& workers,
                  std::map<std::string, ino_t>* numbers) {
  const std::string dir = root + "/d/";
  std::string wrong;
  size_t appended = 0;
  for (const auto& worker : workers)
    appended += static_cast<size_t>(worker->appended());
  if (test::Size(dir + "log") != static_cast<off_t>(appended * kRecord))
    wrong += "log: " + std::to_string(test::Size(dir + "log")) +
             " bytes instead of " + std::to_string(appended * kRecord) + "\n";
  for (int i = 0; i < kFiles; ++i) {
    const std::string name = "f" + std::to_string(i);
    const std::string bytes = test::ReadFile(dir + name);
    const struct stat st = test::Stat(dir + name);
    nlink_t names = i == 0 ? 2 : 1;
    for (size_t t = 0; t < workers.size(); ++t) {
      const std::string& stripe = workers[t]->StripeOf(i);
      const std::string got = bytes.substr(
          static_cast<size_t>(Worker::BeginOf(static_cast<int>(t))), kStripe);
      if (got != stripe)
        wrong += name + ", stripe " + std::to_string(t) + ": " +
                 FirstDifference(stripe, got) + "\n";
      const auto& attributes = workers[t]->attributes();
      if (auto own = attributes.find(i); own != attributes.end())
        if (test::GetXattr(dir + name, "user.t" + std::to_string(t)) !=
            own->second)
          wrong += name + ": user.t" + std::to_string(t) + " differs\n";
      for (const auto& [link, file] : workers[t]->names()) {
        if (file != i) continue;
        ++names;
        if (test::Ino(dir + link) != st.st_ino)
          wrong += link + " is another object than " + name + "\n";
      }
    }
    if (st.st_nlink != names)
      wrong += name + ": nlink " + std::to_string(st.st_nlink) +
               " instead of " + std::to_string(names) + "\n";
    auto [known, fresh] = numbers->emplace(name, st.st_ino);
    if (!fresh && known->second != st.st_ino)
      wrong += name + ": another inode number\n";
  }
  return wrong;
}

}  // namespace

std::string RunStorm(uint64_t seed, int ops) {
  test::TheWatchBoard().Arm("storm " + std::to_string(seed), 60);
  Session session(StormLayers(), WhiteoutStyle::kCharDevice);
  std::string wrong = session.Mount();
  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < kThreads; ++i)
    workers.push_back(std::make_unique<Worker>(
        i, seed * kThreads + static_cast<uint64_t>(i)));
  std::map<std::string, ino_t> numbers;
  for (int round = 0; round < kRounds && wrong.empty(); ++round) {
    std::mutex mu;
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (auto& worker : workers)
      threads.emplace_back([&] {
        const std::string bad =
            worker->Round(session.union_root(), ops / kRounds, stop);
        if (bad.empty()) return;
        std::lock_guard lock(mu);
        stop = true;
        wrong += bad;
      });
    for (std::thread& thread : threads) thread.join();
    if (wrong.empty()) wrong = Check(session.union_root(), workers, &numbers);
    if (wrong.empty()) wrong = session.Remount(false).error;
    if (wrong.empty()) wrong = Check(session.union_root(), workers, &numbers);
  }
  workers.clear();  // and what those that failed have open
  wrong += session.Unmount();
  wrong += session.CheckLowers();
  if (test::TheWatchBoard().fired) wrong += "it hung\n";
  test::TheWatchBoard().Disarm();
  return wrong;
}

}  // namespace ufs::model
