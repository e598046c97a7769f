//! The definition as statements, for people who have no hypercopy at hand.

use std::fmt::Write;

use crate::archive::Manifest;
use crate::catalog::prerequisites::{Inventory, Part};
use crate::catalog::{Hypertable, Sequence, Server};
use crate::plan::belongings::Carried;
use crate::plan::prerequisites::{Demand, Lacking, Provision, provide};
use crate::plan::readers::Readers;
use crate::plan::trappings::{Passage, grounds_at_home};
use crate::plan::{
    Beside, Keys, Layout, Statement, TargetNames, create_jobs, policies, post_data, pre_data, sequence_values,
};

const HEAD: &str = "\
-- The table of this archive, for people: hypercopy restores from manifest.json and never runs this file.
-- Before the rows comes what makes the table, behind them what is faster to make when they are there.
";

/// The statements that make an archive's table, around its rows.
pub(super) fn schema_sql(manifest: &Manifest, layout: &Layout) -> String {
    let table = &manifest.definition.hypertable;
    let functions = manifest.server.timescaledb_schema.clone().unwrap_or_default();
    let names = TargetNames::new(table, table.name().clone(), functions, &[]);
    let sequences: Vec<&Sequence> = table.sequences.iter().filter(|sequence| !sequence.identity).collect();
    let Provision { before, behind, trappings, lacking, .. } = prerequisites(table, &manifest.server);
    let lacks_now = lacking.iter().any(|lacking| lacking.parts.contains(&Part::IntegerNow));
    let beside = Beside { schemas: &[], sequences: &sequences, before, behind, lacks_now };
    let mut making = pre_data(table, layout, &names, beside, Keys::PrimaryFirst);
    let carried = Carried::all(table, &manifest.server);
    making.extend(trappings);
    making.extend(carried.before_rows(table.name()));
    making.extend(policies::on_empty_table(&table.policies, table.name(), &manifest.server));

    let mut text = HEAD.to_string();
    push_lacking(&mut text, &lacking);
    push(&mut text, "before the rows", &making);
    let _ = writeln!(text, "\n-- the rows: {} segments, described in ARCHIVE.md", manifest.segments.len());
    match post_data(table, &names, Keys::PrimaryFirst) {
        Ok((constraints, indexes)) => push(&mut text, "behind the rows", &[constraints, indexes].concat()),
        Err(error) => {
            let _ = writeln!(text, "\n-- behind the rows: {}", one_line(error.message()));
        }
    }
    push(&mut text, "what belongs to the table", &carried.after_rows(table.name()));
    push(&mut text, "values of sequences", &sequence_values(table, &names, &sequences));
    push(&mut text, "what TimescaleDB keeps on the table, and what reads it", &upkeep(manifest, &names));
    text
}

fn upkeep(manifest: &Manifest, names: &TargetNames) -> Vec<Statement> {
    let (table, server) = (&manifest.definition.hypertable, &manifest.server);
    let columnstore = table.policies.columnstore.iter();
    let enable = columnstore.map(|settings| policies::enable_columnstore(settings, table.name()));
    let passage = Passage { from: server, to: server, grounds: &grounds_at_home(table, server) };
    let readers = Readers::all(table, &passage).script(names.moved(table), server);
    enable.chain(readers).chain(create_jobs(&table.policies.jobs, table, names, server)).collect()
}

/// All that the table uses, for a server that has nothing of it, but every extension's files and every role.
fn prerequisites(source: &Hypertable, server: &Server) -> Provision {
    let extensions = source.prerequisites.extensions();
    let inventory = Inventory { extensions, superuser: true, ..Inventory::default() };
    let passage = Passage { from: server, to: server, grounds: &grounds_at_home(source, server) };
    provide(&Demand { source, table: source.name(), inventory: &inventory, passage, with_dependencies: true })
}

/// What no statement makes is left to whoever reads this.
fn push_lacking(text: &mut String, lacking: &[Lacking]) {
    for Lacking { object, reason, .. } in lacking {
        let reason = one_line(reason.as_deref().unwrap_or_default());
        let _ = writeln!(text, "-- It takes {} as well: {reason}", one_line(&object.to_string()));
    }
}

fn push(text: &mut String, title: &str, statements: &[Statement]) {
    if !statements.is_empty() {
        let _ = writeln!(text, "\n-- {title}");
    }
    for statement in statements {
        let _ = writeln!(text, "{};", statement.script().trim_end().trim_end_matches(';'));
    }
}

/// A comment ends with its line, whatever names are in it.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}
