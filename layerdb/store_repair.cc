// Mends what can be made from something else.
#include <cerrno>
#include <map>

#include "layerdb/base/fault.h"
#include "layerdb/base/remove_tree.h"
#include "layerdb/layer_store.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

FaultPoint kRepairText("repair.text");
FaultPoint kRepairCatalog("repair.catalog");
FaultPoint kRepairRebuild("repair.rebuild");
FaultPoint kRepairView("repair.view");
FaultPoint kRepairName("repair.name");

}  // namespace

class StoreRepair {
 public:
  explicit StoreRepair(LayerStore& store) : store_(store) {}

  Result<RepairReport> Run() {
    // Before the lock, which check takes for itself.
    const CheckReport before = TRY(store_.Check());
    {
      const HeldLock lock =
          TRY(LockExclusive({store_.dir_, "lock"}).With(store_.path()));
      for (const Finding& finding : before.findings) TRY(Mend(finding));
      TRY(MendCatalog());
    }
    const CheckReport after = TRY(store_.Check());
    report_.left = after.findings;
    return report_;
  }

 private:
  Status Mend(const Finding& finding) {
    const auto digest_after = [&](std::string_view kind) {
      return Digest::Parse(
          std::string_view(finding.subject).substr(kind.size()));
    };
    switch (finding.invariant) {
      case 4: {
        const auto digest = digest_after("layer ");
        return digest.ok() ? MendText(*digest) : Ok();
      }
      case 5:
        return MendName(finding.subject);
      case 7: {
        const auto digest = digest_after("view ");
        return digest.ok() ? DropView(*digest) : Ok();
      }
      default:
        return Ok();
    }
  }

  Status MendText(const Digest& digest) {
    const auto tree = TRY(store_.OpenLayer(digest, TreeFile::Verify::kAll));
    const auto told = store_.ReadInfo(digest);
    const auto catalog =
        Catalog::Open(store_.catalog_path(), Catalog::Mode::kRead);
    LayerInfo info = TRY(
        store_.InfoFromFiles(digest, catalog.ok() ? catalog->get() : nullptr));
    TRY(CountTree(*tree, info));
    // Another import alone brings a recipe back.
    if (told.ok() && told->Encode() == info.Encode()) return Ok();
    TRY(kRepairText.Visit());
    TRY(ReplaceFile(store_.layers_dir_, InfoFileName(digest), info.Encode()));
    report_.mended.push_back("layer " + digest.ToString() +
                             ": its description was written anew");
    return Ok();
  }

  Status MendName(std::string_view subject) {
    std::string file;
    if (subject.starts_with("names/")) {
      file = subject.substr(6);
    } else {
      return Ok();  // a name of nothing may be of a layer yet to come back
    }
    TRY(kRepairName.Visit());
    std::vector<std::string> damaged;
    TRY(store_.names().All(&damaged));
    for (const std::string& name : damaged) {
      const auto removed = sys::UnlinkAt({store_.names_dir_, name.c_str()});
      if (removed.code() == ENOENT) continue;
      TRY(removed);
      report_.mended.push_back("names/" + name +
                               ": removed, as it held no "
                               "digest");
    }
    return sys::FSync(store_.names_dir_);
  }

  Status DropView(const Digest& chain) {
    const std::string name = IndexFileName(chain);
    const sys::At at{store_.views_dir_, name.c_str()};
    const auto lock = TryLockExclusive(at);
    if (lock.code() == EBUSY || lock.code() == ENOENT) return Ok();
    if (!lock.ok()) return lock.error();
    TRY(kRepairView.Visit());
    TRY(sys::UnlinkAt(at));
    const auto run =
        sys::UnlinkAt({store_.views_dir_, RunFileName(chain).c_str()});
    if (!run.ok() && run.code() != ENOENT) return run;
    store_.ForgetChecked(chain);
    report_.mended.push_back("view " + chain.ToString() +
                             ": removed; the next mount makes it again");
    return Ok();
  }

  // The database is dropped only when it is of no use; else what differs is put
  // right in it.
  Status MendCatalog() {
    {
      auto catalog =
          Catalog::Open(store_.catalog_path(), Catalog::Mode::kWrite);
      if (catalog.ok() && (*catalog)->Verify().ok()) {
        bool differs = false;
        TRY(Compare(**catalog, differs));
        TRY(store_.Reconcile(**catalog));
        if (!differs) return Ok();
      } else if (catalog.code() == ENOENT && TRY(store_.LayerFiles()).empty()) {
        return Ok();
      } else if (!catalog.ok() && catalog.code() != EUCLEAN &&
                 catalog.code() != ENOENT) {
        return catalog.error();  // not of no use: a later one, a full disk
      }
    }
    TRY(kRepairCatalog.Visit());
    TRY(RemoveTree({store_.dir_, "catalog"}));
    TRY(kRepairRebuild.Visit());
    TRY(store_.OpenCatalogForWriting());
    report_.mended.push_back("catalog: made anew from the layers");
    return Ok();
  }

  Status Compare(Catalog& catalog, bool& differs) {
    std::map<Digest, std::vector<ObjectId>> listed;
    TRY(catalog.ForEachObject(
        [&](const ObjectId& id, std::span<const Digest> users) -> Status {
          for (const Digest& user : users) listed[user].push_back(id);
          return Ok();
        }));
    for (const LayerInfo& known : TRY(catalog.Layers())) {
      if (!store_.Has(known.diff_id)) continue;  // Reconcile's
      const auto objects = store_.ObjectsOf(known.diff_id);
      const auto info = store_.InfoFromFiles(known.diff_id);
      if (!objects.ok() || !info.ok()) continue;
      if (listed[known.diff_id] != *objects || info->Encode() != known.Encode())
        differs = true;
    }
    return Ok();
  }

  LayerStore& store_;
  RepairReport report_;
};

Result<RepairReport> LayerStore::Repair() {
  TRY(CreateFolders().With(path_));
  return StoreRepair(*this).Run();
}

}  // namespace ufs
