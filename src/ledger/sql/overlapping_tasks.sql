-- Tasks of other jobs on the table of job $1 that overlap [$2, $3).
select task.job, task.task, task.range_from, task.range_until
from _hypercopy.job ours
join _hypercopy.job other on other.target_oid = ours.target_oid and other.id <> ours.id
join _hypercopy.task on task.job = other.id
where ours.id = $1
    and (task.range_until is null or $2::bigint is null or task.range_until > $2)
    and (task.range_from is null or $3::bigint is null or task.range_from < $3)
