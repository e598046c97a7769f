//! What an object that was just made gets beside what makes it: its owner, privileges on it, comments.
//!
//! Written as the difference to what the role's new objects have. Roles are those of the same name; what names one that is
//! not there, or that the role may not act for, is listed.
//!
//! **Invariant:** everything that the source's object has is either given or listed.

use super::Statement;
use super::grants::{self, Allotment, Bearer, known};
use crate::catalog::belongings::Grant;
use crate::catalog::trappings::GrantKind;
use crate::catalog::{Comment, Ground, Hypertable, NotCarried, ObjectName, RoleHere, Schema, Server, Trappings};
use crate::ident::{QualifiedName, display_ident, quote_ident, quote_literal};

/// From where to where objects go.
#[derive(Clone, Copy)]
pub struct Passage<'a> {
    /// The server that they are on.
    pub from: &'a Server,
    /// The server that they are made on, by its role.
    pub to: &'a Server,
    /// What that has of the roles of their owners, grantors and grantees, schema by schema.
    pub grounds: &'a [Ground],
}

/// For what goes to a server like its own, where every role may do everything.
pub fn grounds_at_home(table: &Hypertable, server: &Server) -> Vec<Ground> {
    let views = table.views.iter().flat_map(|view| view.trappings.roles().cloned());
    let names: Vec<String> = table.prerequisites.roles().into_iter().chain(views).collect();
    let role = |name: &String| RoleHere {
        name: name.clone(),
        may_act: true,
        may_use_schema: true,
        may_own: true,
        may_own_schema: true,
    };
    let ground = |schema: &Schema| Ground {
        schema: schema.name.clone(),
        roles: names.iter().map(role).collect(),
        default_grants: grants::defaults(&server.role, server.postgresql_number),
    };
    table.prerequisites.schemas.iter().map(ground).collect()
}

/// An object, as statements call it.
pub(super) struct Bare {
    keyword: &'static str,
    kind: GrantKind,
    sql: String,
    name: String,
    schema: String,
}

/// What is done to it when it is there.
#[derive(Default)]
pub(super) struct Dressed {
    /// Gives it to its owner, where that is not the role that makes it.
    pub owner: Option<Statement>,
    /// The rest.
    pub others: Vec<Statement>,
    /// What it will lack.
    pub losses: Vec<NotCarried>,
}

impl Dressed {
    /// Everything in its order.
    pub fn statements(self) -> Vec<Statement> {
        self.owner.into_iter().chain(self.others).collect()
    }
}

impl Bare {
    /// An object in a schema, as `pg_identify_object()` names it; none of a kind that has nothing, or brings it with itself.
    pub fn of(object: &ObjectName, schema: &str) -> Option<Bare> {
        use GrantKind::{Other, Relation, Routine, Sequence, Type};
        let (keyword, kind) = match object.kind.as_str() {
            "function" | "procedure" | "aggregate" => ("routine", Routine),
            "type" => ("type", Type),
            "table" => ("table", Relation),
            "view" => ("view", Relation),
            "materialized view" => ("materialized view", Relation),
            "sequence" => ("sequence", Sequence),
            "collation" => ("collation", Other),
            "operator" => ("operator", Other),
            "operator class" => ("operator class", Other),
            "text search configuration" => ("text search configuration", Other),
            "text search dictionary" => ("text search dictionary", Other),
            _ => return None,
        };
        let (sql, schema) = (object.identity.clone(), schema.to_string());
        Some(Bare { keyword, kind, name: sql.clone(), sql, schema })
    }

    /// A view.
    pub fn view(name: &QualifiedName, materialized: bool) -> Bare {
        let keyword = if materialized { "materialized view" } else { "view" };
        let schema = name.schema.clone();
        Bare { keyword, kind: GrantKind::Relation, sql: name.sql(), name: name.to_string(), schema }
    }

    /// A schema.
    pub fn schema(name: &str) -> Bare {
        let (sql, display, schema) = (quote_ident(name), display_ident(name), name.to_string());
        Bare { keyword: "schema", kind: GrantKind::Schema, sql, name: display, schema }
    }

    /// Whether the object can be a role's.
    fn may_belong_to(&self, role: &RoleHere) -> bool {
        if self.kind == GrantKind::Schema { role.may_own_schema } else { role.may_own }
    }

    fn set_owner(&self, owner: &str) -> Statement {
        let owned = format!("{} {}", self.keyword, self.name);
        let sql = format!("alter {} {} owner to {}", self.keyword, self.sql, quote_ident(owner));
        Statement::new(format!("give {owned} to {}", display_ident(owner)), sql)
    }

    fn comment(&self, comment: &Comment) -> Statement {
        let text = quote_literal(&comment.text);
        let (object, title) = match &comment.column {
            None => (format!("{} {}", self.keyword, self.sql), format!("{} {}", self.keyword, self.name)),
            Some(column) => {
                (format!("column {}.{}", self.sql, quote_ident(column)), format!("column {column} of {}", self.name))
            }
        };
        Statement::new(format!("comment on {title}"), format!("comment on {object} is {text}"))
    }
}

impl<'a> Passage<'a> {
    /// Whose an object in a schema becomes, where its owner can be had.
    pub(super) fn may_belong_to(&self, bare: &Bare, owner: &str) -> bool {
        let role = self.ground(&bare.schema).and_then(|ground| ground.role(owner));
        owner == self.to.role || role.is_some_and(|role| bare.may_belong_to(role))
    }

    fn ground(&self, schema: &str) -> Option<&'a Ground> {
        self.grounds.iter().find(|ground| ground.schema == schema)
    }

    /// Those of `schemas` that are `made`, and what is lost of them.
    pub fn dress_schemas(&self, schemas: &[Schema], made: &[String]) -> (Vec<Statement>, Vec<NotCarried>) {
        let (mut statements, mut losses) = (Vec::new(), Vec::new());
        for schema in schemas.iter().filter(|schema| made.contains(&schema.name)) {
            let mut dressed = self.dress(&Bare::schema(&schema.name), &schema.trappings);
            losses.append(&mut dressed.losses);
            statements.extend(dressed.statements());
        }
        (statements, losses)
    }

    /// What makes of an object that the role has just made one that has these.
    pub(super) fn dress(&self, bare: &Bare, wanted: &Trappings) -> Dressed {
        let mut dressed = Dressed::default();
        let mut owner = &self.to.role;
        if wanted.owner != self.to.role {
            match self.may_belong_to(bare, &wanted.owner) {
                true => {
                    owner = &wanted.owner;
                    dressed.owner = Some(bare.set_owner(owner));
                }
                false => dressed.losses.push(self.lost_owner(bare, &wanted.owner)),
            }
        }
        if let Some((ground, bearer)) =
            self.ground(&bare.schema).zip(Bearer::new(bare.kind, &bare.sql, &bare.name, owner))
        {
            let version = |server: &Server| known(bare.kind, server.postgresql_number);
            let (here, there) = (version(self.from), version(self.to));
            let allotment = Allotment { ground, bearer: &bearer, old_owner: &wanted.owner, here: &here, there: &there };
            let (grants, lost) = allotment.carry(&wanted.grants);
            let given = ground.default_grants(bare.kind).map(|grant| grant.given_by(&self.to.role, owner));
            dressed.others.extend(grants::turn(&given.collect::<Vec<Grant>>(), &grants, &bearer));
            dressed.losses.extend(lost);
        }
        dressed.others.extend(wanted.comments.iter().map(|comment| bare.comment(comment)));
        dressed
    }

    fn lost_owner(&self, bare: &Bare, owner: &str) -> NotCarried {
        let object = format!("{} of {} {}", display_ident(owner), bare.keyword, bare.name);
        let reason = format!("it will belong to {}", display_ident(&self.to.role));
        NotCarried::new("owner", object).because(reason).made_by(vec![bare.set_owner(owner).sql])
    }
}
