//! DDL text: jobs made on another server.
//!
//! Policies are made by TimescaleDB's own functions, whose checks they have to pass there; then everything about them is
//! set to what it was. Each is one statement: nobody sees it half made, and it runs by itself from its commit on. So it
//! comes at the very end, when there are no rows left that it could meet on their way.
//!
//! **Invariant:** pure. No expression of the source's is in it, only literals.

use serde_json::Value;

use super::Statement;
use crate::catalog::{Job, Server};
use crate::ident::{QualifiedName, quote_ident, quote_literal};

/// What jobs belong to: a hypertable, or a continuous aggregate with its materialization.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    /// Its name on the new server.
    pub name: &'a QualifiedName,
    /// It is an aggregate.
    pub is_aggregate: bool,
    /// The id that configurations had for it when they were read.
    pub read_of: i32,
    /// The type of its axis as `regtype` prints it.
    pub axis_type: &'a str,
}

impl Host<'_> {
    fn regclass(&self) -> String {
        format!("{}::pg_catalog.regclass", quote_literal(&self.name.sql()))
    }

    /// A query for its id there.
    fn id(&self) -> String {
        let (schema, name) = (quote_literal(&self.name.schema), quote_literal(&self.name.name));
        match self.is_aggregate {
            true => format!(
                "(select mat_hypertable_id from _timescaledb_catalog.continuous_agg \
                 where user_view_schema = {schema} and user_view_name = {name})"
            ),
            false => format!(
                "(select id from _timescaledb_catalog.hypertable where schema_name = {schema} and table_name = {name})"
            ),
        }
    }

    /// A distance on its axis, as a configuration has it.
    fn distance(&self, value: &Value) -> String {
        match value {
            Value::String(interval) => format!("{}::pg_catalog.interval", quote_literal(interval)),
            Value::Number(units) => format!("{}::{}", quote_literal(&units.to_string()), self.axis_type),
            _ => "null".to_string(),
        }
    }
}

/// Makes jobs as they were; `index` tells what an index is called there.
pub fn create(jobs: &[Job], host: Host<'_>, server: &Server, index: impl Fn(&str) -> String) -> Vec<Statement> {
    jobs.iter().map(|job| create_one(job, host, server, &index)).collect()
}

fn create_one(job: &Job, host: Host<'_>, server: &Server, index: &impl Fn(&str) -> String) -> Statement {
    let add = if job.is_policy() { add_policy(job, host, server, index) } else { None };
    let literal = |text: &Option<String>| text.as_ref().map_or("null".to_string(), |text| quote_literal(text));
    let sql = include_str!("sql/add_job.sql")
        .replace("{alter_job}", &server.user_function("alter_job"))
        .replace("{schedule_interval}", &quote_literal(&job.schedule_interval))
        .replace("{max_runtime}", &quote_literal(&job.max_runtime))
        .replace("{max_retries}", &job.max_retries.to_string())
        .replace("{retry_period}", &quote_literal(&job.retry_period))
        .replace("{scheduled}", &job.scheduled.to_string())
        .replace("{fixed_schedule}", &job.fixed_schedule.to_string())
        .replace("{initial_start}", &literal(&job.initial_start))
        .replace("{timezone}", &literal(&job.timezone))
        .replace("{next_start}", &literal(&job.next_start))
        // What may have any text in it comes last: no brace of its own is taken for a place.
        .replacen("{config}", &config(job, host, index), 1)
        .replacen("{add}", &add.unwrap_or_else(|| add_action(job, host, server)), 1);
    let create = Statement::new(format!("create job {} of {}", title(job), host.name), sql);
    if job.is_policy() || job.owner == server.role { create } else { create.by(&job.owner) }
}

/// One of several with the same procedure is told by its number on the source.
fn title(job: &Job) -> String {
    format!("{} (job {} of the source)", job.procedure.name, job.id)
}

/// The call of a policy's own function; none for a kind that has none here.
fn add_policy(job: &Job, host: Host<'_>, server: &Server, index: &impl Fn(&str) -> String) -> Option<String> {
    let config = job.config.as_ref()?;
    let (function, arguments) = match job.procedure.name.as_str() {
        "policy_retention" => {
            ("add_retention_policy", vec![after(config, ["drop_after", "drop_created_before"], host)?])
        }
        "policy_compression" => {
            ("add_compression_policy", vec![after(config, ["compress_after", "compress_created_before"], host)?])
        }
        "policy_reorder" => (
            "add_reorder_policy",
            vec![format!("index_name => {}", quote_literal(&index(config["index_name"].as_str()?)))],
        ),
        "policy_refresh_continuous_aggregate" => {
            let offset = |key: &str| format!("{key} => {}", host.distance(&config[key]));
            let interval = format!("schedule_interval => {}", quote_literal(&job.schedule_interval));
            ("add_continuous_aggregate_policy", vec![offset("start_offset"), offset("end_offset"), interval])
        }
        _ => return None,
    };
    Some(format!("{}({}, {})", server.user_function(function), host.regclass(), arguments.join(", ")))
}

/// Which of two settings a policy goes by: a distance on the axis, or the age of a chunk.
fn after(config: &Value, [by_axis, by_age]: [&str; 2], host: Host<'_>) -> Option<String> {
    let argument = |key: &str| config.get(key).map(|value| format!("{key} => {}", host.distance(value)));
    argument(by_axis).or_else(|| argument(by_age))
}

/// The call that makes an action of the user's, for its table.
fn add_action(job: &Job, host: Host<'_>, server: &Server) -> String {
    let check = job.check.as_ref().map(|check| format!(", check_config => {}", regproc(check))).unwrap_or_default();
    format!(
        "{}({}({}, {}{check}), {})",
        server.internal_function("alter_job_set_hypertable_id"),
        server.user_function("add_job"),
        regproc(&job.procedure),
        quote_literal(&job.schedule_interval),
        host.regclass()
    )
}

fn regproc(name: &QualifiedName) -> String {
    format!(
        "{}::pg_catalog.regproc",
        quote_literal(&format!("{}.{}", quote_ident(&name.schema), quote_ident(&name.name)))
    )
}

/// The configuration, with the id and the index that it is for there.
fn config(job: &Job, host: Host<'_>, index: &impl Fn(&str) -> String) -> String {
    let Some(mut config) = job.config.clone() else { return "null".to_string() };
    if let Some(name) = config.get_mut("index_name").filter(|_| job.is_policy()) {
        *name = index(name.as_str().unwrap_or_default()).into();
    }
    let text = format!("{}::pg_catalog.jsonb", quote_literal(&config.to_string()));
    let keys = ["hypertable_id", "mat_hypertable_id"].into_iter().filter(|key| config[key] == host.read_of);
    keys.fold(text, |inner, key| {
        format!("pg_catalog.jsonb_set({inner}, '{{{key}}}', pg_catalog.to_jsonb({}))", host.id())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(procedure: &str, config: Value) -> Job {
        let job = json!({
            "id": 1000, "procedure": {"schema": "_timescaledb_functions", "name": procedure}, "check": null, "owner": "o",
            "may_alter": true, "scheduled": true, "schedule_interval": "1 day", "max_runtime": "00:00:00", "max_retries": -1,
            "retry_period": "01:00:00", "fixed_schedule": true, "initial_start": null, "timezone": null, "config": config,
            "next_start": "2030-01-01 00:00:00+00",
        });
        serde_json::from_value(job).unwrap()
    }

    fn added(procedure: &str, config: Value) -> String {
        let name = QualifiedName::new("s", "t");
        let host = Host { name: &name, is_aggregate: false, read_of: 7, axis_type: "integer" };
        let job = job(procedure, config);
        let policy = add_policy(&job, host, &server(), &|index: &str| format!("new_{index}"));
        policy.unwrap_or_else(|| add_action(&job, host, &server()))
    }

    fn server() -> Server {
        let server = json!({
            "postgresql": "17.1", "postgresql_number": 170001, "timescaledb": "2.19.3", "timescaledb_schema": "public",
            "license": "timescale", "functions_schema": "_timescaledb_functions", "has_chunk_constraint": true,
            "encoding": "UTF8", "database": "d", "database_oid": 1, "system": "1", "in_recovery": false, "lock_table": 1,
            "role": "r", "may_create_schema": true,
        });
        serde_json::from_value(server).unwrap()
    }

    #[test]
    fn policies_are_made_by_their_own_functions() {
        let call = |function: &str, arguments: &str| {
            format!("\"public\".{function}('\"s\".\"t\"'::pg_catalog.regclass, {arguments})")
        };
        assert_eq!(
            added("policy_retention", json!({"drop_after": "1 day"})),
            call("add_retention_policy", "drop_after => '1 day'::pg_catalog.interval")
        );
        assert_eq!(
            added("policy_compression", json!({"compress_after": 100})),
            call("add_compression_policy", "compress_after => '100'::integer")
        );
        assert_eq!(
            added("policy_reorder", json!({"index_name": "i"})),
            call("add_reorder_policy", "index_name => 'new_i'")
        );
        assert_eq!(
            added("policy_refresh_continuous_aggregate", json!({"start_offset": null, "end_offset": "1 h"})),
            call(
                "add_continuous_aggregate_policy",
                "start_offset => null, end_offset => '1 h'::pg_catalog.interval, schedule_interval => '1 day'"
            )
        );
    }

    #[test]
    fn a_policy_of_an_unknown_kind_is_made_as_an_action() {
        assert!(added("policy_unheard_of", json!({})).contains("\"public\".add_job("));
    }

    #[test]
    fn configurations_get_the_ids_of_their_new_server() {
        let name = QualifiedName::new("s", "t");
        let host = Host { name: &name, is_aggregate: true, read_of: 7, axis_type: "bigint" };
        let text = |value| config(&job("policy_x", value), host, &|index: &str| index.to_string());
        assert!(text(json!({"mat_hypertable_id": 7})).starts_with("pg_catalog.jsonb_set("));
        assert_eq!(text(json!({"hypertable_id": 8})), "'{\"hypertable_id\":8}'::pg_catalog.jsonb");
    }
}
