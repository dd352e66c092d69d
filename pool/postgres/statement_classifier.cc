#include "pool/postgres/statement_classifier.h"

#include <fmt/format.h>
#include <pg_query.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "pool/postgres/session_functions.h"

namespace dbsidecar::pool {
namespace {

using Json = nlohmann::json;

// The parser and its tree nest as deep as the text does; longer texts are not parsed, and are
// treated like any text that is not understood: run alone, session reset afterwards. The loop's
// thread has a stack for this depth (see kLoopStackBytes in server/loop_thread.cc).
constexpr size_t kParsedBytesMax = 128 * 1024;
constexpr size_t kSoughtMax = 10'000;

constexpr std::string_view kUseSession =
    "run it in a session (SessionControl.begin for a transaction, SessionControl.pin to keep a "
    "connection)";

constexpr std::string_view kUseListen = "use the Listen RPC to hear notifications";

// Statements that have an effect only in a session, with the word for them.
constexpr std::pair<std::string_view, std::string_view> kSessionStatements[] = {
    {"TransactionStmt", "transaction control"},
    {"VariableSetStmt", "SET or RESET"},
    {"ConstraintsSetStmt", "SET CONSTRAINTS"},
    {"PrepareStmt", "PREPARE"},
    {"ExecuteStmt", "EXECUTE"},
    {"DeallocateStmt", "DEALLOCATE"},
    {"DeclareCursorStmt", "DECLARE CURSOR"},
    {"FetchStmt", "FETCH or MOVE"},
    {"ClosePortalStmt", "CLOSE"},
    {"ListenStmt", "LISTEN"},
    {"UnlistenStmt", "UNLISTEN"},
    {"DiscardStmt", "DISCARD"},
    {"LockStmt", "LOCK TABLE"},
    {"LoadStmt", "LOAD"},
};

// PostgreSQL's own functions whose effect a rollback undoes: calling them is more than reading.
constexpr std::string_view kWritingFunctions[] = {
    "pg_notify", "pg_logical_emit_message", "lo_creat",  "lo_create", "lo_unlink",
    "lo_put",    "lo_from_bytea",           "lo_import", "lowrite",   "lo_truncate",
};

template <size_t N>
bool Has(const std::string_view (&names)[N], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// The session's schema for temporary objects, as an alias or by its number.
bool IsTemporarySchema(std::string_view schema) {
  return schema == "pg_temp" || schema.starts_with("pg_temp_");
}

template <size_t N>
std::string_view Lookup(const std::pair<std::string_view, std::string_view> (&table)[N],
                        std::string_view key) {
  for (const auto& [name, text] : table) {
    if (name == key) return text;
  }
  return {};
}

// The last part of a possibly qualified name: [{"String": {"sval": "pg_catalog"}}, ...].
std::string LastName(const Json& names) {
  if (!names.is_array() || names.empty()) return "";
  const Json& last = names.back();
  if (!last.contains("String") || !last["String"].contains("sval")) return "";
  return last["String"]["sval"];
}

bool IsConstantTrue(const Json& node) {
  const Json* constant = &node;
  // `true` parses as a constant or as a cast of 't' to bool, depending on the version.
  if (node.contains("TypeCast")) constant = &node["TypeCast"]["arg"];
  if (!constant->contains("A_Const")) return false;
  const Json& value = (*constant)["A_Const"];
  if (value.contains("boolval")) return value["boolval"].value("boolval", false);
  return value.contains("sval") && value["sval"].value("sval", std::string()) == "t";
}

bool IsConstantFalse(const Json& node) {
  if (!node.contains("A_Const")) return false;
  const Json& value = node["A_Const"];
  // The tree leaves out what is false.
  return value.contains("boolval") && !value["boolval"].value("boolval", false);
}

// Walks a whole parse tree, without recursion, and notes what it does to the session.
class TreeWalk {
 public:
  TreeWalk(const Catalog& catalog, StatementTraits& traits) : catalog_(catalog), traits_(traits) {}

  void Run(const Json& root) {
    pending_.push_back(&root);
    while (!pending_.empty()) {
      const Json& node = *pending_.back();
      pending_.pop_back();
      for (auto it = node.begin(); it != node.end(); ++it) {
        bool inside = it->is_structured();
        if (node.is_object() && it->is_object()) inside = Visit(it.key(), *it);
        if (inside) pending_.push_back(&*it);
      }
    }
    for (const std::string& relation : relations_) {
      // A CTE's name may be a table's too, where it is qualified, written to, or out of scope. So
      // it spares only what the catalogue does not know, and nothing while that is not known
      // itself.
      const bool spared = ctes_.contains(relation) && !catalog_.relations.empty() &&
                          !catalog_.relations.contains(relation);
      if (!spared) Use(CodeOf(catalog_.relations, relation), "the relation " + relation);
    }
    if (catalog_.suspect_everywhere) {
      Suspect(
          "code of users' own runs where no name shows it: in a cast, a domain or an operator "
          "class");
    }
    traits_.plain_read = traits_.pure_read && !volatile_;
    if (traits_.plain_read) {
      traits_.verdict_reason = "it is a read, and nothing that it names can write";
    } else {
      traits_.verdict_reason = doubt_.empty() ? "it is not a SELECT, VALUES or SHOW" : doubt_;
    }
  }

 private:
  // False = what is inside is not run now.
  bool Visit(const std::string& type, const Json& node) {
    if (type == "CreateFunctionStmt" || type == "AlterFunctionStmt") {
      // The body, its parameters and its SET clauses belong to the function's later calls.
      if (node.contains("funcname")) pending_.push_back(&node["funcname"]);
      return false;
    }
    if (type == "ParamRef") {
      traits_.parameters = std::max(traits_.parameters, node.value("number", 0));
    } else if (type == "FuncCall") {
      VisitFunction(node);
    } else if (type == "A_Expr") {
      VisitOperator(node.value("name", Json()));
    } else if (type == "SubLink") {
      VisitOperator(node.value("operName", Json()));
    } else if (type == "SortBy") {
      VisitOperator(node.value("useOp", Json()));
    } else if (type == "ColumnRef") {
      VisitColumn(node.value("fields", Json::array()));
    } else if (type == "A_Indirection") {
      VisitFields(node.value("indirection", Json::array()));
    } else if (type == "CommonTableExpr") {
      ctes_.insert(node.value("ctename", std::string()));
    } else if (type == "CreateTableAsStmt") {
      Define();
    } else if (type == "String") {
      if (IsTemporarySchema(node.value("sval", std::string()))) RefuseTemporary();
    } else if (type == "InsertStmt" || type == "UpdateStmt" || type == "DeleteStmt" ||
               type == "MergeStmt" || type == "intoClause" || type == "LockingClause") {
      traits_.pure_read = false;
      Doubt(type == "LockingClause" ? "it locks rows" : "it writes");
      if (type == "UpdateStmt") VisitUpdate(node);
      if (type == "intoClause") Define();
    } else if (type == "ImportForeignSchemaStmt") {
      if (IsTemporarySchema(node.value("local_schema", std::string()))) RefuseTemporary();
    } else if (type == "CopyStmt") {
      VisitCopy(node);
    } else if (node.contains("relname")) {
      VisitRelation(node);
    } else if (const std::string_view word = Lookup(kSessionStatements, type); !word.empty()) {
      const bool listens = type == "ListenStmt" || type == "UnlistenStmt";
      Refuse(
          fmt::format("{} acts on the session, and in autocommit the next statement may run in "
                      "another one; {}",
                      word, listens ? kUseListen : kUseSession));
    }
    return true;
  }

  void VisitFunction(const Json& node) {
    const std::string name = LastName(node.value("funcname", Json()));
    if (name == "set_config") traits_.changes_meaning = true;
    const std::string_view instead = Lookup(kSessionFunctions, name);
    if (!instead.empty()) {
      if (name == "set_config" && HasTrueThirdArgument(node)) {
        volatile_ = true;
        Doubt("set_config() changes a setting");
        return;
      }
      Refuse(
          fmt::format("{}() acts on the session, and in autocommit the next statement may run "
                      "in another one; use {}",
                      name, instead));
      return;
    }
    if (Has(kSlotFunctions, name) && !HasFalseThirdArgument(node)) {
      Refuse(
          fmt::format("{}() with a temporary slot acts on the session, and in autocommit the next "
                      "statement may run in another one; use a session (SessionControl.pin)",
                      name));
      return;
    }
    if (Has(kWritingFunctions, name)) {
      traits_.pure_read = false;
      Doubt(fmt::format("{}() writes", name));
    }
    Use(CodeOf(catalog_.functions, name), "the function " + name);
    if (Has(kTraceFunctions, name)) Suspect(fmt::format("{}() runs a text as SQL", name));
  }

  // `t.f` may mean f(t).
  void VisitColumn(const Json& fields) {
    if (fields.size() < 2) return;
    const auto function = catalog_.functions.find(LastName(fields));
    if (function != catalog_.functions.end()) {
      Use(function->second, "the function " + function->first);
    }
  }

  // And so may `(t).f.g`.
  void VisitFields(const Json& fields) {
    for (const Json& field : fields) {
      const auto function = catalog_.functions.find(LastName(Json::array({field})));
      if (function != catalog_.functions.end()) {
        Use(function->second, "the function " + function->first);
      }
    }
  }

  void VisitOperator(const Json& names) {
    const std::string name = LastName(names);
    // BETWEEN and its relatives bear their words as names.
    const bool word = !name.empty() && std::isalpha(static_cast<unsigned char>(name[0])) != 0;
    if (!name.empty() && !word) Use(CodeOf(catalog_.operators, name), "the operator " + name);
  }

  NamedCode CodeOf(const Catalog::Names& names, const std::string& name) {
    const auto known = names.find(name);
    if (known != names.end()) return known->second;
    traits_.unknown_names.push_back(name);
    return NamedCode::kSuspect;
  }

  // `what` is "the function f", for people.
  void Use(NamedCode code, const std::string& what) {
    switch (code) {
      case NamedCode::kHarmless:
        break;
      case NamedCode::kVolatile:
        volatile_ = true;
        Doubt(what +
              " is volatile, a view, foreign, or under row security: it cannot be shown not "
              "to write");
        break;
      case NamedCode::kSuspect:
        Suspect(what + " is not known, or runs code of users' own that may write");
        break;
    }
  }

  // The first doubt is the one that people are told.
  void Doubt(std::string reason) {
    if (doubt_.empty()) doubt_ = std::move(reason);
  }

  void Define() {
    traits_.changes_catalog = true;
    traits_.leaves_traces = true;
  }

  // What may change the session may also write.
  void Suspect(std::string reason) {
    Doubt(std::move(reason));
    traits_.leaves_traces = true;
    traits_.pure_read = false;
    traits_.changes_meaning = true;
  }

  static bool HasTrueThirdArgument(const Json& node) {
    const Json arguments = node.value("args", Json::array());
    return arguments.size() == 3 && IsConstantTrue(arguments[2]);
  }

  // By position only: an argument given by its name might be any of them.
  static bool HasFalseThirdArgument(const Json& node) {
    const Json arguments = node.value("args", Json::array());
    for (const Json& argument : arguments) {
      if (argument.contains("NamedArgExpr")) return false;
    }
    return arguments.size() < 3 || IsConstantFalse(arguments[2]);
  }

  // A rule of PostgreSQL's own turns such an update into set_config(..., false).
  void VisitUpdate(const Json& node) {
    const Json relation = node.value("relation", Json::object());
    const std::string schema = relation.value("schemaname", std::string());
    if (relation.value("relname", std::string()) != "pg_settings") return;
    if (!schema.empty() && schema != "pg_catalog") return;
    Refuse(
        fmt::format("an update of pg_settings acts on the session, and in autocommit the next "
                    "statement may run in another one; {}",
                    kUseSession));
  }

  void VisitCopy(const Json& node) {
    if (node.contains("filename")) return;
    if (!traits_.refusal) {
      traits_.refusal = OwnError(ErrorKind::kUnsupported,
                                 "COPY FROM STDIN and TO STDOUT need a stream; use CopyIn or "
                                 "CopyOut");
    }
  }

  void VisitRelation(const Json& node) {
    const bool temporary = node.value("relpersistence", std::string()) == "t" ||
                           IsTemporarySchema(node.value("schemaname", std::string()));
    if (temporary) RefuseTemporary();
    relations_.push_back(node.value("relname", std::string()));
  }

  void RefuseTemporary() {
    Refuse(
        fmt::format("a temporary table, view or sequence belongs to the session, and in "
                    "autocommit the next statement may run in another one; {}",
                    kUseSession));
  }

  // What autocommit refuses leaves traces in a session, but for transaction control.
  void Refuse(std::string message) {
    traits_.leaves_traces = traits_.leaves_traces || !traits_.transaction_control;
    if (!traits_.refusal) {
      traits_.refusal = OwnError(ErrorKind::kNeedsSession, std::move(message));
    }
  }

  const Catalog& catalog_;
  StatementTraits& traits_;
  bool volatile_ = false;
  std::string doubt_;
  std::vector<std::string> relations_;
  std::unordered_set<std::string> ctes_;
  std::vector<const Json*> pending_;
};

// What to assume of a text that is not understood (a newer server's syntax, or none at all): the
// database will judge it, and its session is not trusted afterwards.
StatementTraits Unknown() { return {}; }

// Statements that only work on what is there; any other may define something new, and make code of
// its own run.
constexpr std::string_view kDataStatements[] = {
    "SelectStmt", "InsertStmt",   "UpdateStmt",       "DeleteStmt",  "MergeStmt",
    "NotifyStmt", "TruncateStmt", "VariableShowStmt", "ExplainStmt", "TransactionStmt"};
// These define nothing either, though a procedure may.
constexpr std::string_view kMaintenanceStatements[] = {
    "CallStmt",           "DoStmt",    "VacuumStmt",    "ReindexStmt",
    "ClusterStmt",        "CopyStmt",  "CommentStmt",   "CheckPointStmt",
    "RefreshMatViewStmt", "GrantStmt", "GrantRoleStmt", "IndexStmt"};
constexpr std::string_view kReadStatements[] = {"SelectStmt", "VariableShowStmt"};

// `statement` has one member, named after its type.
template <size_t N>
bool IsOneOf(const Json& statement, const std::string_view (&types)[N]) {
  return statement.size() == 1 && Has(types, statement.begin().key());
}

// Procedures and blocks may, and maintenance commands work in several transactions.
bool CommitsInside(const Json& statement) {
  for (const char* type : {"CallStmt", "DoStmt", "VacuumStmt", "ReindexStmt", "ClusterStmt"}) {
    if (statement.contains(type)) return true;
  }
  for (const char* type : {"IndexStmt", "DropStmt"}) {
    if (statement.contains(type) && statement[type].value("concurrent", false)) return true;
  }
  return false;
}

// Settings that tell a literal or a name nothing. (Those with a dot are an application's own.)
constexpr std::string_view kSilentSettings[] = {"application_name",
                                                "client_min_messages",
                                                "idle_in_transaction_session_timeout",
                                                "idle_session_timeout",
                                                "lock_timeout",
                                                "maintenance_work_mem",
                                                "SESSION CHARACTERISTICS",
                                                "statement_timeout",
                                                "synchronous_commit",
                                                "TRANSACTION",
                                                "work_mem"};

// By what it is; what it calls may, too.
bool ChangesMeaning(const Json& statement) {
  for (const char* type : {"CallStmt", "DoStmt", "DiscardStmt", "ExecuteStmt", "LoadStmt"}) {
    if (statement.contains(type)) return true;
  }
  if (!statement.contains("VariableSetStmt")) return false;
  const std::string name = statement["VariableSetStmt"].value("name", std::string());
  return name.find('.') == std::string::npos && !Has(kSilentSettings, name);
}

// PostgreSQL's PreventInTransactionBlock.
bool RunsAlone(const Json& statement) {
  for (const char* type : {"CreatedbStmt", "DropdbStmt", "CreateTableSpaceStmt",
                           "DropTableSpaceStmt", "AlterSystemStmt"}) {
    if (statement.contains(type)) return true;
  }
  for (const char* type : {"IndexStmt", "DropStmt"}) {
    if (statement.contains(type) && statement[type].value("concurrent", false)) return true;
  }
  if (statement.contains("VacuumStmt")) return statement["VacuumStmt"].value("is_vacuumcmd", false);
  if (statement.contains("ClusterStmt")) return !statement["ClusterStmt"].contains("relation");
  if (!statement.contains("ReindexStmt")) return false;
  const Json& reindex = statement["ReindexStmt"];
  if (!reindex.contains("relation")) return true;  // Of a schema or a database.
  for (const Json& option : reindex.value("params", Json::array())) {
    const Json element = option.value("DefElem", Json::object());
    if (element.value("defname", std::string()) == "concurrently") return true;
  }
  return reindex.value("concurrent", false);
}

StatementTraits ClassifyTree(const Json& tree, const Catalog& catalog) {
  StatementTraits traits;
  const Json& statements = tree.contains("stmts") ? tree["stmts"] : Json::array();
  if (statements.empty()) {
    traits.refusal = OwnError(ErrorKind::kInvalidArgument, "the statement is empty");
  } else if (statements.size() > 1) {
    traits.refusal = OwnError(ErrorKind::kInvalidArgument,
                              fmt::format("one statement per call, these are {}; use Script or "
                                          "Batch for many",
                                          statements.size()));
  } else {
    traits.parameters = 0;
    const Json& statement = statements[0]["stmt"];
    traits.commits_inside = CommitsInside(statement);
    traits.leaves_traces = !IsOneOf(statement, kDataStatements);
    traits.changes_catalog = traits.leaves_traces && !IsOneOf(statement, kMaintenanceStatements);
    traits.pure_read = IsOneOf(statement, kReadStatements);
    traits.transaction_control = statement.contains("TransactionStmt");
    traits.runs_alone = RunsAlone(statement);
    traits.changes_meaning = ChangesMeaning(statement);
    TreeWalk(catalog, traits).Run(statements[0]);
  }
  return traits;
}

// Null for a text that is not understood.
Json Parse(std::string_view sql) {
  if (sql.size() > kParsedBytesMax) return nullptr;
  PgQueryParseResult parsed = pg_query_parse(std::string(sql).c_str());
  Json tree = nullptr;
  if (parsed.error == nullptr) tree = Json::parse(parsed.parse_tree, nullptr, false);
  pg_query_free_parse_result(parsed);
  return tree.is_discarded() ? Json(nullptr) : tree;
}

StatementTraits ClassifyText(std::string_view sql, const Catalog& catalog) {
  const Json tree = Parse(sql);
  return tree.is_null() ? Unknown() : ClassifyTree(tree, catalog);
}

Error NotACopy(bool in) {
  return OwnError(ErrorKind::kInvalidArgument,
                  fmt::format("{} takes one COPY {} statement and nothing else",
                              in ? "CopyIn" : "CopyOut", in ? "FROM STDIN" : "TO STDOUT"));
}

bool IsCopyByStream(const Json& statement, bool in) {
  if (!statement.contains("CopyStmt")) return false;
  const Json& copy = statement["CopyStmt"];
  return copy.value("is_from", false) == in && !copy.contains("filename") &&
         !copy.value("is_program", false);
}

// pg_query_normalize does not look into every kind of statement (COMMENT, DO, SET...).
bool HasQuotedConstant(std::string_view text) {
  if (text.find('\'') != std::string_view::npos) return true;
  for (size_t at = text.find('$'); at != std::string_view::npos; at = text.find('$', at + 1)) {
    const bool parameter = at + 1 < text.size() && text[at + 1] >= '0' && text[at + 1] <= '9';
    if (!parameter) return true;
  }
  return false;
}

}  // namespace

std::string FingerprintOf(std::string_view sql) {
  if (sql.size() > kParsedBytesMax) return "";
  PgQueryFingerprintResult result = pg_query_fingerprint(std::string(sql).c_str());
  std::string fingerprint =
      result.error == nullptr && result.fingerprint_str != nullptr ? result.fingerprint_str : "";
  pg_query_free_fingerprint_result(result);
  return fingerprint;
}

std::string WithoutConstants(std::string_view sql) {
  if (sql.size() > kParsedBytesMax) return "";
  PgQueryNormalizeResult result = pg_query_normalize(std::string(sql).c_str());
  std::string text =
      result.error == nullptr && result.normalized_query != nullptr ? result.normalized_query : "";
  pg_query_free_normalize_result(result);
  return HasQuotedConstant(text) ? "" : text;
}

StatementClassifier::StatementClassifier() : cache_(4096, 8 * 1024 * 1024) {}

std::shared_ptr<const StatementTraits> StatementClassifier::Classify(std::string_view sql) {
  if (const auto* known = cache_.Find(sql)) return *known;
  auto traits = std::make_shared<StatementTraits>(ClassifyText(sql, catalog_));
  std::erase_if(traits->unknown_names, [&](const auto& name) { return sought_.contains(name); });
  traits->kept = sql.size() <= kParsedBytesMax;
  if (traits->kept) cache_.Insert(sql, traits);
  return traits;
}

StatementTraits StatementClassifier::ClassifyScript(std::string_view sql) const {
  StatementTraits traits = Unknown();
  const Json tree = Parse(sql);
  if (tree.is_null()) return traits;
  traits.commits_inside = false;
  traits.changes_catalog = false;
  traits.changes_meaning = false;
  for (const Json& statement : tree.value("stmts", Json::array())) {
    StatementTraits one = ClassifyTree({{"stmts", Json::array({statement})}}, catalog_);
    traits.transaction_control |= one.transaction_control;
    traits.commits_inside |= one.commits_inside || one.transaction_control;
    traits.changes_catalog |= one.changes_catalog;
    traits.changes_meaning |= one.changes_meaning;
    // What else would be refused belongs to the session, which is reset afterwards.
    const bool refused = one.refusal && one.refusal->kind == ErrorKind::kUnsupported;
    if (refused && !traits.refusal) traits.refusal = std::move(one.refusal);
  }
  return traits;
}

StatementTraits StatementClassifier::ClassifyCopy(std::string_view sql, bool in) const {
  StatementTraits traits = Unknown();
  const Json tree = Parse(sql);
  const Json statements = tree.is_null() ? Json::array() : tree.value("stmts", Json::array());
  if (statements.size() != 1 || !IsCopyByStream(statements[0]["stmt"], in)) {
    traits.refusal = NotACopy(in);
    return traits;
  }
  traits.commits_inside = false;
  traits.leaves_traces = false;
  traits.changes_catalog = false;
  traits.changes_meaning = false;
  traits.pure_read = !in;
  TreeWalk(catalog_, traits).Run(statements[0]);
  // That it is a COPY.
  if (traits.refusal && traits.refusal->kind == ErrorKind::kUnsupported) traits.refusal.reset();
  return traits;
}

bool StatementClassifier::TakeUnknown(std::string_view sql) {
  const auto* const found = cache_.Find(sql);
  // Without any catalogue one is on its way.
  if (found == nullptr || catalog_.functions.empty()) return false;
  StatementTraits* const traits = found->get();
  if (traits->unknown_names.empty()) return false;
  if (sought_.size() > kSoughtMax) sought_.clear();
  for (std::string& name : std::exchange(traits->unknown_names, {})) {
    sought_.insert(std::move(name));
  }
  return true;
}

void StatementClassifier::SetCatalog(Catalog catalog) {
  catalog_ = std::move(catalog);
  ++version_;
  cache_.Clear();
}

void StatementClassifier::ForgetCatalog() { SetCatalog({}); }

std::shared_ptr<const StatementTraits> TraitsOf(const Statement& statement,
                                                StatementClassifier& classifier) {
  switch (statement.form) {
    case StatementForm::kSingle:
      break;
    case StatementForm::kScript:
      return std::make_shared<StatementTraits>(classifier.ClassifyScript(statement.sql));
    case StatementForm::kCopyIn:
      return std::make_shared<StatementTraits>(classifier.ClassifyCopy(statement.sql, true));
    case StatementForm::kCopyOut:
      return std::make_shared<StatementTraits>(classifier.ClassifyCopy(statement.sql, false));
  }
  return classifier.Classify(statement.sql);
}

}  // namespace dbsidecar::pool
