//! `hypercopy restore`.

use hypercopy::error::Result;

use crate::args::RestoreArguments;
use crate::{migrate, output};

pub async fn run(arguments: Box<RestoreArguments>) -> Result<()> {
    let request = arguments.request()?;
    output::refuse_unwritable("the report", arguments.output.report.as_deref())?;
    migrate::execute(request, arguments.job.patience.grace, &arguments.output).await
}
