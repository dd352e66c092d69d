// A table, a row with parameters, and typed cells. On both databases.
//
//   first_query [TARGET]        such as unix:/run/dbsidecar.sock; 127.0.0.1:50051 by default
#include <cstdint>
#include <iostream>
#include <optional>
#include <string>

#include "dbsidecar/client.h"

int main(int argc, char** argv) {
  try {
    dbsidecar::Client client(argc > 1 ? argv[1] : "127.0.0.1:50051");
    client.Query(
        "create table if not exists fruit (name text primary key, price real, origin text)");
    client.Query("delete from fruit");
    client.Query("insert into fruit values ($1, $2, $3)", "pear", 0.5, "Fiesole");
    client.Query("insert into fruit values ($1, $2, $3)", "quince", 1.25, std::nullopt);

    const dbsidecar::Result fruit =
        client.Query("select name, price, origin from fruit where price < $1 order by name", 2.0);
    for (auto& row : fruit) {
      const auto name = row.Get<std::string>("name");
      const auto price = row.Get<double>(1);
      const auto origin = row.Get<std::optional<std::string>>("origin");
      std::cout << name << " costs " << price << ", from " << origin.value_or("who knows where")
                << "\n";
    }
    try {
      client.Query("insert into fruit values ($1, $2, $3)", "pear", 0.75, nullptr);
    } catch (const dbsidecar::UniqueViolation& error) {
      std::cout << "as expected: " << error.what() << " (" << error.sqlstate() << ")\n";
    }
    client.Query("drop table fruit");
    return 0;
  } catch (const dbsidecar::Error& error) {
    std::cerr << error.reason() << ": " << error.what() << "\n";
    return 1;
  }
}
