// Money moves between two accounts, or does not: a serializable transaction that is run again when
// the database could not order it among the others.
//
//   transfer [TARGET]
#include <cstdint>
#include <iostream>
#include <string>
#include <thread>

#include "dbsidecar/client.h"

namespace {

constexpr int kAttempts = 10;

// False: there is not enough on the account.
bool TryTransfer(dbsidecar::Client& client, int from, int to, int64_t amount) {
  // BEGIN goes out with the first statement and COMMIT with the last: three round trips. Whatever
  // throws on the way rolls back.
  dbsidecar::Transaction tx = client.Begin({.isolation = dbsidecar::Isolation::kSerializable});
  const auto balance =
      tx.Query("select balance from accounts where id = $1", from).One().Get<int64_t>(0);
  if (balance < amount) return false;
  tx.Query("update accounts set balance = balance - $1 where id = $2", amount, from);
  tx.CommitWith("update accounts set balance = balance + $1 where id = $2", amount, to);
  return true;
}

bool Transfer(dbsidecar::Client& client, int from, int to, int64_t amount) {
  for (int attempt = 1;; ++attempt) {
    try {
      return TryTransfer(client, from, to, amount);
    } catch (const dbsidecar::TransactionRollback& error) {
      // SerializationFailure or DeadlockDetected: nothing of it happened. Run the whole again.
      if (attempt == kAttempts) throw;
      std::this_thread::sleep_for(
          error.failure().retry_delay.value_or(std::chrono::milliseconds(5)));
    }
    // OutcomeUnknown is not caught: the money may have moved. Look before you try again.
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    dbsidecar::Client client(argc > 1 ? argv[1] : "127.0.0.1:50051");
    client.Query(
        "create table if not exists accounts (id int primary key, balance bigint not null)");
    client.Query("delete from accounts");
    client.Query("insert into accounts values (1, 100), (2, 0)");
    std::cout << "30 of 100: " << (Transfer(client, 1, 2, 30) ? "done" : "refused") << "\n";
    std::cout << "90 of 70: " << (Transfer(client, 1, 2, 90) ? "done" : "refused") << "\n";
    for (auto& row : client.Query("select id, balance from accounts order by id")) {
      std::cout << "account " << row.Get<int>("id") << ": " << row.Get<int64_t>("balance") << "\n";
    }
    return 0;
  } catch (const dbsidecar::OutcomeUnknown& error) {
    std::cerr << "the money may have moved: " << error.what() << "\n";
    return 1;
  } catch (const dbsidecar::Error& error) {
    std::cerr << error.reason() << ": " << error.what() << "\n";
    return 1;
  }
}
