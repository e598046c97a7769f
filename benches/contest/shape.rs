//! The tables that are moved: always `public.cpu`, with `time` and `tags_id` and the same two indexes.

/// A table and its layouts.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its columns behind `time` and `tags_id`, as SQL.
    columns: fn() -> String,
    /// Their values, of a row `n`.
    values: fn() -> String,
    /// How wide the source's chunks are.
    pub interval: &'static str,
    /// How wide they become.
    pub new_interval: &'static str,
    /// Hash partitions of `tags_id`, on both sides.
    pub partitions: Option<u32>,
}

pub const INDEXES: [&str; 2] = [
    "create index cpu_time_idx on public.cpu (time desc)",
    "create index cpu_tags_idx on public.cpu (tags_id, time desc)",
];

/// The TSBS cpu metrics: 10 floats with 17 digits for each of 4,000 hosts.
pub const CPU: Shape = Shape {
    name: "cpu",
    columns: || {
        ", hostname text, usage_user double precision, usage_system double precision, usage_idle double precision,
           usage_nice double precision, usage_iowait double precision, usage_irq double precision,
           usage_softirq double precision, usage_steal double precision, usage_guest double precision,
           usage_guest_nice double precision"
            .into()
    },
    values: || ", 'host_' || n % 4000".to_owned() + &", random() * 100".repeat(10),
    interval: "12 hours",
    new_interval: "1 day",
    partitions: None,
};

const WIDE: Shape = Shape {
    name: "wide",
    columns: || (3..=40).map(|column| format!(", value_{column} double precision")).collect(),
    values: || ", random() * 100".repeat(38),
    ..CPU
};

const NARROW: Shape = Shape {
    name: "narrow",
    columns: || ", value double precision".into(),
    values: || ", random() * 100".into(),
    ..CPU
};

const DOCUMENTS: Shape = Shape {
    name: "documents",
    columns: || ", document jsonb, note text".into(),
    values: || {
        ", jsonb_build_object('host', n % 4000, 'load', random(), 'tags', array['a', 'b', (n % 17)::text]),
           repeat('note ', n % 20) || n"
            .into()
    },
    ..CPU
};

/// Ten days in 2,000 chunks.
const CHUNKS: Shape = Shape { name: "chunks", interval: "432 seconds", new_interval: "864 seconds", ..NARROW };

const HASH: Shape = Shape { name: "hash", partitions: Some(4), ..CPU };

/// All of them.
pub const SHAPES: [Shape; 6] = [CPU, WIDE, NARROW, DOCUMENTS, CHUNKS, HASH];

impl Shape {
    /// The one that has this name.
    pub fn named(name: &str) -> Shape {
        let known = || SHAPES.map(|shape| shape.name).join(", ");
        SHAPES.into_iter().find(|shape| shape.name == name).unwrap_or_else(|| panic!("the shapes are {}", known()))
    }

    /// The statements that make it without indexes.
    pub fn create(&self, interval: &str) -> [String; 2] {
        let partitions = match self.partitions {
            Some(partitions) => format!("partitioning_column => 'tags_id', number_partitions => {partitions}, "),
            None => String::new(),
        };
        [
            format!("create table public.cpu (time timestamptz not null, tags_id integer{})", (self.columns)()),
            format!(
                "select public.create_hypertable('public.cpu', 'time', {partitions}chunk_time_interval => interval '{interval}', create_default_indexes => false)"
            ),
        ]
    }

    /// The statement that fills it: ten days of 4,000 hosts, whatever the number of rows, in the order of time.
    pub fn insert(&self, rows: usize) -> String {
        format!(
            "insert into public.cpu select timestamptz '2025-01-01 00:00:00+00' + (n / 4000) * (interval '10 days' / ({rows} / 4000 + 1)),
                n % 4000{}
             from generate_series(0, {rows} - 1) n",
            (self.values)()
        )
    }

    /// The statements that make its chunks and leave nothing in them.
    pub fn touch(&self) -> [String; 3] {
        let points = format!(
            "generate_series(timestamptz '2025-01-01 00:00:00+00', timestamptz '2025-01-10 23:59:59+00', interval '{}')",
            self.interval
        );
        [
            format!(
                "insert into public.cpu (time, tags_id) select point, device from {points} point, generate_series(0, 99) device"
            ),
            "delete from public.cpu".into(),
            "vacuum public.cpu".into(),
        ]
    }
}
