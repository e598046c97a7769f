insert into _hypercopy.job
    (kind, target_oid, target_name, source_system, source_database, source_name, request, version)
values ($1, $2::text::pg_catalog.regclass, $2, $3, $4, $5, $6::text::jsonb, $7)
returning id
