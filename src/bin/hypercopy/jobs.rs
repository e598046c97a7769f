//! `hypercopy jobs`.

use std::fmt::Write;

use hypercopy::connect::Conninfo;
use hypercopy::error::Result;
use hypercopy::jobs::{self, JobDetails, JobReport};
use hypercopy::ledger::JobId;
use hypercopy::report::to_json;

use crate::args::{JobsArguments, JobsCommand, conninfo};
use crate::output::{aligned, bytes, count, print, print_json};

pub async fn run(arguments: JobsArguments) -> Result<()> {
    let target = conninfo("--target", &arguments.target)?;
    let (text, json) = answer(&target, arguments.command.unwrap_or(JobsCommand::List)).await?;
    match arguments.json {
        true => print_json(&json),
        false => print(&text),
    }
    Ok(())
}

async fn answer(target: &Conninfo, command: JobsCommand) -> Result<(String, String)> {
    Ok(match command {
        JobsCommand::List => {
            let jobs = jobs::list(target).await?;
            (list(&jobs), to_json(&jobs)?)
        }
        JobsCommand::Show { id } => {
            let job = jobs::show(target, JobId(id)).await?;
            (show(&job), to_json(&job)?)
        }
        JobsCommand::Clean { id } => {
            let job = jobs::clean(target, JobId(id)).await?;
            (format!("job {id} on {} is forgotten", job.target_name), to_json(&job)?)
        }
    })
}

fn list(jobs: &[JobReport]) -> String {
    if jobs.is_empty() {
        return "no jobs".to_string();
    }
    let mut rows = vec![["job", "table", "state", "tasks", "rows", "began", "finished"].map(str::to_string)];
    rows.extend(jobs.iter().map(|report| {
        let job = &report.job;
        [
            job.id.0.to_string(),
            job.target_name.clone(),
            report.standing().to_string(),
            job.tasks.to_string(),
            count(job.rows),
            job.started_at.clone(),
            job.finished_at.clone().unwrap_or_default(),
        ]
    }));
    aligned(&rows)
}

fn show(details: &JobDetails) -> String {
    let JobReport { job, running } = &details.report;
    let mut text = format!("job {}: {} {}\n", job.id.0, job.kind, job.target_name);
    let mut field = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<10}{value}");
    };
    field(
        "source",
        &match (job.source_system.is_empty(), job.source_database.is_empty()) {
            (true, _) => job.source_name.clone(),
            (false, true) => format!("{} in archive {}", job.source_name, job.source_system),
            (false, false) => {
                format!("{} in database {}, cluster {}", job.source_name, job.source_database, job.source_system)
            }
        },
    );
    field("state", details.report.standing());
    if let Some(pid) = running {
        field("running", &format!("in backend {pid} of the target"));
    }
    field("runs", &job.run.to_string());
    field("began", &job.started_at);
    field("finished", job.finished_at.as_deref().unwrap_or("not yet"));
    field("table", if job.made_table { "made by the job" } else { "was there before" });
    field("done", &format!("{} rows in {} tasks", count(job.rows), job.tasks));
    field("steps", &details.steps.join(", "));
    let mut rows = vec![["task", "rows", "size", "range"].map(str::to_string)];
    rows.extend(
        details
            .done
            .iter()
            .map(|task| [task.task.to_string(), count(task.rows), bytes(task.bytes), task.range.clone()]),
    );
    text + &aligned(&rows)
}
