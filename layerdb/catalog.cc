#include "layerdb/catalog.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <optional>
#include <system_error>

#include "layerdb/base/syscall.h"
#include "layerdb/store_io.h"

namespace ufs {

#ifdef UFS_STARTS_ROCKSDB
// RocksDB's static initializers, from the linker, which names the two ends of a
// section.
using Initializer = void (*)();
extern "C" const Initializer __start_rocksdb_start[];  // NOLINT
extern "C" const Initializer __stop_rocksdb_start[];   // NOLINT
#endif

namespace {

constexpr char kSchemaKey[] = "schema";
constexpr char kSchema[] = "1";

// The column families we know. Others, of a later ufs, are opened and left
// alone, so that going back to an older one works.
enum Family { kMeta, kLayers, kUsers, kFamilies };
constexpr const char* kFamilyNames[kFamilies] = {"default", "layers", "users"};

constexpr size_t kIdBytes = 20;
constexpr size_t kDigestBytes = 32;

// Room for the rows of one layer of some ten thousand objects.
constexpr size_t kWriteBufferBytes = 4 << 20;
constexpr uint64_t kMostWalBytes = 16 << 20;
constexpr size_t kMostLogs = 64;
constexpr size_t kCacheBytes = 1 << 20;
constexpr int kMostOpenFiles = 64;
// A batch grows with the layer; a larger one goes in pieces, the layer's own
// record last.
constexpr size_t kBatchBytes = 2 << 20;

// RocksDB's log is nobody's: it would be a file that grows.
class NoLog : public rocksdb::Logger {
 public:
  void Logv(const char*, va_list) override {}
  using rocksdb::Logger::Logv;
};

// What the system said: RocksDB keeps its words alone, at the end of its own.
int ErrnoOf(const rocksdb::Status& status) {
  const std::string text = status.ToString();
  for (const int code : {EDQUOT, ENOSPC, EMFILE, ENFILE, ENOMEM, EFBIG, EROFS,
                         EACCES, EPERM, EINTR, ETXTBSY, ENODEV, ENXIO})
    if (text.ends_with(": " + std::generic_category().message(code)))
      return code;
  return EIO;
}

// Whether an errno tells of what the machine lacks, not of the database.
bool IsShortage(int code) {
  return IsFull(code) || code == EMFILE || code == ENFILE || code == ENOMEM ||
         code == EFBIG;
}

Error ToError(const rocksdb::Status& status) {
  int code = status.IsIOError() ? ErrnoOf(status) : EIO;
  if (status.IsCorruption()) code = EUCLEAN;
  if (status.IsNotFound()) code = ENOENT;
  if (status.IsNoSpace()) code = ENOSPC;
  if (status.IsPathNotFound()) code = ENOENT;
  if (status.IsMemoryLimit()) code = ENOMEM;
  return Error(code, "catalog: " + status.ToString());
}

// Whether the file system takes what a database writes when it is opened.
Status TryToWrite(const std::string& path) {
  const auto file = sys::Open(path.c_str(), O_TMPFILE | O_WRONLY, 0600);
  if (file.code() == EOPNOTSUPP || file.code() == EISDIR) return Ok();
  if (!file.ok()) return Error(file.error());
  const std::string page(4096, 'x');
  TRY(sys::Pwrite(*file, page.data(), page.size(), 0));
  return sys::FSync(*file);
}

// Why a database that is there does not open: a missing or foreign file of it
// shows in many ways, and RocksDB keeps what the system said to itself.
Error NotOpened(const rocksdb::Status& status, const std::string& path,
                Catalog::Mode mode) {
  const Error error = ToError(status);
  if (IsShortage(error.code())) return error;
  const std::string context(error.context());
  if (status.IsIOError() && mode != Catalog::Mode::kRead)
    if (const auto writes = TryToWrite(path);
        !writes.ok() && writes.code() != ENOENT)
      return Error(writes.code(), context);
  return Error(EUCLEAN, context);
}

Status Check(const rocksdb::Status& status) {
  if (status.ok()) return Ok();
  return ToError(status);
}

void Append64(std::string& out, uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8)
    out += static_cast<char>(value >> shift);
}

uint64_t ReadBigEndian(std::string_view in) {
  uint64_t value = 0;
  for (const char c : in) value = value << 8 | static_cast<uint8_t>(c);
  return value;
}

// hi, lo, variant, big-endian: in the order of ids.
std::string KeyOf(const ObjectId& id) {
  std::string key;
  Append64(key, id.hi);
  Append64(key, id.lo);
  for (int shift = 24; shift >= 0; shift -= 8)
    key += static_cast<char>(id.variant >> shift);
  return key;
}

std::string_view KeyOf(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.bytes.data()),
          digest.bytes.size()};
}

rocksdb::Slice SliceOf(std::string_view text) {
  return {text.data(), text.size()};
}

struct User {
  ObjectId id;
  Digest layer;
};

Result<User> ParseUser(const rocksdb::Slice& key) {
  if (key.size() != kIdBytes + kDigestBytes)
    return Error(EUCLEAN, "catalog: a key of the wrong length in 'users'");
  const std::string_view text(key.data(), key.size());
  User user;
  user.id = {ReadBigEndian(text.substr(0, 8)), ReadBigEndian(text.substr(8, 8)),
             static_cast<uint32_t>(ReadBigEndian(text.substr(16, 4)))};
  std::copy_n(text.data() + kIdBytes, kDigestBytes, user.layer.bytes.begin());
  return user;
}

Result<LayerInfo> ParseLayer(std::string_view key, std::string_view value) {
  auto info = LayerInfo::Parse(value);
  if (!info.ok() || KeyOf(info->diff_id) != key)
    return Error(EUCLEAN, "catalog: a damaged record in 'layers'");
  return info;
}

// Logs that are replayed at each opening.
size_t CountLogs(const std::string& path) {
  const auto names = ListNames({AT_FDCWD, path.c_str()});
  if (!names.ok()) return 0;
  return static_cast<size_t>(std::count_if(
      names->begin(), names->end(),
      [](const std::string& name) { return name.ends_with(".log"); }));
}

rocksdb::Options OptionsFor(Catalog::Mode mode, const std::string& path) {
  rocksdb::Options options;
  options.create_if_missing = mode == Catalog::Mode::kCreate;
  options.create_missing_column_families = mode != Catalog::Mode::kRead;
  options.info_log = std::make_shared<NoLog>();
  options.max_open_files = kMostOpenFiles;
  options.max_file_opening_threads = 1;
  options.max_background_jobs = 2;
  options.write_buffer_size = kWriteBufferBytes;
  options.max_write_buffer_number = 2;
  options.max_total_wal_size = kMostWalBytes;
  options.keep_log_file_num = 1;
  // The log of the last import is replayed, not made a file of each family
  // with its own syncs; it ends at kMostWalBytes. But each writer leaves one.
  options.avoid_flush_during_recovery = CountLogs(path) < kMostLogs;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.skip_stats_update_on_db_open = true;
  options.compression = rocksdb::kNoCompression;  // keys are hashes
  // A torn tail is what a crash leaves; the store then takes what is missing
  // from the layers' files.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(kCacheBytes);
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

}  // namespace

void StartRocksDb() {
#ifdef UFS_STARTS_ROCKSDB
  static const bool started [[maybe_unused]] = [] {
    for (auto at = __start_rocksdb_start; at != __stop_rocksdb_start; ++at)
      (*at)();
    return true;
  }();
#endif
}

struct Catalog::Database {
  std::unique_ptr<rocksdb::DB> db;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;  // all that there are
  std::array<rocksdb::ColumnFamilyHandle*, kFamilies> families{};

  ~Database() {
    // What memory was too small to open is in pieces that nobody can close.
    if (db == nullptr) return;
    for (rocksdb::ColumnFamilyHandle* handle : handles)
      (void)db->DestroyColumnFamilyHandle(handle);
    (void)db->Close();
  }

  std::unique_ptr<rocksdb::Iterator> Iterate(
      Family family, const rocksdb::ReadOptions& options = {}) const {
    return std::unique_ptr<rocksdb::Iterator>(
        db->NewIterator(options, families[family]));
  }

  Status Write(rocksdb::WriteBatch& batch) {
    rocksdb::WriteOptions options;
    options.sync = true;
    TRY(Check(db->Write(options, &batch)));
    batch.Clear();
    return Ok();
  }
};

Catalog::Catalog(std::unique_ptr<Database> database)
    : database_(std::move(database)) {}
Catalog::~Catalog() = default;

Result<std::unique_ptr<Catalog>> Catalog::Open(const std::string& path,
                                               Mode mode) {
  StartRocksDb();
  const rocksdb::Options options = OptionsFor(mode, path);
  std::vector<std::string> names;
  const rocksdb::Status listed =
      rocksdb::DB::ListColumnFamilies(options, path, &names);
  if (!listed.ok()) {
    const bool missing =
        options.env->FileExists(path + "/CURRENT").IsNotFound();
    if (!missing) return NotOpened(listed, path, mode);
    if (mode != Mode::kCreate) return Error(ENOENT, "catalog: there is none");
    names.assign(std::begin(kFamilyNames), std::end(kFamilyNames));
  }
  for (const char* name : kFamilyNames)
    if (mode != Mode::kRead &&
        std::find(names.begin(), names.end(), name) == names.end())
      names.emplace_back(name);

  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (const std::string& name : names) descriptors.emplace_back(name, options);
  auto database = std::make_unique<Database>();
  rocksdb::DB* db = nullptr;
  const rocksdb::Status opened =
      mode == Mode::kRead
          ? rocksdb::DB::OpenForReadOnly(options, path, descriptors,
                                         &database->handles, &db)
          : rocksdb::DB::Open(options, path, descriptors, &database->handles,
                              &db);
  database->db.reset(db);
  if (!opened.ok()) return NotOpened(opened, path, mode);
  for (size_t i = 0; i < names.size(); ++i)
    for (int family = 0; family < kFamilies; ++family)
      if (names[i] == kFamilyNames[family])
        database->families[family] = database->handles[i];
  std::string schema;
  rocksdb::Status got = rocksdb::Status::NotFound();
  const bool complete =
      std::find(database->families.begin(), database->families.end(),
                nullptr) == database->families.end();
  if (complete)
    got = db->Get({}, database->families[kMeta], kSchemaKey, &schema);
  if (got.IsNotFound() && mode == Mode::kRead)
    return Error(ENOENT, "catalog: it was never finished");
  if (got.IsNotFound()) {
    rocksdb::WriteBatch batch;
    TRY(Check(batch.Put(database->families[kMeta], kSchemaKey, kSchema)));
    TRY(database->Write(batch));
  } else if (!got.ok()) {
    return Error(EUCLEAN, "catalog: it does not say its version");
  } else if (schema != kSchema) {
    return Error(EPROTO, "catalog: version " + schema +
                             " was written by a later ufs; this one knows " +
                             kSchema);
  }
  return std::unique_ptr<Catalog>(new Catalog(std::move(database)));
}

Status Catalog::CheckRoomFor(size_t objects) {
  // A row in the batch, which doubles as it grows, and in the table in memory;
  // a large layer's go in pieces, to two of these at most. Each family's table
  // takes memory in blocks of an eighth of its buffer.
  constexpr size_t kRowBytes = 256;
  constexpr size_t kMost = 3 * kBatchBytes + 2 * kWriteBufferBytes;
  const size_t bytes =
      std::min(objects * kRowBytes, kMost) + kFamilies * kWriteBufferBytes / 8;
  void* const room = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED) return Error(ENOMEM);
  munmap(room, bytes);
  return Ok();
}

Status Catalog::PutLayer(const LayerInfo& info,
                         std::span<const ObjectId> objects) {
  rocksdb::WriteBatch batch;
  for (const ObjectId& id : objects) {
    std::string key = KeyOf(id);
    key += KeyOf(info.diff_id);
    TRY(Check(batch.Put(database_->families[kUsers], key, "")));
    if (batch.GetDataSize() >= kBatchBytes) TRY(database_->Write(batch));
  }
  TRY(Check(batch.Put(database_->families[kLayers],
                      SliceOf(KeyOf(info.diff_id)), info.Encode())));
  return database_->Write(batch);
}

Status Catalog::RemoveLayer(const Digest& diff_id) {
  rocksdb::WriteBatch batch;
  for (const ObjectId& id : TRY(ObjectsOf(diff_id))) {
    std::string key = KeyOf(id);
    key += KeyOf(diff_id);
    TRY(Check(batch.Delete(database_->families[kUsers], key)));
    if (batch.GetDataSize() >= kBatchBytes) TRY(database_->Write(batch));
  }
  // The record last: while it is there, the store knows what to remove.
  TRY(Check(
      batch.Delete(database_->families[kLayers], SliceOf(KeyOf(diff_id)))));
  return database_->Write(batch);
}

Result<std::vector<LayerInfo>> Catalog::Layers() const {
  std::vector<LayerInfo> layers;
  const auto it = database_->Iterate(kLayers);
  for (it->SeekToFirst(); it->Valid(); it->Next())
    layers.push_back(
        TRY(ParseLayer(it->key().ToStringView(), it->value().ToStringView())));
  TRY(Check(it->status()));
  return layers;
}

Result<LayerInfo> Catalog::Layer(const Digest& diff_id) const {
  std::string text;
  TRY(Check(database_->db->Get({}, database_->families[kLayers],
                               SliceOf(KeyOf(diff_id)), &text)));
  return ParseLayer(KeyOf(diff_id), text);
}

Status Catalog::ForEachObject(
    const std::function<Status(const ObjectId&, std::span<const Digest>)>&
        visit) const {
  const auto it = database_->Iterate(kUsers);
  std::optional<ObjectId> current;
  std::vector<Digest> layers;
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    const User user = TRY(ParseUser(it->key()));
    if (current && *current != user.id) {
      TRY(visit(*current, layers));
      layers.clear();
    }
    current = user.id;
    layers.push_back(user.layer);
  }
  TRY(Check(it->status()));
  if (current) TRY(visit(*current, layers));
  return Ok();
}

Result<std::vector<Digest>> Catalog::LayersOf(const ObjectId& id) const {
  const std::string prefix = KeyOf(id);
  std::vector<Digest> layers;
  const auto it = database_->Iterate(kUsers);
  for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix);
       it->Next())
    layers.push_back(TRY(ParseUser(it->key())).layer);
  TRY(Check(it->status()));
  return layers;
}

Result<std::vector<ObjectId>> Catalog::ObjectsOf(const Digest& diff_id) const {
  std::vector<ObjectId> objects;
  const auto it = database_->Iterate(kUsers);
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    const User user = TRY(ParseUser(it->key()));
    if (user.layer == diff_id) objects.push_back(user.id);
  }
  TRY(Check(it->status()));
  return objects;
}

Status Catalog::Verify() const {
  TRY(Check(database_->db->VerifyChecksum()));
  TRY(Layers());
  return ForEachObject(
      [](const ObjectId&, std::span<const Digest>) { return Ok(); });
}

}  // namespace ufs
