// What can be read off a statement's text alone. Pure functions; SQLite's lexical rules.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dbsidecar::pool {

// ASCII letters only, as in SQL's keywords.
std::string UpperCase(std::string_view text);
bool IsDigit(char c);
// Letters, digits and the underscore.
bool IsWordCharacter(char c);

// The length of the white space, comments and semicolons that `sql` begins with.
size_t BlankPrefix(std::string_view sql);

enum class Command { kSelect, kInsert, kUpdate, kDelete, kOther };

struct CommandName {
  Command command = Command::kOther;
  bool after_with = false;  // Begins with WITH: the text's first words do not tell the command.
  std::string words{};      // kOther: as PostgreSQL's command tag names it, "CREATE TABLE".
};

CommandName NameCommand(std::string_view sql);

// SQLite compiles a change of the schema to a plain read where it finds nothing to do; but a
// connection may not have seen the latest schema yet.
bool ChangesSchema(const CommandName& name);

// BEGIN, COMMIT, END, ROLLBACK, SAVEPOINT or RELEASE.
bool IsTransactionControl(std::string_view sql);

// Equal for texts that differ only in constants, parameters, spacing, comments and the case of
// unquoted words: 16 hexadecimal digits.
std::string TextFingerprint(std::string_view sql);

// The text with "?" for each constant and parameter, and a space for spacing and comments.
std::string TextWithoutConstants(std::string_view sql);

// PostgreSQL's command tag. `rows` is the number of rows returned (SELECT) or affected.
std::string CommandTag(const CommandName& name, int64_t rows);

// The position in characters, from 1, of a byte offset into UTF-8 text; 0 for a negative offset.
int32_t CharacterPosition(std::string_view sql, int64_t byte_offset);

}  // namespace dbsidecar::pool
