-- What stands where views shall be. $1: relations, as a JSON array of schema and name, $2: roles.
select
    (
        select coalesce(jsonb_agg(wanted.name), '[]') from jsonb_array_elements($1::text::jsonb) wanted (name)
        where exists (
            select from pg_catalog.pg_class class
            join pg_catalog.pg_namespace namespace on namespace.oid = class.relnamespace
            where namespace.nspname = wanted.name ->> 'schema' and class.relname = wanted.name ->> 'name')
    ) as relations,
    (select coalesce(jsonb_agg(rolname), '[]') from pg_catalog.pg_roles where rolname = any ($2::text[])) as roles,
    (
        select coalesce(jsonb_agg(rolname), '[]') from pg_catalog.pg_roles
        where rolname = any ($2::text[]) and pg_has_role(oid, 'usage')
            -- A superuser gives things away, whatever their new owner may do.
            and (current_setting('is_superuser') = 'on' or not exists (
                select from jsonb_array_elements($1::text::jsonb) wanted (name)
                where to_regnamespace(quote_ident(wanted.name ->> 'schema')) is not null and not has_schema_privilege(
                    pg_roles.oid, to_regnamespace(quote_ident(wanted.name ->> 'schema'))::oid, 'create')))
    ) as actable,
    current_setting('is_superuser') = 'on' as superuser
