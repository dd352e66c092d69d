// The service dbsidecar.v1.Admin, on the synchronous API: see sidecar_service.h for why.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/config/listen_address.h"

namespace dbsidecar::server {

class Operations;

// A gRPC server of its own with the Admin service and reflection. Its threads do not poll
// (docs/adr/0027): it needs a server with completion queues, which does, in the same process.
class AdminServer {
 public:
  // `operations` is borrowed. Null if gRPC could not start it.
  static std::unique_ptr<AdminServer> Listen(const std::vector<ListenAddress>& addresses,
                                             Operations& operations);
  virtual ~AdminServer() = default;

  // With the ports that they got.
  virtual const std::vector<ListenAddress>& addresses() const = 0;
};

}  // namespace dbsidecar::server
