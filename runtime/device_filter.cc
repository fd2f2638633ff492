#include "runtime/device_filter.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"

namespace ufs::runtime {
namespace {

bpf_insn Instruction(uint8_t code, uint8_t to, uint8_t from, int16_t offset,
                     int32_t value) {
  bpf_insn instruction{};
  instruction.code = code;
  instruction.dst_reg = to & 0xf;
  instruction.src_reg = from & 0xf;
  instruction.off = offset;
  instruction.imm = value;
  return instruction;
}

bpf_insn Load(uint8_t to, int16_t offset) {
  return Instruction(BPF_LDX | BPF_MEM | BPF_W, to, BPF_REG_1, offset, 0);
}
bpf_insn Copy(uint8_t to, uint8_t from) {
  return Instruction(BPF_ALU | BPF_MOV | BPF_X, to, from, 0, 0);
}
bpf_insn And(uint8_t to, int32_t value) {
  return Instruction(BPF_ALU | BPF_AND | BPF_K, to, 0, 0, value);
}

int32_t AccessBits(const std::string& access) {
  int32_t bits = 0;
  for (char c : access)
    bits |= c == 'r'   ? BPF_DEVCG_ACC_READ
            : c == 'w' ? BPF_DEVCG_ACC_WRITE
                       : BPF_DEVCG_ACC_MKNOD;
  return bits;
}

// The registers of the program: what the kernel asks about.
enum Register : uint8_t { kType = 2, kAccess = 3, kMajor = 4, kMinor = 5 };

// One rule: each test that fails jumps past it.
void AddRule(const DeviceRule& rule, std::vector<bpf_insn>& program) {
  std::vector<bpf_insn> tests;
  const auto unless_equal = [&](uint8_t reg, int32_t value) {
    tests.push_back(Instruction(BPF_JMP32 | BPF_JNE | BPF_K, reg, 0, 0, value));
  };
  if (rule.type != 'a')
    unless_equal(kType,
                 rule.type == 'c' ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK);
  if (!rule.AllAccess()) {
    tests.push_back(Copy(BPF_REG_1, kAccess));
    tests.push_back(And(BPF_REG_1, AccessBits(rule.access)));
    // To allow takes all that is asked for, to deny any of it: who may not
    // write may not open for reading and writing.
    tests.push_back(
        rule.allow
            ? Instruction(BPF_JMP32 | BPF_JNE | BPF_X, BPF_REG_1, kAccess, 0, 0)
            : Instruction(BPF_JMP32 | BPF_JEQ | BPF_K, BPF_REG_1, 0, 0, 0));
  }
  if (rule.major) unless_equal(kMajor, static_cast<int32_t>(*rule.major));
  if (rule.minor) unless_equal(kMinor, static_cast<int32_t>(*rule.minor));
  // Behind the tests stand two instructions: the answer and the exit.
  for (size_t i = 0; i < tests.size(); ++i) {
    if ((tests[i].code & 0x07) == BPF_JMP32)
      tests[i].off = static_cast<int16_t>(tests.size() - i - 1 + 2);
  }
  program.insert(program.end(), tests.begin(), tests.end());
  program.push_back(Instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0,
                                rule.allow ? 1 : 0));
  program.push_back(Instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

Result<UniqueFd> LoadProgram(const std::vector<bpf_insn>& program) {
  static constexpr char kLicense[] = "GPL";
  bpf_attr attr{};
  attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attr.insns = reinterpret_cast<uint64_t>(program.data());
  attr.insn_cnt = static_cast<uint32_t>(program.size());
  attr.license = reinterpret_cast<uint64_t>(kLicense);
  const long fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
  TRY(kernel::Check(fd));
  return UniqueFd(static_cast<int>(fd));
}

Result<std::vector<uint32_t>> AttachedPrograms(BorrowedFd cgroup) {
  std::vector<uint32_t> ids(64);
  bpf_attr attr{};
  attr.query.target_fd = static_cast<uint32_t>(cgroup.get());
  attr.query.attach_type = BPF_CGROUP_DEVICE;
  attr.query.prog_ids = reinterpret_cast<uint64_t>(ids.data());
  attr.query.prog_cnt = static_cast<uint32_t>(ids.size());
  TRY(kernel::Check(syscall(SYS_bpf, BPF_PROG_QUERY, &attr, sizeof(attr))));
  ids.resize(attr.query.prog_cnt);
  return ids;
}

Status Detach(BorrowedFd cgroup, uint32_t id) {
  bpf_attr by_id{};
  by_id.prog_id = id;
  const long fd =
      syscall(SYS_bpf, BPF_PROG_GET_FD_BY_ID, &by_id, sizeof(by_id));
  TRY(kernel::Check(fd));
  const UniqueFd program(static_cast<int>(fd));
  bpf_attr attr{};
  attr.target_fd = static_cast<uint32_t>(cgroup.get());
  attr.attach_bpf_fd = static_cast<uint32_t>(program.get());
  attr.attach_type = BPF_CGROUP_DEVICE;
  return kernel::Check(syscall(SYS_bpf, BPF_PROG_DETACH, &attr, sizeof(attr)));
}

}  // namespace

std::vector<bpf_insn> DeviceFilterProgram(
    const std::vector<DeviceRule>& rules) {
  std::vector<bpf_insn> program = {
      // struct bpf_cgroup_dev_ctx: access_type (access << 16 | type), major,
      // minor.
      Load(kType, 0),
      Copy(kAccess, kType),
      And(kType, 0xFFFF),
      Instruction(BPF_ALU | BPF_RSH | BPF_K, kAccess, 0, 0, 16),
      Load(kMajor, 4),
      Load(kMinor, 8),
  };
  for (auto rule = rules.rbegin(); rule != rules.rend(); ++rule) {
    AddRule(*rule, program);
    // The verifier refuses code that nothing reaches.
    if (rule->Everything()) return program;
  }
  program.push_back(
      Instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0));
  program.push_back(Instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  return program;
}

Status AttachDeviceFilter(const std::string& cgroup,
                          const std::vector<DeviceRule>& rules) {
  const UniqueFd directory =
      TRY(sys::Open(cgroup.c_str(), O_RDONLY | O_DIRECTORY));
  const UniqueFd program = TRY(LoadProgram(DeviceFilterProgram(rules)));
  const auto before = TRY(AttachedPrograms(directory));
  bpf_attr attr{};
  attr.target_fd = static_cast<uint32_t>(directory.get());
  attr.attach_bpf_fd = static_cast<uint32_t>(program.get());
  attr.attach_type = BPF_CGROUP_DEVICE;
  attr.attach_flags = BPF_F_ALLOW_MULTI;
  TRY(kernel::Check(syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof(attr))));
  // With several, all must allow: the old ones go once the new one stands.
  for (uint32_t id : before) TRY(Detach(directory, id));
  return Ok();
}

}  // namespace ufs::runtime
