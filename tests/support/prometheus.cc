#include "tests/support/prometheus.h"

#include <httplib.h>

#include <cstdlib>
#include <fstream>

namespace dbsidecar::test_support {

bool Prometheus::IsInstalled() { return std::system("command -v prometheus >/dev/null 2>&1") == 0; }

std::string Prometheus::MonitoringFolder() { return DBSIDECAR_SOURCE_DIR "/docs/monitoring/"; }

Prometheus::Prometheus(int target_port)
    : folder_(MakeTemporaryFolder("prometheus")), port_(FreePort()) {
  std::ofstream(folder_ + "/prometheus.yml")
      << "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
      << "rule_files: ['" << MonitoringFolder() << "alerts.yaml']\n"
      << "scrape_configs:\n"
      << "  - job_name: dbsidecar\n"
      << "    static_configs: [{targets: ['127.0.0.1:" << target_port << "']}]\n";
  process_ = std::make_unique<ChildProcess>(
      Command{.arguments = {"prometheus", "--config.file=" + folder_ + "/prometheus.yml",
                            "--storage.tsdb.path=" + folder_ + "/data",
                            "--web.listen-address=127.0.0.1:" + std::to_string(port_)},
              .environment = {},
              .dropped_prefixes = {},
              .output_file = folder_ + "/log"});
}

Prometheus::~Prometheus() = default;

std::string Prometheus::Get(const std::string& path,
                            const std::map<std::string, std::string>& parameters) {
  httplib::Client client("127.0.0.1", port_);
  const auto answer =
      client.Get(path, httplib::Params(parameters.begin(), parameters.end()), httplib::Headers());
  return answer ? answer->body : "";
}

}  // namespace dbsidecar::test_support
