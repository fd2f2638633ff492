// Kills, and fails with a full disk, at every fault point of every command that
// changes a store, then looks whether anything is lost, torn or leaked.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "layerdb/base/fault.h"
#include "layerdb/layer_store.h"
#include "layerdb/store_test_util.h"
#include "tests/harness/scratch_dir.h"

namespace ufs::test {
namespace {

using Store = std::shared_ptr<LayerStore>;

Store OpenStore(const std::string& path) {
  auto store = LayerStore::Open(path, LayerStore::Access::kWrite);
  EXPECT_TRUE(store.ok()) << store.error().ToString();
  return store.ok() ? *store : nullptr;
}

// More than a syncfs is worth, with a blob; half of it is in the store already.
Files NewFiles() {
  Files files;
  for (int i = 0; i < 24; ++i)
    files["file" + std::to_string(i)] = Contents(static_cast<char>(i), 3000);
  files["shared"] = Contents('s', 300'000);
  return files;
}

Files BaseFiles(const std::string& name) {
  return {{"shared", Contents('s', 300'000)},
          {"own", Contents(name[0])},
          {"small", name}};
}

// What every command starts from: two named layers and a view of both.
void Prepare(const std::string& path) {
  const Store store = OpenStore(path);
  for (const std::string name : {"base", "app"}) {
    const auto sealed =
        Import(*store, name, BaseFiles(name), "blob of " + name);
    ASSERT_TRUE(sealed.ok()) << sealed.error().ToString();
    ASSERT_TRUE(store->SetName(name, sealed->diff_id).ok());
  }
  const Digest run[] = {Sha256Of("base"), Sha256Of("app")};
  ASSERT_TRUE(store->OpenView(run).ok());
}

// An image of a layer of its own and one that is there already, as an importer
// puts it in.
Status ImportImage(LayerStore& store) {
  std::vector<std::unique_ptr<Ingest>> ingests;
  std::vector<Descriptor> blobs;
  nlohmann::json diff_ids = nlohmann::json::array();
  for (const std::string name : {"base", "of image"}) {
    ingests.push_back(TRY(store.BeginIngest("image")));
    TRY(Fill(*ingests.back(), name == "base" ? BaseFiles(name) : NewFiles()));
    ingests.back()->SetOfImage();
    blobs.push_back({kOciLayer, Sha256Of(name), 1, {}, {}});
    diff_ids.push_back(Sha256Of(name).ToString());
  }
  const std::string config =
      nlohmann::json{{"rootfs", {{"diff_ids", diff_ids}}}}.dump();
  Image image = TRY(Image::Make(
      MakeImageManifest({kOciConfig, Sha256Of(config), config.size(), {}, {}},
                        blobs),
      config));
  TRY(ingests[0]->Seal(Sha256Of("base")));
  TRY(ingests[1]->Seal(Sha256Of("of image")));
  TRY(store.PutImage(image));
  return store.SetName("image", image.digest);
}

struct Case {
  const char* name;
  std::function<void(const std::string& path)> before;  // breaks something
  std::function<Status(LayerStore&)> run;
  // Of "base" and "app", which must be as they were whatever happens.
  std::vector<std::string> kept;
  std::vector<std::string> points;  // prefixes of those it comes by
};

std::vector<Case> Cases() {
  const auto nothing = [](const std::string&) {};
  return {
      {"import",
       nothing,
       [](LayerStore& store) -> Status {
         const auto sealed = TRY(Import(store, "new", NewFiles(), "new blob"));
         return store.SetName("new:v1", sealed.diff_id);
       },
       {"base", "app"},
       {"ingest.", "object.", "seal.", "name.set"}},
      {"import image",
       nothing,
       ImportImage,
       {"base", "app"},
       {"ingest.", "object.", "seal.", "image.put", "name.set"}},
      {"rm image",
       [](const std::string& path) {
         ASSERT_TRUE(ImportImage(*OpenStore(path)).ok());
       },
       [](LayerStore& store) -> Status {
         TRY(store.RemoveImage(TRY(store.FindImage("image")).digest, true));
         TRY(store.Gc({}));
         return Ok();
       },
       {"base", "app"},
       {"image.remove", "remove.", "name.remove", "gc."}},
      {"rm",
       nothing,
       [](LayerStore& store) -> Status {
         TRY(store.Remove(Sha256Of("app"), true));
         TRY(store.Gc({}));
         return Ok();
       },
       {"base"},
       {"remove.", "name.remove", "gc."}},
      {"gc",
       [](const std::string& path) {
         const Store store = OpenStore(path);
         ASSERT_TRUE(Import(*store, "unnamed", NewFiles(), "another").ok());
       },
       [](LayerStore& store) -> Status {
         TRY(store.Gc({.unnamed_layers = true, .all_views = true}));
         return Ok();
       },
       {"base", "app"},
       {"remove.", "gc."}},
      {"repair",
       [](const std::string& path) {
         std::ofstream(path + "/catalog/CURRENT") << "MANIFEST-999999\n";
         std::filesystem::remove(path + "/layers/" +
                                 InfoFileName(Sha256Of("app")));
         std::ofstream(path + "/names/nonsense") << "nonsense";
         const Digest run[] = {Sha256Of("base"), Sha256Of("app")};
         std::filesystem::resize_file(
             path + "/views/" + IndexFileName(ChainId(run)), 100);
       },
       [](LayerStore& store) -> Status {
         const auto report = TRY(store.Repair());
         return report.left.empty() ? Ok() : Error(EUCLEAN, "not mended");
       },
       {"base", "app"},
       {"repair."}},
  };
}

std::vector<std::string> PointsOf(const Case& test, bool to_fail) {
  std::vector<std::string> points;
  for (const FaultPoint* point : FaultPoint::All())
    for (const std::string& prefix : test.points)
      if (std::string_view(point->name()).starts_with(prefix) &&
          (point->may_fail() || !to_fail))
        points.emplace_back(point->name());
  return points;
}

enum class Outcome { kDone, kKilled, kFailed, kWrong };

// In another process, as kill -9 leaves nothing of this one.
Outcome RunWithFault(const Case& test, const std::string& path,
                     const std::string& fault, int expected_errno) {
  const pid_t child = fork();
  if (child == 0) {
    const Store store = OpenStore(path);
    if (!store || !ArmFault(fault).ok()) _exit(9);
    const auto done = test.run(*store);
    if (done.ok()) _exit(0);
    _exit(done.code() == expected_errno ? 1 : 9);
  }
  int status = 0;
  while (waitpid(child, &status, 0) == -1 && errno == EINTR) {
  }
  if (WIFSIGNALED(status))
    return WTERMSIG(status) == SIGKILL ? Outcome::kKilled : Outcome::kWrong;
  switch (WEXITSTATUS(status)) {
    case 0:
      return Outcome::kDone;
    case 1:
      return Outcome::kFailed;
    default:
      return Outcome::kWrong;
  }
}

class CrashTest : public testing::Test {
 protected:
  void ExpectSound(LayerStore& store, const Case& test, bool broken_before) {
    const auto report = store.Check();
    ASSERT_TRUE(report.ok()) << report.error().ToString();
    if (!broken_before) {
      EXPECT_EQ(Text(*report), "");
    }
    for (const std::string& name : test.kept) {
      const auto digest = store.Resolve(name);
      ASSERT_TRUE(digest.ok()) << digest.error().ToString();
      EXPECT_EQ(*digest, Sha256Of(name));
      const auto verified = store.Verify(*digest);
      ASSERT_TRUE(verified.ok()) << verified.error().ToString();
      if (!broken_before) {
        EXPECT_EQ(Text(*verified), "");
      }
      const auto tree = store.OpenLayer(*digest);
      ASSERT_TRUE(tree.ok());
      EXPECT_EQ(ReadFile(store, **tree, "small").value(), name);
      EXPECT_EQ(ReadFile(store, **tree, "own").value(), Contents(name[0]));
    }
    // Whatever else is there is there whole.
    const auto list = store.List().value();
    for (const LayerInfo& info : list)
      EXPECT_TRUE(store.Verify(info.diff_id).value().clean());
    const auto images = store.Images().value();
    for (const Image& image : images)
      EXPECT_EQ(Text(store.VerifyImage(image.digest).value()), "");
  }

  void RunCase(const Case& test, const std::string& action,
               int expected_errno) {
    const ScratchDir scratch;
    const std::string fresh = scratch.path() + "/fresh";
    Prepare(fresh);
    test.before(fresh);
    const bool breaks = std::string(test.name) == "repair";
    for (const std::string& point : PointsOf(test, expected_errno != 0)) {
      for (const int nth : {1, 2}) {
        const std::string fault =
            point + ":" + action + ":" + std::to_string(nth);
        SCOPED_TRACE(std::string(test.name) + " with " + fault);
        const std::string path = scratch.path() + "/store";
        std::filesystem::remove_all(path);
        std::filesystem::copy(fresh, path,
                              std::filesystem::copy_options::recursive);
        const Outcome outcome = RunWithFault(test, path, fault, expected_errno);
        ASSERT_NE(outcome, Outcome::kWrong);
        if (outcome != Outcome::kDone) visited_.insert(point);

        const Store store = OpenStore(path);
        ExpectSound(*store, test, breaks);
        if (breaks) {
          const auto mended = store->Repair();
          ASSERT_TRUE(mended.ok()) << mended.error().ToString();
          ExpectSound(*store, test, false);
        }
        ASSERT_TRUE(store->Gc({}).ok());
        const auto swept = store->Check().value();
        EXPECT_EQ(Text(swept), "");
        EXPECT_EQ(swept.unused_objects, 0u);
        EXPECT_EQ(swept.leftovers, 0u);
        // The same command again does what it should have done.
        const auto again = test.run(*store);
        EXPECT_TRUE(again.ok() || again.code() == ENOENT)
            << again.error().ToString();
        ExpectSound(*store, test, false);
        if (nth == 1 && outcome == Outcome::kDone) break;  // not on its way
      }
    }
  }

  std::set<std::string> visited_;
};

TEST_F(CrashTest, KilledAtEveryPoint) {
  for (const Case& test : Cases()) RunCase(test, "kill", 0);
  for (const FaultPoint* point : FaultPoint::All())
    EXPECT_TRUE(visited_.contains(point->name()))
        << "no command comes by " << point->name();
}

TEST_F(CrashTest, FullDiskAtEveryPoint) {
  for (const Case& test : Cases()) RunCase(test, "ENOSPC", ENOSPC);
}

}  // namespace
}  // namespace ufs::test
