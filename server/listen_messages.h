// What a Listen stream says and is asked, without gRPC.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dbsidecar/v1/listen.pb.h"
#include "pool/error.h"
#include "pool/notifications.h"

namespace dbsidecar::server {

// What in the request cannot be served, or nothing.
std::optional<pool::Error> CheckListen(const v1::ListenRequest& request);
// The channels in the order of the request, each once.
std::vector<std::string> ChannelsOf(const v1::ListenRequest& request);

v1::ListenResponse ListeningEvent(const std::vector<std::string>& channels);
v1::ListenResponse NotificationEvent(const pool::Notification& notification);
v1::ListenResponse GapEvent(const pool::NotificationGap& gap);
v1::ListenResponse DroppedEvent(uint64_t discarded, size_t buffer_max);

}  // namespace dbsidecar::server
