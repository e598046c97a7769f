select coalesce(jsonb_agg(jsonb_build_object('column', attribute.attname, 'text', description.description)
    order by description.objsubid), '[]')
from pg_catalog.pg_description description
left join pg_catalog.pg_attribute attribute
    on attribute.attrelid = description.objoid and attribute.attnum = nullif(description.objsubid, 0)
where description.classoid = 'pg_catalog.pg_class'::regclass and description.objoid = view.oid
