// The configuration that is in force now: as it was read, reloaded since, and changed by hand.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "pool/error.h"
#include "server/config/config.h"
#include "server/config/reload.h"

namespace dbsidecar::server {

// Threads: any.
class ConfigInForce {
 public:
  // Reads all sources again.
  using Load = std::function<LoadedConfig()>;
  // Makes the process go by `now`; called by one thread at a time. The reason, if it cannot be
  // done, and then nothing has changed.
  using Apply = std::function<std::optional<pool::Error>(const Config& before, const Config& now)>;

  ConfigInForce(Config config, Load load);
  // To be called once, before Reload and Change.
  void OnChange(Apply apply) { apply_ = std::move(apply); }

  std::shared_ptr<const Config> Get() const;

  struct Reloaded {
    std::vector<OptionDifference> applied{};
    std::vector<OptionDifference> refused{};
    std::vector<std::string> problems{};  // Not empty: nothing was applied.
  };
  // `dry_run`: only says what would change.
  Reloaded Reload(bool dry_run);
  // By hand; the problems, and then nothing has changed.
  // REQUIRES: there is such a pool.
  std::vector<std::string> Change(const std::vector<WantedValue>& wanted, const std::string& origin,
                                  const std::string& pool);

 private:
  std::optional<std::string> Put(Config config);

  const Load load_;
  Apply apply_;
  std::mutex changing_;  // Held by whoever changes something.
  Config read_;          // As the sources had it the last time. Guarded by `changing_`.
  mutable std::mutex mutex_;
  std::shared_ptr<const Config> config_;  // Guarded by `mutex_`.
};

}  // namespace dbsidecar::server
