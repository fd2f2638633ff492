// Device nodes, fifos and sockets.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <thread>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

using Special = UnionTest;

TEST_F(Special, MknodMakesEveryKind) {
  Mount({Tree().Dir("d")});
  EXPECT_OK(mknod("d/reg", S_IFREG | 0640, 0));
  EXPECT_OK(mknod("d/fifo", S_IFIFO | 0620, 0));
  EXPECT_OK(mknod("d/sock", S_IFSOCK | 0600, 0));
  EXPECT_EQ(Stat("d/reg").st_mode, S_IFREG | 0640u);
  EXPECT_EQ(Stat("d/fifo").st_mode, S_IFIFO | 0600u);
  EXPECT_EQ(Stat("d/sock").st_mode, S_IFSOCK | 0600u);
  EXPECT_ERRNO(EPERM, mknod("d/dir", S_IFDIR | 0755, 0));
  EXPECT_ERRNO(EINVAL, mknod("d/link", S_IFLNK | 0777, 0));
  Remount();
  EXPECT_EQ(List("d"), (Names{"fifo", "reg", "sock"}));
  EXPECT_TRUE(S_ISFIFO(Stat("d/fifo").st_mode));
  EXPECT_TRUE(S_ISSOCK(Stat("d/sock").st_mode));
}

TEST_F(Special, DeviceNodesKeepTheirNumbers) {
  NEEDS_REAL_ROOT("mknod of devices is refused by the kernel");
  Mount(
      {Tree().CharDevice("null", 1, 3).BlockDevice("disk", 7, 200).Mode(0660)});
  EXPECT_OK(mknod("zero", S_IFCHR | 0666, makedev(1, 5)));
  EXPECT_OK(mknod("big", S_IFBLK | 0600, makedev(4000, 1000000)));
  EXPECT_EQ(Stat("null").st_rdev, makedev(1, 3));
  EXPECT_TRUE(S_ISBLK(Stat("disk").st_mode));
  EXPECT_OK(chmod("null", 0600));
  Remount();
  EXPECT_EQ(Stat("null").st_rdev, makedev(1, 3));
  EXPECT_EQ(Mode("null"), 0600u);
  EXPECT_EQ(Stat("disk").st_rdev, makedev(7, 200));
  EXPECT_EQ(Mode("disk"), 0660u);
  EXPECT_EQ(Stat("zero").st_rdev, makedev(1, 5));
  EXPECT_EQ(Stat("big").st_rdev, makedev(4000, 1000000));
}

TEST_F(Special, DeviceNodesWork) {
  NEEDS_REAL_ROOT("devices do not work on mounts of a user namespace");
  Mount({Tree().CharDevice("null", 1, 3)});
  EXPECT_OK(mknod("zero", S_IFCHR | 0666, makedev(1, 5)));
  EXPECT_EQ(ReadFile("null"), "");
  UniqueFd fd = Open("zero", O_RDONLY);
  char byte = 'x';
  EXPECT_EQ(read(fd.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 0);
}

TEST_F(Special, NodevKeepsDevicesShut) {
  NEEDS_REAL_ROOT("devices do not work on mounts of a user namespace");
  Mount({Tree().CharDevice("null", 1, 3)}, "nodev");
  EXPECT_ERRNO(EACCES, open("null", O_RDONLY));
  EXPECT_EQ(Stat("null").st_rdev, makedev(1, 3));
}

TEST_F(Special, ACharDevice00OfAUserIsNoSecretDeletion) {
  SKIP_ON_OVERLAY("such a node is a whiteout; mknod fails");
  Mount({Tree().File("f", "x")});
  EXPECT_ERRNO(EEXIST, mknod("f", S_IFCHR | 0600, makedev(0, 0)));
  EXPECT_EQ(ReadFile("f"), "x");
  // The node may be kept or refused, but then it is a node or nothing.
  if (mknod("n", S_IFCHR | 0600, makedev(0, 0)) == 0) {
    EXPECT_TRUE(S_ISCHR(Stat("n").st_mode));
    EXPECT_EQ(List("."), (Names{"f", "n"}));
    EXPECT_OK(unlink("n"));
  } else {
    EXPECT_EQ(ErrnoName(errno), "EPERM");
  }
  EXPECT_EQ(List("."), Names{"f"});
}

TEST_F(Special, AFifoOfALowerLayerCarriesData) {
  Mount({Tree().Fifo("p").Mode(0600)});
  EXPECT_OK(mkfifo("q", 0600));
  for (const char* name : {"p", "q"}) {
    std::thread writer([name] {
      UniqueFd out(open(name, O_WRONLY));
      EXPECT_EQ(write(out.get(), "through", 7), 7);
    });
    UniqueFd in = Open(name, O_RDONLY);
    char buffer[16] = {};
    EXPECT_EQ(read(in.get(), buffer, sizeof buffer), 7);
    EXPECT_STREQ(buffer, "through");
    writer.join();
  }
}

TEST_F(Special, AFifoStaysOneOverCopyUp) {
  Mount({Tree().Fifo("p").Mode(0600)});
  UniqueFd reader = Open("p", O_RDONLY | O_NONBLOCK);
  EXPECT_OK(chmod("p", 0644));
  EXPECT_OK(rename("p", "q"));
  UniqueFd writer = Open("q", O_WRONLY | O_NONBLOCK);
  EXPECT_EQ(write(writer.get(), "same pipe", 9), 9);
  char buffer[16] = {};
  EXPECT_EQ(read(reader.get(), buffer, sizeof buffer), 9);
  EXPECT_STREQ(buffer, "same pipe");
}

class Server {
 public:
  explicit Server(const char* path) : fd_(socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address = AddressOf(path);
    EXPECT_OK(
        bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address));
    EXPECT_OK(listen(fd_.get(), 1));
  }
  static sockaddr_un AddressOf(const char* path) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    return address;
  }
  static int Connect(int fd, const char* path) {
    sockaddr_un address = AddressOf(path);
    return connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
  }

 private:
  UniqueFd fd_;
};

TEST_F(Special, SocketsBindAndConnect) {
  Mount({Tree().Dir("run")});
  Server server("run/socket");
  UniqueFd client(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_OK(Server::Connect(client.get(), "run/socket"));
  EXPECT_TRUE(S_ISSOCK(Stat("run/socket").st_mode));
}

TEST_F(Special, ASocketKeepsItsServerOverChmodAndRename) {
  Mount({Tree().Dir("run")});
  Server server("run/socket");
  EXPECT_OK(chmod("run/socket", 0600));
  EXPECT_OK(rename("run/socket", "run/moved"));
  UniqueFd client(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_OK(Server::Connect(client.get(), "run/moved"));
}

TEST_F(Special, AnAbandonedSocketOfALowerLayerRefuses) {
  NEEDS_DIRECTORY_LAYERS("they hold no sockets");
  Mount({Tree().Socket("socket")});
  UniqueFd client(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_ERRNO(ECONNREFUSED, Server::Connect(client.get(), "socket"));
  EXPECT_ERRNO(ENXIO, open("socket", O_RDONLY));
  sockaddr_un address = Server::AddressOf("socket");
  UniqueFd second(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_ERRNO(EADDRINUSE,
               bind(second.get(), reinterpret_cast<sockaddr*>(&address),
                    sizeof address));
  EXPECT_OK(unlink("socket"));
  EXPECT_OK(bind(second.get(), reinterpret_cast<sockaddr*>(&address),
                 sizeof address));
}

TEST_F(Special, NodesTakeNoUserXattrs) {
  Mount({Tree().Fifo("p").Symlink("l", "p")});
  EXPECT_ERRNO(EPERM, setxattr("p", "user.x", "1", 1, 0));
  EXPECT_ERRNO(EPERM, lsetxattr("l", "user.x", "1", 1, 0));
}

TEST_F(Special, NodesCanBeLinkedMovedAndRemoved) {
  NEEDS_DIRECTORY_LAYERS("they hold no sockets");
  Mount({Tree().Fifo("p").Socket("s")});
  for (const char* name : {"p", "s"}) {
    const ino_t ino = Ino(name);
    EXPECT_OK(link(name, "link"));
    EXPECT_EQ(Ino("link"), ino);
    EXPECT_EQ(Stat(name).st_nlink, 2u);
    EXPECT_OK(rename("link", "moved"));
    EXPECT_OK(unlink(name));
    EXPECT_EQ(Ino("moved"), ino);
    EXPECT_OK(unlink("moved"));
  }
  Remount();
  EXPECT_EQ(List("."), Names{});
}

}  // namespace
}  // namespace ufs::test
