// How an SQLite database is opened and used.
#pragma once

#include <cstddef>
#include <string>

#include "pool/time.h"

namespace dbsidecar::pool {

struct SqliteConfig {
  std::string location = ":memory:";  // A path, a "file:" URI, or ":memory:".

  // The operator's words, handed to SQLite as they are.
  std::string journal_mode = "WAL";
  std::string synchronous = "NORMAL";
  int cache_size = 1000;  // In pages; negative = in KiB.
  bool foreign_keys = true;
  std::string temp_store = "MEMORY";

  size_t prepared_max = 256;  // Prepared statements kept per connection; 0 = none.
  // How long a call without a deadline waits for another process's lock. One that has a deadline
  // waits until just before it.
  Duration busy_max = std::chrono::seconds(60);
};

}  // namespace dbsidecar::pool
