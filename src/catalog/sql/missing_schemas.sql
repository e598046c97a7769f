-- Which of the given schemas are not there. $1: names.
select distinct schema from unnest($1::text[]) schema where to_regnamespace(quote_ident(schema)) is null order by schema
