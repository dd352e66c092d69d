// The driver for SQLite: one writer and several readers for a file, each on a thread of its own.
#pragma once

#include <memory>

#include "pool/driver.h"
#include "pool/event_loop.h"
#include "pool/sqlite/sqlite_config.h"

namespace dbsidecar::pool {

// REQUIRES: the driver outlives its connections, and `loop` the driver. A call handed to a
// connection stays alive until that connection reports OnReply, OnWrongLane or OnClosed: its
// thread reads the statement until then. Connections closed in order report OnClosed without ever
// blocking the loop; destroying one before that interrupts its work and waits for its thread.
std::unique_ptr<Driver> NewSqliteDriver(SqliteConfig config, EventLoop& loop);

}  // namespace dbsidecar::pool
