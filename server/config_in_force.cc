#include "server/config_in_force.h"

#include <utility>

namespace dbsidecar::server {
namespace {

std::vector<std::string> TextsOf(const std::vector<Problem>& problems) {
  std::vector<std::string> texts;
  texts.reserve(problems.size());
  for (const Problem& problem : problems) texts.push_back(FormatProblem(problem));
  return texts;
}

}  // namespace

ConfigInForce::ConfigInForce(Config config, Load load)
    : load_(std::move(load)),
      read_(config),
      config_(std::make_shared<const Config>(std::move(config))) {}

std::shared_ptr<const Config> ConfigInForce::Get() const {
  const std::lock_guard lock(mutex_);
  return config_;
}

// The reason why it cannot be.
std::optional<std::string> ConfigInForce::Put(Config config) {
  const std::shared_ptr<const Config> before = Get();
  auto now = std::make_shared<const Config>(std::move(config));
  if (const std::optional<pool::Error> trouble = apply_(*before, *now)) return trouble->message;
  const std::lock_guard lock(mutex_);
  config_ = std::move(now);
  return std::nullopt;
}

ConfigInForce::Reloaded ConfigInForce::Reload(bool dry_run) {
  const std::lock_guard lock(changing_);
  const LoadedConfig loaded = load_();
  if (!loaded.ok()) return {.problems = TextsOf(loaded.problems)};
  ReloadPlan plan = PlanReload(read_, *Get(), loaded.config);
  Reloaded reloaded{.applied = std::move(plan.applied),
                    .refused = std::move(plan.refused),
                    .problems = TextsOf(plan.problems)};
  if (dry_run || !reloaded.problems.empty()) return reloaded;
  if (std::optional<std::string> trouble = Put(std::move(plan.config))) {
    reloaded.problems.push_back(*std::move(trouble));
    return reloaded;
  }
  read_ = std::move(plan.read);
  return reloaded;
}

std::vector<std::string> ConfigInForce::Change(const std::vector<WantedValue>& wanted,
                                               const std::string& origin, const std::string& pool) {
  const std::lock_guard lock(changing_);
  server::Change change = PlanChange(*Get(), wanted, origin, pool);
  if (!change.problems.empty()) return TextsOf(change.problems);
  if (std::optional<std::string> trouble = Put(std::move(change.config))) {
    return {*std::move(trouble)};
  }
  return {};
}

}  // namespace dbsidecar::server
