// The paths that are served over HTTP, and what each answers; docs/operations.md lists them.
#pragma once

#include "server/http/http_server.h"

namespace dbsidecar::server {

class Reports;

HttpResponse AnswerHttp(const HttpRequest& request, Reports& reports);

}  // namespace dbsidecar::server
