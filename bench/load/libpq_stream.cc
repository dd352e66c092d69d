// One large result by libpq directly, row by row: what a stream through the sidecar compares with.
//
//   libpq_stream CONNINFO SQL     prints {"rows", "seconds"}
#include <fmt/format.h>
#include <libpq-fe.h>

#include <chrono>
#include <cstdint>
#include <iostream>
#include <memory>

namespace {

using Clock = std::chrono::steady_clock;

int Fail(PGconn* connection) {
  std::cerr << PQerrorMessage(connection);
  return 1;
}

int Run(const char* database, const char* sql) {
  const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(PQconnectdb(database), PQfinish);
  if (PQstatus(connection.get()) != CONNECTION_OK) return Fail(connection.get());
  const auto start = Clock::now();
  if (PQsendQueryParams(connection.get(), sql, 0, nullptr, nullptr, nullptr, nullptr, 0) != 1 ||
      PQsetSingleRowMode(connection.get()) != 1) {
    return Fail(connection.get());
  }
  int64_t rows = 0;
  while (PGresult* result = PQgetResult(connection.get())) {
    const ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    if (status == PGRES_SINGLE_TUPLE) {
      ++rows;
    } else if (status != PGRES_TUPLES_OK) {
      return Fail(connection.get());
    }
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  std::cout << fmt::format(R"({{"rows": {}, "seconds": {:.3f}}})", rows, seconds) << "\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: libpq_stream CONNINFO SQL\n";
    return 2;
  }
  return Run(argv[1], argv[2]);
}
