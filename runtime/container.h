// Container: the life of one container, from a bundle to nothing left. Start
// here.
//
//   Container box = TRY(Container::Create(root, "id", config, options));
//   TRY(box.Start());
//   int status = TRY(box.Wait());         // if we created it
//   TRY(box.Delete(/*force=*/false));
//
// What is known stands in the state directory (state.h), so that each step may
// be another process's. Threads: one at a time, in a process with one thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/notify_socket.h"
#include "runtime/spec.h"
#include "runtime/state.h"

namespace ufs::runtime {

enum class RunState { kCreating, kCreated, kRunning, kPaused, kStopped };
const char* NameOf(RunState state);  // as the specification spells it

struct CreateOptions {
  std::string bundle;          // where relative paths of the config begin
  std::string console_socket;  // who gets the terminal; empty: the caller
  std::string pid_file;
  std::string pidfd_socket;  // who gets a descriptor of its process, if anybody
  int preserve_fds = 0;      // beside the standard streams
  bool cgroups = true;       // false: leave it in the caller's cgroup
  enum class Systemd { kNo, kIfItCan, kYes };
  Systemd systemd = Systemd::kNo;  // whether its cgroup is in a scope of it
  // Where swap is counted a limit of memory is one of as much swap, unless the
  // configuration says otherwise.
  bool limit_swap = false;
  std::vector<std::string> env;  // NAME=VALUE, for its process in addition
  bool notify = false;           // it gets a socket to say that it is ready
  bool pivot = true;        // false: leave the host's root, see Rootfs::Enter
  bool new_keyring = true;  // false: it keeps the caller's session keyring
};

struct ExecOptions {
  std::string console_socket;
  std::string pid_file;
  std::string pidfd_socket;
  std::vector<std::string> cgroups;  // below the container's, see Cgroup::Below
  int preserve_fds = 0;
  bool ignore_paused = false;
  bool keep_line_ends = false;  // on its terminal, see terminal.h
};

class Container {
 public:
  // Runs everything up to the state "created". On failure nothing is left.
  // `config` is the text of a config.json.
  static Result<Container> Create(const std::string& state_root,
                                  const std::string& id,
                                  const std::string& config,
                                  const CreateOptions& options);
  static Result<Container> Open(const std::string& state_root,
                                const std::string& id);

  // Whether these limits can be set for a container of that id, by setting them
  // in a cgroup that is made for it and removed. Not those on devices.
  static ufs::Status CheckLimits(Resources resources, const std::string& id,
                                 bool limit_swap);

  const ContainerState& state() const { return state_; }
  const std::string& id() const { return state_.id; }
  Result<RunState> Status() const;

  // The terminal's master, when nobody else was to get it; once.
  UniqueFd TakeTerminal() { return std::move(terminal_); }

  ufs::Status Start();
  // Before Start, of one that was made with `notify`: where it will say that it
  // is ready. ENOENT for another.
  Result<NotifySocket> BindNotifySocket() const;
  // `all`: every process of its cgroup, as with SIGKILL where they would
  // outlive init. ESRCH in runc's words when stopped.
  ufs::Status Kill(int signal, bool all);
  ufs::Status Pause();
  ufs::Status Resume();
  // `limit_swap`: as CreateOptions has it.
  ufs::Status Update(Resources resources, bool limit_swap = false);
  // EBUSY unless stopped; `force` kills first.
  ufs::Status Delete(bool force);

  // Runs another process in it; returns its pid, our child. `terminal` gets
  // the master if nobody else was to.
  Result<pid_t> Exec(Process process, const ExecOptions& options,
                     UniqueFd& terminal);

  // The configuration it was made from.
  Result<ContainerSpec> Spec() const;

  // Waits for init, a child of ours; its exit code as a shell's.
  Result<int> Wait() const;

  // The state as the specification has it, for hooks and `state`.
  Result<std::string> StateJson() const;
  std::string StateJson(RunState now) const;

  Cgroup& cgroup() { return state_.cgroup; }

 private:
  Container(std::string root, StateEntry entry, ContainerState state)
      : root_(std::move(root)),
        entry_(std::move(entry)),
        state_(std::move(state)) {}

  ufs::Status AddToSpec(const CreateOptions& options,
                        ContainerSpec& spec) const;
  ufs::Status Build(const ContainerSpec& spec, const CreateOptions& options);
  ufs::Status PlanCgroup(const ContainerSpec& spec,
                         const CreateOptions& options);
  // Once there is a process to be in it, which waits for the word.
  ufs::Status EnterScope(const ContainerSpec& spec,
                         const CreateOptions& options, BorrowedFd channel);
  ufs::Status AwaitCreated(const ContainerSpec& spec,
                           const CreateOptions& options, BorrowedFd channel);
  // Sends the listener that `pid` has under that number to who listens for it,
  // and says so to `channel`'s other end.
  ufs::Status HandNotifier(const Seccomp& seccomp, BorrowedFd channel,
                           pid_t pid, int number, RunState state);
  // For whoever changes it. ENOENT when the container that was opened is gone.
  Result<StateEntry> LockAndReload();
  bool IsAlive() const;
  ufs::Status KillAndWait();
  ufs::Status RemoveAll();
  // To nothing left, with the lock held.
  ufs::Status Destroy();

  std::string root_;
  StateEntry entry_;
  ContainerState state_;
  std::optional<ContainerSpec> spec_;  // where it was made here
  UniqueFd terminal_;
};

// Writes the number to `path`, all at once. Nothing for an empty path.
Status WritePidFile(const std::string& path, pid_t pid);

// Whoever listens for a pidfd, connected; invalid for an empty path.
Result<UniqueFd> ConnectPidfdSocket(const std::string& path);
// Sends it `pidfd`, with a word that says of what, as runc does: "standard" for
// init, "setns" for what is executed later. Nothing where nobody listens.
Status SendPidfd(BorrowedFd socket, BorrowedFd pidfd, const char* what);

}  // namespace ufs::runtime
