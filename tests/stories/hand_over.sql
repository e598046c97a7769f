-- Gives everything of users in this database that belongs to us to {mover}, who may then make things here.
do $$
declare statement text;
begin
    for statement in
        with owned (kind, class, oid) as (
            select case when relkind = 'S' then 'sequence' when relkind = 'v' then 'view' when relkind = 'm' then 'materialized view' else 'table' end,
                'pg_class'::regclass, oid
            from pg_class where relowner = (select oid from pg_roles where rolname = current_user) and relkind in ('r', 'p', 'S', 'v', 'm')
                -- Those of columns go with their table.
                and not exists (select from pg_depend where classid = 'pg_class'::regclass and objid = pg_class.oid
                    and refclassid = 'pg_class'::regclass and deptype in ('a', 'i') and pg_class.relkind = 'S')
            union all
            select 'routine', 'pg_proc'::regclass, oid from pg_proc where proowner = (select oid from pg_roles where rolname = current_user)
            union all
            select 'type', 'pg_type'::regclass, oid from pg_type
            where typowner = (select oid from pg_roles where rolname = current_user) and typelem = 0 and typtype <> 'm'
                and not exists (select from pg_class where pg_class.oid = typrelid and relkind <> 'c')
            union all
            select 'collation', 'pg_collation'::regclass, oid from pg_collation where collowner = (select oid from pg_roles where rolname = current_user)
            union all
            select 'statistics', 'pg_statistic_ext'::regclass, oid from pg_statistic_ext
            where stxowner = (select oid from pg_roles where rolname = current_user)
            union all
            select 'publication', 'pg_publication'::regclass, oid from pg_publication
            union all
            select 'schema', 'pg_namespace'::regclass, oid from pg_namespace where nspname !~ '^(pg_|information_schema|_?timescaledb|public)'
        )
        select format('alter %s %s owner to {mover}', kind, identity)
        from owned, pg_identify_object(class, owned.oid, 0)
        where owned.oid >= 16384 and coalesce(schema, '') !~ '^"?(_?timescaledb)'
            and not exists (select from pg_depend where classid = class and objid = owned.oid and deptype = 'e')
        order by kind = 'schema' desc, kind
    loop
        execute statement;
    end loop;
    execute format('grant create on database %I to {mover}', current_database());
    grant create on schema public to {mover};
end $$
