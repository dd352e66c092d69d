// Lets the parts of a stream from a connection's thread to the loop, one at a time: the next one
// once the one before it has been delivered and the reader wants more. So at most two parts exist,
// however slowly the reader reads: the one on its way and the one being filled.
#pragma once

#include <atomic>

#include "pool/sqlite/interruption.h"

namespace dbsidecar::pool {

class PartGate {
 public:
  explicit PartGate(Interruption& interruption) : interruption_(interruption) {}

  // --- On the loop thread. ---

  void Open() {
    open_.store(true);
    interruption_.Wake();
  }

  // --- On the connection's thread. ---

  // A new stream begins.
  void Reset() { open_.store(true); }
  bool open() const { return open_.load(); }
  // Waits until it is open, and closes it behind one part. A reader that reads nothing is given up
  // by the pool, which interrupts. False = interrupted.
  bool Pass() {
    if (interruption_.WaitFor(open_)) return false;
    open_.store(false);
    return true;
  }

 private:
  Interruption& interruption_;
  std::atomic<bool> open_{true};
};

}  // namespace dbsidecar::pool
