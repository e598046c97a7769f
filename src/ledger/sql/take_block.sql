-- Only for the run that owns the job. Waits where another transaction has inserted the same row and is not over yet.
insert into _hypercopy.block (job, file, byte_from, byte_until, line_until, hash, records, rows, skipped, suppressed)
select id, $3, $4, $5, $6, $7, $8, 0, 0, 0 from _hypercopy.job where id = $1 and run = $2
on conflict (job, file, byte_from) do nothing
