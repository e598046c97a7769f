insert into _hypercopy.job
    (kind, target_oid, target_name, made_table, source_system, source_database, source_name, request, plan, version)
values ($1, $2::text::pg_catalog.regclass, $2, $3, $4, $5, $6, $7::text::jsonb, $8::text::jsonb, $9)
returning id
