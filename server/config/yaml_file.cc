#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <exception>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "server/config/nearest_name.h"
#include "server/config/sources.h"
#include "server/text.h"

namespace dbsidecar::server {
namespace {

constexpr std::string_view kPools = "pools";
constexpr std::size_t kPoolNameMax = 63;

const Option* FindByKey(std::string_view key) {
  const auto found = std::ranges::find(Options(), key, &Option::yaml_key);
  return key.empty() || found == Options().end() ? nullptr : &*found;
}

// `pool` is a section, because there is `pool.max`.
bool IsSection(std::string_view key) {
  const std::string prefix = Concat(key, ".");
  return std::ranges::any_of(
      Options(), [&](const Option& option) { return option.yaml_key.starts_with(prefix); });
}

class IgnoreEvents : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
};

// YAML::LoadAll() would do, but on text such as `,x` it finds empty documents without end.
bool HoldsMoreThanOneDocument(const std::string& content) {
  std::istringstream stream(content);
  YAML::Parser parser(stream);
  IgnoreEvents ignore;
  return parser.HandleNextDocument(ignore) && parser.HandleNextDocument(ignore);
}

class YamlReader {
 public:
  YamlReader(const std::string& path, SourceReading& reading) : path_(path), reading_(reading) {}

  void Read(const std::string& content) {
    if (HoldsMoreThanOneDocument(content)) {
      Refuse(Concat("file ", path_),
             "holds more than one YAML document, or text that belongs to none; leave one mapping");
      return;
    }
    const YAML::Node document = YAML::Load(content);
    if (document.IsNull()) return;
    if (!document.IsMap()) {
      Refuse(Concat("file ", path_), "does not hold a mapping; write `key: value` lines");
      return;
    }
    ReadSection("", document);
  }

 private:
  // Goes only as deep as the keys of the table, so neither depth nor cycles of the input matter.
  void ReadSection(const std::string& prefix, const YAML::Node& section) {
    for (const auto& entry : section) {
      if (!entry.first.IsScalar()) {
        Refuse(Origin(entry.first, ""), "has a key that is not plain text; see the documentation");
        continue;
      }
      const std::string key = Concat(prefix, entry.first.Scalar());
      const std::string origin = Origin(entry.first, key);
      if (!seen_.insert(FullKey(key)).second) {
        Refuse(origin, "is there twice; leave one", FindByKey(key));
      } else if (const Option* option = FindByKey(key)) {
        ReadOption(*option, entry.second, origin);
      } else if (pool_.empty() && key == kPools) {
        ReadPools(entry.second, origin);
      } else if (!IsSection(key)) {
        RefuseUnknown(key, origin);
      } else if (entry.second.IsMap()) {
        ReadSection(Concat(key, "."), entry.second);
      } else if (!entry.second.IsNull()) {
        Refuse(origin, "is a section; write its settings indented below it");
      }
    }
  }

  void ReadPools(const YAML::Node& pools, const std::string& origin) {
    if (!pools.IsMap()) {
      if (!pools.IsNull()) Refuse(origin, "is a section; write `name:` lines indented below it");
      return;
    }
    for (const auto& entry : pools) {
      const std::string name = entry.first.IsScalar() ? entry.first.Scalar() : "";
      const std::string here = Origin(entry.first, Concat(kPools, ".", name));
      if (!IsPoolName(name)) {
        Refuse(here, Concat("is no name for a pool; write up to ", kPoolNameMax,
                            " lower-case letters, digits, `-` and `_`, a letter first"));
      } else if (name == kDefaultPool) {
        Refuse(here, "is the pool of the top level; write its settings there");
      } else if (!seen_.insert(Concat(kPools, ".", name)).second) {
        Refuse(here, "is there twice; leave one");
      } else if (!entry.second.IsMap() && !entry.second.IsNull()) {
        Refuse(here, "is a section; write the pool's settings indented below it");
      } else {
        reading_.pools.push_back(name);
        pool_ = name;
        if (entry.second.IsMap()) ReadSection("", entry.second);
        pool_.clear();
      }
    }
  }

  static bool IsPoolName(std::string_view name) {
    const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
    if (name.empty() || name.size() > kPoolNameMax || !is_letter(name[0])) return false;
    return std::ranges::all_of(
        name, [&](char c) { return is_letter(c) || IsDigit(c) || c == '-' || c == '_'; });
  }

  void ReadOption(const Option& option, const YAML::Node& node, const std::string& origin) {
    if (!pool_.empty() && !option.per_pool) {
      Refuse(origin, "is the same for all pools; write it at the top level");
    } else if (node.IsScalar() && !node.Scalar().empty()) {
      reading_.values.push_back({&option, node.Scalar(), ValueSource::kFile, origin, pool_});
    } else if (node.IsNull() || node.IsScalar()) {
      Refuse(origin, "has no value; write one, or remove the key", &option);
    } else if (option.type == OptionType::kAddressList && IsListOfScalars(node)) {
      std::vector<std::string> entries;
      for (const YAML::Node& entry : node) entries.push_back(entry.Scalar());
      reading_.values.push_back({&option, Join(entries, ","), ValueSource::kFile, origin});
    } else {
      Refuse(origin, Concat("is not a single value; write ", DescribeAccepted(option)), &option);
    }
  }

  static bool IsListOfScalars(const YAML::Node& node) {
    return node.IsSequence() && node.size() > 0 &&
           std::ranges::all_of(node.begin(), node.end(),
                               [](const YAML::Node& entry) { return entry.IsScalar(); });
  }

  void RefuseUnknown(const std::string& key, const std::string& origin) {
    std::vector<std::string_view> candidates;
    for (const Option& option : Options()) {
      if (!option.yaml_key.empty()) candidates.push_back(option.yaml_key);
    }
    const std::string_view nearest = NearestName(key, candidates);
    Refuse(origin, nearest.empty() ? std::string("is not known; remove it")
                                   : Concat("is not known; did you mean ", nearest, "?"));
  }

  // With the pool in whose section it is.
  std::string FullKey(std::string_view key) const {
    return pool_.empty() ? std::string(key) : Concat(kPools, ".", pool_, ".", key);
  }

  std::string Origin(const YAML::Node& key_node, std::string_view key) const {
    const std::string line = Concat("file ", path_, ":", key_node.Mark().line + 1);
    return key.empty() ? line : Concat(line, " ", FullKey(key));
  }

  void Refuse(const std::string& origin, std::string message, const Option* option = nullptr) {
    const bool of_pool = option == nullptr || !pool_.empty();
    reading_.problems.push_back({.option = of_pool ? "" : std::string(option->flag),
                                 .origin = origin,
                                 .message = std::move(message)});
  }

  const std::string& path_;
  SourceReading& reading_;
  std::set<std::string> seen_;
  std::string pool_;  // In whose section it reads; empty = at the top level.
};

Problem InvalidYaml(const std::string& origin, std::string_view reason) {
  return {.origin = origin, .message = Concat("is not valid YAML: ", reason, "; correct the file")};
}

}  // namespace

SourceReading ReadYaml(const std::string& path, const std::string& content) {
  SourceReading reading;
  try {
    YamlReader(path, reading).Read(content);
  } catch (const YAML::Exception& error) {
    reading.problems.push_back(
        InvalidYaml(Concat("file ", path, ":", error.mark.line + 1), error.msg));
  } catch (const std::exception& error) {
    reading.problems.push_back(InvalidYaml(Concat("file ", path), error.what()));
  }
  return reading;
}

}  // namespace dbsidecar::server
