#include "tools/run/options.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "tools/run/bytes.h"
#include "tools/run/config.h"
#include "tools/run/container_log.h"
#include "tools/run/detach_keys.h"
#include "tools/run/network_files.h"

namespace ufs {
namespace {

TEST(ParseBytes, TakesTheUsualSuffixes) {
  EXPECT_EQ(*ParseBytes("512"), 512);
  EXPECT_EQ(*ParseBytes("4b"), 4);
  EXPECT_EQ(*ParseBytes("2k"), 2048);
  EXPECT_EQ(*ParseBytes("1.5m"), 3 << 19);
  EXPECT_EQ(*ParseBytes("1G"), 1 << 30);
  EXPECT_EQ(*ParseBytes("1GiB"), 1 << 30);
  for (const char* wrong :
       {"", "m", "-1", "0", "1x", "1mm2", "1e400", "nan", "inf", "9e18g"})
    EXPECT_EQ(ParseBytes(wrong).code(), EINVAL) << wrong;
}

TEST(ParseVolume, ReadsAndRefuses) {
  const auto requested = ParseVolume("/tmp:/in/side:ro,z");
  ASSERT_TRUE(requested.ok());
  EXPECT_EQ(requested->volume, "");
  EXPECT_EQ(requested->relabel, RequestedMount::Relabel::kShared);
  const runtime::Mount& mount = requested->mount;
  EXPECT_EQ(mount.source, "/tmp");
  EXPECT_EQ(mount.destination, "/in/side");
  EXPECT_EQ(mount.options,
            (std::vector<std::string>{"rbind", "rprivate", "ro"}));
  EXPECT_TRUE(ParseVolume("/tmp")->anonymous);
  EXPECT_EQ(ParseVolume("na,me:/x").code(), EINVAL);
  EXPECT_EQ(ParseVolume("/tmp:/x:nocopy").code(), EINVAL);
  EXPECT_EQ(ParseVolume("/tmp:x").code(), EINVAL);
  EXPECT_EQ(ParseVolume("/tmp:/").code(), EINVAL);
  EXPECT_EQ(ParseVolume("/tmp:/x:odd").code(), EINVAL);
  EXPECT_EQ(ParseVolume("/tmp:/x:ro:rw").code(), EINVAL);
  EXPECT_EQ(ParseVolume("/tmp:/x:z,Z").code(), EINVAL);
  EXPECT_EQ(ParseVolume("/none/such:/x").code(), ENOENT);
}

TEST(ParseVolume, TakesNames) {
  for (const auto& requested :
       {ParseVolume("data:/x:ro,nocopy"),
        ParseMountOption("type=volume,src=data,dst=/x,volume-nocopy,ro")}) {
    ASSERT_TRUE(requested.ok());
    EXPECT_EQ(requested->volume, "data");
    EXPECT_FALSE(requested->fill);
    EXPECT_TRUE(requested->mount.source.ends_with("/volumes/data/_data"));
    EXPECT_EQ(requested->mount.options,
              (std::vector<std::string>{"rbind", "rprivate", "ro"}));
  }
  EXPECT_TRUE(ParseVolume("data:/x")->fill);
}

TEST(ParseMountOption, ReadsAndRefuses) {
  const auto requested =
      ParseMountOption("type=tmpfs,dst=/t,tmpfs-size=1m,readonly");
  ASSERT_TRUE(requested.ok());
  EXPECT_EQ(requested->mount.type, "tmpfs");
  EXPECT_EQ(requested->mount.options.back(), "ro");
  EXPECT_TRUE(ParseMountOption("type=volume,dst=/x")->anonymous);
  EXPECT_EQ(ParseMountOption("type=image,src=x,dst=/x").code(), ENOTSUP);
  EXPECT_EQ(ParseMountOption("type=bind,src=/tmp,dst=/x,odd=1").code(), EINVAL);
  EXPECT_EQ(ParseMountOption("type=bind,src=/tmp").code(), EINVAL);
}

TEST(ParseMountOption, WithoutATypeIsAVolume) {
  EXPECT_EQ(ParseMountOption("src=data,dst=/x")->volume, "data");
  EXPECT_TRUE(ParseMountOption("dst=/x")->anonymous);
  for (const char* wrong : {"src=/tmp,dst=/x", "type=volume,src=./a,dst=/x"}) {
    const auto refused = ParseMountOption(wrong);
    ASSERT_EQ(refused.code(), EINVAL) << wrong;
    EXPECT_NE(refused.error().context().find("type=bind"),
              std::string_view::npos);
  }
}

TEST(AddImageVolumes, LeavesOutWhereSomethingIs) {
  std::vector<RequestedMount> mounts;
  mounts.push_back(*ParseVolume("data:/there/"));
  mounts.push_back(*ParseTmpfs("/tmp"));
  ASSERT_TRUE(AddImageVolumes({"/a//b/", "/there", "c", "tmp"}, mounts).ok());
  ASSERT_EQ(mounts.size(), 4U);
  EXPECT_EQ(mounts[2].mount.destination, "/a/b");
  EXPECT_EQ(mounts[3].mount.destination, "/c");
  EXPECT_EQ(mounts[2].volume.size(), 64U);
  EXPECT_NE(mounts[2].volume, mounts[3].volume);
  EXPECT_EQ(AddImageVolumes({"/"}, mounts).code(), EINVAL);
  EXPECT_EQ(AddImageVolumes({"/.."}, mounts).code(), EINVAL);
}

std::string Ports(const char* text) {
  std::string all;
  const auto ports = ParsePublish(text);
  if (!ports.ok()) return "refused";
  for (const PublishedPort& port : *ports) all += port.ToString() + " ";
  return all;
}

TEST(ParsePublish, ReadsAndRefuses) {
  EXPECT_EQ(Ports("8080:80"), "0.0.0.0:8080->80/tcp ");
  EXPECT_EQ(Ports("127.0.0.1:53:5353/udp"), "127.0.0.1:53->5353/udp ");
  EXPECT_EQ(Ports("[::1]:80:81/tcp"), "[::1]:80->81/tcp ");
  EXPECT_EQ(Ports("8000-8001:80-81"),
            "0.0.0.0:8000->80/tcp 0.0.0.0:8001->81/tcp ");
  EXPECT_EQ(Ports("80"), "0.0.0.0:0->80/tcp ");
  EXPECT_EQ(Ports("127.0.0.1::80-81/udp"),
            "127.0.0.1:0->80/udp 127.0.0.1:0->81/udp ");
  for (const char* wrong :
       {"", ":80", "80:", "a:80", "0:80", "80:65536", "80:80/sctp", "x:80:80",
        "::80", "80/sctp", "0", "1-2:1-3", "2-1:1-2", "80:80:", "-1:80"})
    EXPECT_EQ(Ports(wrong), "refused") << wrong;
}

TEST(AddExposed, LeavesOutWhatIsPublished) {
  auto ports = *ParsePublish("8080:80");
  ASSERT_TRUE(AddExposed({"80/tcp", "80/udp", "90-91"}, ports).ok());
  std::string all;
  for (const PublishedPort& port : ports) all += port.ToString() + " ";
  EXPECT_EQ(all,
            "0.0.0.0:8080->80/tcp 0.0.0.0:0->80/udp 0.0.0.0:0->90/tcp "
            "0.0.0.0:0->91/tcp ");
  for (const char* wrong : {"", "0", "80/sctp", "a", "1:2", "2-1"})
    EXPECT_EQ(AddExposed({wrong}, ports).code(), EINVAL) << wrong;
}

TEST(PickPorts, FindsDifferentFreeOnes) {
  auto ports = *ParsePublish("127.0.0.1::80-89");
  ports.push_back(ParsePublish("127.0.0.1:7:7")->front());
  ASSERT_TRUE(PickPorts(ports).ok());
  EXPECT_EQ(ports.back().host, 7);
  std::set<uint16_t> picked;
  for (const PublishedPort& port : ports) picked.insert(port.host);
  EXPECT_EQ(picked.size(), 11u);
  EXPECT_EQ(picked.count(0), 0u);
}

TEST(AddEnvironment, LaterOnesReplaceEarlierOnes) {
  std::vector<std::string> env = {"A=1", "AB=2"};
  ASSERT_TRUE(AddEnvironment("A=3=4", env).ok());
  EXPECT_EQ(env, (std::vector<std::string>{"AB=2", "A=3=4"}));
  ASSERT_TRUE(AddEnvironment("UFS_NO_SUCH_VARIABLE", env).ok());
  EXPECT_EQ(env.size(), 2U);
  EXPECT_EQ(AddEnvironment("=x", env).code(), EINVAL);
}

TEST(MakeResolvConf, ReplacesWhatWasAskedFor) {
  const std::string text =
      "# ours\nnameserver 192.0.2.1\nsearch a b\ndomain c\noptions x";
  RunOptions options;
  EXPECT_EQ(MakeResolvConf(text, options), text + "\n");
  options.dns = {"192.0.2.2", "::1"};
  EXPECT_EQ(MakeResolvConf(text, options),
            "# ours\nsearch a b\ndomain c\noptions x\n"
            "nameserver 192.0.2.2\nnameserver ::1\n");
  options.dns = {};
  options.dns_search = {"."};
  options.dns_options = {"ndots:2", "y"};
  EXPECT_EQ(MakeResolvConf(text, options),
            "# ours\nnameserver 192.0.2.1\noptions ndots:2 y\n");
}

TEST(ParseAddHost, TakesBothKinds) {
  EXPECT_EQ(*ParseAddHost("a:192.0.2.1"), "192.0.2.1\ta");
  EXPECT_EQ(*ParseAddHost("a=::1"), "::1\ta");
  EXPECT_EQ(*ParseAddHost("a:[::1]"), "::1\ta");
  EXPECT_EQ(*ParseAddHost("a:host-gateway"), "host-gateway\ta");
  for (const char* wrong : {"", "a", "a:", ":::1", "a:b", "a b:::1"})
    EXPECT_EQ(ParseAddHost(wrong).code(), EINVAL) << wrong;
}

TEST(CapabilitiesOf, AddsAndDrops) {
  EXPECT_EQ(CapabilitiesOf({}, {}).size(), 14U);
  EXPECT_EQ(CapabilitiesOf({"net_admin"}, {"ALL"}),
            (std::vector<std::string>{"CAP_NET_ADMIN"}));
  EXPECT_EQ(CapabilitiesOf({}, {"cap_chown"}).size(), 13U);
}

TEST(CommandOf, PutsEntryPointAndCommandTogether) {
  using Words = std::vector<std::string>;
  ImageConfig image;
  image.entrypoint = {"entry"};
  image.cmd = {"default"};
  RunOptions options;
  EXPECT_EQ(*CommandOf(options, image), (Words{"entry", "default"}));
  options.command = {"mine"};
  EXPECT_EQ(*CommandOf(options, image), (Words{"entry", "mine"}));
  options.entrypoint = "other";
  EXPECT_EQ(*CommandOf(options, image), (Words{"other", "mine"}));
  options.entrypoint = "";
  options.command = {};
  EXPECT_EQ(CommandOf(options, image).code(), EINVAL);
}

TEST(DetachKeys, AreFoundAcrossReads) {
  EXPECT_EQ(*ParseDetachKeys("ctrl-p,ctrl-q"), "\x10\x11");
  EXPECT_EQ(*ParseDetachKeys("a,ctrl-@"), std::string("a\0", 2));
  EXPECT_EQ(*ParseDetachKeys(""), "");
  EXPECT_EQ(ParseDetachKeys("ctrl-!").code(), EINVAL);
  EXPECT_EQ(ParseDetachKeys("ab").code(), EINVAL);

  DetachKeys keys("\x10\x11");
  EXPECT_EQ(keys.Filter("ls\x10"), "ls");
  EXPECT_EQ(keys.Filter("x"), "\x10x");
  EXPECT_EQ(keys.Filter("\x10\x10"), "\x10");
  EXPECT_FALSE(keys.detached());
  EXPECT_EQ(keys.Filter("\x11rest"), "");
  EXPECT_TRUE(keys.detached());
}

TEST(DetachKeys, NoneMeansNever) {
  DetachKeys keys("");
  EXPECT_EQ(keys.Filter("\x10\x11"), "\x10\x11");
  EXPECT_FALSE(keys.detached());
}

TEST(ParseLogLine, ReadsWhatTheLogWrites) {
  const auto line = ParseLogLine("2026-01-01T00:00:00Z stderr P some text");
  ASSERT_TRUE(line.has_value());
  EXPECT_EQ(line->time, "2026-01-01T00:00:00Z");
  EXPECT_TRUE(line->errors);
  EXPECT_TRUE(line->partial);
  EXPECT_EQ(line->text, "some text");
  EXPECT_TRUE(ParseLogLine("t stdout F ").has_value());
  for (const char* wrong : {"", "t", "t stdin F x", "t stdout X x", "t stdout"})
    EXPECT_FALSE(ParseLogLine(wrong).has_value()) << wrong;
}

}  // namespace
}  // namespace ufs
