#include "tests/integration/fixture.h"

#include <cstdlib>

#include "server/status_code.h"

namespace dbsidecar::integration {

seconds TestSeconds(const std::string& name, int otherwise) {
  const char* text = std::getenv(("DBSIDECAR_TEST_SECONDS_" + name).c_str());
  return seconds(text == nullptr ? otherwise : std::max(1, std::atoi(text)));
}

double Milliseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

PostgresSidecar::PostgresSidecar(std::vector<std::string> flags, bool unix_socket,
                                 PostgresServer& on)
    : server(on),
      database(server.CreateDatabase("test")),
      sidecar({.database_url = server.Url(database),
               .flags = std::move(flags),
               .environment = {},
               .unix_socket = unix_socket}),
      client(sidecar.NewChannel()),
      health(sidecar.NewChannel()) {}

std::string CodeAndSqlstate(const QueryOutcome& outcome) {
  if (outcome.ok()) return "OK";
  return server::NameOfCode(outcome.status.error_code()) + " " + outcome.sql.sqlstate();
}

}  // namespace dbsidecar::integration
