//! What an archive says TimescaleDB keeps on its table, and what reads that, before any of it becomes SQL.
//!
//! **Invariant:** as in [`belongings`](super::belongings): no text says more than it claims.

use super::belongings::{
    PRIVILEGES, has_word, is_known, is_rule, is_statistics, is_trigger, is_whole, names_of_trappings,
};
use crate::catalog::dependents::Heap;
use crate::catalog::views::View;
use crate::catalog::{Columnstore, Grant, Hypertable, Job};
use crate::ident::QualifiedName;

/// All names that are in it.
pub(super) fn names(of: &Hypertable) -> Vec<String> {
    let mut names = [of.policies.tablespaces.clone(), of.policies.skipping_columns.clone()].concat();
    of.policies.columnstore.iter().for_each(|settings| add_columnstore(settings, &mut names));
    of.policies.jobs.iter().for_each(|job| add_job(job, &mut names));
    for aggregate in &of.aggregates {
        add_relation(&aggregate.name, &mut names);
        add_grants(&aggregate.grants, &mut names);
        names.extend([aggregate.rights.owner.clone(), aggregate.bucket.clone()]);
        names.extend(aggregate.indexes.iter().map(|index| index.name.clone()));
        names.extend(aggregate.comments.iter().filter_map(|comment| comment.column.clone()));
        aggregate.columnstore.iter().for_each(|settings| add_columnstore(settings, &mut names));
        aggregate.jobs.iter().for_each(|job| add_job(job, &mut names));
    }
    for view in &of.views {
        add_relation(&view.name, &mut names);
        names.extend(names_of_trappings(&view.trappings));
        names.extend(view.defaults.iter().map(|default| default.column.clone()));
        names.extend(view.triggers.iter().map(|trigger| trigger.name.clone()));
        names.extend(view.rules.iter().map(|rule| rule.name.clone()));
        view.kept.iter().for_each(|kept| add_heap(&kept.heap, &mut names));
    }
    names
}

fn add_relation(name: &QualifiedName, names: &mut Vec<String>) {
    names.extend([name.schema.clone(), name.name.clone()]);
}

fn add_heap(heap: &Heap, names: &mut Vec<String>) {
    names.extend(heap.tablespace.iter().chain([&heap.method]).cloned());
    names.extend(heap.columns.iter().map(|column| column.name.clone()));
    names.extend(heap.indexes.iter().flat_map(|index| index.tablespace.iter().chain([&index.name]).cloned()));
    heap.statistics.iter().for_each(|statistics| add_relation(&statistics.name, names));
    names.extend(heap.statistics.iter().map(|statistics| statistics.owner.clone()));
}

fn add_columnstore(settings: &Columnstore, names: &mut Vec<String>) {
    names.extend(settings.segment_by.iter().flatten().cloned());
    names.extend(settings.order_by.iter().flatten().map(|order| order.column.clone()));
    names.extend(settings.sparse_indexes.iter().flat_map(|index| index.columns.clone()));
}

fn add_job(job: &Job, names: &mut Vec<String>) {
    job.check.iter().chain([&job.procedure]).for_each(|procedure| add_relation(procedure, names));
    names.push(job.owner.clone());
}

fn add_grants(grants: &[Grant], names: &mut Vec<String>) {
    names.extend(grants.iter().flat_map(|grant| grant.column.iter().chain(&grant.grantee).cloned()));
}

/// What of it would say more than it claims; none where all is well.
pub(super) fn suspect(of: &Hypertable) -> Option<String> {
    let all_known = |grants: &[Grant]| grants.iter().all(|grant| PRIVILEGES.contains(&grant.privilege.as_str()));
    let aggregates = of.aggregates.iter().map(|aggregate| {
        let bodies = aggregate.indexes.iter().filter_map(|index| index.body.as_ref());
        let is_well = bodies.chain([&aggregate.definition]).all(|text| is_whole(text)) && all_known(&aggregate.grants);
        (is_well, &aggregate.name)
    });
    let views = of.views.iter().map(|view| (is_well(view), &view.name));
    let doubtful = aggregates.chain(views).find(|(is_well, _)| !is_well);
    doubtful.map(|(_, name)| format!("view {name}"))
}

fn is_well(view: &View) -> bool {
    let View { definition, trappings, defaults, triggers, rules, kept, .. } = view;
    is_whole(definition)
        && trappings.grants.iter().all(is_known)
        && defaults.iter().all(|default| is_whole(&default.expression) && !has_word(&default.expression, ","))
        && triggers.iter().all(|trigger| trigger.around.iter().all(is_trigger))
        && rules.iter().all(|rule| rule.around.iter().all(is_rule))
        && kept.iter().all(|kept| is_well_kept(&kept.heap))
}

fn is_well_kept(heap: &Heap) -> bool {
    let is_word = |text: &String| text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    heap.columns.iter().flat_map(|column| column.storage.iter().chain(&column.compression)).all(is_word)
        && heap.indexes.iter().flat_map(|index| &index.body).all(|body| is_whole(body))
        && heap.statistics.iter().all(|statistics| is_statistics(&statistics.definition))
}
