update _hypercopy.task set rows = $3, bytes = $4, checksum = $5, completed_at = clock_timestamp()
where job = $1 and task = $2 and completed_at is null
