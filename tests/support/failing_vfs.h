// A file system for SQLite whose writes to a write-ahead log fail when a test says so. Install
// it before the database is opened: it becomes SQLite's default one.
#pragma once

#include <sqlite3.h>

#include <atomic>

#include "pool/check.h"

namespace dbsidecar {

class FailingVfs {
 public:
  // From now on `count` writes fail with this; -1 = all. SQLITE_OK = none.
  static void Fail(int code, int count = -1) {
    code_ = code;
    left_ = code == SQLITE_OK ? 0 : count;
    failed_ = 0;
  }
  static int failed() { return failed_; }

  static void Install() {
    static const bool installed = [] {
      sqlite3_vfs* const real = sqlite3_vfs_find(nullptr);
      static sqlite3_vfs vfs = *real;
      real_ = real;
      vfs.zName = "failing";
      vfs.xOpen = Open;
      vfs.pNext = nullptr;
      return sqlite3_vfs_register(&vfs, 1) == SQLITE_OK;
    }();
    DBSIDECAR_CHECK(installed);
  }

 private:
  static int Open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
    const int code = real_->xOpen(real_, name, file, flags, out_flags);
    if (code != SQLITE_OK || (flags & SQLITE_OPEN_WAL) == 0) return code;
    static sqlite3_io_methods methods;
    // The same for every file of this kind.
    static const bool wrapped = [file] {
      real_methods_ = file->pMethods;
      methods = *file->pMethods;
      methods.xWrite = Write;
      return true;
    }();
    DBSIDECAR_CHECK(wrapped);
    file->pMethods = &methods;
    return code;
  }
  static int Write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
    if (left_ != 0) {
      if (left_ > 0) --left_;
      ++failed_;
      return code_;
    }
    return real_methods_->xWrite(file, bytes, size, offset);
  }

  static inline sqlite3_vfs* real_ = nullptr;
  static inline const sqlite3_io_methods* real_methods_ = nullptr;
  static inline std::atomic<int> code_{SQLITE_OK};
  static inline std::atomic<int> left_{0};
  static inline std::atomic<int> failed_{0};
};

}  // namespace dbsidecar
