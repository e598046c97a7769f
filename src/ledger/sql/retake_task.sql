-- Only for the run that owns the job. Waits where another transaction holds the row.
update _hypercopy.task set completed_at = null
where job = $1 and task = $3 and completed_at is not null
    and exists (select from _hypercopy.job where id = $1 and run = $2 for key share)
returning rows
