#include "pool/postgres/postgres_listener.h"

#include <unistd.h>

#include <utility>

#include "pool/check.h"
#include "pool/postgres/postgres_error.h"

namespace dbsidecar::pool {
namespace {

constexpr Duration kCloseMax = std::chrono::seconds(2);

// A server may end sessions that are idle; this one always is. Older servers have no such setting.
constexpr char kStayIdle[] =
    "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings "
    "WHERE name = 'idle_session_timeout';";

// Runs on a thread of its own: says goodbye, and waits until the server process has gone.
void Disconnect(PGconn* conn) {
  const int fd = PQsocket(conn) >= 0 ? dup(PQsocket(conn)) : -1;
  PQfinish(conn);
  if (fd >= 0) AwaitPeerClose(fd, kCloseMax);
}

}  // namespace

PostgresListener::PostgresListener(NotificationSourceEvents& events, const std::string& conninfo,
                                   EventLoop& loop, BlockingThreads& threads)
    : events_(events),
      conninfo_(conninfo),
      loop_(loop),
      threads_(threads),
      link_(std::make_shared<Link>(Link{this})) {}

PostgresListener::~PostgresListener() {
  link_->listener = nullptr;
  Unwatch();
  if (conn_ != nullptr) PQfinish(conn_);
}

// --- Opening and closing. ---

void PostgresListener::Open() {
  connecting_ = true;
  threads_.Run([link = link_, conninfo = conninfo_, &loop = loop_] {
    PGconn* conn = PQconnectdb(conninfo.c_str());
    loop.Post([link, conn] {
      if (link->listener != nullptr) {
        link->listener->Connected(conn);
      } else {
        PQfinish(conn);
      }
    });
  });
}

void PostgresListener::Connected(PGconn* conn) {
  connecting_ = false;
  conn_ = conn;
  if (closing_) {
    Close();
    return;
  }
  if (PQstatus(conn) != CONNECTION_OK) {
    const ConnectError failure = ConnectErrorOf(conn);
    events_.OnSourceFailed(failure.error, failure.permanent);
    return;
  }
  PQsetnonblocking(conn, 1);
  PQsetNoticeReceiver(conn, &PostgresListener::OnNotice, this);
  Watch();
  events_.OnSourceOpened();
}

void PostgresListener::Close() {
  closing_ = true;
  if (connecting_) return;  // Connected() comes back here.
  Unwatch();
  threads_.Run([link = link_, conn = std::exchange(conn_, nullptr), &loop = loop_] {
    if (conn != nullptr) Disconnect(conn);
    loop.Post([link] {
      if (link->listener != nullptr) link->listener->events_.OnSourceClosed();
    });
  });
}

void PostgresListener::Watch() {
  fd_ = PQsocket(conn_);
  loop_.Watch(fd_, this);
}

// libpq closes the socket by itself when the connection fails, so it cannot be asked then.
void PostgresListener::Unwatch() {
  if (fd_ < 0) return;
  const int fd = std::exchange(fd_, -1);
  if (PQsocket(conn_) == fd) {
    loop_.Unwatch(fd, this);
  } else {
    loop_.Forget(fd, this);
  }
}

void PostgresListener::Lose() {
  const std::string why = last_words_.empty() ? OneLine(PQerrorMessage(conn_)) : last_words_;
  events_.OnSourceFailed(
      OwnError(ErrorKind::kNoConnection, why.empty() ? "the server closed the connection" : why),
      false);
}

// --- Sending. ---

std::string PostgresListener::Quoted(const std::string& channel) const {
  char* const escaped = PQescapeIdentifier(conn_, channel.data(), channel.size());
  // Only for text that is not UTF-8, of which the server would say the same.
  if (escaped == nullptr) return "\"\"";
  std::string quoted = escaped;
  PQfreemem(escaped);
  return quoted;
}

void PostgresListener::Change(const std::vector<std::string>& listen,
                              const std::vector<std::string>& unlisten) {
  DBSIDECAR_CHECK(!changing_);
  changing_ = true;
  refusal_.reset();
  std::string sql = std::exchange(first_change_, false) ? kStayIdle : "";
  for (const std::string& channel : listen) sql += "LISTEN " + Quoted(channel) + ";";
  for (const std::string& channel : unlisten) sql += "UNLISTEN " + Quoted(channel) + ";";
  // If the connection is gone, its socket says so next.
  PQsendQuery(conn_, sql.c_str());
  Flush();
}

void PostgresListener::Flush() {
  if (fd_ >= 0) loop_.WatchWritable(fd_, this, PQflush(conn_) == 1);
}

// --- Receiving. ---

void PostgresListener::OnReady(bool readable, bool writable) {
  if (writable) Flush();
  if (!readable) return;
  const bool alive = PQconsumeInput(conn_) == 1;
  Read();
  if (!alive && !closing_) Lose();
}

void PostgresListener::Resume() {
  paused_ = false;
  if (PQstatus(conn_) != CONNECTION_OK) {
    Lose();
    return;
  }
  Watch();
  Flush();
  Read();
}

void PostgresListener::Read() {
  while (ReadNotifications() && ReadResult()) {
  }
}

bool PostgresListener::ReadNotifications() {
  while (!paused_ && !closing_) {
    const std::unique_ptr<PGnotify, decltype(&PQfreemem)> notify(PQnotifies(conn_), &PQfreemem);
    if (notify == nullptr) return true;
    Notification notification{
        .channel = notify->relname, .payload = notify->extra, .pid = notify->be_pid};
    if (events_.OnNotification(std::move(notification))) continue;
    paused_ = true;
    Unwatch();
  }
  return false;
}

bool PostgresListener::ReadResult() {
  if (!changing_ || PQisBusy(conn_) == 1) return false;
  const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQgetResult(conn_), &PQclear);
  if (result != nullptr) {
    if (PQresultStatus(result.get()) == PGRES_FATAL_ERROR) {
      // libpq's own, and what ends the connection, is seen when the socket closes.
      if (IsFromServer(result.get()) && !IsFatal(result.get())) {
        refusal_ = DatabaseError(result.get());
      } else {
        last_words_ = OneLine(PQresultErrorMessage(result.get()));
        return PQstatus(conn_) == CONNECTION_OK;
      }
    }
    return true;
  }
  changing_ = false;
  if (refusal_.has_value()) {
    events_.OnChangeRefused(*refusal_);
  } else {
    // The answer to the transaction's end: what it changed is in force.
    events_.OnChanged();
  }
  return !closing_;
}

void PostgresListener::OnNotice(void* self, const PGresult* notice) {
  if (!IsFatal(notice)) return;
  static_cast<PostgresListener*>(self)->last_words_ = DatabaseError(notice).message;
}

}  // namespace dbsidecar::pool
