// Running programs from the union.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

using Exec = UnionTest;

std::string Binary(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// A running program whose file can be tested; ends with the object.
class Running {
 public:
  explicit Running(const std::string& program) {
    pid_ = fork();
    if (pid_ == 0) {
      execl(program.c_str(), program.c_str(), "30", nullptr);
      _exit(errno);
    }
    // Until the exec is done the child still is this program.
    const std::string exe = "/proc/" + std::to_string(pid_) + "/exe";
    for (int i = 0; i < 500; ++i) {
      char path[PATH_MAX] = {};
      if (readlink(exe.c_str(), path, sizeof path - 1) > 0 &&
          std::string(path).ends_with(program.substr(1))) {
        return;
      }
      usleep(10000);
    }
    ADD_FAILURE() << program << " does not run";
  }
  ~Running() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

 private:
  pid_t pid_;
};

TEST_F(Exec, ProgramsOfEveryOriginRun) {
  const std::string echo = Binary("/bin/echo");
  Mount({Tree()
             .File("low", echo)
             .Mode(0755)
             .File("meta", echo)
             .Mode(0700)
             .File("copied", echo)
             .Mode(0755)});
  WriteFile("up", echo);
  EXPECT_OK(chmod("up", 0755));
  EXPECT_OK(chmod("meta", 0755));
  PatchFile("copied", 0, echo.substr(0, 16));
  for (const char* name : {"./low", "./up", "./meta", "./copied"}) {
    ProgramResult result = RunProgram({name, "hello", name});
    EXPECT_EQ(result.exit_code, 0) << name;
    EXPECT_EQ(result.output, std::string("hello ") + name + "\n");
  }
}

TEST_F(Exec, ScriptsFindTheirInterpreterInTheUnion) {
  Mount({Tree().File("sh", Binary("/bin/sh")).Mode(0755)});
  WriteFile("script", "#!" + root() + "/sh\necho script runs\n");
  EXPECT_OK(chmod("script", 0755));
  EXPECT_EQ(RunProgram({"./script"}).output, "script runs\n");
}

TEST_F(Exec, NeedsTheBit) {
  Mount({Tree().File("f", Binary("/bin/echo")).Mode(0644).Dir("d")});
  EXPECT_EQ(InChild([] {
              execl("./f", "f", nullptr);
              return errno;
            }),
            EACCES);
  EXPECT_EQ(InChild([] {
              execl("./d", "d", nullptr);
              return errno;
            }),
            EACCES);
  EXPECT_OK(chmod("f", 0755));
  EXPECT_EQ(RunProgram({"./f"}).exit_code, 0);
}

TEST_F(Exec, ARunningProgramOfTheUpperCannotBeWritten) {
  Mount({Tree()});
  WriteFile("sleep", Binary("/bin/sleep"));
  ASSERT_OK(chmod("sleep", 0755));
  Running running("./sleep");
  EXPECT_ERRNO(ETXTBSY, open("sleep", O_WRONLY));
  EXPECT_ERRNO(ETXTBSY, open("sleep", O_RDWR));
  EXPECT_ERRNO(ETXTBSY, truncate("sleep", 0));
  EXPECT_OK(access("sleep", R_OK));
  EXPECT_OK(chmod("sleep", 0700));
  EXPECT_OK(rename("sleep", "moved"));
  EXPECT_OK(unlink("moved"));
}

TEST_F(Exec, ARunningProgramOfALowerLayerCannotBeWritten) {
  Mount({Tree().File("sleep", Binary("/bin/sleep")).Mode(0755)});
  {
    Running running("./sleep");
    EXPECT_ERRNO(ETXTBSY, open("sleep", O_WRONLY));
    EXPECT_ERRNO(ETXTBSY, truncate("sleep", 0));
  }
  AppendFile("sleep", "x");
}

TEST_F(Exec, ARunningProgramSurvivesReplacement) {
  const std::string sleep = Binary("/bin/sleep");
  Mount({Tree().File("sleep", sleep).Mode(0755)});
  Running running("./sleep");
  WriteFile("new", sleep);
  EXPECT_OK(chmod("new", 0755));
  EXPECT_OK(rename("new", "sleep"));
  EXPECT_OK(unlink("sleep"));
}

TEST_F(Exec, AFileOpenForWritingCannotRun) {
  Mount({Tree().File("low", Binary("/bin/echo")).Mode(0755)});
  WriteFile("up", Binary("/bin/echo"));
  EXPECT_OK(chmod("up", 0755));
  for (const char* name : {"./low", "./up"}) {
    UniqueFd writer = Open(name, O_RDWR);
    EXPECT_ERRNO_EQ(ETXTBSY, InChild([name] {
                      execl(name, name, nullptr);
                      return errno;
                    }))
        << name;
  }
  EXPECT_EQ(RunProgram({"./low"}).exit_code, 0);
}

TEST_F(Exec, ByDescriptor) {
  Mount({Tree().File("echo", Binary("/bin/echo")).Mode(0755)});
  UniqueFd fd = Open("echo", O_PATH);
  EXPECT_OK(unlink("echo"));
  EXPECT_EQ(InChild([&] {
              char name[] = "echo";
              char* argv[] = {name, nullptr};
              char* envp[] = {nullptr};
              dup2(open("/dev/null", O_WRONLY), 1);
              fexecve(fcntl(fd.get(), F_DUPFD, 3), argv, envp);
              return errno;
            }),
            0);
}

TEST_F(Exec, SetuidProgramsChangeTheUser) {
  NEEDS_SEVERAL_IDS();
  Mount(
      {Tree().File("id", Binary("/usr/bin/id")).Mode(04755).Owner(1001, 1001)});
  ProgramResult result = RunProgram({"./id", "-u"});
  EXPECT_EQ(result.output, "1001\n");
  EXPECT_OK(chmod("id", 0755));
  EXPECT_EQ(RunProgram({"./id", "-u"}).output, "0\n");
}

TEST_F(Exec, NosuidMountsIgnoreTheBit) {
  NEEDS_SEVERAL_IDS();
  Mount(
      {Tree().File("id", Binary("/usr/bin/id")).Mode(04755).Owner(1001, 1001)},
      "nosuid");
  EXPECT_EQ(RunProgram({"./id", "-u"}).output, "0\n");
}

TEST_F(Exec, NoexecMountsRunNothing) {
  Mount({Tree().File("echo", Binary("/bin/echo")).Mode(0755)}, "noexec");
  EXPECT_ERRNO_EQ(EACCES, InChild([] {
                    execl("./echo", "echo", nullptr);
                    return errno;
                  }));
}

TEST_F(Exec, AProgramWrittenAndRunAtOnce) {
  Mount({Tree().Dir("bin")});
  for (int i = 0; i < 10; ++i) {
    const std::string path = "./bin/tool" + std::to_string(i);
    WriteFile(path, "#!/bin/sh\necho " + std::to_string(i) + "\n");
    EXPECT_OK(chmod(path.c_str(), 0755));
    EXPECT_EQ(RunProgram({path}).output, std::to_string(i) + "\n");
  }
}

}  // namespace
}  // namespace ufs::test
