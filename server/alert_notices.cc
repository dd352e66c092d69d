#include "server/alert_notices.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "pool/policy.h"
#include "server/process_figures.h"
#include "server/text.h"

namespace dbsidecar::server {
namespace {

using Json = nlohmann::ordered_json;

// Of an alert that has not ended, as Alertmanager writes it.
constexpr const char* kNoTime = "0001-01-01T00:00:00Z";

std::string TextOf(std::chrono::system_clock::time_point time) {
  google::protobuf::Timestamp timestamp;
  SetTimestamp(time, timestamp);
  return google::protobuf::util::TimeUtil::ToString(timestamp);
}

Json LabelsOf(const AlertState& state, const std::string& instance) {
  Json labels = {{"alertname", state.rule->name},
                 {"instance", instance},
                 {"job", "dbsidecar"},
                 {"severity", SeverityWord(state.rule->severity)}};
  if (!state.pool.empty()) labels["pool"] = state.pool;
  return labels;
}

// Tells one set of labels from another, and is the same for the same: FNV-1a.
std::string FingerprintOf(const Json& labels) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : labels.dump()) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return fmt::format("{:016x}", hash);
}

// The labels that all alerts have, with the same value.
Json CommonLabels(const Json& alerts) {
  Json common = alerts.at(0).at("labels");
  for (const Json& alert : alerts) {
    const Json& labels = alert.at("labels");
    Json shared = Json::object();
    for (const auto& [name, value] : common.items()) {
      if (labels.contains(name) && labels[name] == value) shared[name] = value;
    }
    common = std::move(shared);
  }
  return common;
}

}  // namespace

void AlertNotices::Note(LookTime now, const std::vector<AlertState>& changes) {
  const bool quiet = !AnythingToTell();
  for (const AlertState& state : changes) {
    Notice& notice = notices_[{state.rule->name, state.pool}];
    notice.state = state;
    notice.changed = true;
    if (state.firing) continue;
    notice.ended = now.wall;
    // It came and went, and the receiver never heard of it.
    if (!notice.known) notice.changed = false;
  }
  if (quiet) not_before_ = std::max(not_before_, now.steady + kGroupWait);
}

bool AlertNotices::AnythingToTell() const {
  return std::ranges::any_of(notices_, [](const auto& entry) { return entry.second.changed; });
}

AlertNotices::Time AlertNotices::due() const { return AnythingToTell() ? not_before_ : kNever; }

std::string AlertNotices::Compose() {
  Json alerts = Json::array();
  bool firing = false;
  for (auto& [key, notice] : notices_) {
    const AlertState& state = notice.state;
    if (!state.firing && !notice.changed) continue;
    const Json labels = LabelsOf(state, instance_);
    alerts.push_back(
        {{"status", state.firing ? "firing" : "resolved"},
         {"labels", labels},
         {"annotations", {{"summary", state.summary}, {"runbook_url", RunbookOf(*state.rule)}}},
         {"startsAt", TextOf(state.since)},
         {"endsAt", state.firing ? kNoTime : TextOf(notice.ended)},
         {"generatorURL", ""},
         {"fingerprint", FingerprintOf(labels)}});
    firing = firing || state.firing;
    notice.being_told = notice.changed;
    notice.changed = false;
    notice.known = true;
  }
  const Json body = {{"version", "4"},
                     {"groupKey", Concat("{}:{instance=\"", instance_, "\"}")},
                     {"truncatedAlerts", 0},
                     {"status", firing ? "firing" : "resolved"},
                     {"receiver", "dbsidecar"},
                     {"groupLabels", {{"instance", instance_}}},
                     {"commonLabels", CommonLabels(alerts)},
                     {"commonAnnotations", Json::object()},
                     {"externalURL", ""},
                     {"alerts", alerts}};
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void AlertNotices::OnPosted(Time now, PostOutcome outcome) {
  for (auto& [key, notice] : notices_) {
    if (!notice.being_told) continue;
    notice.being_told = false;
    if (outcome == PostOutcome::kFailed) {
      notice.changed = true;
    } else if (!notice.state.firing && !notice.changed) {
      notice.known = false;
    }
  }
  if (outcome == PostOutcome::kFailed) {
    ++failures_;
    not_before_ = now + pool::Backoff(failures_, kRetryFirst, kRetryLast, random_());
  } else {
    failures_ = 0;
    not_before_ = now + kGroupInterval;
  }
}

}  // namespace dbsidecar::server
