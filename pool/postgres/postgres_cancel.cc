// The part of PostgresConnection that cancels.
#include "pool/postgres/postgres_cancel.h"

#include <algorithm>
#include <future>
#include <thread>
#include <utility>

#include "pool/postgres/postgres_connection.h"

namespace dbsidecar::pool {
namespace {

// How long the server may take to accept a cancel.
constexpr Duration kCancelMax = std::chrono::seconds(2);
// Between two cancels of the same statement; doubled each time.
constexpr Duration kCancelPauseMin = std::chrono::milliseconds(5);
constexpr Duration kCancelPauseMax = std::chrono::seconds(1);

}  // namespace

bool SendCancel(PGcancel* cancel) {
  std::promise<void> sent;
  std::future<void> done = sent.get_future();
  std::thread([cancel, sent = std::move(sent)]() mutable {
    char ignored[256];
    PQcancel(cancel, ignored, sizeof(ignored));
    PQfreeCancel(cancel);
    sent.set_value();
  }).detach();
  return done.wait_for(kCancelMax) == std::future_status::ready;
}

void PostgresConnection::Cancel(Call& call) {
  if (lost_ || closing_ || IsCancelWanted(call)) return;
  if (cancels_wanted_.empty()) environment_.loop.AddTimer(this);
  cancels_wanted_.push_back(&call);
  StopRun(call);
  cancel_pause_ = kCancelPauseMin;
  if (!in_flight_.empty() && in_flight_.front()->call == &call && in_flight_.front()->exchange) {
    in_flight_.front()->exchange->Cancel();
  }
  Resume(call);  // What is left of a stream is read and dropped.
  OnTick(environment_.loop.now());
}

void PostgresConnection::Evict() {
  if (!lost_ && !closing_ && !in_flight_.empty()) StartCancel();
}

bool PostgresConnection::IsCancelWanted(const Call& call) const {
  return std::find(cancels_wanted_.begin(), cancels_wanted_.end(), &call) != cancels_wanted_.end();
}

void PostgresConnection::OnTick(Instant /*now*/) {
  cancel_again_at_ = kNever;
  if (!MayRunOneToCancel()) {
    CancelLater();  // Those wanted are still behind another operation, or complete and held.
  } else if (!lost_) {
    StartCancel();
  }
}

// The server sends nothing of those that share a Sync before the last of them is over, so any of
// them may be the one that runs.
bool PostgresConnection::MayRunOneToCancel() const {
  for (const OperationPtr& pointer : in_flight_) {
    const Operation& operation = *pointer;
    if (operation.call != nullptr && IsCancelWanted(*operation.call)) return true;
    if (operation.size == 0 || operation.commands[operation.size - 1] == Command::kSync) {
      return false;
    }
  }
  return false;
}

void PostgresConnection::CancelLater() {
  if (cancels_wanted_.empty()) return;
  cancel_again_at_ = EventLoop::ReadClock() + cancel_pause_;
  cancel_pause_ = std::min(2 * cancel_pause_, kCancelPauseMax);
}

void PostgresConnection::ForgetCancel(const Call* call) {
  if (std::erase(cancels_wanted_, call) > 0 && cancels_wanted_.empty()) StopCancelling();
}

void PostgresConnection::StopCancelling() {
  cancels_wanted_.clear();
  cancel_again_at_ = kNever;
  environment_.loop.RemoveTimer(this);
}

void PostgresConnection::StartCancel() {
  if (cancelling_) return;
  PGcancel* cancel = PQgetCancel(conn_);
  if (cancel == nullptr) return;
  cancelling_ = true;
  environment_.threads.Run([link = link_, cancel, &loop = environment_.loop] {
    const bool arrived = SendCancel(cancel);
    loop.Post([link, arrived] {
      if (link->connection != nullptr) link->connection->Cancelled(arrived);
    });
  });
}

void PostgresConnection::Cancelled(bool arrived) {
  cancelling_ = false;
  cancel_astray_ = cancel_astray_ || !arrived;
  std::deque<OperationPtr> held = std::move(held_);
  held_.clear();
  // How far the server was when the signal came cannot be told.
  for (const OperationPtr& operation : held) operation->hit_by_cancel = true;
  for (const OperationPtr& operation : in_flight_) operation->hit_by_cancel = true;
  for (OperationPtr& operation : held) {
    if (!closing_) CompleteStatement(std::move(operation));
  }
  if (!closing_) CancelLater();
}

}  // namespace dbsidecar::pool
