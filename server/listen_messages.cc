#include "server/listen_messages.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "server/process_figures.h"
#include "server/utf8.h"

namespace dbsidecar::server {
namespace {

// PostgreSQL's NAMEDATALEN, less the NUL: it would cut a longer name, and listen to another
// channel.
constexpr size_t kChannelBytesMax = 63;
constexpr int kChannelsMax = 1000;

pool::Error Invalid(std::string why) {
  return pool::OwnError(pool::ErrorKind::kInvalidArgument, std::move(why));
}

// The database was asked for UTF-8; whatever else it sends must not make an event unreadable.
std::string ToText(std::string text) {
  if (!IsValidUtf8(text)) {
    std::replace_if(
        text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; }, '?');
  }
  return text;
}

}  // namespace

std::optional<pool::Error> CheckListen(const v1::ListenRequest& request) {
  if (request.channels().empty()) return Invalid("name at least one channel in `channels`");
  if (request.channels_size() > kChannelsMax) {
    return Invalid(fmt::format("{} channels given; a stream takes {} at most",
                               request.channels_size(), kChannelsMax));
  }
  for (const std::string& channel : request.channels()) {
    if (channel.empty()) return Invalid("a channel's name is empty");
    if (channel.size() > kChannelBytesMax) {
      return Invalid(fmt::format("a channel's name has {} bytes; PostgreSQL's have {} at most",
                                 channel.size(), kChannelBytesMax));
    }
    if (channel.find('\0') != std::string::npos) {
      return Invalid("a channel's name contains a NUL character (U+0000)");
    }
  }
  return std::nullopt;
}

std::vector<std::string> ChannelsOf(const v1::ListenRequest& request) {
  std::vector<std::string> channels;
  std::set<std::string_view> seen;
  for (const std::string& channel : request.channels()) {
    if (seen.insert(channel).second) channels.push_back(channel);
  }
  return channels;
}

v1::ListenResponse ListeningEvent(const std::vector<std::string>& channels) {
  v1::ListenResponse event;
  for (const std::string& channel : channels) event.mutable_listening()->add_channels(channel);
  return event;
}

v1::ListenResponse NotificationEvent(const pool::Notification& notification) {
  v1::ListenResponse event;
  event.mutable_notification()->set_channel(ToText(notification.channel));
  event.mutable_notification()->set_payload(ToText(notification.payload));
  event.mutable_notification()->set_pid(notification.pid);
  return event;
}

v1::ListenResponse GapEvent(const pool::NotificationGap& gap) {
  v1::ListenResponse event;
  SetTimestamp(gap.lost, *event.mutable_gap()->mutable_lost_time());
  SetTimestamp(gap.restored, *event.mutable_gap()->mutable_restored_time());
  event.mutable_gap()->set_reason(ToText(gap.reason));
  return event;
}

v1::ListenResponse DroppedEvent(uint64_t discarded, size_t buffer_max) {
  v1::ListenResponse event;
  event.mutable_dropped()->set_discarded(discarded);
  event.mutable_dropped()->set_reason(fmt::format(
      "the buffer of {} notifications (listen-buffer) was full, and was not read fast enough",
      buffer_max));
  return event;
}

}  // namespace dbsidecar::server
