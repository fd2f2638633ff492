#include "layerdb/object_stage.h"

#include <algorithm>
#include <cerrno>

#include "layerdb/base/cleanup.h"
#include "layerdb/base/fault.h"
#include "layerdb/base/file_data.h"
#include "layerdb/base/syscall.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

FaultPoint kSync("object.sync");
FaultPoint kPublish("object.publish");
FaultPoint kPublishFolders("object.publish_folders");

constexpr size_t kCompareBytes = 128 << 10;
// Each fsync is a commit of the journal; with more files than this, one syncfs
// is cheaper, although it waits for other people's data too.
constexpr size_t kFewFiles = 16;

std::string FolderOf(const ObjectId& id) { return id.Path().substr(0, 2); }

// Beyond this no variant can be honest: 2^32 would be as good.
constexpr uint32_t kMostVariants = 1000;

}  // namespace

ObjectStage::ObjectStage(std::shared_ptr<const ObjectStore> store,
                         UniqueFd folder)
    : store_(std::move(store)), folder_(std::move(folder)) {}

std::string ObjectStage::TemporaryName() {
  const MutexLock lock(mu_);
  return "tmp." + std::to_string(++last_temporary_);
}

bool ObjectStage::IsStaged(const ObjectId& id) const {
  const MutexLock lock(mu_);
  return staged_.contains(id);
}

Result<UniqueFd> ObjectStage::OpenObject(const ObjectId& id) const {
  return IsStaged(id) ? sys::OpenAt({folder_, id.FileName().c_str()}, O_RDONLY)
                      : store_->OpenObject(id);
}

ObjectStage::Counts ObjectStage::counts() const {
  const MutexLock lock(mu_);
  return counts_;
}

Result<bool> ObjectStage::Equal(const Draft& draft, BorrowedFd file) const {
  const struct statx found = TRY(sys::Statx({file}));
  if (found.stx_size != draft.size_bytes) return false;
  const auto theirs = std::make_unique<char[]>(kCompareBytes);
  const bool in_memory = draft.file.get() < 0;
  const bool is_sparse = !in_memory && found.stx_blocks * 512 < found.stx_size;
  const auto ours =
      in_memory ? nullptr : std::make_unique<char[]>(kCompareBytes);
  for (uint64_t at = 0; at < draft.size_bytes;) {
    // Holes of both are equal unread; a few bytes may describe terabytes.
    if (is_sparse)
      at = std::min(TRY(NextData(draft.file, at, draft.size_bytes)),
                    TRY(NextData(file, at, draft.size_bytes)));
    if (at == draft.size_bytes) break;
    const size_t want =
        std::min<uint64_t>(kCompareBytes, draft.size_bytes - at);
    if (TRY(sys::Pread(file, theirs.get(), want, at)) != want) return false;
    if (!in_memory && TRY(sys::Pread(draft.file, ours.get(), want, at)) != want)
      return Error(EIO, "a file changed while it was imported");
    const std::string_view mine = in_memory
                                      ? draft.buffer.substr(at, want)
                                      : std::string_view(ours.get(), want);
    if (mine != std::string_view(theirs.get(), want)) return false;
    at += want;
  }
  return true;
}

Status ObjectStage::Stage(const Draft& draft, const ObjectId& id,
                          bool replaces_damaged) {
  const std::string name = id.FileName();
  if (draft.file.get() < 0) {
    const UniqueFd file = TRY(sys::OpenAt(
        {folder_, name.c_str()}, O_WRONLY | O_CREAT | O_EXCL, kStoreFileMode));
    TRY(WriteAll(file, draft.buffer, 0));
  } else if (draft.file_name != nullptr) {
    TRY(sys::RenameAt2({folder_, draft.file_name}, {folder_, name.c_str()},
                       RENAME_NOREPLACE));
  } else {
    TRY(sys::LinkAt({draft.file}, {folder_, name.c_str()}));
  }
  const MutexLock lock(mu_);
  staged_[id] = {replaces_damaged};
  ++counts_.new_objects;
  counts_.new_bytes += draft.size_bytes;
  return Ok();
}

// The id of the draft's contents: that of an equal object, of this stage or of
// the store, else of a new one that takes the draft's file.
Result<ObjectId> ObjectStage::Settle(const Draft& draft) {
  const Hash128 hash = store_->NameHash(draft.hash);
  const MutexLock stripe(stripes_[hash.lo % kStripes]);
  {
    const MutexLock lock(mu_);
    ++counts_.objects;
    counts_.bytes += draft.size_bytes;
    // An object that is there may have been published this moment, by somebody
    // who has not made its name durable yet: we do that too.
    folders_.insert(FolderOf({hash.hi, hash.lo}));
  }
  for (uint32_t variant = 0; variant < kMostVariants; ++variant) {
    const ObjectId id{hash.hi, hash.lo, variant};
    const bool staged = IsStaged(id);
    const auto existing = OpenObject(id);
    bool damaged = false;
    if (existing.ok()) {
      if (TRY(Equal(draft, *existing))) {
        if (draft.file_name != nullptr)
          TRY(sys::UnlinkAt({folder_, draft.file_name}));
        return id;
      }
      // Another content with this hash, or what is left of the same one.
      damaged = !staged && !store_->Verify(id).ok();
      if (!damaged) continue;
    } else if (existing.code() != ENOENT) {
      return existing.error();
    }
    TRY(Stage(draft, id, damaged).With("writing an object"));
    return id;
  }
  return Error(EOVERFLOW, "too many different contents with one hash");
}

Result<ObjectId> ObjectStage::Put(std::string_view contents) {
  Draft draft;
  draft.buffer = contents;
  draft.size_bytes = contents.size();
  draft.hash = HashOf(contents);
  return Settle(draft);
}

Result<ObjectStage::PutResult> ObjectStage::PutFile(BorrowedFd source,
                                                    Copy how) {
  const uint64_t size = TRY(sys::Statx({source})).stx_size;
  if (how == Copy::kHardLink) {
    const HashedFile hashed = TRY(HashFile(source));
    Draft draft;
    draft.file = source;
    draft.size_bytes = hashed.size_bytes;
    draft.hash = hashed.hash;
    const auto linked = Settle(draft);
    if (linked.ok()) return PutResult{*linked, hashed.size_bytes};
    // Another file system, or one that has no (more) links for us.
    if (linked.code() != EXDEV && linked.code() != EPERM &&
        linked.code() != EMLINK && linked.code() != ENOENT)
      return linked.error();
  }
  if (size > ObjectWriter::kBufferBytes && may_clone_) {
    // Hashed from the clone: what the source becomes meanwhile is not in it.
    const std::string name = TemporaryName();
    const UniqueFd clone =
        TRY(sys::OpenAt({folder_, name.c_str()}, O_RDWR | O_CREAT | O_EXCL,
                        kStoreFileMode)
                .With("writing an object"));
    Cleanup remove([&] { (void)sys::UnlinkAt({folder_, name.c_str()}); });
    if (sys::CloneFile(clone, source).ok()) {
      const HashedFile hashed = TRY(HashFile(clone));
      Draft draft;
      draft.file = clone;
      draft.file_name = name.c_str();
      draft.size_bytes = hashed.size_bytes;
      draft.hash = hashed.hash;
      const ObjectId id = TRY(Settle(draft));
      remove.Dismiss();
      return PutResult{id, hashed.size_bytes};
    }
    may_clone_ = false;
  }
  ObjectWriter writer = NewWriter();
  TRY(ForEachExtent(
      source, [&](std::string_view data) { return writer.Append(data); },
      [&](uint64_t bytes) { return writer.Hole(bytes); }));
  const uint64_t copied = writer.size_bytes();
  return PutResult{TRY(writer.Finish()), copied};
}

Status ObjectStage::KeepOnly(const std::set<ObjectId>& wanted) {
  const MutexLock lock(mu_);
  for (auto at = staged_.begin(); at != staged_.end();) {
    if (wanted.contains(at->first)) {
      ++at;
      continue;
    }
    TRY(sys::UnlinkAt({folder_, at->first.FileName().c_str()}));
    at = staged_.erase(at);
  }
  std::set<std::string> folders;
  for (const ObjectId& id : wanted) folders.insert(FolderOf(id));
  std::erase_if(folders_, [&](const std::string& folder) {
    return !folders.contains(folder);
  });
  return Ok();
}

Status ObjectStage::SyncContents() {
  TRY(kSync.Visit());
  std::map<ObjectId, Staged> staged;
  {
    const MutexLock lock(mu_);
    if (staged_.size() > kFewFiles) return sys::SyncFs(folder_);
    staged = staged_;
  }
  for (const auto& [id, unused] : staged) {
    const UniqueFd file =
        TRY(sys::OpenAt({folder_, id.FileName().c_str()}, O_RDONLY));
    TRY(sys::FSync(file));
  }
  return Ok();
}

Status ObjectStage::PublishOne(const ObjectId& id, const Staged& staged) {
  TRY(kPublish.Visit());
  const std::string name = id.FileName(), path = id.Path();
  const sys::At from{folder_, name.c_str()}, to{store_->dir(), path.c_str()};
  const unsigned flags = staged.replaces_damaged ? 0 : RENAME_NOREPLACE;
  auto moved = sys::RenameAt2(from, to, flags);
  if (moved.code() == ENOENT) {
    const auto made =
        sys::MkDirAt({store_->dir(), path.substr(0, 2).c_str()}, 0755);
    if (!made.ok() && made.code() != EEXIST) return made.error();
    moved = sys::RenameAt2(from, to, flags);
  }
  if (moved.code() != EEXIST) return moved;
  // Somebody else published it since we looked.
  Draft draft;
  const UniqueFd ours = TRY(sys::OpenAt(from, O_RDONLY));
  const UniqueFd theirs = TRY(sys::OpenAt(to, O_RDONLY));
  draft.file = ours;
  draft.size_bytes = TRY(sys::Statx({ours})).stx_size;
  if (!TRY(Equal(draft, theirs)))
    return Error(EAGAIN,
                 "object " + name +
                     ": another import has just stored other contents with "
                     "this hash; import again");
  return sys::UnlinkAt(from);
}

Status ObjectStage::Publish() {
  if (folders_.empty()) return Ok();
  TRY(SyncContents().With("making objects durable"));
  for (const auto& [id, staged] : staged_)
    TRY(PublishOne(id, staged).With("publishing object " + id.FileName()));
  TRY(kPublishFolders.Visit());
  if (folders_.size() > kFewFiles) {
    TRY(sys::SyncFs(folder_));
  } else {
    for (const std::string& folder : folders_)
      TRY(sys::FSync(TRY(sys::OpenAt({store_->dir(), folder.c_str()},
                                     O_RDONLY | O_DIRECTORY))));
    TRY(sys::FSync(store_->dir()));
  }
  staged_.clear();
  folders_.clear();
  return Ok();
}

}  // namespace ufs
