// Functions that act on the session although the catalogue calls them harmless, because they are
// PostgreSQL's own or written in C. docs/isolation.md lists them.
#pragma once

#include <string_view>
#include <utility>

namespace dbsidecar::pool {

// Those that write to, or read from, the session rather than the database, with what to use
// instead.
inline constexpr std::pair<std::string_view, std::string_view> kSessionFunctions[] = {
    {"pg_advisory_lock", "pg_advisory_xact_lock in a transaction"},
    {"pg_advisory_lock_shared", "pg_advisory_xact_lock_shared in a transaction"},
    {"pg_try_advisory_lock", "pg_try_advisory_xact_lock in a transaction"},
    {"pg_try_advisory_lock_shared", "pg_try_advisory_xact_lock_shared in a transaction"},
    {"pg_advisory_unlock", "pg_advisory_xact_lock in a transaction"},
    {"pg_advisory_unlock_shared", "pg_advisory_xact_lock_shared in a transaction"},
    {"pg_advisory_unlock_all", "pg_advisory_xact_lock in a transaction"},
    {"set_config", "SessionControl.begin, or true as its third argument"},
    {"setseed", "a session (SessionControl.pin)"},
    {"currval", "INSERT ... RETURNING"},
    {"lastval", "INSERT ... RETURNING"},
    {"dblink_connect", "a session (SessionControl.pin)"},
    {"dblink_connect_u", "a session (SessionControl.pin)"},
    {"pg_backup_start", "a session (SessionControl.pin)"},
    {"pg_backup_stop", "a session (SessionControl.pin)"},
    {"pg_start_backup", "a session (SessionControl.pin)"},
    {"pg_stop_backup", "a session (SessionControl.pin)"},
    {"pg_replication_origin_session_setup", "a session (SessionControl.pin)"},
    {"pg_replication_origin_session_reset", "a session (SessionControl.pin)"},
};

// Those that run a text as SQL, or change a setting.
inline constexpr std::string_view kTraceFunctions[] = {
    "query_to_xml", "query_to_xmlschema", "query_to_xml_and_xmlschema",
    "ts_stat",      "ts_rewrite",         "crosstab",
    "crosstab2",    "crosstab3",          "crosstab4",
    "connectby",    "xpath_table",        "set_limit",
    "set_user",     "reset_user",
};

// With a third argument, or one of this name, that is true, the slot ends with the session.
inline constexpr std::string_view kSlotFunctions[] = {
    "pg_create_physical_replication_slot",
    "pg_create_logical_replication_slot",
    "pg_copy_physical_replication_slot",
    "pg_copy_logical_replication_slot",
};

}  // namespace dbsidecar::pool
