-- Only for the run that owns the job. Waits where another transaction has inserted the same row and is not over yet.
insert into _hypercopy.task (job, task, range_from, range_until)
select id, $3, $4, $5 from _hypercopy.job where id = $1 and run = $2
on conflict (job, task) do nothing
