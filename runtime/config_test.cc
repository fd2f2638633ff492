#include "runtime/config.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "runtime/default_config.h"

namespace ufs::runtime {
namespace {

using Json = nlohmann::json;

// The smallest configuration that is right.
Json Minimal() {
  return Json::parse(R"({
    "ociVersion": "1.2.0",
    "root": {"path": "rootfs"},
    "process": {"args": ["sh"], "cwd": "/"},
    "linux": {"namespaces": [{"type": "mount"}]}
  })");
}

// What is said about `config`; empty when it is taken.
std::string Complaint(const Json& config) {
  const auto spec = ParseConfig(config.dump());
  return spec.ok() ? "" : std::string(spec.error().context());
}

// The minimal configuration with `value` at the JSON pointer `where`.
Json With(const char* where, const Json& value) {
  Json config = Minimal();
  config[Json::json_pointer(where)] = value;
  return config;
}

TEST(ParseConfigTest, Minimal) {
  const auto spec = ParseConfig(Minimal().dump());
  ASSERT_TRUE(spec.ok()) << spec.error().ToString();
  EXPECT_EQ(spec->root_path, "rootfs");
  EXPECT_EQ(spec->process.args, std::vector<std::string>{"sh"});
  ASSERT_TRUE(spec->process.capabilities.has_value());
  EXPECT_EQ(spec->process.capabilities->bounding, 0u);
  EXPECT_TRUE(spec->HasNew(NamespaceType::kMount));
}

TEST(ParseConfigTest, CapabilitiesThatCannotBeHad) {
  Json config = Minimal();
  Json& sets = config["process"]["capabilities"];
  sets["effective"] = {"CAP_KILL", "CAP_BPF"};
  sets["permitted"] = {"CAP_KILL"};
  EXPECT_EQ(Complaint(config),
            "process.capabilities.effective has CAP_BPF, which is not in "
            "permitted");
  sets["permitted"] = {"CAP_KILL", "CAP_BPF", "CAP_CHOWN"};
  EXPECT_EQ(Complaint(config), "");
}

TEST(ParseConfigTest, MappingsThatOverlap) {
  const auto complaint = [](const Json& maps) {
    Json config = Minimal();
    config["linux"]["namespaces"].push_back({{"type", "user"}});
    config["linux"]["uidMappings"] = maps;
    config["linux"]["gidMappings"] = maps;
    return Complaint(config);
  };
  const auto map = [](int container, int host, int size) {
    return Json{{"containerID", container}, {"hostID", host}, {"size", size}};
  };
  EXPECT_EQ(complaint({map(0, 1000, 10), map(10, 2000, 5), map(15, 1010, 1)}),
            "");
  EXPECT_EQ(complaint({map(0, 1000, 10), map(20, 9, 5), map(9, 2000, 1)}),
            "linux.uidMappings[2] overlaps element 0: containerID 9-9 "
            "and 0-9");
  EXPECT_EQ(complaint({map(10, 1000, 10), map(0, 991, 10)}),
            "linux.uidMappings[1] overlaps element 0: hostID 991-1000 and "
            "1000-1009");
}

TEST(ParseConfigTest, OwnDefaults) {
  const auto root = ParseConfig(DefaultConfig(nullptr).dump());
  ASSERT_TRUE(root.ok()) << root.error().ToString();
  EXPECT_FALSE(root->HasNew(NamespaceType::kUser));
  EXPECT_EQ(root->process.capabilities->effective,
            uint64_t{1} << 29 | 1 << 5 | 1 << 10);
  IdMaps maps;
  maps.uids = maps.gids = {{0, 1000, 1}};
  const auto user = ParseConfig(DefaultConfig(&maps).dump());
  ASSERT_TRUE(user.ok()) << user.error().ToString();
  ASSERT_EQ(user->uid_mappings.size(), 1u);
  EXPECT_EQ(user->uid_mappings[0].host_id, 1000u);
}

TEST(ParseConfigTest, NamesWhatIsWrong) {
  EXPECT_EQ(Complaint(With("/process/args", "sh")),
            "process.args must be an array");
  EXPECT_EQ(Complaint(With("/process/args/0", 7)),
            "process.args[0] must be a string");
  EXPECT_EQ(Complaint(With("/process/args", Json::array())),
            "process.args names no program");
  EXPECT_EQ(Complaint(With("/process/user/uid", -1)),
            "process.user.uid must be at least 0");
  EXPECT_EQ(Complaint(With("/process/user/uid", 4294967296)),
            "process.user.uid must be at most 4294967295");
  EXPECT_EQ(Complaint(With("/process/user/uid", 4294967295)),
            "process.user has the id 4294967295, which is none");
  EXPECT_EQ(Complaint(With("/process/user/uid", 1.5)),
            "process.user.uid must be a whole number");
  EXPECT_EQ(Complaint(With("/process/cwd", "tmp")),
            "process.cwd must be absolute");
  EXPECT_EQ(Complaint(With("/linux/namespaces/0/type", "mnt")),
            "linux.namespaces[0] has type \"mnt\", which is none");
  EXPECT_EQ(Complaint(With("/linux/maskedPaths", {"/proc/../etc"})),
            "linux.maskedPaths has \"/proc/../etc\", which is not absolute, "
            "or has '..'");
  EXPECT_EQ(Complaint(With("/ociVersion", "2.0.0")),
            "ociVersion \"2.0.0\" is not supported; 1.0 to 1.2 are");
  EXPECT_EQ(Complaint(With("/root/path", std::string("a\0b", 3))),
            "root.path contains a NUL character");
  Json no_root = Minimal();
  no_root.erase("root");
  EXPECT_EQ(Complaint(no_root), "root is missing");
}

TEST(ParseConfigTest, RefusesWhatItHasNotByName) {
  EXPECT_EQ(Complaint(With("/linux/intelRdt/closID", "x")),
            "linux.intelRdt is not supported");
  EXPECT_EQ(Complaint(With("/vm/hypervisor/path", "/x")),
            "vm is not supported");
  EXPECT_EQ(Complaint(With("/linux/namespaces", Json::array())),
            "a container without a mount namespace is not supported");
}

TEST(ParseConfigTest, ProcessorsOfWhatIsExecuted) {
  const auto parsed = [](const char* initial, const char* final) {
    Json config = With("/process/execCPUAffinity/initial", initial);
    config["process"]["execCPUAffinity"]["final"] = final;
    return ParseConfig(config.dump());
  };
  const auto both = parsed("0-3,7", "64,8191");
  ASSERT_TRUE(both.ok()) << both.error().ToString();
  EXPECT_EQ(both->process.exec_affinity->initial, Processors{0x8f});
  const Processors& final = both->process.exec_affinity->final;
  ASSERT_EQ(final.size(), 128u);
  EXPECT_EQ(final[1], 1u);
  EXPECT_EQ(final[127], 1ul << 63);
  EXPECT_FALSE(parsed("", "")->process.exec_affinity.has_value());
  EXPECT_TRUE(parsed("", "1")->process.exec_affinity->initial.empty());
  for (const char* bad :
       {"a", "-1", "1-", "3-1", "1,", ",1", "0 1", "1\n", "8192", "0-99999999",
        "99999999999999999999", "0x1", "+1"})
    EXPECT_EQ(Complaint(With("/process/execCPUAffinity/final", bad)),
              "process.execCPUAffinity.final has \"" + std::string(bad) +
                  "\", which is no list of processors as 0-3,7");
}

TEST(ParseConfigTest, SecurityLabels) {
  Json config = With("/process/apparmorProfile", "docker-default");
  config["process"]["selinuxLabel"] = "system_u:system_r:container_t:s0";
  config["linux"]["mountLabel"] = "system_u:object_r:container_file_t:s0";
  const auto spec = ParseConfig(config.dump());
  ASSERT_TRUE(spec.ok()) << spec.error().ToString();
  EXPECT_EQ(spec->process.apparmor_profile, "docker-default");
  EXPECT_EQ(spec->process.selinux_label, "system_u:system_r:container_t:s0");
  EXPECT_EQ(spec->mount_label, "system_u:object_r:container_file_t:s0");
  EXPECT_EQ(Complaint(With("/process/apparmorProfile", 1)),
            "process.apparmorProfile must be a string");
}

TEST(ParseConfigTest, IgnoresWhatTheSpecificationHasNot) {
  EXPECT_EQ(Complaint(With("/com.example.extra", {{"a", 1}})), "");
}

TEST(ParseConfigTest, FieldsThatNeedOthers) {
  EXPECT_NE(Complaint(With("/hostname", "box")), "");
  EXPECT_NE(Complaint(With("/linux/timeOffsets/monotonic/secs", 5)), "");
  EXPECT_NE(Complaint(With("/linux/namespaces/1/type", "user")), "");
  Json joined = With("/linux/namespaces/0/path", "/run/ns");
  EXPECT_EQ(Complaint(joined), "");
  joined["linux"]["namespaces"].push_back({{"type", "user"}});
  joined["linux"]["uidMappings"] = joined["linux"]["gidMappings"] =
      Json::parse(R"([{"containerID": 0, "hostID": 0, "size": 1}])");
  EXPECT_NE(Complaint(joined), "");
}

TEST(ParseConfigTest, SysctlsOfTheHostAreRefused) {
  EXPECT_NE(Complaint(With("/linux/sysctl/kernel.core_pattern", "|/x")), "");
  EXPECT_NE(Complaint(With("/linux/sysctl/net.ipv4.ip_forward", "1")), "");
  EXPECT_NE(Complaint(With("/linux/sysctl/net.~1..~1kernel", "1")), "");
  Json config = With("/linux/sysctl/net.ipv4.ip_forward", "1");
  config["linux"]["namespaces"].push_back({{"type", "network"}});
  EXPECT_EQ(Complaint(config), "");
}

TEST(ParseConfigTest, BoundedDepthAndSize) {
  std::string deep = R"({"ociVersion":"1.0","x":)";
  deep += std::string(100000, '[') + std::string(100000, ']') + "}";
  EXPECT_EQ(ParseConfig(deep).code(), EINVAL);
  EXPECT_EQ(ParseConfig(std::string(kConfigBytesMax + 1, ' ')).code(), EFBIG);
  EXPECT_EQ(ParseConfig("").code(), EINVAL);
  EXPECT_EQ(ParseConfig("[]").code(), EINVAL);
  EXPECT_EQ(ParseConfig("{\"ociVersion\": \"1.0").code(), EINVAL);
}

TEST(ParseResourcesTest, AllKinds) {
  const auto resources = ParseResources(R"({
    "devices": [{"allow": true, "type": "c", "major": 1, "minor": -1,
                 "access": "rm"}],
    "memory": {"limit": 1048576, "swap": -1},
    "cpu": {"shares": 512, "quota": -1, "period": 100000, "cpus": "0-1"},
    "pids": {"limit": 42},
    "blockIO": {"weight": 10,
                "throttleReadBpsDevice": [{"major": 8, "minor": 0,
                                           "rate": 600}]},
    "hugepageLimits": [{"pageSize": "2MB", "limit": 9223372036854772000}],
    "unified": {"memory.high": "max"}})");
  ASSERT_TRUE(resources.ok()) << resources.error().ToString();
  ASSERT_EQ(resources->devices.size(), 1u);
  EXPECT_EQ(resources->devices[0].major, 1u);
  EXPECT_FALSE(resources->devices[0].minor.has_value());
  EXPECT_EQ(resources->memory_limit_bytes, 1048576);
  EXPECT_EQ(resources->memory_swap_bytes, -1);
  EXPECT_EQ(resources->cpuset_cpus, "0-1");
  EXPECT_EQ(resources->pids_limit, 42);
  EXPECT_EQ(resources->throttle_read_bps[0].value, 600u);
  EXPECT_EQ(resources->hugepage_limits.at("2MB"), 9223372036854772000u);
}

TEST(ParseResourcesTest, NamesThatWouldLeadElsewhere) {
  EXPECT_EQ(ParseResources(R"({"unified": {"../x": "1"}})").code(), EINVAL);
  EXPECT_EQ(
      ParseResources(R"({"hugepageLimits":[{"pageSize":"../2MB","limit":1}]})")
          .code(),
      EINVAL);
  EXPECT_EQ(ParseResources(R"({"memory": {"kernel": 5}})").code(), ENOTSUP);
}

}  // namespace
}  // namespace ufs::runtime
