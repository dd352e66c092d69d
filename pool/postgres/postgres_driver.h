// The PostgreSQL driver: any server that speaks PostgreSQL's protocol, through libpq.
#pragma once

#include <memory>
#include <string>

#include "pool/driver.h"
#include "pool/event_loop.h"
#include "pool/postgres/conninfo.h"

namespace dbsidecar::pool {

// `loop` is borrowed and outlives the driver; the driver outlives the pool. Its destructor waits
// for connects and cancels that are still under way.
std::unique_ptr<Driver> NewPostgresDriver(PostgresConfig config, EventLoop& loop);

}  // namespace dbsidecar::pool
