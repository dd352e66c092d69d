// Calls of sessions, short to write in tests.
#pragma once

#include <string>

#include "tests/contract/database.h"
#include "tests/contract/running_pool.h"

namespace dbsidecar::contract {

inline pool::SessionUse Begin(pool::BeginOptions begin = {}) {
  pool::SessionUse use;
  use.kind = pool::SessionUse::Kind::kBegin;
  use.begin = begin;
  return use;
}

inline pool::SessionUse BeginReadOnly() { return Begin({.read_only = true}); }

inline pool::SessionUse Pin() {
  pool::SessionUse use;
  use.kind = pool::SessionUse::Kind::kPin;
  return use;
}

inline pool::SessionUse AutoPin() {
  pool::SessionUse use;
  use.auto_pin = true;
  return use;
}

inline pool::SessionUse In(const std::string& token) {
  pool::SessionUse use;
  use.kind = pool::SessionUse::Kind::kContinue;
  use.token = token;
  return use;
}

inline pool::SessionUse End(const std::string& token, pool::SessionUse::End end) {
  pool::SessionUse use;
  use.kind = pool::SessionUse::Kind::kEnd;
  use.token = token;
  use.end = end;
  return use;
}

inline pool::SessionUse Commit(pool::SessionUse use) {
  use.commit = true;
  return use;
}

inline pool::Outcome RunIn(RunningPool& pool, const std::string& sql, const pool::SessionUse& use) {
  TestCall call(sql);
  call.session = use;
  pool.Submit(call);
  call.AwaitDone();
  return call.Await();
}

inline pool::Outcome RunEnd(RunningPool& pool, const std::string& token,
                            pool::SessionUse::End end) {
  return RunIn(pool, "", End(token, end));
}

// The token of a session that this statement opens.
inline std::string Open(RunningPool& pool, const std::string& sql, const pool::SessionUse& use) {
  const pool::Outcome outcome = RunIn(pool, sql, use);
  EXPECT_FALSE(outcome.error) << ErrorText(outcome);
  EXPECT_EQ(outcome.session.size(), 32u);
  return outcome.session;
}

inline size_t Leased(RunningPool& pool) {
  return pool.Stats().connections[static_cast<size_t>(pool::ConnectionState::kLeased)];
}

inline pool::PoolOptions SessionOptions(size_t max, pool::Duration idle = pool::Duration::zero(),
                                        pool::Duration transaction = pool::Duration::zero()) {
  pool::PoolOptions options = TestOptions(max);
  options.session_idle_timeout = idle;
  options.transaction_timeout = transaction;
  return options;
}

}  // namespace dbsidecar::contract
