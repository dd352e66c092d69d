// What a connection's thread has to do, in order. The loop thread fills it and takes back what is
// cancelled; the connection's thread empties it.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <vector>

#include "pool/call.h"
#include "pool/sqlite/interruption.h"

namespace dbsidecar::pool {

class JobQueue {
 public:
  struct Job {
    enum class Kind { kPing, kReset, kExecute };
    Kind kind;
    Call* call = nullptr;    // kExecute.
    bool alone = false;      // kExecute: not in one transaction with others.
    bool audit = false;      // kReset.
    bool cancelled = false;  // kExecute: to be given out all the same, and interrupted.
    size_t behind = 0;       // How many waited behind it when it was given out.
  };

  explicit JobQueue(Interruption& interruption) : interruption_(interruption) {}

  // --- On the loop thread. ---

  // Adds all of `jobs`, which is empty afterwards and keeps its memory.
  void Add(std::vector<Job>& jobs);
  // True: it was still waiting, and is no more. Otherwise it is interrupted if it runs, or when it
  // is given out, and is not run again. A call of a session is never taken out: what becomes of its
  // transaction is for the connection's thread to say.
  bool Cancel(const Call& call);
  // Interrupts what runs; nothing is given out any more.
  void End();

  // --- On the connection's thread. ---

  // The next one. What was given out before is over: a cancel of it has no effect any more. Empty:
  // none is waiting now.
  std::optional<Job> TryNext();
  // The same, but waits. Empty: the end.
  std::optional<Job> WaitNext();
  // The next one if it is a statement that may be in one transaction with others. It is given out
  // together with the last one: both count as under way until TryNext or WaitNext.
  std::optional<Job> NextOfGroup();
  // What was given out runs no more, so that a cancel cannot hit what the thread does next.
  void NothingRuns();
  // Puts those of `calls` first in the queue, to be run alone, that were not cancelled since they
  // were given out. The others are returned.
  std::vector<Call*> PutBack(const std::vector<Call*>& calls);
  // Takes out all statements.
  std::vector<Call*> TakeWaiting();

 private:
  struct GivenOut {
    Call* call;
    bool cancelled = false;
  };

  // REQUIRES: mutex_ is held, and there is one.
  Job GiveOut();

  Interruption& interruption_;
  std::mutex mutex_;  // Guards all below.
  std::condition_variable added_;
  std::deque<Job> jobs_;
  std::vector<GivenOut> given_out_;
  // It is interrupted only under the mutex and while it is here, so that an interrupt never hits
  // another one.
  const Call* running_ = nullptr;
  bool ending_ = false;
};

}  // namespace dbsidecar::pool
