// Session is one union on fresh directories, with a plain copy of what it shows
// beside it. Everything goes when the session goes.
#pragma once

#include <string>
#include <vector>

#include "tests/harness/snapshot.h"
#include "tests/harness/subject.h"
#include "tests/model/lane.h"
#include "tests/model/layer_spec.h"

namespace ufs::model {

class Session {
 public:
  // Ends the program when the directories cannot be made.
  Session(const std::vector<LayerSpec>& layers, WhiteoutStyle whiteouts);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Empty, or what went wrong.
  std::string Mount();
  std::string Unmount();
  // With `commit`, the upper becomes the topmost layer and a new one is begun,
  // unless a link count would be lost with it.
  Remounted Remount(bool commit);

  // The same while it is mounted. Threads: any.
  std::string Freeze();

  // Empty, or the first difference: nobody may change a lower layer.
  std::string CheckLowers() const;

  const std::string& union_root() const { return plan_.mountpoint; }
  const std::string& plain_root() const { return plain_; }

 private:
  void BeginUpper();
  std::string Complete();
  bool MayCommit() const;
  void Commit();

  std::string base_;
  std::string plain_;
  test::MountPlan plan_;
  test::MountedSubject mounted_;
  std::vector<test::Snapshot> lowers_before_;
};

}  // namespace ufs::model
