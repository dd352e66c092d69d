#include "server/http_routes.h"

#include <array>
#include <string_view>

#include "server/history/history_request.h"
#include "server/message_json.h"
#include "server/metrics_text.h"
#include "server/page/page.h"
#include "server/reports.h"

namespace dbsidecar::server {
namespace {

constexpr unsigned kOk = 200;
constexpr unsigned kBadRequest = 400;
constexpr unsigned kNotFound = 404;
constexpr unsigned kUnavailable = 503;

v1::HealthResponse HealthAt(v1::HealthLevel level, Reports& reports) {
  v1::HealthRequest request;
  request.set_level(level);
  v1::HealthResponse health;
  reports.FillHealth(request, pool::kNever, health);
  return health;
}

// The status code is for whoever does not read further.
template <v1::HealthLevel level>
HttpResponse AnswerHealth(const HttpRequest& /*request*/, Reports& reports) {
  const v1::HealthResponse health = HealthAt(level, reports);
  return {.status = health.status() == v1::HEALTH_STATUS_UNHEALTHY ? kUnavailable : kOk,
          .body = ToJson(health)};
}

HttpResponse Probe(bool good, std::string_view yes, std::string_view no) {
  return {.status = good ? kOk : kUnavailable,
          .body = "{\"status\": \"" + std::string(good ? yes : no) + "\"}\n"};
}

HttpResponse AnswerReady(const HttpRequest& /*request*/, Reports& reports) {
  return Probe(HealthAt(v1::HEALTH_LEVEL_BASIC, reports).ready(), "ready", "not ready");
}

// That it answers is all there is to say: never the database's state, or a restart would be tried
// against it.
HttpResponse AnswerLive(const HttpRequest& /*request*/, Reports& /*reports*/) {
  return Probe(true, "live", "");
}

HttpResponse AnswerStarted(const HttpRequest& /*request*/, Reports& reports) {
  return Probe(reports.phase() != v1::LIFECYCLE_PHASE_STARTING, "started", "starting");
}

HttpResponse AnswerMetrics(const HttpRequest& request, Reports& reports) {
  v1::MetricsResponse metrics;
  reports.FillTotals({}, metrics);
  const MetricsFormat format =
      request.accept.find("application/openmetrics-text") != std::string::npos
          ? MetricsFormat::kOpenMetrics
          : MetricsFormat::kPrometheus;
  return {.content_type = std::string(ContentTypeOf(format)), .body = MetricsText(metrics, format)};
}

HttpResponse AnswerHistory(const HttpRequest& request, Reports& reports) {
  v1::MetricsHistoryRequest asked;
  v1::MetricsHistoryResponse history;
  std::optional<pool::Error> trouble = ParseHistoryQuery(request.query, asked);
  if (!trouble) trouble = reports.FillHistory(asked, history);
  if (!trouble) return {.body = ToCompactJson(history) + "\n"};
  return {.status = trouble->kind == pool::ErrorKind::kHistoryOff ? kNotFound : kBadRequest,
          .content_type = "text/plain; charset=utf-8",
          .body = trouble->message + "\n"};
}

HttpResponse AnswerEvents(const HttpRequest& /*request*/, Reports& reports) {
  return {.content_type = "text/event-stream", .body = reports.live().Welcome(), .is_stream = true};
}

HttpResponse PageFile(std::string_view type, std::string_view content) {
  return {.content_type = std::string(type) + "; charset=utf-8",
          .body = std::string(content),
          .content_security_policy = std::string(kPagePolicy)};
}

HttpResponse AnswerPage(const HttpRequest& /*request*/, Reports& /*reports*/) {
  return PageFile("text/html", kPageHTML);
}

HttpResponse AnswerStyle(const HttpRequest& /*request*/, Reports& /*reports*/) {
  return PageFile("text/css", kPageCSS);
}

HttpResponse AnswerScript(const HttpRequest& /*request*/, Reports& /*reports*/) {
  return PageFile("text/javascript", kPageJS);
}

struct Route {
  std::string_view path;
  HttpResponse (*answer)(const HttpRequest& request, Reports& reports);
};

constexpr auto kRoutes = std::to_array<Route>({
    {"/api/health", &AnswerHealth<v1::HEALTH_LEVEL_BASIC>},
    {"/api/health/detailed", &AnswerHealth<v1::HEALTH_LEVEL_DETAILED>},
    {"/api/health/database", &AnswerHealth<v1::HEALTH_LEVEL_DATABASE>},
    {"/api/health/ready", &AnswerReady},
    {"/api/health/live", &AnswerLive},
    {"/readyz", &AnswerReady},
    {"/livez", &AnswerLive},
    {"/startupz", &AnswerStarted},
    {"/metrics", &AnswerMetrics},
    {"/api/metrics/history", &AnswerHistory},
    {"/api/events", &AnswerEvents},
    {"/", &AnswerPage},
    {"/page.css", &AnswerStyle},
    {"/page.js", &AnswerScript},
});

HttpResponse NotFound() {
  std::string known;
  for (const Route& route : kRoutes) known += "  " + std::string(route.path) + "\n";
  return {.status = kNotFound,
          .content_type = "text/plain; charset=utf-8",
          .body = "there is nothing here; there is\n" + known};
}

}  // namespace

HttpResponse AnswerHttp(const HttpRequest& request, Reports& reports) {
  for (const Route& route : kRoutes) {
    if (route.path == request.path) return route.answer(request, reports);
  }
  return NotFound();
}

}  // namespace dbsidecar::server
