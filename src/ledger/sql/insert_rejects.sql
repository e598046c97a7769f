-- One row for each element of the arrays.
insert into _hypercopy.reject (job, file, byte, line, record, column_name, reason, sqlstate)
select $1, $2, reject.*
from unnest($3::bigint[], $4::bigint[], $5::bytea[], $6::text[], $7::text[], $8::text[]) reject
