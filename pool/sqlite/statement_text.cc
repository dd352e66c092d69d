#include "pool/sqlite/statement_text.h"

#include <fmt/format.h>

#include <algorithm>

namespace dbsidecar::pool {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// The length of the comment that `sql` begins with; 0 = none. Like SQLite, takes a comment that
// is never closed to run to the end.
size_t CommentLength(std::string_view sql) {
  const bool line = sql.starts_with("--");
  // Two characters alone at the end are operators.
  if (!line && (!sql.starts_with("/*") || sql.size() == 2)) return 0;
  const std::string_view closing = line ? "\n" : "*/";
  const size_t end = sql.find(closing, 2);
  return end == std::string_view::npos ? sql.size() : end + closing.size();
}

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// The next word in upper case, taken off `sql`; empty when something else comes next.
std::string TakeWord(std::string_view& sql) {
  sql.remove_prefix(BlankPrefix(sql));
  const auto end = std::find_if_not(sql.begin(), sql.end(), IsWordCharacter);
  const std::string_view word = sql.substr(0, static_cast<size_t>(end - sql.begin()));
  sql.remove_prefix(word.size());
  return UpperCase(word);
}

// "CREATE UNIQUE INDEX" is a CREATE INDEX, "CREATE VIRTUAL TABLE" a CREATE TABLE.
std::string ObjectWord(std::string_view rest) {
  std::string word = TakeWord(rest);
  if (word == "UNIQUE" || word == "VIRTUAL" || word == "TEMP" || word == "TEMPORARY") {
    word = TakeWord(rest);
  }
  return word;
}

// The length of what is quoted at the beginning of `sql`, up to `closing`, which is doubled inside.
size_t QuotedLength(std::string_view sql, char closing) {
  for (size_t at = 1; at < sql.size(); ++at) {
    if (sql[at] != closing) continue;
    const bool doubled = closing != ']' && at + 1 < sql.size() && sql[at + 1] == closing;
    if (!doubled) return at + 1;
    ++at;
  }
  return sql.size();
}

bool IsBytesLiteral(std::string_view sql) {
  return sql.size() > 1 && (sql[0] == 'x' || sql[0] == 'X') && sql[1] == '\'';
}

bool BeginsNumber(std::string_view sql) {
  return IsDigit(sql[0]) || (sql[0] == '.' && sql.size() > 1 && IsDigit(sql[1]));
}

size_t NumberLength(std::string_view sql) {
  size_t at = 1;
  for (; at < sql.size(); ++at) {
    const bool exponent_sign = (sql[at] == '+' || sql[at] == '-') &&
                               (sql[at - 1] == 'e' || sql[at - 1] == 'E') &&
                               !sql.starts_with("0x") && !sql.starts_with("0X");
    if (!IsWordCharacter(sql[at]) && sql[at] != '.' && !exponent_sign) break;
  }
  return at;
}

// UTF-8 beyond ASCII counts as letters, as in SQLite.
size_t WordLength(std::string_view sql) {
  size_t at = 0;
  while (at < sql.size() && (IsWordCharacter(sql[at]) || sql[at] == '$' ||
                             (static_cast<unsigned char>(sql[at]) & 0x80) != 0)) {
    ++at;
  }
  return at;
}

struct Token {
  size_t size = 0;
  bool is_value = false;  // A constant or a parameter.
};

// REQUIRES: `sql` begins with neither white space nor a comment.
Token FirstToken(std::string_view sql) {
  switch (sql[0]) {
    case '\'':
      return {.size = QuotedLength(sql, '\''), .is_value = true};
    case '"':
    case '`':
      return {.size = QuotedLength(sql, sql[0])};
    case '[':
      return {.size = QuotedLength(sql, ']')};
    case '$':
    case '?':
    case ':':
    case '@':
      return {.size = 1 + WordLength(sql.substr(1)), .is_value = true};
    default:
      break;
  }
  if (IsBytesLiteral(sql)) return {.size = 1 + QuotedLength(sql.substr(1), '\''), .is_value = true};
  if (BeginsNumber(sql)) return {.size = NumberLength(sql), .is_value = true};
  return {.size = std::max<size_t>(WordLength(sql), 1)};
}

}  // namespace

std::string TextFingerprint(std::string_view sql) {
  uint64_t hash = 0xCBF29CE484222325;  // FNV-1a.
  const auto add = [&hash](std::string_view token) {
    for (const char c : token) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
    hash = (hash ^ ' ') * 0x100000001B3;
  };
  while (!(sql = sql.substr(BlankPrefix(sql))).empty()) {
    const Token token = FirstToken(sql);
    const std::string_view text = sql.substr(0, token.size);
    const bool quoted = text[0] == '"' || text[0] == '`' || text[0] == '[';
    if (token.is_value) {
      add("?");
    } else if (quoted) {
      add(text);
    } else {
      add(UpperCase(text));
    }
    sql.remove_prefix(token.size);
  }
  return fmt::format("{:016x}", hash);
}

std::string TextWithoutConstants(std::string_view sql) {
  std::string text;
  while (!sql.empty()) {
    const size_t blank = BlankPrefix(sql);
    sql.remove_prefix(blank);
    if (blank > 0 && !text.empty() && !sql.empty()) text += ' ';
    if (sql.empty()) break;
    const Token token = FirstToken(sql);
    text += token.is_value ? "?" : sql.substr(0, token.size);
    sql.remove_prefix(token.size);
  }
  return text;
}

std::string UpperCase(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return upper;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsWordCharacter(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

size_t BlankPrefix(std::string_view sql) {
  size_t at = 0;
  while (at < sql.size()) {
    // To SQLite it is space wherever a word might begin.
    if (sql.substr(at).starts_with(kByteOrderMark)) {
      at += kByteOrderMark.size();
      continue;
    }
    // A vertical tab is space only behind other space.
    if (sql[at] == '\v' && (at == 0 || !IsSpace(sql[at - 1]))) break;
    if (IsSpace(sql[at]) || sql[at] == ';') {
      ++at;
    } else if (const size_t comment = CommentLength(sql.substr(at)); comment > 0) {
      at += comment;
    } else {
      break;
    }
  }
  return at;
}

CommandName NameCommand(std::string_view sql) {
  const std::string first = TakeWord(sql);
  if (first == "SELECT" || first == "VALUES") return {.command = Command::kSelect};
  if (first == "INSERT" || first == "REPLACE") return {.command = Command::kInsert};
  if (first == "UPDATE") return {.command = Command::kUpdate};
  if (first == "DELETE") return {.command = Command::kDelete};
  if (first == "WITH") return {.command = Command::kSelect, .after_with = true};
  if (first == "CREATE" || first == "DROP" || first == "ALTER") {
    return {.words = fmt::format("{} {}", first, ObjectWord(sql))};
  }
  return {.words = first};
}

bool ChangesSchema(const CommandName& name) {
  const std::string_view words = name.words;
  return words.starts_with("CREATE ") || words.starts_with("DROP ") ||
         words.starts_with("ALTER ") || words == "REINDEX" || words == "ANALYZE";
}

bool IsTransactionControl(std::string_view sql) {
  const std::string word = TakeWord(sql);
  return word == "BEGIN" || word == "COMMIT" || word == "END" || word == "ROLLBACK" ||
         word == "SAVEPOINT" || word == "RELEASE";
}

std::string CommandTag(const CommandName& name, int64_t rows) {
  switch (name.command) {
    case Command::kSelect:
      return fmt::format("SELECT {}", rows);
    case Command::kInsert:
      return fmt::format("INSERT 0 {}", rows);
    case Command::kUpdate:
      return fmt::format("UPDATE {}", rows);
    case Command::kDelete:
      return fmt::format("DELETE {}", rows);
    case Command::kOther:
      return name.words;
  }
  return "";
}

int32_t CharacterPosition(std::string_view sql, int64_t byte_offset) {
  if (byte_offset < 0) return 0;
  const std::string_view before = sql.substr(0, static_cast<size_t>(byte_offset));
  const auto continuation = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; };
  return static_cast<int32_t>(before.size()) -
         static_cast<int32_t>(std::count_if(before.begin(), before.end(), continuation)) + 1;
}

}  // namespace dbsidecar::pool
