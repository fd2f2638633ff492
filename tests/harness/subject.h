// A subject is what the tests run on: a plain directory, kernel overlayfs, or
// ufs in one of its modes. One subject per process, chosen at start.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

namespace ufs::test {

struct Subject {
  enum class Kind { kPlain, kOverlay, kUfs };

  std::string name = {};
  Kind kind = Kind::kPlain;
  bool in_user_namespace = false;
  bool one_id = false;  // only root is mapped in that namespace
  bool wants_uring = false;
  bool writes_late = false;  // writeback=1: errors show at fsync or close
  bool sealed = false;       // the lowers are hashed layers of a store
  std::string options = {};  // -o of every ufs mount

  bool is_plain() const { return kind == Kind::kPlain; }
  bool is_overlay() const { return kind == Kind::kOverlay; }
  bool is_ufs() const { return kind == Kind::kUfs; }

  static std::vector<Subject> All();
  static std::optional<Subject> Named(const std::string& name);
};

// The subject of this process.
const Subject& TheSubject();
void SetTheSubject(Subject subject);

struct MountPlan {
  std::vector<std::string> lowers;  // bottom to top
  std::string upper;                // empty: none, the union is read-only
  std::string work;                 // for overlayfs; ufs keeps its own
  std::string mountpoint;
  std::string merged;   // the plain subject's directory, already filled
  std::string options;  // extra, in the words all subjects share
};

// A mounted subject. Unmounts at the latest when destroyed.
class MountedSubject {
 public:
  // What went wrong, or nothing.
  std::optional<std::string> Mount(const MountPlan& plan);
  std::optional<std::string> Unmount();
  ~MountedSubject();

  const std::string& root() const { return root_; }
  bool mounted() const { return mounted_; }

 private:
  std::string root_;
  bool mounted_ = false;
  std::set<std::string> sealed_;  // lowers that the store has
};

// The number of the FUSE connection behind a mountpoint, 0 when it is none.
unsigned FuseConnectionOf(const std::string& mountpoint);

// Path of the program under test: UFS_BIN.
std::string UfsBinary();

}  // namespace ufs::test
