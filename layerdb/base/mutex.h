// std::mutex and std::shared_mutex with Clang's thread-safety annotations,
// which libstdc++'s own do not carry. With them `-Wthread-safety` proves at
// compile time that a GUARDED_BY member is only touched under its mutex.
// See https://clang.llvm.org/docs/ThreadSafetyAnalysis.html
#pragma once

#include <mutex>
#include <shared_mutex>

#if defined(__clang__)
#define UFS_TSA(x) __attribute__((x))
#else
#define UFS_TSA(x)
#endif

#define CAPABILITY(x) UFS_TSA(capability(x))
#define SCOPED_CAPABILITY UFS_TSA(scoped_lockable)
#define GUARDED_BY(x) UFS_TSA(guarded_by(x))
#define PT_GUARDED_BY(x) UFS_TSA(pt_guarded_by(x))
#define REQUIRES(...) UFS_TSA(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) UFS_TSA(requires_shared_capability(__VA_ARGS__))
#define ACQUIRE(...) UFS_TSA(acquire_capability(__VA_ARGS__))
#define ACQUIRE_SHARED(...) UFS_TSA(acquire_shared_capability(__VA_ARGS__))
#define RELEASE(...) UFS_TSA(release_capability(__VA_ARGS__))
#define RELEASE_SHARED(...) UFS_TSA(release_shared_capability(__VA_ARGS__))
#define RELEASE_GENERIC(...) UFS_TSA(release_generic_capability(__VA_ARGS__))
#define EXCLUDES(...) UFS_TSA(locks_excluded(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS UFS_TSA(no_thread_safety_analysis)

namespace ufs {

class CAPABILITY("mutex") Mutex {
 public:
  void Lock() ACQUIRE() { mu_.lock(); }
  void Unlock() RELEASE() { mu_.unlock(); }

 private:
  std::mutex mu_;
};

class CAPABILITY("mutex") SharedMutex {
 public:
  void Lock() ACQUIRE() { mu_.lock(); }
  void Unlock() RELEASE() { mu_.unlock(); }
  void LockShared() ACQUIRE_SHARED() { mu_.lock_shared(); }
  bool TryLockShared() UFS_TSA(try_acquire_shared_capability(true)) {
    return mu_.try_lock_shared();
  }
  void UnlockShared() RELEASE_SHARED() { mu_.unlock_shared(); }

 private:
  std::shared_mutex mu_;
};

class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mu) ACQUIRE(mu) : mu_(mu) { mu_.Lock(); }
  ~MutexLock() RELEASE() { mu_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mu_;
};

class SCOPED_CAPABILITY WriterLock {
 public:
  explicit WriterLock(SharedMutex& mu) ACQUIRE(mu) : mu_(mu) { mu_.Lock(); }
  ~WriterLock() RELEASE() { mu_.Unlock(); }
  WriterLock(const WriterLock&) = delete;
  WriterLock& operator=(const WriterLock&) = delete;

 private:
  SharedMutex& mu_;
};

class SCOPED_CAPABILITY ReaderLock {
 public:
  explicit ReaderLock(SharedMutex& mu) ACQUIRE_SHARED(mu) : mu_(mu) {
    mu_.LockShared();
  }
  ~ReaderLock() RELEASE_GENERIC() { mu_.UnlockShared(); }
  ReaderLock(const ReaderLock&) = delete;
  ReaderLock& operator=(const ReaderLock&) = delete;

 private:
  SharedMutex& mu_;
};

}  // namespace ufs
