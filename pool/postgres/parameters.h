// A statement's parameters in the form in which libpq wants them.
#pragma once

#include <libpq-fe.h>

#include <deque>
#include <string>
#include <vector>

#include "pool/statement.h"

namespace dbsidecar::pool {

// Numbers and booleans travel in PostgreSQL's text form, so that the server can infer any numeric
// type for them; bytes travel in binary form, as bytea unless another type is named.
// Borrows from the statement.
class Parameters {
 public:
  explicit Parameters(const Statement& statement);

  int count() const { return static_cast<int>(values_.size()); }
  const Oid* types() const { return types_.data(); }
  const char* const* values() const { return values_.data(); }
  const int* lengths() const { return lengths_.data(); }
  const int* formats() const { return formats_.data(); }

 private:
  void Add(const Value& value);
  void AddText(uint32_t type_oid, std::string text);

  std::vector<Oid> types_;
  std::vector<const char*> values_;
  std::vector<int> lengths_;
  std::vector<int> formats_;
  std::deque<std::string> texts_;  // Never moves what it holds.
};

// The key under which a prepared statement is kept: its text and its parameters' named types.
std::string PreparedKey(const Statement& statement);

}  // namespace dbsidecar::pool
