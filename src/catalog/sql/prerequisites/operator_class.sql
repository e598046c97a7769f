select format('create operator class %I.%I%s for type %s using %I%s as %s', schema.nspname, class.opcname,
    case when class.opcdefault then ' default' end,
    format_type(class.opcintype, null),
    method.amname,
    -- A family of its own comes with it.
    case when (family.opfname, family.opfnamespace) <> (class.opcname, class.opcnamespace)
        then format(' family %I.%I', family_schema.nspname, family.opfname) end,
    concat_ws(', ',
        (
            select string_agg(format('operator %s %s%s', member.amopstrategy, member.amopopr::regoperator,
                (
                    select format(' for order by %I.%I', sort_schema.nspname, sort.opfname)
                    from pg_catalog.pg_opfamily sort
                    join pg_catalog.pg_namespace sort_schema on sort_schema.oid = sort.opfnamespace
                    where sort.oid = member.amopsortfamily
                )), ', ' order by member.amopstrategy, member.amoprighttype)
            from pg_catalog.pg_amop member
            where member.amopfamily = class.opcfamily and member.amoplefttype = class.opcintype
        ),
        (
            select string_agg(format('function %s (%s, %s) %s', member.amprocnum, format_type(member.amproclefttype, null),
                format_type(member.amprocrighttype, null), member.amproc::regprocedure), ', '
                order by member.amprocnum, member.amprocrighttype)
            from pg_catalog.pg_amproc member
            where member.amprocfamily = class.opcfamily and member.amproclefttype = class.opcintype
        ),
        'storage ' || format_type(nullif(class.opckeytype, 0), null)))
from pg_catalog.pg_namespace schema, pg_catalog.pg_namespace family_schema, pg_catalog.pg_am method
where schema.oid = class.opcnamespace and family_schema.oid = family.opfnamespace and method.oid = class.opcmethod
