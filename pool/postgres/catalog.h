// What the database's catalogue says about the code that a statement runs without showing it: the
// bodies of functions and, behind a table's name, its triggers, defaults, rules and policies.
#pragma once

#include <string>
#include <unordered_map>

namespace dbsidecar::pool {

// A name is suspect when using it can run code that users wrote in SQL or a procedural language,
// other than IMMUTABLE functions: such code may change the session. Schemas make no difference: a
// name is suspect when any object of that name is. A name that is not here is suspect, too.
struct Catalog {
  using Names = std::unordered_map<std::string, bool>;  // true = suspect.

  Names functions;
  Names relations;
  Names operators;
  // Suspect code runs where no name shows it: a cast, a domain's check, an operator class, a
  // range type or an event trigger.
  bool suspect_everywhere = false;
};

}  // namespace dbsidecar::pool
