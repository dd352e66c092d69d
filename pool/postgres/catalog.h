// What the database's catalogue says about the code that a statement runs without showing it: the
// bodies of functions and, behind a table's name, its triggers, defaults, rules and policies.
#pragma once

#include <string>
#include <unordered_map>

namespace dbsidecar::pool {

// What using a name can lead to, from harmless to worst. Schemas make no difference: the worst
// object of a name counts. A name that is not known counts as kSuspect.
enum class NamedCode {
  kHarmless,
  // Code of PostgreSQL's own, or of a C function, that is VOLATILE: it may write, lock, or give
  // another answer each time. Views, whose definition is not looked into for such code, too, and
  // what is outside this database.
  kVolatile,
  // Code that users wrote in SQL or a procedural language, other than IMMUTABLE functions: it may
  // change the session.
  kSuspect,
};

struct Catalog {
  using Names = std::unordered_map<std::string, NamedCode>;

  Names functions;
  Names relations;
  Names operators;
  // Suspect code runs where no name shows it: a cast, a domain's check, an operator class, a
  // range type or an event trigger.
  bool suspect_everywhere = false;
};

}  // namespace dbsidecar::pool
