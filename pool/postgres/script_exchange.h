// A script: a text with any number of statements, and a result for each.
#pragma once

#include <string_view>
#include <vector>

#include "pool/postgres/plain_exchange.h"

namespace dbsidecar::pool {

class ScriptExchange final : public PlainExchange {
 public:
  explicit ScriptExchange(const Call& call);

 private:
  Progress Take(PGconn* conn, const PGresult* result, Outcome& outcome) override;
  void Finish(Outcome& outcome) override;
  void OnError(Error& error) override;
  bool row_by_row() const override { return true; }

  static std::vector<Step> StepsOf(const Statement& statement);
  void TakeRows(const PGresult* result, Outcome& outcome);
  void EndStatement(const PGresult* result, Outcome& outcome);

  const ResultLimits limits_;
  bool in_statement_ = false;  // Rows of it have come already.
  uint64_t statements_ = 0;    // That are over.
  uint64_t bytes_ = 0;         // Kept of these.
  bool too_large_ = false;
  bool copies_ = false;  // It has a COPY that needs a stream.
};

// Where the statements of a text are: in bytes.
struct TextPart {
  size_t at = 0;
  size_t size = 0;
};
std::vector<TextPart> SplitScript(std::string_view sql);

}  // namespace dbsidecar::pool
