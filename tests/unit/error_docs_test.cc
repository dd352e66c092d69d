// docs/errors.md says what server/error_mapping.cc does: no more, no less.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "pool/error.h"
#include "server/error_mapping.h"

namespace dbsidecar::server {
namespace {

using Cells = std::vector<std::string>;

std::string Bare(std::string text) {
  std::erase(text, '`');
  const size_t begin = text.find_first_not_of(' ');
  const size_t end = text.find_last_not_of(' ');
  return begin == std::string::npos ? "" : text.substr(begin, end - begin + 1);
}

// The rows of the table whose first heading is `heading`.
std::vector<Cells> ReadTable(const std::string& heading) {
  const std::string path = DBSIDECAR_SOURCE_DIR "/docs/errors.md";
  std::ifstream file(path);
  EXPECT_TRUE(file.is_open()) << path;
  std::vector<Cells> rows;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("|")) {
      inside = false;
      continue;
    }
    Cells cells;
    std::istringstream stream(line.substr(1));
    for (std::string cell; std::getline(stream, cell, '|');) cells.push_back(Bare(cell));
    if (inside && !cells[0].starts_with("--")) rows.push_back(cells);
    if (cells[0] == heading) inside = true;
  }
  return rows;
}

std::string Describe(const MappedError& mapped) {
  return std::string(CodeName(mapped.code)) + " " + std::string(mapped.reason) +
         (mapped.retry ? " yes" : " no");
}

// The SQLSTATEs, or beginnings of SQLSTATEs, that a row is about. The last row is about any other.
std::vector<std::string> Prefixes(const Cells& row) {
  if (row[0] == "any other") return {""};
  std::istringstream stream(row[0]);
  return {std::istream_iterator<std::string>(stream), {}};
}

struct DocumentedRow {
  std::string prefix;
  std::string outcome;
};

std::vector<DocumentedRow> DocumentedSqlstates() {
  std::vector<DocumentedRow> rows;
  for (const Cells& row : ReadTable("SQLSTATE")) {
    for (const std::string& prefix : Prefixes(row)) {
      rows.push_back({prefix, row[1] + " " + row[2] + " " + row[3]});
    }
  }
  return rows;
}

// Read as a person would: the first row that fits.
std::string DocumentedOutcome(const std::vector<DocumentedRow>& rows, std::string_view sqlstate) {
  for (const DocumentedRow& row : rows) {
    if (sqlstate.starts_with(row.prefix)) return row.outcome;
  }
  return "nothing";
}

TEST(ErrorDocsTest, EverySqlstateIsMappedAsTheDocumentSays) {
  const std::vector<DocumentedRow> rows = DocumentedSqlstates();
  ASSERT_GT(rows.size(), 40u);
  const std::string any = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const std::string usual = "0123456789P";  // What PostgreSQL's subclasses are made of.
  for (const char a : any) {
    for (const char b : any) {
      for (const char c : usual) {
        for (const char d : usual) {
          for (const char e : usual) {
            const std::string sqlstate = {a, b, c, d, e};
            ASSERT_EQ(Describe(MapSqlstate(sqlstate)), DocumentedOutcome(rows, sqlstate))
                << sqlstate;
          }
        }
      }
    }
  }
}

TEST(ErrorDocsTest, EveryRowOfTheSqlstateTableCanApply) {
  const std::vector<DocumentedRow> rows = DocumentedSqlstates();
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t earlier = 0; earlier < i; ++earlier) {
      EXPECT_FALSE(rows[i].prefix.starts_with(rows[earlier].prefix))
          << rows[i].prefix << " is hidden by " << rows[earlier].prefix;
    }
  }
}

TEST(ErrorDocsTest, TheReasonsOfTheSidecarAreExactlyTheDocumentedOnes) {
  std::set<std::string> documented;
  for (const Cells& row : ReadTable("reason")) {
    documented.insert(row[1] + " " + row[0] + " " + row[2]);
  }
  std::set<std::string> mapped;
  for (int kind = 0; kind <= static_cast<int>(pool::ErrorKind::kUnsupported); ++kind) {
    if (kind == static_cast<int>(pool::ErrorKind::kDatabase)) continue;
    for (const bool outcome_unknown : {false, true}) {
      for (const char* sqlstate : {"", "3D000", "28P01"}) {
        pool::Error error;
        error.kind = static_cast<pool::ErrorKind>(kind);
        error.outcome_unknown = outcome_unknown;
        error.sql.sqlstate = sqlstate;
        mapped.insert(Describe(MapError(error)));
      }
    }
  }
  EXPECT_EQ(mapped, documented);
}

}  // namespace
}  // namespace dbsidecar::server
