// What a database server's own statistics say of its work, for recommendations.
#pragma once

#include <string>
#include <vector>

namespace dbsidecar::pool {

struct ServerFindings {
  // A large table that is read from end to end again and again.
  struct ScannedTable {
    std::string name;  // With its schema.
    double rows = 0;
    double sequential_scans = 0;
    double index_scans = 0;
  };
  // A statement that reads much and finds little.
  struct CostlyStatement {
    std::string id;  // pg_stat_statements.queryid
    double calls = 0;
    double mean_seconds = 0;
    double blocks_per_call = 0;
    double rows_per_call = 0;
  };

  int reserved_connections = 0;  // Of max_connections, for superusers and the like.
  int waiting_for_locks = 0;     // Sessions of this database, at that moment.
  double longest_lock_wait_seconds = 0;
  std::vector<ScannedTable> scanned_tables{};        // The worst few.
  std::vector<CostlyStatement> costly_statements{};  // The worst few.
};

}  // namespace dbsidecar::pool
