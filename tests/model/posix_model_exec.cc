// Running programs. Compare Linux's fs/exec.c.
#include <sys/stat.h>
#include <unistd.h>

#include "tests/model/posix_model.h"
#include "tests/model/program.h"

namespace ufs::model {

bool PosixModel::IsRunning(const Node& node) const {
  for (const NodePtr& running : running_)
    if (running.get() == &node) return true;
  return false;
}

bool PosixModel::IsOpenForWriting(const Node& node) const {
  for (const Handle& handle : handles_)
    if (handle.node.get() == &node && handle.writable()) return true;
  for (const Mapping& map : maps_)
    if (map.node.get() == &node && map.file_writable) return true;
  return false;
}

Expected PosixModel::Exec(const Op& op) {
  if (op.kind == OpKind::kStart) running_[op.fd2] = nullptr;
  return OnPath(op, true, [&](const Op& o, const NodePtr& node) {
    if (!node->IsFile() || !May({o.uid}, *node, X_OK))
      return Expected::Error(EACCES);
    if (IsOpenForWriting(*node)) return Expected::Error(ETXTBSY);
    Accessed(*node);
    Expected expected;
    const std::string& content = node->content;
    if (content.substr(0, 4) != ProgramBytes().substr(0, 4))
      return Expected::Error(ENOEXEC);
    // Who knows what a damaged program does.
    if (content != ProgramBytes()) {
      expected.anything = true;
    } else if (o.kind == OpKind::kStart) {
      running_[o.fd2] = node;
    } else {
      expected.value = kProgramExit;
    }
    return expected;
  });
}

Expected PosixModel::Stop(const Op& op) {
  if (running_[op.fd2] == nullptr) return Expected::Error(EBADF);
  running_[op.fd2] = nullptr;
  Expected expected;
  expected.value = kProgramExit;
  return expected;
}

// With an append-only handle this is no program in the end, but as on a disk.
Expected PosixModel::Install(const Op& op) {
  Op write = op;
  write.off = 0;
  Expected expected = WriteThrough(write, true, ProgramBytes());
  if (expected.err != 0) return expected;
  if (int err = MayChange(*handles_[op.fd].node)) return Expected::Error(err);
  Resize({op.uid}, *handles_[op.fd].node,
         static_cast<int64_t>(ProgramBytes().size()));
  return {};
}

}  // namespace ufs::model
