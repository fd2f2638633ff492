#include "fs/mount_options.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <initializer_list>
#include <iterator>
#include <utility>

#include "fs/option_text.h"
#include "layerdb/base/privilege.h"
#include "layerdb/base/selinux.h"

namespace ufs {
namespace {

using State = MountOptionParser::State;

enum class Argument { kNone, kRequired, kOptional };

struct Option {
  std::string_view name;
  Argument argument;
  Status (*apply)(State&, const OptionText&);
  const char* help;  // "VALUE  what it does"; null: not worth a line
};

Error BadValue(const OptionText& option, const std::string& expected) {
  return Error(EINVAL, "option '" + option.name + "=" + option.value +
                           "': expected " + expected);
}

Error Refused(const OptionText& option, const std::string& why) {
  return Error(EOPNOTSUPP, "option '" + option.name +
                               (option.has_value ? "=" + option.value : "") +
                               "': " + why);
}

// --- values ----------------------------------------------------------------

template <typename T>
using Choices = std::initializer_list<std::pair<std::string_view, T>>;

template <typename T>
Result<T> Choose(const OptionText& option, Choices<T> choices) {
  std::string expected;
  for (const auto& [word, value] : choices) {
    if (option.value == word) return value;
    expected += (expected.empty() ? "" : ", ") + std::string(word);
  }
  return BadValue(option, "one of " + expected);
}

Result<bool> OnOrOff(const OptionText& option) {
  return Choose<bool>(option, {{"on", true}, {"off", false}});
}

Result<bool> OneOrZero(const OptionText& option) {
  return Choose<bool>(option, {{"1", true}, {"0", false}});
}

Result<uint32_t> Number(const OptionText& option) {
  uint32_t number = 0;
  const char* const end = option.value.data() + option.value.size();
  const auto parsed = std::from_chars(option.value.data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end)
    return BadValue(option, "a whole number");
  return number;
}

Result<std::chrono::milliseconds> Seconds(const OptionText& option) {
  constexpr double kLongest = 3e9;  // a century; fuse-overlayfs's default fits
  double seconds = 0;
  const char* const end = option.value.data() + option.value.size();
  const auto parsed = std::from_chars(option.value.data(), end, seconds);
  if (parsed.ec != std::errc() || parsed.ptr != end || !(seconds >= 0))
    return BadValue(option, "a number of seconds, 0 or more");
  return std::chrono::milliseconds(
      std::llround(std::min(seconds, kLongest) * 1000));
}

Result<std::string> Path(const OptionText& option) {
  std::string path = Unescape(option.value);
  if (path.empty()) return BadValue(option, "a directory");
  return path;
}

// --- layers ----------------------------------------------------------------

Status ApplyLowerdir(State& state, const OptionText& option) {
  std::vector<std::string> parts = SplitLowerdir(option.value);
  for (size_t i = 0; i < parts.size(); ++i) {
    if (!parts[i].empty()) continue;
    if (i > 0 && i + 1 < parts.size())
      return Refused(option, "data-only layers ('::') are not supported");
    return BadValue(option, "directories between the colons");
  }
  state.lowerdirs = std::move(parts);
  state.has_lowerdir = true;
  return Ok();
}

// As fsconfig(2) takes them: one at a time, top to bottom, colons plain.
Status ApplyLowerdirPlus(State& state, const OptionText& option) {
  state.lowerdirs.push_back(TRY(Path(option)));
  state.has_lowerdir = true;
  return Ok();
}

Status ApplyUpperdir(State& state, const OptionText& option) {
  state.config.upper = TRY(Path(option));
  return Ok();
}

Status ApplyWorkdir(State& state, const OptionText& option) {
  state.config.work = TRY(Path(option));
  return Ok();
}

// --- behaviour of the union ------------------------------------------------

Status ApplyRedirectDir(State& state, const OptionText& option) {
  // "off" follows existing redirects, as overlayfs does unless its module
  // parameter redirect_always_follow says otherwise.
  state.config.redirect_dir =
      TRY(Choose<RedirectDir>(option, {{"on", RedirectDir::kOn},
                                       {"follow", RedirectDir::kFollow},
                                       {"off", RedirectDir::kFollow},
                                       {"nofollow", RedirectDir::kNoFollow}}));
  state.redirect_dir_was_given = true;
  return Ok();
}

Status ApplyMetacopy(State& state, const OptionText& option) {
  state.config.metacopy = TRY(OnOrOff(option));
  state.metacopy_was_given = true;
  return Ok();
}

Status ApplyPartial(State& state, const OptionText& option) {
  state.config.partial = TRY(OnOrOff(option));
  state.partial_was_given = true;
  return Ok();
}

Status ApplyVerify(State& state, const OptionText& option) {
  state.config.verify = TRY(OnOrOff(option));
  return Ok();
}

// Hard links stay hard links, which "on" promises and "off" does not forbid.
Status ApplyIndex(State&, const OptionText& option) {
  TRY(OnOrOff(option));
  return Ok();
}

// Numbers are stable and alike on all layers in every mode, which is what "on"
// promises and "off" does not forbid.
Status ApplyXino(State&, const OptionText& option) {
  TRY(Choose<int>(option, {{"on", 0}, {"auto", 0}, {"off", 0}}));
  return Ok();
}

Status ApplyNfsExport(State&, const OptionText& option) {
  if (TRY(OnOrOff(option)))
    return Refused(option,
                   "file handles do not outlive the mount, so it cannot be "
                   "exported; leave the option out");
  return Ok();
}

Status ApplyVerity(State&, const OptionText& option) {
  if (TRY(Choose<int>(option, {{"off", 0}, {"on", 1}, {"require", 1}})) != 0)
    return Refused(option,
                   "fs-verity digests of layers are not checked; leave the "
                   "option out");
  return Ok();
}

Status ApplyUuid(State&, const OptionText& option) {
  if (TRY(Choose<int>(option,
                      {{"auto", 0}, {"null", 0}, {"off", 0}, {"on", 1}})) != 0)
    return Refused(option, "a persistent file system id is not supported");
  return Ok();
}

Status ApplyVolatile(State& state, const OptionText&) {
  state.is_volatile = true;
  return Ok();
}

Status ApplyFsync(State& state, const OptionText& option) {
  // 0 and 1 are fuse-overlayfs's.
  state.config.durability =
      TRY(Choose<Durability>(option, {{"auto", Durability::kAuto},
                                      {"strict", Durability::kStrict},
                                      {"volatile", Durability::kVolatile},
                                      {"1", Durability::kAuto},
                                      {"0", Durability::kVolatile}}));
  return Ok();
}

Status ApplyWriteback(State& state, const OptionText& option) {
  state.mount.writeback = TRY(Choose<int>(option, {{"0", 0}, {"1", 1}})) != 0;
  return Ok();
}

Status ApplyCompleteRate(State& state, const OptionText& option) {
  constexpr std::string_view kUnits = "kmg";  // powers of 1024
  uint64_t rate = 0;
  const char* const end = option.value.data() + option.value.size();
  const auto parsed = std::from_chars(option.value.data(), end, rate);
  const std::string_view unit(parsed.ptr, end);
  const size_t power =
      unit.empty() ? 0 : kUnits.find(static_cast<char>(unit[0] | 0x20)) + 1;
  if (parsed.ec != std::errc() || unit.size() > 1 ||
      (!unit.empty() && power == 0) || rate > UINT64_MAX >> 10 * power)
    return BadValue(option, "bytes a second, as 50m, or 0");
  state.mount.complete_rate = rate << 10 * power;
  return Ok();
}

Status ApplyTrace(State& state, const OptionText& option) {
  state.mount.start_trace = Unescape(option.value);
  if (state.mount.start_trace.empty()) return BadValue(option, "a file");
  std::error_code error;
  state.mount.start_trace =
      std::filesystem::absolute(state.mount.start_trace, error);
  return Ok();
}

Status ApplyPassthrough(State& state, const OptionText& option) {
  state.mount.passthrough =
      TRY(Choose<Passthrough>(option, {{"auto", Passthrough::kAuto},
                                       {"1", Passthrough::kOn},
                                       {"0", Passthrough::kOff}}));
  return Ok();
}

Status ApplyUserXattr(State& state, const OptionText&) {
  state.config.user_xattr = true;
  return Ok();
}

Status ApplyNoAcl(State& state, const OptionText&) {
  state.config.acl = false;
  state.mount.acl = false;
  return Ok();
}

Status ApplyAcl(State& state, const OptionText&) {
  state.config.acl = true;
  state.mount.acl = true;
  return Ok();
}

Status ApplyWhiteout(State& state, const OptionText& option) {
  state.config.whiteout =
      TRY(Choose<WhiteoutForm>(option, {{"auto", WhiteoutForm::kAuto},
                                        {"char", WhiteoutForm::kCharDevice},
                                        {"xattr", WhiteoutForm::kXattr},
                                        {"aufs", WhiteoutForm::kAufs}}));
  return Ok();
}

// --- owners ----------------------------------------------------------------

Result<IdMap> ParseIdMap(const OptionText& option) {
  auto map = IdMap::Parse(option.value);
  if (!map.ok())
    return Error(map.code(), "option '" + option.name +
                                 "': " + std::string(map.error().context()));
  return map;
}

Status ApplyUidMapping(State& state, const OptionText& option) {
  state.config.uid_map = TRY(ParseIdMap(option));
  return Ok();
}

Status ApplyGidMapping(State& state, const OptionText& option) {
  state.config.gid_map = TRY(ParseIdMap(option));
  return Ok();
}

Status ApplySquashToRoot(State& state, const OptionText&) {
  state.squash_to_root = true;
  return Ok();
}

Status ApplySquashToUid(State& state, const OptionText& option) {
  state.config.squash_uid = TRY(Number(option));
  return Ok();
}

Status ApplySquashToGid(State& state, const OptionText& option) {
  state.config.squash_gid = TRY(Number(option));
  return Ok();
}

// --- the daemon ------------------------------------------------------------

Status ApplyTransport(State& state, const OptionText& option) {
  state.mount.transport =
      TRY(Choose<Transport>(option, {{"auto", Transport::kAuto},
                                     {"io_uring", Transport::kIoUring},
                                     {"classic", Transport::kClassic}}));
  return Ok();
}

Status ApplyRings(State& state, const OptionText& option) {
  if (option.value != "auto" && option.value != "normal")
    return BadValue(option, "auto or normal");
  state.mount.rings_may_idle = option.value == "auto";
  return Ok();
}

Status ApplyTimeout(State& state, const OptionText& option) {
  state.mount.cache_timeout = TRY(Seconds(option));
  return Ok();
}

Status ApplyThreaded(State& state, const OptionText& option) {
  state.mount.threads = TRY(OneOrZero(option)) ? 0 : 1;
  return Ok();
}

Status ApplyMaxThreads(State& state, const OptionText& option) {
  constexpr uint32_t kMost = 1024;
  const uint32_t threads = TRY(Number(option));
  if (threads == 0 || threads > kMost)
    return BadValue(option, "a number from 1 to 1024");
  state.mount.threads = static_cast<int>(threads);
  return Ok();
}

Status ApplyDebug(State& state, const OptionText&) {
  state.mount.debug = true;
  state.foreground = true;
  return Ok();
}

Status ApplyAllowOther(State& state, const OptionText&) {
  state.mount.allow_other = true;
  return Ok();
}

Status ApplyFsname(State& state, const OptionText& option) {
  state.mount.source = Unescape(option.value);
  return Ok();
}

// --- groups of options that are treated alike ------------------------------

// To the kernel, as it is.
Status PassOn(State& state, const OptionText& option) {
  state.mount.mount_options.push_back(
      option.has_value ? option.name + "=" + option.value : option.name);
  return Ok();
}

Status ApplySubtype(State& state, const OptionText& option) {
  state.mount.subtype = Unescape(option.value);
  if (state.mount.subtype.empty()) return BadValue(option, "a name");
  return Ok();
}

// Root is the only one let in when root mounts. Else the kernel could only let
// in everybody: it answers from its caches and would not ask us about each.
Status ApplyAllowRoot(State& state, const OptionText& option) {
  if (geteuid() != 0)
    return Refused(option,
                   "answers come from the kernel's caches, where root cannot "
                   "be told from other users; use allow_other");
  state.mount.allow_other = false;
  return Ok();
}

Status ApplyAutoUnmount(State& state, const OptionText&) {
  state.mount.auto_unmount = true;
  return Ok();
}

Status ApplyReadOnly(State& state, const OptionText&) {
  state.config.read_only = true;
  state.mount.read_only = true;
  state.read_only_given = true;
  return Ok();
}

Status ApplyReadWrite(State& state, const OptionText&) {
  state.config.read_only = false;
  state.mount.read_only = false;
  state.read_only_given = false;
  return Ok();
}

// For mount(8) and whoever reads fstab, not for us; or how something is done
// that ufs decides by itself.
Status Accept(State&, const OptionText&) { return Ok(); }

Status AcceptNumber(State&, const OptionText& option) {
  TRY(Number(option));
  return Ok();
}

Status AcceptOneOrZero(State&, const OptionText& option) {
  TRY(OneOrZero(option));
  return Ok();
}

// As mount(8): a label means nothing to a kernel without SELinux.
Status ApplyLabel(State& state, const OptionText& option) {
  const auto has_no_effect = [&](const std::string& why) {
    state.notes.push_back("option '" + option.name + "' has no effect: " + why);
    return Ok();
  };
  if (!HasSelinux())
    return has_no_effect("SELinux is not enabled in this kernel");
  if (!IsHostRoot()) {
    const std::string why =
        "only root, outside of user namespaces, may label what FUSE mounts";
    // fuse-overlayfs drops it, and podman gives it to everybody.
    if (state.is_lenient) return has_no_effect(why);
    return Refused(option, why + "; leave it out");
  }
  if (!CheckSelinuxLabel(option.value).ok())
    return BadValue(option,
                    "a label that the SELinux policy knows, "
                    "USER:ROLE:TYPE[:LEVEL]");
  // It may hold commas.
  state.mount.mount_options.push_back(option.name + "=\"" + option.value +
                                      "\"");
  return Ok();
}

Status ApplyStaticNlink(State& state, const OptionText& option) {
  state.notes.push_back("option '" + option.name +
                        "' has no effect: link counts of directories cost "
                        "nothing here and stay true");
  return Ok();
}

Status ApplyNoXattrs(State& state, const OptionText& option) {
  state.mount.xattrs = !TRY(OneOrZero(option));
  return Ok();
}

Status ApplyXattrPermissions(State& state, const OptionText& option) {
  const int kind = TRY(Choose<int>(option, {{"0", 0}, {"1", 1}, {"2", 2}}));
  if (kind == 1)
    return Refused(option,
                   "security.fuseoverlayfs.override_stat is read and not "
                   "written; use 2 for user.containers.override_stat");
  state.config.keep_owners_in_xattrs = kind == 2;
  return Ok();
}

Status ApplyPlugins(State&, const OptionText& option) {
  if (!option.value.empty())
    return Refused(option, "layer plugins are not supported");
  return Ok();
}

Status RefuseUnsupported(State&, const OptionText& option) {
  return Refused(option, "not supported");
}

Status ApplyRemount(State& state, const OptionText&) {
  state.remount = true;
  return Ok();
}

Status RefuseTimeouts(State&, const OptionText& option) {
  return Refused(option,
                 "there is one time limit for all; use timeout=SECONDS");
}

// --- the table -------------------------------------------------------------

constexpr auto kNone = Argument::kNone;
constexpr auto kRequired = Argument::kRequired;
constexpr auto kOptional = Argument::kOptional;

constexpr Option kOptions[] = {
    {"lowerdir", kRequired, ApplyLowerdir,
     "DIR[:DIR...]  layers, the top one first; '\\:' for a colon in a name"},
    {"lowerdir+", kRequired, ApplyLowerdirPlus,
     "DIR  one more layer, below those named before"},
    {"upperdir", kRequired, ApplyUpperdir,
     "DIR  takes all changes; without one the union is read-only"},
    {"workdir", kRequired, ApplyWorkdir,
     "DIR  on the file system of the upper; default: UPPER.work"},
    {"redirect_dir", kRequired, ApplyRedirectDir,
     "on|follow|off|nofollow  rename directories of layers (default: on)"},
    {"metacopy", kRequired, ApplyMetacopy,
     "on|off  change attributes of lower files without copying data; off also "
     "copies whole files for a write (default: on)"},
    {"partial", kRequired, ApplyPartial,
     "on|off  a write to a lower file copies what it touches, not the file "
     "(default: on)"},
    {"verify", kRequired, ApplyVerify,
     "on|off  compare contents of hashed layers with their hash before they "
     "are "
     "first read (default: off)"},
    {"complete_rate", kRequired, ApplyCompleteRate,
     "BYTES  copy up the rest of files that are partly in the upper, in the "
     "background and so many bytes a second, as 50m (default: 0, when "
     "'ufs complete' asks)"},
    {"trace", kRequired, ApplyTrace,
     "FILE  what the start reads of the layers: recorded where the file is "
     "missing, read ahead where it is there"},
    {"index", kRequired, ApplyIndex,
     "on|off  accepted; hard links of lower files always survive a copy-up"},
    {"xino", kRequired, ApplyXino,
     "on|auto|off  accepted; inode numbers are always stable"},
    {"nfs_export", kRequired, ApplyNfsExport, "off  'on' is refused"},
    {"verity", kRequired, ApplyVerity, nullptr},
    {"uuid", kRequired, ApplyUuid, nullptr},
    {"datadir+", kRequired, RefuseUnsupported, nullptr},
    {"volatile", kNone, ApplyVolatile,
     "fsync does nothing; the upper is refused at the next mount"},
    {"fsync", kRequired, ApplyFsync,
     "auto|strict|volatile  what is on disk when; strict also syncs the upper "
     "at "
     "the unmount; 1 is auto, 0 is volatile"},
    {"writeback", kRequired, ApplyWriteback,
     "0|1  1: the kernel keeps what is written until the file is closed, "
     "synced or half a minute old; many small writes are few, a full disk "
     "shows at close or fsync, and a killed daemon takes with it what had not "
     "come"},
    {"passthrough", kRequired, ApplyPassthrough,
     "0|1|auto  1: the kernel reads and writes files of the upper by itself, "
     "and each open is a message; for root; auto: where it can be had"},
    {"userxattr", kNone, ApplyUserXattr,
     "keep marks in user.overlay.* even where trusted.overlay.* is possible"},
    {"whiteout", kRequired, ApplyWhiteout,
     "auto|char|xattr|aufs  how a deletion is written in the upper"},
    {"noacl", kNone, ApplyNoAcl, "no POSIX ACLs"},
    {"acl", kNone, ApplyAcl, nullptr},
    {"uidmapping", kRequired, ApplyUidMapping,
     "HOST:SHOWN:LENGTH[:...]  owners on the host and in the union"},
    {"gidmapping", kRequired, ApplyGidMapping,
     "HOST:SHOWN:LENGTH[:...]  the same for groups"},
    {"squash_to_root", kNone, ApplySquashToRoot,
     "root owns everything the union shows"},
    {"squash_to_uid", kRequired, ApplySquashToUid,
     "UID  this user owns everything"},
    {"squash_to_gid", kRequired, ApplySquashToGid,
     "GID  this group owns everything"},

    {"transport", kRequired, ApplyTransport,
     "auto|io_uring|classic  how the kernel talks to the daemon"},
    {"rings", kRequired, ApplyRings,
     "auto|normal  auto: threads of io_uring are SCHED_IDLE while more is "
     "answered then"},
    {"timeout", kRequired, ApplyTimeout,
     "SECONDS  how long the kernel may answer from its caches"},
    {"threaded", kRequired, ApplyThreaded,
     "0|1  0: one thread reads requests on the classic transport"},
    {"max_threads", kRequired, ApplyMaxThreads,
     "N  threads that read requests on the classic transport"},
    {"debug", kNone, ApplyDebug,
     "one line on stderr for each request; stays in the foreground"},
    {"allow_other", kNone, ApplyAllowOther,
     "other users may enter (default for root)"},
    {"allow_root", kNone, ApplyAllowRoot,
     "root alone may enter, for mounts by root"},
    // As the kernel shows them, and mount(8) hands them on to a remount.
    {"user_id", kRequired, Accept, nullptr},
    {"group_id", kRequired, Accept, nullptr},
    {"default_permissions", kNone, Accept,
     "accepted; the kernel always checks permissions"},
    {"auto_unmount", kNone, ApplyAutoUnmount,
     "the mount goes even when the daemon is killed"},
    {"fsname", kRequired, ApplyFsname, "NAME  the source shown by mount"},
    {"subtype", kRequired, ApplySubtype,
     "NAME  the type shown by mount is fuse.NAME (default: ufs)"},
    {"max_read", kRequired, AcceptNumber, nullptr},

    {"ro", kNone, ApplyReadOnly, "read-only, the upper included"},
    {"rw", kNone, ApplyReadWrite, nullptr},
    {"suid", kNone, PassOn, nullptr},
    {"nosuid", kNone, PassOn, nullptr},
    {"dev", kNone, PassOn, nullptr},
    {"nodev", kNone, PassOn, nullptr},
    {"exec", kNone, PassOn, nullptr},
    {"noexec", kNone, PassOn, nullptr},
    {"atime", kNone, PassOn, nullptr},
    {"noatime", kNone, PassOn, nullptr},
    {"diratime", kNone, PassOn, nullptr},
    {"nodiratime", kNone, PassOn, nullptr},
    {"relatime", kNone, PassOn, nullptr},
    {"norelatime", kNone, PassOn, nullptr},
    {"strictatime", kNone, PassOn, nullptr},
    {"nostrictatime", kNone, PassOn, nullptr},
    {"sync", kNone, PassOn, nullptr},
    {"async", kNone, PassOn, nullptr},
    {"dirsync", kNone, PassOn, nullptr},
    {"context", kRequired, ApplyLabel,
     "LABEL  for kernels with SELinux, as are fscontext, defcontext, "
     "rootcontext"},
    {"fscontext", kRequired, ApplyLabel, nullptr},
    {"defcontext", kRequired, ApplyLabel, nullptr},
    {"rootcontext", kRequired, ApplyLabel, nullptr},
    {"seclabel", kNone, Accept, nullptr},

    {"defaults", kNone, Accept, nullptr},
    {"auto", kNone, Accept, nullptr},
    {"noauto", kNone, Accept, nullptr},
    {"user", kOptional, Accept, nullptr},
    {"nouser", kNone, Accept, nullptr},
    {"users", kNone, Accept, nullptr},
    {"nousers", kNone, Accept, nullptr},
    {"owner", kNone, Accept, nullptr},
    {"noowner", kNone, Accept, nullptr},
    {"group", kNone, Accept, nullptr},
    {"nogroup", kNone, Accept, nullptr},
    {"_netdev", kNone, Accept, nullptr},
    {"nofail", kNone, Accept, nullptr},
    {"comment", kRequired, Accept, nullptr},
    {"silent", kNone, Accept, nullptr},
    {"loud", kNone, Accept, nullptr},
    {"mand", kNone, Accept, nullptr},
    {"nomand", kNone, Accept, nullptr},
    {"lazytime", kNone, Accept, nullptr},
    {"nolazytime", kNone, Accept, nullptr},
    {"iversion", kNone, Accept, nullptr},
    {"noiversion", kNone, Accept, nullptr},

    {"static_nlink", kNone, ApplyStaticNlink, nullptr},
    {"noxattrs", kRequired, ApplyNoXattrs,
     "0|1  1: the union has no extended attributes"},
    {"xattr_permissions", kRequired, ApplyXattrPermissions,
     "0|2  2: owners and modes are kept in user.containers.override_stat even "
     "where the host could take them"},
    {"plugins", kRequired, ApplyPlugins, nullptr},
    {"ino32_t", kNone, RefuseUnsupported, nullptr},
    {"fast_ino", kRequired, AcceptOneOrZero, nullptr},
    {"clone_fd", kNone, Accept, nullptr},
    {"max_idle_threads", kRequired, AcceptNumber, nullptr},
    {"max_write", kRequired, AcceptNumber, nullptr},
    {"max_readahead", kRequired, AcceptNumber, nullptr},
    {"max_background", kRequired, AcceptNumber, nullptr},
    {"congestion_threshold", kRequired, AcceptNumber, nullptr},
    {"kernel_cache", kNone, Accept, nullptr},
    {"big_writes", kNone, Accept, nullptr},
    {"atomic_o_trunc", kNone, Accept, nullptr},
    {"async_read", kNone, Accept, nullptr},
    {"nonempty", kNone, Accept, nullptr},
    {"splice_read", kNone, Accept, nullptr},
    {"splice_write", kNone, Accept, nullptr},
    {"splice_move", kNone, Accept, nullptr},
    {"no_splice_read", kNone, Accept, nullptr},
    {"no_splice_write", kNone, Accept, nullptr},
    {"no_splice_move", kNone, Accept, nullptr},

    {"entry_timeout", kRequired, RefuseTimeouts, nullptr},
    {"attr_timeout", kRequired, RefuseTimeouts, nullptr},
    {"ac_attr_timeout", kRequired, RefuseTimeouts, nullptr},
    {"negative_timeout", kRequired, RefuseTimeouts, nullptr},
    {"remount", kNone, ApplyRemount,
     "changes ro, rw, nosuid, ... of a union that is mounted"},
    {"bind", kNone, RefuseUnsupported, nullptr},
    {"rbind", kNone, RefuseUnsupported, nullptr},
    {"move", kNone, RefuseUnsupported, nullptr},
    {"blkdev", kNone, RefuseUnsupported, nullptr},
    {"direct_io", kNone, RefuseUnsupported, nullptr},
    {"nosymfollow", kNone, PassOn, nullptr},
};

const Option* FindOption(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(kOptions), std::end(kOptions),
                   [&](const Option& option) { return option.name == name; });
  return found == std::end(kOptions) ? nullptr : found;
}

// Comments of the user space, which every mount helper skips.
bool IsForUserSpace(std::string_view name) {
  return name.starts_with("x-") || name.starts_with("X-");
}

Error Unknown(const OptionText& option) {
  std::vector<std::string_view> names;
  for (const Option& known : kOptions) names.push_back(known.name);
  const std::string_view nearest = NearestName(option.name, names);
  return Error(
      EINVAL,
      "unknown option '" + option.name + "'" +
          (nearest.empty() ? "; 'ufs help mount' lists those known"
                           : "; did you mean '" + std::string(nearest) + "'?"));
}

Status Apply(const Option& known, State& state, const OptionText& option) {
  if (known.argument == kNone && option.has_value)
    return Error(EINVAL, "option '" + option.name + "' takes no value, but '" +
                             option.value + "' was given");
  if (known.argument == kRequired && !option.has_value)
    return Error(EINVAL, "option '" + option.name + "' needs a value: '" +
                             option.name + "=...'");
  return known.apply(state, option);
}

// "  name    help", the help wrapped into its own column.
std::string HelpLines(const std::string& name, std::string_view help) {
  constexpr size_t kIndent = 26;
  constexpr size_t kWidth = 79;
  std::string text = "  " + name;
  size_t column = text.size();
  if (column + 2 > kIndent) {
    text += "\n";
    column = 0;
  }
  text.append(kIndent - column, ' ');
  column = kIndent;
  while (!help.empty()) {
    const std::string_view word = help.substr(0, help.find(' '));
    if (column > kIndent && column + 1 + word.size() > kWidth) {
      text += '\n' + std::string(kIndent, ' ');
      column = kIndent;
    } else if (column > kIndent) {
      text += ' ';
      ++column;
    }
    text += word;
    column += word.size();
    help.remove_prefix(std::min(help.size(), word.size() + 1));
  }
  return text + "\n";
}

}  // namespace

MountOptionParser::MountOptionParser(UnknownOption unknown)
    : unknown_(unknown) {
  state_.is_lenient = unknown == UnknownOption::kIgnore;
}

Status MountOptionParser::Add(std::string_view text) {
  auto options = SplitOptions(text);
  if (!options.ok()) return std::move(options).error();
  for (const OptionText& option : *options) {
    if (IsForUserSpace(option.name)) continue;
    if (const Option* known = FindOption(option.name))
      TRY(Apply(*known, state_, option));
    else if (unknown_ == UnknownOption::kIgnore)
      state_.notes.push_back("unknown option ignored: " + option.name);
    else
      return Unknown(option);
  }
  return Ok();
}

Result<MountOptions> MountOptionParser::Finish() && {
  UnionConfig& config = state_.config;
  config.layers.assign(state_.lowerdirs.rbegin(), state_.lowerdirs.rend());
  if (state_.is_volatile) config.durability = Durability::kVolatile;
  if (state_.squash_to_root) {
    config.squash_uid = config.squash_uid.value_or(0);
    config.squash_gid = config.squash_gid.value_or(0);
  }
  // A file whose data lies below must be able to say where, once it is renamed.
  // As overlayfs: a contradiction is refused, a default gives way.
  if (state_.redirect_dir_was_given &&
      config.redirect_dir != RedirectDir::kOn) {
    if (state_.metacopy_was_given && config.metacopy)
      return Error(EINVAL,
                   "options 'metacopy=on' and 'redirect_dir=' other than on "
                   "contradict each other; leave one out");
    config.metacopy = false;
  }
  if (state_.partial_was_given && config.partial && !config.metacopy)
    return Error(EINVAL,
                 "option 'partial=on' needs 'metacopy=on' and "
                 "'redirect_dir=on'; leave the other one out");
  if (state_.mount.passthrough == Passthrough::kOn && state_.mount.writeback)
    return Error(EINVAL,
                 "options 'passthrough=1' and 'writeback=1' contradict each "
                 "other: the kernel has one or the other; leave one out");
  if (!state_.mount.xattrs) config.acl = state_.mount.acl = false;
  if (config.work && !config.upper) {
    state_.notes.push_back("option 'workdir' has no effect without an upper");
    config.work.reset();
  }
  return static_cast<MountOptions&&>(std::move(state_));
}

std::string DescribeMountOptions() {
  std::string text;
  for (const Option& option : kOptions) {
    if (option.help == nullptr) continue;
    std::string name = std::string(option.name);
    std::string_view help = option.help;
    if (option.argument == kRequired) {
      const size_t blanks = help.find("  ");
      name += '=' + std::string(help.substr(0, blanks));
      help.remove_prefix(blanks + 2);
    }
    text += HelpLines(name, help);
  }
  text += HelpLines(
      "ro, rw, [no]suid, ...",
      "as mount(8): also [no]dev, [no]exec, [no]atime, [no]diratime, relatime, "
      "strictatime, sync, dirsync; words for mount(8) itself and for fstab "
      "(user, nofail, _netdev, x-..., ...) are accepted");
  return text;
}

}  // namespace ufs
