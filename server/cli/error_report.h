// Errors and notices for people, in the manner of psql.
#pragma once

#include <string>
#include <string_view>

#include "dbsidecar/v1/error.pb.h"
#include "dbsidecar/v1/query.pb.h"

namespace dbsidecar::server::cli {

// ERROR: relation "x" does not exist (SQLSTATE 42P01)
// LINE 1: select * from x
//                       ^
// and what else is known, each on its line; the last line has the code and the reason.
// `sql` is the statement as sent, empty when there was none.
std::string ReportOfError(const v1::Error& error, std::string_view sql);

// `NOTICE: ...`, one line.
std::string ReportOfNotice(const v1::Notice& notice);

}  // namespace dbsidecar::server::cli
