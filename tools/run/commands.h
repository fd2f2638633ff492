// The verbs about containers over layers, as tools/command.h has the others.
#pragma once

namespace ufs {

int RunRun(int argc, char** argv);
int RunPs(int argc, char** argv);
int RunExec(int argc, char** argv);
int RunLogs(int argc, char** argv);
int RunAttach(int argc, char** argv);
int RunStop(int argc, char** argv);
int RunRestart(int argc, char** argv);
int RunRename(int argc, char** argv);
int RunKill(int argc, char** argv);
int RunPause(int argc, char** argv);
int RunUnpause(int argc, char** argv);
int RunUpdate(int argc, char** argv);
int RunPort(int argc, char** argv);
int RunWait(int argc, char** argv);
int RunRm(int argc, char** argv);
int RunInspect(int argc, char** argv);
int RunVolume(int argc, char** argv);
int RunTop(int argc, char** argv);
int RunStats(int argc, char** argv);

// Whether the machine is fit for them, see tools/host_checks.h.
int RunDoctor(int argc, char** argv);

}  // namespace ufs
