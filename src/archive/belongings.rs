//! What an archive says belongs to its table, before any of it becomes SQL.
//!
//! Texts of definitions are put around the table's name. Whatever they are, they must not end there and say something of
//! another object: a trigger is on this table, an expression stays between its parentheses.
//!
//! **Invariant:** understands where words, names and literals end, and nothing else of SQL.

use crate::catalog::Trappings;
use crate::catalog::belongings::{Around, Belongings, CommentOn, Grant};
use crate::plan::sql_tokens;

pub(super) const PRIVILEGES: [&str; 11] = [
    "CREATE",
    "DELETE",
    "EXECUTE",
    "INSERT",
    "MAINTAIN",
    "REFERENCES",
    "SELECT",
    "TRIGGER",
    "TRUNCATE",
    "UPDATE",
    "USAGE",
];
const COMMANDS: [&str; 5] = ["all", "delete", "insert", "select", "update"];

/// All names that are in it.
pub(super) fn names(of: &Belongings) -> Vec<String> {
    let granted = of.all_grants().flat_map(|grant| grant.column.iter().chain(&grant.grantee).chain([&grant.grantor]));
    let commented = of.comments.iter().filter_map(|comment| match &comment.on {
        CommentOn::Table => None,
        CommentOn::Column(name) | CommentOn::Constraint(name) | CommentOn::Index(name) => Some(name),
    });
    let sequences = of.identity_sequences.iter().flat_map(|sequence| [&sequence.name, &sequence.column]);
    let own = granted
        .chain(commented)
        .chain(sequences)
        .chain(of.drawn_sequences.iter().flat_map(|it| [&it.name.schema, &it.name.name, &it.owner]))
        .chain([&of.table.owner])
        .chain(of.column_settings.iter().map(|setting| &setting.column))
        .chain(of.not_nulls.iter().flat_map(|not_null| [&not_null.name, &not_null.column]))
        .chain(of.indexes.iter().flat_map(|index| index.tablespace.iter().chain([&index.name])))
        .chain(of.policies.iter().flat_map(|policy| policy.roles.iter().flatten().chain([&policy.name])))
        .chain(of.statistics.iter().flat_map(|it| [&it.name.schema, &it.name.name, &it.owner]))
        .chain(of.triggers.iter().map(|trigger| &trigger.name))
        .chain(of.foreign_keys.iter().map(|key| &key.name))
        .chain(of.referencing_keys.iter().flat_map(|it| [&it.referencing.schema, &it.referencing.name, &it.name]))
        .chain(of.publications.iter().flat_map(|it| it.columns.iter().flatten().chain([&it.name])));
    own.cloned().collect()
}

/// What of it would say more than it claims; none where all is well.
pub(super) fn suspect(of: &Belongings) -> Option<String> {
    let doubts = [
        of.all_grants().find(|grant| !is_known(grant)).map(|grant| format!("a privilege of {}", grant.grantor)),
        doubtful(&of.column_settings, |it| it.option.is_some() || it.value.parse::<i32>().is_ok())
            .map(|it| format!("the statistics target of column {}", it.column)),
        doubtful(&of.policies, |it| {
            COMMANDS.contains(&it.command.as_str()) && it.using.iter().chain(&it.check).all(|text| is_whole(text))
        })
        .map(|it| format!("policy {}", it.name)),
        doubtful(&of.statistics, |it| it.body.iter().all(|body| is_whole(body) && !has_word(body, "from")))
            .map(|it| format!("statistics {}", it.name)),
        doubtful(&of.triggers, |it| it.around.iter().all(is_trigger)).map(|it| format!("trigger {}", it.name)),
        doubtful(&of.foreign_keys, |it| is_whole(&it.definition) && !has_word(&it.definition, ","))
            .map(|it| format!("foreign key {}", it.name)),
        doubtful(&of.referencing_keys, |it| it.around.iter().all(is_reference))
            .map(|it| format!("foreign key {} on {}", it.name, it.referencing)),
        doubtful(&of.publications, |it| it.filter.iter().all(|text| is_whole(text)))
            .map(|it| format!("publication {}", it.name)),
    ];
    doubts.into_iter().flatten().next()
}

/// Whether all its privileges are such.
pub(super) fn is_known(grant: &Grant) -> bool {
    grant.privileges.iter().all(|one| PRIVILEGES.contains(&one.as_str()))
}

/// All names that are in them.
pub(super) fn names_of_trappings(of: &Trappings) -> impl Iterator<Item = String> {
    let columns = of.grants.iter().filter_map(|grant| grant.column.as_ref());
    let columns = columns.chain(of.comments.iter().filter_map(|comment| comment.column.as_ref()));
    of.roles().chain(columns).cloned()
}

fn doubtful<T>(all: &[T], is_well: impl Fn(&T) -> bool) -> Option<&T> {
    all.iter().find(|one| !is_well(one))
}

/// `CREATE TRIGGER … ON` and what follows the table's name.
pub(super) fn is_trigger((before, after): &Around) -> bool {
    let words = words(before);
    let is_create = ["create", "trigger"] == words[..2.min(words.len())]
        || ["create", "constraint", "trigger"] == words[..3.min(words.len())];
    let ons = words.iter().filter(|word| *word == "on").count();
    is_create && ons == 1 && words.last().is_some_and(|last| last == "on") && is_whole(before) && is_whole(after)
}

/// `CREATE RULE … AS ON … TO` and what follows the view's name: several statements only in parentheses.
pub(super) fn is_rule((before, after): &Around) -> bool {
    let words = words(before);
    let is_head = words.len() == 7
        && words[..2] == ["create", "rule"]
        && words[3..5] == ["as", "on"]
        && ["delete", "insert", "select", "update"].contains(&words[5].as_str())
        && words[6] == "to";
    is_head && is_whole(before) && is_one(after, Inside::Statements)
}

/// `CREATE STATISTICS` and what it is of.
pub(super) fn is_statistics(definition: &str) -> bool {
    is_whole(definition) && words(definition).starts_with(&["create".to_string(), "statistics".to_string()])
}

/// `FOREIGN KEY (…) REFERENCES` and what follows the table's name.
fn is_reference((before, after): &Around) -> bool {
    let words = words(before);
    let is_head = ["foreign", "key", "("] == words[..3.min(words.len())]
        && words.len() >= 5
        && words[words.len() - 2..] == [")", "references"]
        && words[3..words.len() - 2].iter().all(|word| word != "(" && word != ")");
    is_head && is_whole(before) && is_whole(after) && after.starts_with('(') && !has_word(after, ",")
}

/// Words and signs, those that are no delimited names in lower case.
fn words(text: &str) -> Vec<String> {
    let tokens = sql_tokens(text).into_iter().filter(|token| !token.trim().is_empty());
    tokens.map(|token| if token.starts_with('"') { token.to_string() } else { token.to_lowercase() }).collect()
}

/// Whether a word or sign is in the text and in none of its parentheses.
pub(super) fn has_word(text: &str, wanted: &str) -> bool {
    let mut depth = 0;
    words(text).iter().any(|word| {
        match word.as_str() {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => {}
        }
        depth == 0 && word == wanted
    })
}

/// Whether it ends where it seems to: no comment, no other statement, every quote and parenthesis closed. What the server never
/// prints (`e'…'`, `$$…$$`, a backslash) is not taken for anything.
pub(super) fn is_whole(text: &str) -> bool {
    is_one(text, Inside::Expressions)
}

/// What may be in parentheses.
#[derive(PartialEq, Eq)]
enum Inside {
    Expressions,
    /// With semicolons between them.
    Statements,
}

fn is_one(text: &str, inside: Inside) -> bool {
    let tokens = sql_tokens(text);
    let mut depth = 0;
    for (token, next) in tokens.iter().zip(tokens[1.min(tokens.len())..].iter().chain([&""])) {
        match (*token, *next) {
            ("(", _) => depth += 1,
            (")", _) => depth -= 1,
            (";", _) if depth > 0 && inside == Inside::Statements => {}
            (";" | "\\", _) | ("-", "-") | ("/", "*") => return false,
            ("e", next) if next.starts_with('\'') => return false,
            (token, _) if token.starts_with('$') || !is_closed(token) => return false,
            _ => {}
        }
        if depth < 0 {
            return false;
        }
    }
    depth == 0
}

fn is_closed(token: &str) -> bool {
    let quoted = token.strip_prefix('E').filter(|rest| rest.starts_with('\'')).unwrap_or(token);
    match quoted.chars().next() {
        Some(quote @ ('\'' | '"')) => quoted.len() > 1 && quoted.ends_with(quote),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(before: &str, after: &str) -> Around {
        (before.to_string(), after.to_string())
    }

    #[test]
    fn what_the_server_prints_is_believed() {
        assert!(is_whole("(note <> 'a'';--b'::text) AND (x > ('-1'::integer)::numeric)"));
        assert!(is_whole("(note <> E'a\\';\\\\'::text)"));
        assert!(is_trigger(&around(
            "CREATE TRIGGER \"a ON b\" BEFORE INSERT OR UPDATE OF note ON ",
            " FOR EACH ROW WHEN ((new.note <> ' ON '::text)) EXECUTE FUNCTION public.f('x')"
        )));
        assert!(is_trigger(&around("CREATE CONSTRAINT TRIGGER t AFTER INSERT ON ", " EXECUTE FUNCTION f()")));
        let references = around("FOREIGN KEY (device, \"Time\") REFERENCES ", "(device, \"time\") ON DELETE CASCADE");
        assert!(is_reference(&references));
    }

    #[test]
    fn what_would_say_more_is_not() {
        for text in [
            "true) with check (true",
            "true; drop table x",
            "true -- ",
            "true /* ",
            "'a",
            "\"a",
            "e'\\'' ) evil e'\\''",
            "$$ ) $$",
            "(true",
        ] {
            assert!(!is_whole(text), "{text}");
        }
        for (before, after) in [
            ("DROP TABLE ", " EXECUTE FUNCTION f()"),
            ("CREATE TRIGGER t AFTER INSERT ON other EXECUTE FUNCTION f() -- ON ", ""),
            ("CREATE TRIGGER t AFTER INSERT on other FROM x ON ", " EXECUTE FUNCTION f()"),
            ("CREATE TRIGGER t AFTER INSERT ON ", " EXECUTE FUNCTION f(); drop table x"),
        ] {
            assert!(!is_trigger(&around(before, after)), "{before}");
        }
        for (before, after) in [
            ("FOREIGN KEY (a) REFERENCES ", "(a), drop column b"),
            ("FOREIGN KEY (a) REFERENCES x (a), add foreign key (b) REFERENCES ", "(a)"),
            ("CHECK (a > 0), add FOREIGN KEY (a) REFERENCES ", "(a)"),
        ] {
            assert!(!is_reference(&around(before, after)), "{before}");
        }
    }
}
