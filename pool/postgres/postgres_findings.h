// Questions about what PostgreSQL's statistics views tell. Whatever the role may not see, or is not
// installed, is left out.
#pragma once

#include "pool/server_findings.h"

namespace pqxx {
class nontransaction;
}

namespace dbsidecar::pool {

// Blocks, for some seconds at the most. Changes settings of the connection, which is of no further
// use afterwards.
ServerFindings AskFindings(pqxx::nontransaction& transaction);

}  // namespace dbsidecar::pool
