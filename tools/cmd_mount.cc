// ufs mount, and the same under the names of mount(8)'s helper and of
// fuse-overlayfs.
#include <unistd.h>

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "fs/mount_options.h"
#include "layerdb/base/fault.h"
#include "tools/command.h"
#include "tools/mount_union.h"
#include "tools/output.h"
#include "tools/remount.h"

namespace ufs {
namespace {

using Strings = std::vector<std::string>;

constexpr char kDescription[] =
    "Mounts a union of LAYERs, the bottom one first, at the directory "
    "MOUNTPOINT.\n"
    "A LAYER with a slash in it is the path of a directory. Without, it is a "
    "layer\n"
    "of the store, by name[:tag], digest or the first digits of one, or else "
    "a\n"
    "directory here.\n"
    "All changes go to one upper directory; the layers stay as they are. "
    "Without\n"
    "--upper a fresh upper is made under the state directory (/var/lib/ufs for "
    "root,\n"
    "~/.local/share/ufs else), its path is printed, and it stays after the "
    "unmount.\n"
    "Layers named by -o lowerdir= without an upperdir= make a read-only union, "
    "as\n"
    "with overlayfs.";

std::string MountFooter() {
  return "Mount options (-o), as of overlayfs and fuse-overlayfs:\n" +
         DescribeMountOptions() +
         "\n"
         "Environment:\n"
         "  UFS_FAULT=POINT:ACTION[:NTH]  for tests: what to do at a fault "
         "point\n"
         "                                (see --list-fault-points)\n"
         "\n"
         "Examples:\n"
         "  ufs mount base app /mnt\n"
         "  ufs mount --upper changes base app /mnt\n"
         "  ufs mount --ro base app /mnt\n"
         "  ufs mount debian:12 ./app /mnt    a layer of the store below a "
         "directory\n"
         "  ufs mount -o lowerdir=app:base,upperdir=up,workdir=wk /mnt\n"
         "  mount -t fuse.ufs ufs /mnt -o lowerdir=/app:/base\n"
         "  fstab: ufs /mnt fuse.ufs lowerdir=/app:/base,upperdir=/up 0 0\n"
         "\n"
         "See also: ufs umount, ufs stat, ufs diff\n";
}

// What the arguments of `ufs mount` say, word for word.
struct MountArguments {
  Strings paths;  // layers and mount point
  Strings options;
  std::string upper;
  std::string work;
  std::string store;
  bool read_only = false;
  bool foreground = false;
  bool debug = false;
  bool list_fault_points = false;
};

void Declare(ArgumentParser& parser, MountArguments& arguments) {
  parser.add_option("paths", arguments.paths);
  parser.add_option("-o", arguments.options, "Mount options, listed below")
      ->type_name("OPTION[,OPTION...]")
      ->repeatable();
  parser
      .add_option("--upper", arguments.upper,
                  "Takes all changes; made if missing")
      ->type_name("DIR");
  parser
      .add_option("--work", arguments.work,
                  "Work directory (default: UPPER.work); made if missing")
      ->type_name("DIR");
  parser
      .add_option("--store", arguments.store,
                  "Where layers with a name are (default: $UFS_STORE, else the "
                  "state directory)")
      ->type_name("DIR");
  parser.add_flag("--ro", arguments.read_only,
                  "Read-only, with no fresh upper");
  parser.add_flag("-f,--foreground", arguments.foreground,
                  "Stay in the foreground until unmounted");
  parser.add_flag("-d,--debug", arguments.debug,
                  "Print each message from the kernel; implies -f");
  parser.add_flag("--list-fault-points", arguments.list_fault_points,
                  "Print the points and actions UFS_FAULT takes, and exit");
}

int ListFaultPoints() {
  for (const FaultPoint* point : FaultPoint::All())
    std::printf("%s %s\n", point->name(),
                point->may_fail() ? "kill|ERRNO|sleep=MS" : "kill|sleep=MS");
  return FinishOutput("ufs mount");
}

Error Usage(std::string message) { return Error(EINVAL, std::move(message)); }

// Puts arguments and options together; EINVAL for what contradicts itself.
Status Combine(MountArguments& arguments, MountRequest& request) {
  UnionConfig& config = request.options.config;
  if (arguments.paths.empty()) return Usage("no mount point given");
  request.options.mount.mountpoint = arguments.paths.back();
  arguments.paths.pop_back();

  const bool has_layers = !arguments.paths.empty();
  if (request.options.remount) {
    if (has_layers || !arguments.upper.empty() || !arguments.work.empty())
      return Usage("a remount takes a mount point and -o options alone");
    if (arguments.read_only) request.options.read_only_given = true;
    return Ok();
  }
  if (has_layers && request.options.has_lowerdir)
    return Usage(
        "layers are given both as arguments and as -o lowerdir=; "
        "choose one");
  if (!has_layers && !request.options.has_lowerdir)
    return Usage("no layer given");
  if (has_layers) config.layers = std::move(arguments.paths);

  request.store = arguments.store;
  if (!arguments.upper.empty()) {
    if (config.upper)
      return Usage(
          "the upper is given both as --upper and as -o upperdir=; "
          "choose one");
    config.upper = arguments.upper;
    request.make_upper = true;
  }
  if (!arguments.work.empty()) {
    if (config.work)
      return Usage(
          "the work directory is given both as --work and as -o "
          "workdir=; choose one");
    if (!config.upper) return Usage("--work without an upper; name it too");
    config.work = arguments.work;
    request.make_work = true;
  }
  if (arguments.read_only) {
    config.read_only = true;
    request.options.mount.read_only = true;
  }
  request.options.foreground |= arguments.foreground || arguments.debug;
  request.options.mount.debug |= arguments.debug;
  request.fresh_upper = has_layers && !config.upper && !config.read_only;
  return Ok();
}

Result<MountOptions> ParseOptions(const Strings& texts, UnknownOption unknown) {
  MountOptionParser parser(unknown);
  for (const std::string& text : texts) TRY(parser.Add(text));
  return std::move(parser).Finish();
}

}  // namespace

int RunMount(int argc, char** argv) {
  constexpr char kWho[] = "ufs mount";
  ArgumentParser parser(kWho,
                        "ufs mount [options] LAYER... MOUNTPOINT\n"
                        "       ufs mount [options] -o lowerdir=TOP:...:BOTTOM "
                        "MOUNTPOINT",
                        kDescription, MountFooter);
  MountArguments arguments;
  Declare(parser, arguments);
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (arguments.list_fault_points) return ListFaultPoints();

  const auto usage = [&](const Error& error) {
    return Complain(kWho,
                    std::string(error.context()) + "; see 'ufs mount --help'",
                    kExitUsage);
  };
  auto options = ParseOptions(arguments.options, UnknownOption::kRefuse);
  if (!options.ok())
    return Complain(kWho, options.error().context(), kExitUsage);
  MountRequest request;
  request.options = std::move(options).value();
  request.who = kWho;
  request.failure_code = kExitFailure;
  if (auto combined = Combine(arguments, request); !combined.ok())
    return usage(combined.error());
  if (request.options.remount) return RemountUnion(request);
  return MountUnion(std::move(request));
}

// mount(8) calls "mount.fuse.ufs SPEC DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS]
// [-t TYPE]" and knows these exit codes, see "External helpers" in mount(8).
int RunMountHelper(int argc, char** argv) {
  constexpr char kWho[] = "mount.fuse.ufs";
  constexpr int kUsage = 1;
  constexpr int kMountFailure = 32;
  bool sloppy = false;
  bool fake = false;
  Strings options;
  int option = 0;
  while ((option = getopt(argc, argv, "sfnvo:t:N:")) != -1) {
    switch (option) {
      case 's':
        sloppy = true;
        break;
      case 'f':
        fake = true;
        break;
      case 'n':  // there is no mtab to leave alone
      case 'v':
      case 't':
      case 'N':  // mount(8) has entered the namespace
        break;
      case 'o':
        options.push_back(optarg);
        break;
      default:
        return kUsage;  // getopt has said why
    }
  }
  if (argc - optind != 2)
    return Complain(kWho,
                    "usage: mount.fuse.ufs SPEC DIR [-sfnv] [-o OPTIONS] "
                    "[-t TYPE]; meant to be called by mount(8)",
                    kUsage);

  MountRequest request;
  request.who = kWho;
  request.failure_code = kMountFailure;
  auto parsed = ParseOptions(
      options, sloppy ? UnknownOption::kIgnore : UnknownOption::kRefuse);
  if (!parsed.ok()) return Complain(kWho, parsed.error().context(), kUsage);
  request.options = std::move(parsed).value();
  if (!request.options.has_lowerdir && !request.options.remount)
    return Complain(kWho, "no layer given; use -o lowerdir=DIR[:DIR...]",
                    kUsage);
  if (request.options.mount.source == MountConfig().source)
    request.options.mount.source = argv[optind];
  request.options.mount.mountpoint = argv[optind + 1];
  if (fake) return kExitOk;
  if (request.options.remount) return RemountUnion(request);
  return MountUnion(std::move(request));
}

namespace {

constexpr char kFuseOverlayfs[] = "fuse-overlayfs";

void PrintFuseOverlayfsHelp() {
  std::printf(
      "usage: fuse-overlayfs [-f] [-d|--debug] [-o OPTION[,OPTION...]] "
      "MOUNTPOINT\n"
      "\n"
      "This is ufs under the name of fuse-overlayfs.\n"
      "\n"
      "  -f             stay in the foreground\n"
      "  -d, --debug    print each message from the kernel; implies -f\n"
      "  -V, --version  print the version and exit\n"
      "  -h, --help     print this and exit\n"
      "\n"
      "Options (-o):\n%s",
      DescribeMountOptions().c_str());
}

struct FuseOverlayfsArguments {
  Strings options;
  std::string mountpoint;
  bool foreground = false;
  bool debug = false;
  bool help = false;
  bool version = false;
  Strings unknown;
};

// As fuse-overlayfs reads them: options in any place, "-o X" and "-oX", the
// last plain word is the mount point, what is unknown is ignored.
Result<FuseOverlayfsArguments> ReadFuseOverlayfsArguments(int argc,
                                                          char** argv) {
  FuseOverlayfsArguments read;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "-f") {
      read.foreground = true;
    } else if (word == "-d" || word == "--debug") {
      read.debug = true;
    } else if (word == "-h" || word == "--help") {
      read.help = true;
    } else if (word == "-V" || word == "--version") {
      read.version = true;
    } else if (word == "-s") {
      read.options.push_back("threaded=0");
    } else if (word == "-o") {
      if (++i == argc) return Error(EINVAL, "-o needs an argument");
      read.options.push_back(argv[i]);
    } else if (word.starts_with("-o")) {
      read.options.push_back(argv[i] + 2);
    } else if (word.starts_with("-")) {
      read.unknown.push_back(argv[i]);
    } else {
      read.mountpoint = word;
    }
  }
  return read;
}

// What fuse-overlayfs mounts with unless told otherwise.
Strings FuseOverlayfsDefaults() {
  const char* const flags =
      geteuid() == 0 ? "allow_other,suid,noatime" : "noatime";
  return {"fsname=fuse-overlayfs,subtype=fuse-overlayfs", flags};
}

}  // namespace

int RunFuseOverlayfs(int argc, char** argv) {
  auto read = ReadFuseOverlayfsArguments(argc, argv);
  if (!read.ok())
    return Complain(kFuseOverlayfs, read.error().context(), kExitFailure);
  if (read->help) {
    PrintFuseOverlayfsHelp();
    return FinishOutput(kFuseOverlayfs);
  }
  if (read->version) {
    std::printf("fuse-overlayfs: version ufs %s\n", UFS_VERSION);
    return FinishOutput(kFuseOverlayfs);
  }

  Strings texts = FuseOverlayfsDefaults();
  texts.insert(texts.end(), read->options.begin(), read->options.end());
  auto options = ParseOptions(texts, UnknownOption::kIgnore);
  if (!options.ok())
    return Complain(kFuseOverlayfs, options.error().context(), kExitFailure);
  for (const std::string& word : read->unknown)
    options->notes.push_back("unknown argument ignored: " + word);
  if (read->mountpoint.empty())
    return Complain(kFuseOverlayfs, "no mountpoint specified", kExitFailure);
  if (!options->has_lowerdir && !options->remount)
    return Complain(kFuseOverlayfs,
                    "no lowerdir specified; use -o lowerdir=", kExitFailure);

  MountRequest request;
  request.who = kFuseOverlayfs;
  request.failure_code = kExitFailure;
  request.options = std::move(options).value();
  request.options.mount.mountpoint = read->mountpoint;
  request.options.foreground |= read->foreground || read->debug;
  request.options.mount.debug |= read->debug;
  if (request.options.remount) return RemountUnion(request);
  return MountUnion(std::move(request));
}

}  // namespace ufs
