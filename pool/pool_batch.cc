// The part of Pool that judges calls with several statements before they are sent.
#include <algorithm>

#include "pool/pool.h"

namespace dbsidecar::pool {
namespace {

Error InvalidStep(std::string why) { return OwnError(ErrorKind::kInvalidArgument, std::move(why)); }

constexpr std::string_view kNotIndependent =
    "steps cannot be independent of each other inside a transaction; use BATCH_MODE_ATOMIC";

}  // namespace

Classification Pool::ClassifyMany(CallState& state) {
  const Call& call = *state.call;
  Classification all;
  if (call.batch != nullptr) {
    all = ClassifyBatch(state);
  } else {
    Statement first = call.statement;
    first.parameters.clear();
    if (call.rows->size() > 0) call.rows->Get(0, first.parameters);
    all = driver_.Classify(first);
    NoteStatement(state, all.figures);
    const bool nothing_to_count =
        call.rows->size() == 0 && all.refusal && all.refusal->kind == ErrorKind::kInvalidArgument;
    if (nothing_to_count) all.refusal.reset();
    FitToSession(call, all);
    if (!all.refusal && all.transaction_control) {
      all.refusal = InvalidStep("transaction control cannot be run for many rows; use `session`");
    }
  }
  all.shareable = false;
  all.history.reset();
  return all;
}

Classification Pool::ClassifyBatch(CallState& state) {
  const Call& call = *state.call;
  Classification all;
  all.may_write = false;
  if (!call.batch->atomic && call.session.kind == SessionUse::Kind::kBegin) {
    all.refusal = InvalidStep(std::string(kNotIndependent));
    return all;
  }
  for (size_t i = 0; i < call.batch->steps.size(); ++i) {
    const Statement& step = call.batch->steps[i].statement;
    Classification one = driver_.Classify(step);
    state.step_figures.push_back(statement_table_.Of(step.sql, one.figures, state.arrived));
    if (one.transaction_control) {
      one.refusal = InvalidStep(
          "a batch cannot have transaction control among its steps; its mode and its session say "
          "what is a transaction, and may_fail is a savepoint");
    } else {
      FitToSession(call, one);
    }
    all.lane = std::max(all.lane, one.lane);
    all.may_write = all.may_write || one.may_write;
    if (one.refusal) {
      all.refusal = std::move(one.refusal);
      all.refusal->place = {.part = "step", .index = i};
      break;
    }
  }
  return all;
}

// What depends on the session as it is when the call's turn comes.
std::optional<Error> Pool::RefusalInSession(const Call& call, const Session& session) {
  const bool independent = call.batch != nullptr && !call.batch->atomic;
  if (!independent || session.status == TransactionStatus::kIdle) return std::nullopt;
  return InvalidStep(std::string(kNotIndependent));
}

}  // namespace dbsidecar::pool
