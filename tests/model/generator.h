// Random operations that suit the state of a model: mostly on things that
// exist, sometimes on things that do not or may not.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "tests/model/op.h"
#include "tests/model/posix_model.h"

namespace ufs::model {

class Generator {
 public:
  // With `drop_caches`, now and then the whole machine loses its caches; with
  // `freezes`, the upper begins afresh, and no file flags are set.
  Generator(uint64_t seed, bool drop_caches, bool freezes)
      : random_(seed), drop_caches_(drop_caches), freezes_(freezes) {}

  Op Next(const PosixModel& model);

 private:
  int64_t Below(int64_t bound);
  bool OneIn(int64_t chance) { return Below(chance) == 0; }
  template <typename T, size_t n>
  T Pick(const T (&choices)[n]) {
    return choices[Below(static_cast<int64_t>(n))];
  }
  std::string ExistingPath(const PosixModel& model,
                           const Node** found = nullptr);
  std::string ExistingDir(const PosixModel& model);
  std::string NewPath(const PosixModel& model);
  std::string ProgramPath(const PosixModel& model, bool* whole);
  std::string AnyPath(const PosixModel& model);
  static bool IsSpecial(const PosixModel& model, const Op& op);
  std::string OpenedPath(const PosixModel& model);
  int TwinSlot(const PosixModel& model, bool writable);
  int OpenSlot(const PosixModel& model, bool writable);
  int64_t Offset();
  int64_t Length();
  mode_t Mode();
  std::string XattrName();
  std::string AclChange();
  void FillOpen(const PosixModel& model, Op* op);
  void FillFile(const PosixModel& model, Op* op);
  void FillAttr(const PosixModel& model, Op* op);
  void FillLock(const PosixModel& model, Op* op);
  void FillFlags(const PosixModel& model, Op* op);
  void FillProgram(const PosixModel& model, Op* op);
  void FillName(const PosixModel& model, Op* op);
  void MaybeAt(const PosixModel& model, Op* op);

  Random random_;
  const bool drop_caches_;
  const bool freezes_;
  int64_t count_ = 0;
};

}  // namespace ufs::model
