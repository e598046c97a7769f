-- Which of the given publications are there. $1: names.
select pubname as name, pg_has_role(pubowner, 'usage') as may_change, puballtables as all_tables
from pg_catalog.pg_publication
where pubname = any ($1::text[])
order by pubname
