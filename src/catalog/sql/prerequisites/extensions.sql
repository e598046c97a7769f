-- Which of the given extensions the server could make. $1: names.
select
    available.name,
    version.version,
    role.rolsuper or not version.superuser
        or (version.trusted and has_database_privilege(current_database(), 'create')) as may_create
from pg_catalog.pg_available_extensions available
join pg_catalog.pg_available_extension_versions version
    on version.name = available.name and version.version = available.default_version
join pg_catalog.pg_roles role on role.rolname = current_user
where available.name = any ($1::text[])
