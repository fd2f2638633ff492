#include "runtime/cgroup.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/cgroup_layout.h"
#include "runtime/cgroup_limits.h"
#include "runtime/device_filter.h"

namespace ufs::runtime {
namespace {

TEST(ParseCgroupLayoutTest, Hybrid) {
  const auto layout = ParseCgroupLayout(
      "30 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
      "31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup "
      "rw,cpu,cpuacct\n"
      "32 30 0:28 / /sys/fs/cgroup/memory rw shared:3 - cgroup cgroup "
      "rw,memory\n"
      "33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup "
      "rw,name=systemd\n"
      "34 30 0:30 / /sys/fs/cgroup/uni\\040fied rw - cgroup2 cgroup2 rw\n"
      "35 30 0:28 / /mnt/memory rw - cgroup cgroup rw,memory\n",
      "4:cpu,cpuacct:/\n3:memory:/a/b\n2:name=systemd:/x\n0::/c\n");
  ASSERT_EQ(layout.size(), 4u);
  EXPECT_TRUE(layout[0].Has("cpuacct"));
  EXPECT_EQ(layout[1].own, "/a/b");
  EXPECT_EQ(layout[1].mountpoint, "/sys/fs/cgroup/memory");
  EXPECT_TRUE(layout[2].Has("name=systemd"));
  EXPECT_TRUE(layout[3].v2);
  EXPECT_EQ(layout[3].mountpoint, "/sys/fs/cgroup/uni fied");
  EXPECT_EQ(layout[3].own, "/c");
}

TEST(ParseCgroupLayoutTest, ABindOfAPart) {
  const auto layout = ParseCgroupLayout(
      "32 30 0:28 /docker/1 /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n",
      "3:pids:/docker/1/inner\n");
  ASSERT_EQ(layout.size(), 1u);
  EXPECT_EQ(layout[0].own, "/inner");
}

TEST(ParseCgroupLayoutTest, Nonsense) {
  EXPECT_TRUE(ParseCgroupLayout("", "").empty());
  EXPECT_TRUE(ParseCgroupLayout("a b c - cgroup\n - \nx", "::\n:\n").empty());
}

TEST(CgroupBelowTest, ControllersThatShareAHierarchy) {
  const auto cgroup = Cgroup::Load({{"directories",
                                     {{{"path", "/c/cpu,cpuacct/box"},
                                       {"mountpoint", "/c/cpu,cpuacct"},
                                       {"controllers", {"cpu", "cpuacct"}}},
                                      {{"path", "/c/memory/box"},
                                       {"mountpoint", "/c/memory"},
                                       {"controllers", {"memory"}}}}}});
  ASSERT_TRUE(cgroup.ok()) << cgroup.error().ToString();
  const auto paths = [&](const std::vector<std::string>& words) {
    std::string text;
    const auto below = cgroup->Below(words);
    if (!below.ok()) return below.error().ToString();
    const auto saved = below->Save();
    for (const auto& directory : saved["directories"])
      text += directory["path"].get<std::string>() + " ";
    return text;
  };
  const std::string sub = "/c/cpu,cpuacct/box/sub /c/memory/box ";
  EXPECT_EQ(paths({"cpu:sub"}), sub);
  EXPECT_EQ(paths({"cpu,cpuacct:sub"}), sub);
  EXPECT_EQ(paths({"cpu:sub", "cpuacct:/sub/."}), sub);
  EXPECT_EQ(paths({"cpu:sub", "memory:a"}),
            "/c/cpu,cpuacct/box/sub /c/memory/box/a ");
  for (const char* word :
       {":sub", "memory,:sub", ",memory:sub", "cpu,,memory:"})
    EXPECT_NE(paths({word}).find(std::string("invalid --cgroup argument: ") +
                                 word + " (empty <controller> prefix)"),
              std::string::npos)
        << word << ": " << paths({word});
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"cpu:a", "cpuacct:b"}, {"cpu:a", "cpu:a"}})
    EXPECT_NE(paths(words).find("invalid --cgroup argument(s)"),
              std::string::npos)
        << paths(words);
}

// A directory that plays a cgroup2 mount; made directories in it are empty.
class UnifiedMountTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "cgroup.XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    mount_ = path;
    Write("cgroup.controllers", "cpu io memory\n");
    Write("cgroup.subtree_control", "io\n");
  }
  void TearDown() override { std::filesystem::remove_all(mount_); }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(mount_ + "/" + name) << text;
  }
  std::string Enabled() {
    std::ifstream file(mount_ + "/cgroup.subtree_control");
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string mount_;
};

TEST_F(UnifiedMountTest, AllControllersAreEnabled) {
  const CgroupLayout layout = {{mount_, true, {"cpu", "io", "memory"}, "/"}};
  auto cgroup = Cgroup::Plan(layout, "/a/b", "id");
  ASSERT_TRUE(cgroup.ok());
  ASSERT_TRUE(cgroup->Make().ok());
  EXPECT_EQ(Enabled(), "+cpu +memory");
}

TEST_F(UnifiedMountTest, NotBesideProcesses) {
  Write("cgroup.type", "domain\n");
  Write("cgroup.procs", "1\n");
  const CgroupLayout layout = {{mount_, true, {"cpu", "io", "memory"}, "/"}};
  auto cgroup = Cgroup::Plan(layout, "/a", "id");
  ASSERT_TRUE(cgroup.ok());
  ASSERT_TRUE(cgroup->Make().ok());
  EXPECT_EQ(Enabled(), "io\n");
}

TEST_F(UnifiedMountTest, OfAHybridHostThatOfAUnifiedKey) {
  const CgroupLayout layout = {{mount_, true, {"cpu", "io", "memory"}, "/"},
                               {mount_ + "/v1", false, {"pids"}, "/"}};
  auto cgroup = Cgroup::Plan(layout, "/a", "id");
  ASSERT_TRUE(cgroup.ok());
  std::filesystem::create_directory(mount_ + "/v1");
  ASSERT_TRUE(cgroup->Make().ok());
  EXPECT_EQ(Enabled(), "io\n");
  // The files that a controller would bring do not appear here.
  Resources resources;
  resources.unified = {{"cgroup.freeze", "0"}};
  EXPECT_EQ(cgroup->Apply(resources, false).code(), ENOENT);
  EXPECT_EQ(Enabled(), "io\n");
  resources.unified = {{"memory.high", "1"}};
  EXPECT_EQ(cgroup->Apply(resources, false).code(), ENOENT);
  EXPECT_EQ(Enabled(), "+memory");
}

// "file=value ..." of what is written.
std::string Writes(const char* json_like_controller, const Resources& resources,
                   CgroupVersion version) {
  const auto writes = LimitWrites(resources, json_like_controller, version);
  if (!writes.ok()) return "error " + std::string(writes.error().context());
  std::string text;
  for (const CgroupWrite& write : *writes)
    text += (text.empty() ? "" : "; ") + write.file + "=" + write.value +
            (write.other_file.empty()
                 ? ""
                 : " or " + write.other_file + "=" + write.other_value);
  return text;
}

// To move it there would take a global lock, and some 20 ms.
TEST(CgroupDoorsTest, AProcessIsBornInV2) {
  auto layout = ReadCgroupLayout();
  ASSERT_TRUE(layout.ok());
  std::erase_if(*layout, [](const auto& hierarchy) { return !hierarchy.v2; });
  if (layout->empty()) GTEST_SKIP() << "this machine has no cgroup v2";
  const std::string id = "born." + std::to_string(getpid());
  auto cgroup = Cgroup::Plan(*layout, "", id);
  ASSERT_TRUE(cgroup.ok());
  if (!cgroup->Make().ok() || cgroup->empty())
    GTEST_SKIP() << "no cgroup may be made here";
  auto doors = cgroup->OpenDoors();
  ASSERT_TRUE(doors.ok()) << doors.error().ToString();

  auto child = doors->Clone(0);
  ASSERT_TRUE(child.ok()) << child.error().ToString();
  if (child->pid == 0) {
    raise(SIGSTOP);
    // Nothing is left to do, and nothing is done.
    _exit(cgroup->Join(*doors).ok() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child->pid, &status, WUNTRACED), child->pid);
  const auto pids = cgroup->Pids();
  ASSERT_TRUE(pids.ok());
  EXPECT_EQ(*pids, std::vector<pid_t>{child->pid});
  ASSERT_EQ(kill(child->pid, SIGCONT), 0);
  ASSERT_EQ(waitpid(child->pid, &status, 0), child->pid);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(cgroup->Remove().ok());
}

TEST(LimitWritesTest, Memory) {
  Resources r;
  r.memory_limit_bytes = 100;
  r.memory_swap_bytes = 300;
  r.memory_reservation_bytes = 50;
  EXPECT_EQ(Writes("memory", r, CgroupVersion::kV1),
            "memory.limit_in_bytes=100; memory.memsw.limit_in_bytes=300; "
            "memory.soft_limit_in_bytes=50");
  EXPECT_EQ(Writes("memory", r, CgroupVersion::kV2),
            "memory.swap.max=200; memory.max=100; memory.low=50");
  r.memory_swap_bytes = -1;
  r.memory_limit_bytes = -1;
  EXPECT_EQ(Writes("memory", r, CgroupVersion::kV2),
            "memory.swap.max=max; memory.max=max; memory.low=50");
  r.memory_swap_bytes = 10;
  EXPECT_EQ(Writes("memory", r, CgroupVersion::kV2),
            "error linux.resources.memory.swap needs memory.limit: it is the "
            "sum of memory and swap");
  r = Resources();
  r.memory_limit_bytes = 100;
  r.memory_swap_bytes = 200;
  r.swap_if_counted = true;
  for (const auto version : {CgroupVersion::kV1, CgroupVersion::kV2}) {
    const auto writes = LimitWrites(r, "memory", version);
    ASSERT_TRUE(writes.ok());
    for (const CgroupWrite& write : *writes)
      EXPECT_EQ(write.if_there, write.asked == "memory.swap") << write.file;
  }
  r = Resources();
  r.memory_limit_bytes = r.memory_swap_bytes = r.kernel_tcp_bytes = 0;
  r.memory_reservation_bytes = 0;
  EXPECT_EQ(Writes("memory", r, CgroupVersion::kV1), "");
  EXPECT_EQ(Writes("memory", r, CgroupVersion::kV2), "");
  r = Resources();
  r.swappiness = 10;
  EXPECT_EQ(Writes("memory", r, CgroupVersion::kV2),
            "error linux.resources.memory.swappiness has no counterpart in "
            "cgroup v2; remove it");
}

TEST(LimitWritesTest, Cpu) {
  Resources r;
  r.cpu_shares = 1024;
  r.cpu_quota_us = 50000;
  r.cpu_period_us = 100000;
  EXPECT_EQ(Writes("cpu", r, CgroupVersion::kV1),
            "cpu.shares=1024; cpu.cfs_period_us=100000; "
            "cpu.cfs_quota_us=50000");
  EXPECT_EQ(Writes("cpu", r, CgroupVersion::kV2),
            "cpu.weight=39; cpu.max=50000 100000");
  r = Resources();
  r.cpu_quota_us = -1;
  EXPECT_EQ(Writes("cpu", r, CgroupVersion::kV2), "cpu.max=max 100000");
  EXPECT_EQ(Writes("cpu", Resources(), CgroupVersion::kV2), "");
}

TEST(LimitWritesTest, WhoGivesHalfOfCpuMaxKeepsTheOther) {
  const auto after = [](const Resources& resources, const char* before) {
    return Writes("cpu", KeepCpuMax(resources, before), CgroupVersion::kV2);
  };
  Resources quota, period, both;
  quota.cpu_quota_us = 20000;
  period.cpu_period_us = 50000;
  both.cpu_quota_us = 30000;
  both.cpu_period_us = 60000;
  EXPECT_EQ(after(quota, "10000 40000"), "cpu.max=20000 40000");
  EXPECT_EQ(after(period, "10000 40000"), "cpu.max=10000 50000");
  EXPECT_EQ(after(both, "10000 40000"), "cpu.max=30000 60000");
  EXPECT_EQ(after(Resources(), "10000 40000"), "");
  EXPECT_EQ(after(period, "max 100000"), "cpu.max=max 50000");
  quota.cpu_quota_us = -1;
  EXPECT_EQ(after(quota, "10000 40000"), "cpu.max=max 40000");
  EXPECT_EQ(after(quota, ""), "cpu.max=max 100000");
}

TEST(LimitWritesTest, PidsIoHugetlb) {
  Resources r;
  r.pids_limit = -1;
  EXPECT_EQ(Writes("pids", r, CgroupVersion::kV2), "pids.max=max");
  r.pids_limit = 7;
  EXPECT_EQ(Writes("pids", r, CgroupVersion::kV1), "pids.max=7");
  r.blkio_weight = 500;
  r.throttle_write_iops = {{8, 1, 9}};
  EXPECT_EQ(Writes("blkio", r, CgroupVersion::kV1),
            "blkio.weight=500 or blkio.bfq.weight=500; "
            "blkio.throttle.write_iops_device=8:1 9");
  EXPECT_EQ(Writes("io", r, CgroupVersion::kV2),
            "io.bfq.weight=500 or io.weight=default 4950; io.max=8:1 wiops=9");
  Resources device;
  device.blkio_weight_device = {{8, 1, 100}};
  EXPECT_EQ(Writes("blkio", device, CgroupVersion::kV1),
            "blkio.weight_device=8:1 100 or blkio.bfq.weight_device=8:1 100");
  EXPECT_EQ(Writes("io", device, CgroupVersion::kV2),
            "io.bfq.weight=8:1 100 or io.weight=8:1 910");
  r.hugepage_limits["2MB"] = 4096;
  EXPECT_EQ(Writes("hugetlb", r, CgroupVersion::kV1),
            "hugetlb.2MB.limit_in_bytes=4096");
  EXPECT_EQ(Writes("hugetlb", r, CgroupVersion::kV2), "hugetlb.2MB.max=4096");
}

TEST(LimitWritesTest, Weights) {
  EXPECT_EQ(CpuWeightOf(0), 0u);
  EXPECT_EQ(CpuWeightOf(2), 1u);
  EXPECT_EQ(CpuWeightOf(1024), 39u);
  EXPECT_EQ(CpuWeightOf(262144), 10000u);
  EXPECT_EQ(CpuWeightOf(999999), 10000u);
  EXPECT_EQ(IoWeightOf(10), 1u);
  EXPECT_EQ(IoWeightOf(1000), 10000u);
}

TEST(DeviceWritesTest, AllWithAPartIsNotAll) {
  const auto writes = DeviceWritesV1({{false, 'a', {}, {}, "rwm"},
                                      {true, 'a', {}, {}, "m"},
                                      {true, 'c', 10, 229, "rw"}});
  ASSERT_GE(writes.size(), 4u);
  EXPECT_EQ(writes[0].file + "=" + writes[0].value, "devices.deny=a");
  EXPECT_EQ(writes[1].value, "c *:* m");
  EXPECT_EQ(writes[2].value, "b *:* m");
  EXPECT_EQ(writes[3].value, "c 10:229 rw");
}

TEST(DeviceWritesTest, AllIsWhatHasEveryLetter) {
  const auto writes =
      DeviceWritesV1({{false, 'a', {}, {}, "mrw"}, {true, 'a', {}, {}, "rrr"}});
  ASSERT_GE(writes.size(), 3u);
  EXPECT_EQ(writes[0].file + "=" + writes[0].value, "devices.deny=a");
  EXPECT_EQ(writes[1].file + "=" + writes[1].value, "devices.allow=c *:* rrr");
  EXPECT_EQ(writes[2].value, "b *:* rrr");
}

// What the kernel would do with the program: the few instructions it is made
// of.
bool Allows(const std::vector<bpf_insn>& program, uint32_t type,
            uint32_t access, uint32_t major, uint32_t minor) {
  const uint32_t context[] = {access << 16 | type, major, minor};
  uint32_t reg[11] = {};
  for (size_t at = 0; at < program.size(); ++at) {
    const bpf_insn& i = program[at];
    const uint32_t value =
        (i.code & BPF_X) != 0 ? reg[i.src_reg] : static_cast<uint32_t>(i.imm);
    switch (i.code) {
      case BPF_LDX | BPF_MEM | BPF_W:
        reg[i.dst_reg] = context[i.off / 4];
        break;
      case BPF_ALU | BPF_MOV | BPF_X:
      case BPF_ALU64 | BPF_MOV | BPF_K:
        reg[i.dst_reg] = value;
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        reg[i.dst_reg] &= value;
        break;
      case BPF_ALU | BPF_RSH | BPF_K:
        reg[i.dst_reg] >>= value;
        break;
      case BPF_JMP32 | BPF_JNE | BPF_K:
      case BPF_JMP32 | BPF_JNE | BPF_X:
        if (reg[i.dst_reg] != value) at += static_cast<size_t>(i.off);
        break;
      case BPF_JMP32 | BPF_JEQ | BPF_K:
        if (reg[i.dst_reg] == value) at += static_cast<size_t>(i.off);
        break;
      case BPF_JMP | BPF_EXIT:
        return reg[BPF_REG_0] != 0;
      default:
        ADD_FAILURE() << "unexpected instruction " << int{i.code};
        return false;
    }
  }
  ADD_FAILURE() << "runs off its end";
  return false;
}

TEST(DeviceFilterTest, TheLastRuleThatMatchesDecides) {
  const auto program = DeviceFilterProgram({{false, 'a', {}, {}, "rwm"},
                                            {true, 'c', 1, 3, "rwm"},
                                            {true, 'b', 8, {}, "r"},
                                            {false, 'b', 8, 5, "rwm"},
                                            {true, 'c', {}, {}, "m"}});
  constexpr uint32_t kBlock = BPF_DEVCG_DEV_BLOCK, kChar = BPF_DEVCG_DEV_CHAR;
  constexpr uint32_t kRead = BPF_DEVCG_ACC_READ, kWrite = BPF_DEVCG_ACC_WRITE,
                     kMknod = BPF_DEVCG_ACC_MKNOD;
  EXPECT_TRUE(Allows(program, kChar, kRead | kWrite, 1, 3));
  EXPECT_FALSE(Allows(program, kBlock, kRead, 1, 3));
  EXPECT_FALSE(Allows(program, kChar, kRead, 1, 4));
  EXPECT_TRUE(Allows(program, kBlock, kRead, 8, 1));
  EXPECT_FALSE(Allows(program, kBlock, kRead | kWrite, 8, 1));
  EXPECT_FALSE(Allows(program, kBlock, kRead, 8, 5));
  EXPECT_TRUE(Allows(program, kChar, kMknod, 99, 99));
  EXPECT_FALSE(Allows(program, kChar, kMknod | kRead, 99, 99));
  EXPECT_FALSE(Allows(DeviceFilterProgram({}), kChar, kRead, 1, 3));
}

TEST(DeviceFilterTest, WhatIsDeniedInPartIsNotHadTogetherWithTheRest) {
  constexpr uint32_t kBlock = BPF_DEVCG_DEV_BLOCK;
  constexpr uint32_t kRead = BPF_DEVCG_ACC_READ, kWrite = BPF_DEVCG_ACC_WRITE,
                     kMknod = BPF_DEVCG_ACC_MKNOD;
  const auto program = DeviceFilterProgram(
      {{true, 'a', {}, {}, "rwm"}, {false, 'b', 8, {}, "w"}});
  EXPECT_TRUE(Allows(program, kBlock, kRead, 8, 1));
  EXPECT_TRUE(Allows(program, kBlock, kRead | kMknod, 8, 1));
  EXPECT_FALSE(Allows(program, kBlock, kWrite, 8, 1));
  EXPECT_FALSE(Allows(program, kBlock, kRead | kWrite, 8, 1));
  EXPECT_TRUE(Allows(program, kBlock, kRead | kWrite, 7, 1));
  // Three letters are not all three.
  const auto reads = DeviceFilterProgram(
      {{true, 'b', 8, {}, "rwm"}, {true, 'a', {}, {}, "rrr"}});
  EXPECT_TRUE(Allows(reads, kBlock, kRead, 7, 1));
  EXPECT_FALSE(Allows(reads, kBlock, kWrite, 7, 1));
  EXPECT_TRUE(Allows(reads, kBlock, kWrite, 8, 1));
}

}  // namespace
}  // namespace ufs::runtime
