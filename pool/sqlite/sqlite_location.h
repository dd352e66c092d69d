// Where a database lives: reads a path, a "file:" URI or ":memory:" as the operator wrote it.
#pragma once

#include <string>
#include <string_view>

namespace dbsidecar::pool {

struct SqliteLocation {
  enum class Kind {
    kFile,
    kReadOnlyFile,  // mode=ro or immutable=1 in its URI.
    kMemory,        // Lives as long as its driver, and in no file.
  };

  Kind kind = Kind::kFile;
  std::string target;  // What SQLite opens; empty for kMemory, where the driver gives it a name.
  std::string path;    // The file, for people and for diagnosis.

  static SqliteLocation Parse(std::string_view text);
};

}  // namespace dbsidecar::pool
