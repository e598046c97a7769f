//! A definition that reads one relation, made to read another.
//!
//! **Invariant:** understands what PostgreSQL prints under an empty `search_path`, not SQL that people write: relations are
//! qualified, keywords are in capitals, names that are not plain are delimited, and there are no comments.

use crate::ident::{QualifiedName, quote_ident};

/// `definition` with `to` in the place of `from`. What it calls the relation's columns by stays the same: where `from` has
/// no alias it becomes one, unless both have the same name.
pub(super) fn retarget(definition: &str, from: &QualifiedName, to: &QualifiedName) -> String {
    let tokens = tokens(definition);
    let name = |at: usize| tokens.get(at).and_then(|token| identifier(token));
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| *token == text);
    let mut text = String::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_from = name(at).as_deref() == Some(from.schema.as_str())
            && is(at + 1, ".")
            && name(at + 2).as_deref() == Some(from.name.as_str());
        // A function may have the relation's name, and a column the schema's.
        let is_part_of_more =
            is(at + 3, ".") || is(at + 3, "(") || at.checked_sub(1).is_some_and(|before| is(before, "."));
        if is_from && !is_part_of_more {
            text.push_str(&to.sql());
            let next = tokens[at + 3..].iter().find(|token| !token.trim().is_empty());
            let has_alias = next.is_some_and(|token| identifier(token).is_some());
            if !has_alias && from.name != to.name {
                text.push_str(&format!(" {}", quote_ident(&from.name)));
            }
            at += 3;
        } else {
            text.push_str(tokens[at]);
            at += 1;
        }
    }
    text
}

/// What an expression over the rows of `from` is over those of `to`: whole rows are called by the table's name, `from.*`.
pub(super) fn follow_rows(expression: &str, from: &QualifiedName, to: &QualifiedName) -> String {
    let tokens = tokens(expression);
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| *token == text);
    let is_row = |at: usize| is_qualifier(&tokens, at, from) && is(at + 2, "*");
    let follow = |(at, token): (usize, &&str)| if is_row(at) { quote_ident(&to.name) } else { token.to_string() };
    tokens.iter().enumerate().map(follow).collect()
}

/// What an expression over the rows of `from`, with queries in it, is over those of `to`: queries name the table with its
/// schema where they read it, and without where they mean the row that the expression is asked of. None where they call
/// something else by the new name, which would be taken for that row.
pub(super) fn follow_name(expression: &str, from: &QualifiedName, to: &QualifiedName) -> Option<String> {
    let moved = retarget(expression, from, &QualifiedName::new(&to.schema, &from.name));
    if from.name == to.name {
        return Some(moved);
    }
    let tokens = tokens(&moved);
    let calls = |token: &&str| identifier(token).as_deref() == Some(to.name.as_str());
    let is_taken = self::tokens(expression).iter().any(calls);
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| *token == text);
    let is_read = |at: usize| {
        // Just put there by `retarget`, or there before.
        let is_own = |before: usize| identifier(tokens[before]).as_deref() == Some(to.schema.as_str());
        let is_named =
            identifier(tokens[at]).as_deref() == Some(from.name.as_str()) && !is(at + 1, ".") && !is(at + 1, "(");
        is_named && at >= 2 && is(at - 1, ".") && is_own(at - 2) && !(at >= 3 && is(at - 3, "."))
    };
    let follow = |(at, token): (usize, &&str)| match is_read(at) || is_qualifier(&tokens, at, from) {
        true => quote_ident(&to.name),
        false => token.to_string(),
    };
    (!is_taken).then(|| tokens.iter().enumerate().map(follow).collect())
}

/// Whether the token at this place is the name of a table before one of its columns, or before all of them; not a schema
/// before a function, a type, an operator or a collation.
fn is_qualifier(tokens: &[&str], at: usize, table: &QualifiedName) -> bool {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| *token == text);
    let before = |back: usize| at.checked_sub(back).map(|at| tokens[at]);
    let is_operator = before(1) == Some("(") && before(2) == Some("OPERATOR");
    let is_type_or_collation = before(1) == Some(":") || before(2) == Some("COLLATE");
    let is_named = identifier(tokens[at]).as_deref() == Some(table.name.as_str());
    is_named && is(at + 1, ".") && !is(at + 3, "(") && before(1) != Some(".") && !is_operator && !is_type_or_collation
}

/// The name that a token stands for; none for keywords, literals and punctuation.
fn identifier(token: &str) -> Option<String> {
    if let Some(inner) = token.strip_prefix('"') {
        return Some(inner.strip_suffix('"')?.replace("\"\"", "\""));
    }
    let is_plain = token.starts_with(|c: char| c.is_lowercase() || c == '_');
    is_plain.then(|| token.to_string())
}

/// Words, delimited names, literals, white space, and every other character by itself; together they are the text.
pub(crate) fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let length = match first {
            '\'' => quoted(rest, '\'', false),
            // A literal with backslashes in it, which may stand before a quote.
            'E' if rest[1..].starts_with('\'') => 1 + quoted(&rest[1..], '\'', true),
            '"' => quoted(rest, '"', false),
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c if c.is_whitespace() => rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (token, tail) = rest.split_at(length);
        tokens.push(token);
        rest = tail;
    }
    tokens
}

/// Bytes of what `text` begins with, from its first quote to its last; a doubled quote is not the last one.
fn quoted(text: &str, quote: char, has_escapes: bool) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        let is_doubled = |next: Option<&(usize, char)>| next.is_some_and(|(_, next)| *next == quote);
        if (has_escapes && character == '\\') || (character == quote && is_doubled(characters.peek())) {
            characters.next();
        } else if character == quote {
            return at + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(schema: &str, name: &str) -> QualifiedName {
        QualifiedName::new(schema, name)
    }

    #[test]
    fn a_relation_of_the_same_name_takes_its_place() {
        let definition = " SELECT public.time_bucket('1 day'::interval, metrics.\"time\") AS day\n   FROM public.metrics\n  GROUP BY 1";
        let expected = definition.replace("public.metrics", "\"_hypercopy_1\".\"metrics\"");
        assert_eq!(retarget(definition, &name("public", "metrics"), &name("_hypercopy_1", "metrics")), expected);
    }

    #[test]
    fn one_of_another_name_takes_the_old_one_as_its_alias() {
        let moved = |definition| retarget(definition, &name("public", "daily"), &name("j", "aggregate_7"));
        assert_eq!(moved("SELECT daily.n FROM public.daily"), "SELECT daily.n FROM \"j\".\"aggregate_7\" \"daily\"");
        assert_eq!(moved("FROM public.daily\n  WHERE x"), "FROM \"j\".\"aggregate_7\" \"daily\"\n  WHERE x");
        assert_eq!(moved("FROM public.daily d JOIN x"), "FROM \"j\".\"aggregate_7\" d JOIN x");
        assert_eq!(moved("FROM public.daily \"D\""), "FROM \"j\".\"aggregate_7\" \"D\"");
    }

    #[test]
    fn what_only_looks_like_the_relation_stays() {
        let moved = |definition| retarget(definition, &name("public", "daily"), &name("j", "daily"));
        for definition in [
            "SELECT 'public.daily'::text",
            "SELECT E'\\'public.daily'::text",
            "SELECT 'it''s public.daily'",
            "SELECT public.daily(1)",
            "SELECT public.daily.x",
            "SELECT x.public.daily",
            "SELECT \"public.daily\"",
            "SELECT public.daily_2",
            "SELECT \"a\"\"b public.daily\"",
        ] {
            assert_eq!(moved(definition), definition);
        }
    }

    #[test]
    fn whole_rows_follow_their_tables_name() {
        let moved = |expression| follow_rows(expression, &name("public", "t"), &name("public", "N w"));
        assert_eq!(
            moved("USING btree (hash_record(t.*), t.f(x), x t.ops)"),
            "USING btree (hash_record(\"N w\".*), t.f(x), x t.ops)"
        );
        for expression in ["((a OPERATOR(t.*) b))", "('t.*'::text)", "x.t.*", "\"T\".*", "(t * 2)"] {
            assert_eq!(moved(expression), expression);
        }
    }

    #[test]
    fn queries_in_an_expression_name_the_new_table_and_its_row() {
        let moved = |expression| follow_name(expression, &name("public", "t"), &name("s", "new"));
        let query =
            "(device IN ( SELECT t_1.device FROM public.t t_1 WHERE (t_1.v > t.v) AND public.f(t.*) AND t.f(1)))";
        let expected = "(device IN ( SELECT t_1.device FROM \"s\".\"new\" t_1 WHERE (t_1.v > \"new\".v) AND public.f(\"new\".*) AND t.f(1)))";
        assert_eq!(moved(query).as_deref(), Some(expected));
        assert_eq!(moved("(v > 0)").as_deref(), Some("(v > 0)"));
        assert_eq!(moved("( SELECT new.v FROM public.other new WHERE (new.v = t.v))"), None);
        assert_eq!(follow_name("public.t", &name("public", "t"), &name("s", "t")).as_deref(), Some("\"s\".\"t\""));
    }

    #[test]
    fn hostile_names_are_read_as_the_server_delimits_them() {
        let from = name("My.\"Schema\"", "ta'b.le");
        let definition = "SELECT 'x' FROM \"My.\"\"Schema\"\"\".\"ta'b.le\" WHERE 'y' = 'z'";
        let expected = "SELECT 'x' FROM \"j\".\"ta'b.le\" WHERE 'y' = 'z'";
        assert_eq!(retarget(definition, &from, &name("j", "ta'b.le")), expected);
        assert_eq!(retarget("FROM \"ä\".ö", &name("ä", "ö"), &name("j", "ö")), "FROM \"j\".\"ö\"");
    }
}
