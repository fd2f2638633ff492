#include "fs/path_checks.h"

#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "fs/dead_mount.h"
#include "layerdb/base/mount_info.h"
#include "layerdb/base/syscall.h"

namespace ufs {
namespace {

namespace stdfs = std::filesystem;

bool IsBelow(std::string_view directory, std::string_view path) {
  if (directory == "/") return path != "/";
  return path.size() > directory.size() && path.starts_with(directory) &&
         path[directory.size()] == '/';
}

std::string Join(const std::string& directory, std::string_view below) {
  return directory == "/" ? '/' + std::string(below)
                          : directory + "/" + std::string(below);
}

// --- paths -----------------------------------------------------------------

std::string Absolute(const std::string& path) {
  std::error_code ignored;
  stdfs::path absolute = stdfs::absolute(path, ignored).lexically_normal();
  if (absolute.filename().empty() && absolute.has_relative_path())
    absolute = absolute.parent_path();  // "a/" is "a"
  return absolute;
}

// Absolute and without symbolic links.
Result<std::string> Resolve(const std::string& path) {
  if (path.empty()) return Error(ENOENT);
  std::error_code error;
  const stdfs::path resolved = stdfs::canonical(path, error);
  if (error) return Error(error.value());
  return resolved.string();
}

std::string Quote(const std::string& path) {
  return path.empty() ? "''" : path;
}

// `what` is "layer", "upper directory", ... ; `remedy` is for a missing one.
Error DirectoryError(int code, const std::string& path, const std::string& what,
                     const std::string& remedy) {
  const std::string start = Quote(path) + ": ";
  if (IsOfDeadDaemon(code))
    return Error(code, start + what +
                           " is a mount whose daemon is gone; free it with "
                           "'ufs umount --lazy " +
                           path + "'");
  switch (code) {
    case ENOENT:
      return Error(code, start + "no such " + what + "; " + remedy);
    case ENOTDIR:
      return Error(code, start + what + " is not a directory; name one");
    case EACCES:
    case EPERM:
      return Error(code, start + "no permission to use this " + what +
                             "; make it and the directories above it "
                             "accessible to user " +
                             std::to_string(geteuid()));
    default:
      return Error(
          code, start + what + ": cannot be opened: " + Error(code).ToString());
  }
}

struct Directory {
  std::string path;
  Place place;
};

// REQUIRES: `path` is absolute and resolved.
Result<Place> PlaceInMount(const std::string& path) {
  // Not O_PATH: whoever may not list a directory cannot use it as a layer.
  const UniqueFd fd = TRY(sys::Open(path.c_str(), O_RDONLY | O_DIRECTORY));
  const auto stat = TRY(sys::Statx({fd}));
  return Place{makedev(stat.stx_dev_major, stat.stx_dev_minor), stat.stx_mnt_id,
               path};
}

Result<Directory> FindDirectory(const std::string& path,
                                const std::string& what,
                                const std::string& remedy) {
  auto resolved = Resolve(path);
  if (!resolved.ok())
    return DirectoryError(resolved.code(), path, what, remedy);
  auto place = PlaceInMount(*resolved);
  if (!place.ok()) return DirectoryError(place.code(), path, what, remedy);
  return Directory{*std::move(resolved), *std::move(place)};
}

// One that exists, or one to be made in a directory that exists.
Result<Directory> FindOrPlanDirectory(const std::string& path, bool make,
                                      const std::string& what) {
  if (make && Resolve(path).code() == ENOENT) {
    const stdfs::path absolute = Absolute(path);
    std::error_code error;
    if (stdfs::is_symlink(stdfs::symlink_status(absolute, error)))
      return Error(ENOENT, path +
                               ": is a symbolic link to nowhere; name the "
                               "directory itself");
    const std::string parent = absolute.parent_path();
    Directory found = TRY(FindDirectory(
        parent, "parent directory for the " + what, "make it first"));
    found.path = Join(found.path, absolute.filename().string());
    found.place.path = found.path;
    return found;
  }
  return FindDirectory(path, what, "make it first");
}

void MoveToFileSystem(const MountInfo& mount, Place& place) {
  place.device = mount.device;
  if (place.path == mount.mountpoint)
    place.path = mount.root;
  else if (IsBelow(mount.mountpoint, place.path))
    place.path = Join(
        mount.root,
        std::string_view(place.path)
            .substr(mount.mountpoint == "/" ? 1 : mount.mountpoint.size() + 1));
}

// Makes places in mounts comparable. Those in one mount are, by their paths
// there, of whichever of its subvolumes they are; only for others the table of
// mounts is read, which on a host of many is long.
void MakeComparable(const std::vector<Place*>& places) {
  const bool one_mount =
      std::all_of(places.begin(), places.end(), [&](const Place* place) {
        return place->mount_id == places.front()->mount_id;
      });
  if (one_mount) {
    for (Place* place : places) place->device = places.front()->device;
    return;
  }
  const std::vector<MountInfo> mounts = ReadMountInfo();
  for (Place* place : places) {
    const auto mount = std::find_if(
        mounts.begin(), mounts.end(),
        [&](const MountInfo& mount) { return mount.id == place->mount_id; });
    if (mount != mounts.end()) MoveToFileSystem(*mount, *place);
  }
}

Status CheckWritable(const std::string& path, const std::string& what) {
  std::error_code error;
  const std::string existing = stdfs::exists(path, error)
                                   ? path
                                   : stdfs::path(path).parent_path().string();
  const UniqueFd fd = TRY(sys::Open(existing.c_str(), O_PATH));
  if (TRY(sys::StatVfs(fd)).f_flag & ST_RDONLY)
    return Error(EROFS, path + ": " + what +
                            " is on a read-only file system; choose one that "
                            "can be written, or mount with --ro");
  if (eaccess(existing.c_str(), W_OK | X_OK) != 0)
    return Error(EACCES, path + ": no permission to write to this " + what +
                             "; it must be writable by user " +
                             std::to_string(geteuid()));
  return Ok();
}

// --- how the parts lie to each other ---------------------------------------

Status CheckWork(const Directory& upper, const Directory& work) {
  if (work.place.SameAs(upper.place))
    return Error(EINVAL, work.path +
                             ": upper and work directory are the same; "
                             "name another work directory");
  if (upper.place.Holds(work.place))
    return Error(EINVAL, work.path +
                             ": the work directory lies inside the "
                             "upper " +
                             upper.path + "; choose one beside it");
  if (work.place.Holds(upper.place))
    return Error(EINVAL, upper.path +
                             ": the upper lies inside the work "
                             "directory " +
                             work.path + "; choose one beside it");
  if (work.place.device != upper.place.device)
    return Error(EXDEV, work.path +
                            ": the work directory is not on the file "
                            "system of the upper " +
                            upper.path + "; choose one beside it with --work");
  if (work.place.mount_id != upper.place.mount_id)
    return Error(EXDEV, work.path +
                            ": the work directory is reached through "
                            "another mount than the upper " +
                            upper.path + "; choose one beside it with --work");
  return Ok();
}

Status CheckLayerApart(const Directory& layer, const Directory& other,
                       const std::string& what) {
  if (layer.place.SameAs(other.place))
    return Error(ELOOP, layer.path + ": is both a layer and the " + what +
                            "; a layer must stay as it is, choose another " +
                            what);
  if (other.place.Holds(layer.place))
    return Error(ELOOP, layer.path + ": this layer lies inside the " + what +
                            " " + other.path +
                            ", which will change; move one of them");
  if (layer.place.Holds(other.place))
    return Error(ELOOP, other.path + ": the " + what +
                            " lies inside the layer " + layer.path +
                            ", which would change with it; choose one outside");
  return Ok();
}

// A mount point inside a directory that the daemon itself walks would make the
// daemon ask itself.
Status CheckMountpoint(const Directory& mountpoint, const Directory& other,
                       const std::string& what) {
  if (!other.place.SameAs(mountpoint.place) &&
      !other.place.Holds(mountpoint.place))
    return Ok();
  return Error(ELOOP, mountpoint.path + ": the mount point lies inside the " +
                          what + " " + other.path +
                          ", a loop; mount somewhere else");
}

// As CheckMountpoint, but a layer is looked at without the mounts below it
// where the process may clone its mount, as for overlayfs.
Status CheckMountpointInLayer(const Directory& mountpoint,
                              const Directory& layer) {
  if (layer.place.SameAs(mountpoint.place)) return Ok();  // covers itself
  if (!layer.place.Holds(mountpoint.place)) return Ok();
  if (sys::CloneMount(layer.path.c_str(), /*read_only=*/true).ok()) return Ok();
  return CheckMountpoint(mountpoint, layer, "layer");
}

Status CheckUpper(const Directory& upper, const Directory& work,
                  const std::vector<Directory>& layers,
                  const Directory& mountpoint) {
  TRY(CheckWork(upper, work));
  for (const Directory& layer : layers) {
    TRY(CheckLayerApart(layer, upper, "upper"));
    TRY(CheckLayerApart(layer, work, "work directory"));
  }
  TRY(CheckMountpoint(mountpoint, upper, "upper"));
  TRY(CheckMountpoint(mountpoint, work, "work directory"));
  TRY(CheckWritable(upper.path, "upper directory"));
  return CheckWritable(work.path, "work directory");
}

}  // namespace

bool Place::SameAs(const Place& other) const {
  return device == other.device && path == other.path;
}

bool Place::Holds(const Place& other) const {
  return device == other.device && IsBelow(path, other.path);
}

Result<UnionPaths> CheckUnionPaths(const UnionPaths& paths) {
  UnionPaths resolved = paths;
  Directory mountpoint =
      TRY(FindDirectory(paths.mountpoint, "mount point", "make it first"));
  resolved.mountpoint = mountpoint.path;
  std::vector<Place*> places = {&mountpoint.place};

  std::vector<Directory> layers;
  layers.reserve(paths.layers.size());  // they stay where they are
  resolved.layers.clear();
  for (const std::string& layer : paths.layers) {
    layers.push_back(TRY(FindDirectory(layer, "layer", "check the path")));
    resolved.layers.push_back(layers.back().path);
    places.push_back(&layers.back().place);
  }
  Directory upper, work;
  if (paths.upper) {
    upper = TRY(
        FindOrPlanDirectory(*paths.upper, paths.make_upper, "upper directory"));
    resolved.upper = upper.path;
    const bool work_is_named = paths.work.has_value();
    work = TRY(FindOrPlanDirectory(paths.work.value_or(upper.path + ".work"),
                                   paths.make_work || !work_is_named,
                                   "work directory"));
    resolved.work = work.path;
    places.insert(places.end(), {&upper.place, &work.place});
  }

  MakeComparable(places);
  for (const Directory& layer : layers)
    TRY(CheckMountpointInLayer(mountpoint, layer));
  if (paths.upper) TRY(CheckUpper(upper, work, layers, mountpoint));
  return resolved;
}

Status CheckFuseAccess() {
  const auto device = sys::Open("/dev/fuse", O_RDWR);
  switch (device.code()) {
    case 0:
      break;
    case EACCES:
    case EPERM:
      return Error(device.code(),
                   "/dev/fuse: no permission to open it; as root, "
                   "'chmod 666 /dev/fuse', or run as root");
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return Error(device.code(),
                   "/dev/fuse: no such device; load it with 'modprobe fuse', "
                   "or give it to this container (--device /dev/fuse)");
    default:
      return Error(device.code(),
                   "/dev/fuse: cannot be opened: " + device.error().ToString());
  }
  if (geteuid() == 0) return Ok();

  const char* const environment = getenv("PATH");
  std::istringstream path(std::string(environment ? environment : "") +
                          ":/usr/bin:/bin");
  for (std::string directory; std::getline(path, directory, ':');)
    if (!directory.empty() &&
        eaccess((directory + "/fusermount3").c_str(), X_OK) == 0)
      return Ok();
  return Error(ENOENT,
               "fusermount3: not found, and user " + std::to_string(geteuid()) +
                   " cannot mount without it; install the package fuse3");
}

}  // namespace ufs
