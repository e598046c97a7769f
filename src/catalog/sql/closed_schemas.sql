-- In which of the given schemas the role may not create anything, or may not create them. $1: names.
select schema from unnest($1::text[]) schema
where case when to_regnamespace(quote_ident(schema)) is null then not has_database_privilege(current_database(), 'create')
    else not has_schema_privilege(to_regnamespace(quote_ident(schema))::oid, 'create') end
order by schema
