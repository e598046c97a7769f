//! The flags of `import`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use hypercopy::csv::Dialect;
use hypercopy::error::{Error, Kind, Result};
use hypercopy::ident::{QualifiedName, parse_columns};
use hypercopy::import::{self, Create, Header, OnConflict};
use hypercopy::writer::budget::Limit;

use super::{OutputArguments, PatienceArguments, bytes, conninfo, default_jobs, hash_partitions, interval};

#[derive(Debug, Args)]
pub struct ImportArguments {
    /// Where the hypertable is
    #[arg(long, value_name = "CONNINFO", env = "HYPERCOPY_TARGET", hide_env_values = true)]
    pub target: String,
    /// The hypertable, by SQL's quoting rules, looked up in the role's search_path
    pub table: String,
    /// Files, globs, FIFOs, and - for stdin, which is also meant without any
    #[arg(value_name = "FILE")]
    pub files: Vec<String>,
    /// The columns that the files give, in their order [default: all that are not generated]
    #[arg(long, value_name = "A,B,C", help_heading = "Format")]
    pub columns: Option<String>,
    /// What stands before the records of each file: nothing, a line to skip, or names that match columns of the table
    #[arg(long, value_enum, value_name = "WHAT", help_heading = "Format", default_value_t = HeaderArgument::None)]
    pub header: HeaderArgument,
    /// A name in the header that stands for another column of the table; may be given several times
    #[arg(long = "map", value_name = "FILE_COLUMN=TABLE_COLUMN", help_heading = "Format")]
    pub maps: Vec<String>,
    /// Skip so many lines at the start of each file, before its header
    #[arg(long, value_name = "N", help_heading = "Format", default_value_t = 0)]
    pub skip_lines: u64,
    /// One character between fields; \t is a tab
    #[arg(long, value_name = "C", help_heading = "Format", default_value = ",", allow_hyphen_values = true)]
    pub delimiter: String,
    /// One character around fields that hold delimiters, quotes or line ends
    #[arg(long, value_name = "C", help_heading = "Format", default_value = "\"", allow_hyphen_values = true)]
    pub quote: String,
    /// One character before a quote that is data [default: the quote]
    #[arg(long, value_name = "C", help_heading = "Format", allow_hyphen_values = true)]
    pub escape: Option<String>,
    /// What stands, unquoted, for NULL
    #[arg(long, value_name = "STRING", help_heading = "Format", default_value = "", allow_hyphen_values = true)]
    pub null: String,
    /// The files' encoding, by PostgreSQL's name [default: UTF8]
    #[arg(long, value_name = "NAME", help_heading = "Format")]
    pub encoding: Option<String>,
    /// Write the records that were left out to a file, and the reasons, one JSON object for each, to FILE.json
    #[arg(long, value_name = "FILE", help_heading = "Rows")]
    pub rejects: Option<PathBuf>,
    /// Leave out so many records at most, over all runs: a number, or a share of all records such as 0.1%
    #[arg(long, value_name = "N|P%", help_heading = "Rows", default_value = "0", value_parser = limit)]
    pub max_rejects: Limit,
    /// A row whose key is there already: refuse it, skip it (the first one stays), or update (the last one stays)
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Rows", default_value_t = ConflictArgument::Error)]
    pub on_conflict: ConflictArgument,
    /// The columns of that key [default: the primary key, else the only unique one]
    #[arg(long, value_name = "A,B", help_heading = "Rows")]
    pub conflict_key: Option<String>,
    /// Empty the table first, once, in the transaction that begins the job
    #[arg(long, help_heading = "Rows")]
    pub truncate: bool,
    /// Read so many records only
    #[arg(long, value_name = "ROWS", help_heading = "Rows")]
    pub limit: Option<u64>,
    /// Make the table, of the columns and types that the first file suggests, with this time dimension
    #[arg(long, value_name = "TIME_COLUMN", help_heading = "Table")]
    pub create_hypertable: Option<String>,
    /// Chunk interval of the table that is made: '1 day', '6 hours'; a bare integer for an integer dimension
    #[arg(
        long,
        value_name = "INTERVAL",
        help_heading = "Table",
        requires = "create_hypertable",
        allow_hyphen_values = true
    )]
    pub chunk_interval: Option<String>,
    /// Hash dimension of the table that is made: a column and its number of partitions
    #[arg(long, value_name = "COLUMN:N", help_heading = "Table", requires = "create_hypertable")]
    pub hash_partitions: Option<String>,
    /// Type of a column of the table that is made; may be given several times
    #[arg(long = "type", value_name = "COLUMN=TYPE", help_heading = "Table", requires = "create_hypertable")]
    pub types: Vec<String>,
    /// Drop the secondary indexes of an empty table, and build them behind the rows
    #[arg(long, help_heading = "Table")]
    pub defer_indexes: bool,
    /// Workers; each holds one session and one thread that parses [default: the machine's cores, at most 8]
    #[arg(short, long, value_name = "N", help_heading = "Job")]
    pub jobs: Option<NonZeroUsize>,
    /// Bytes of a block, the unit of work and of one transaction: 16MiB, 500kB [default: what 160 MiB of memory allow]
    #[arg(long, value_name = "BYTES", help_heading = "Job", value_parser = block_size)]
    pub block_size: Option<usize>,
    /// Makes the same files another import, so that they can be loaded once more
    #[arg(long, value_name = "ID", help_heading = "Job")]
    pub import_id: Option<String>,
    #[command(flatten)]
    pub patience: PatienceArguments,
    /// Print what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HeaderArgument {
    None,
    Skip,
    Match,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ConflictArgument {
    Error,
    Skip,
    Update,
}

impl ImportArguments {
    pub fn jobs(&self) -> usize {
        self.jobs.map_or_else(default_jobs, NonZeroUsize::get)
    }

    /// The engine's terms.
    pub fn request(&self) -> Result<import::Request> {
        QualifiedName::parse(&self.table, "")?;
        let header = match self.header {
            HeaderArgument::None => Header::None,
            HeaderArgument::Skip => Header::Skip,
            HeaderArgument::Match => Header::Match,
        };
        self.refuse_contradictions(header)?;
        let escape = self.escape.as_deref().map(character);
        let dialect = Dialect::new(&character(&self.delimiter), &character(&self.quote), escape.as_deref(), &self.null)
            .map_err(|error| Error::new(Kind::Usage, error.to_string()))?;
        let encoding = self.encoding.as_deref().map(|name| encoding(name, &dialect)).transpose()?;
        Ok(import::Request {
            target: conninfo("--target", &self.target)?,
            table: self.table.clone(),
            files: self.files.clone(),
            columns: self.columns.as_deref().map(parse_columns).transpose()?,
            header,
            maps: self.maps.iter().map(|text| pair("--map", text)).collect::<Result<_>>()?,
            skip_lines: self.skip_lines,
            dialect,
            encoding: encoding.flatten(),
            rejects: self.rejects.clone(),
            max_rejects: self.max_rejects,
            on_conflict: match self.on_conflict {
                ConflictArgument::Error => OnConflict::Error,
                ConflictArgument::Skip => OnConflict::Skip,
                ConflictArgument::Update => OnConflict::Update,
            },
            conflict_key: self.conflict_key.as_deref().map(parse_columns).transpose()?,
            truncate: self.truncate,
            create: self.create()?,
            defer_indexes: self.defer_indexes,
            jobs: self.jobs(),
            block_bytes: self.block_size,
            import_id: self.import_id.clone(),
            limit: self.limit,
            retry_for: self.patience.retry_for,
            dry_run: self.dry_run,
        })
    }

    fn create(&self) -> Result<Option<Create>> {
        let Some(time_column) = &self.create_hypertable else { return Ok(None) };
        self.chunk_interval.as_deref().map(interval).transpose()?;
        Ok(Some(Create {
            time_column: column("--create-hypertable", time_column)?,
            chunk_interval: self.chunk_interval.clone(),
            hash_partitions: self.hash_partitions.as_deref().map(hash_partitions).transpose()?,
            types: self.types.iter().map(|text| pair("--type", text)).collect::<Result<_>>()?,
        }))
    }

    fn refuse_contradictions(&self, header: Header) -> Result<()> {
        let usage = |message: &str, hint: &str| Err(Error::new(Kind::Usage, message).hint(hint));
        match header {
            Header::Match if self.columns.is_some() => {
                usage("--columns and --header match both name the columns", "Choose one, or --header skip.")
            }
            Header::None | Header::Skip if !self.maps.is_empty() => {
                usage("--map renames columns of a header", "Add --header match.")
            }
            _ if self.conflict_key.is_some() && self.on_conflict == ConflictArgument::Error => {
                usage("--conflict-key has no use without --on-conflict skip or update", "Add one of them.")
            }
            _ if self.truncate && self.create_hypertable.is_some() => {
                usage("--truncate empties a table that is there, --create-hypertable makes one", "Choose one.")
            }
            _ => Ok(()),
        }
    }
}

/// A column's name, by SQL's quoting rules.
fn column(option: &str, text: &str) -> Result<String> {
    let mut names = parse_columns(text)?;
    match names.len() {
        1 => Ok(names.remove(0)),
        _ => Err(Error::new(Kind::Usage, format!("{option} takes one column, not \"{text}\""))),
    }
}

/// `NAME=VALUE`. The name is as it stands in the file, or an SQL name where it names a column of the table.
fn pair(option: &str, text: &str) -> Result<(String, String)> {
    let wrong = || Error::new(Kind::Usage, format!("{option} \"{text}\" has no = with something on both sides"));
    let (name, value) = text.split_once('=').filter(|(a, b)| !a.is_empty() && !b.is_empty()).ok_or_else(wrong)?;
    match option {
        "--map" => Ok((name.to_string(), column(option, value)?)),
        _ => Ok((column(option, name)?, value.to_string())),
    }
}

/// A tab is hard to type.
fn character(text: &str) -> String {
    if text == "\\t" { "\t".to_string() } else { text.to_string() }
}

/// The encoding that COPY has to be told; none where it is UTF-8.
fn encoding(name: &str, dialect: &Dialect) -> Result<Option<String>> {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_uppercase();
    match plain.as_str() {
        "UTF8" | "UNICODE" => Ok(None),
        // Half a character of these may look like a backslash, or like a letter.
        "SJIS" | "MSKANJI" | "SHIFTJIS" | "WIN932" | "WINDOWS932" | "SHIFTJIS2004" | "BIG5" | "WIN950"
        | "WINDOWS950" | "GBK" | "WIN936" | "WINDOWS936" | "GB18030" | "UHC" | "WIN949" | "WINDOWS949" | "JOHAB" => {
            Err(Error::new(Kind::Usage, format!("files in {name} cannot be cut into blocks"))
                .hint(format!("Convert them into a pipe: iconv -f {name} -t UTF-8 FILE | hypercopy import … -")))
        }
        _ if dialect.null.is_ascii() => Ok(Some(name.to_string())),
        _ => Err(Error::new(Kind::Usage, format!("--null has to be ASCII where the files are in {name}"))
            .hint(format!("Convert them into a pipe: iconv -f {name} -t UTF-8 FILE | hypercopy import … -"))),
    }
}

fn limit(text: &str) -> Result<Limit, String> {
    let wrong = || format!("\"{text}\" is neither a number of records nor a share of them: write 100 or 0.5%");
    match text.strip_suffix('%') {
        None => text.trim().parse().map(Limit::Records).map_err(|_| wrong()),
        Some(share) => match share.trim().parse() {
            Ok(0.0) => Ok(Limit::Records(0)),
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Limit::Percent(percent)),
            _ => Err(wrong()),
        },
    }
}

/// The size of a block.
fn block_size(text: &str) -> Result<usize, String> {
    let size = bytes(text).and_then(|bytes| usize::try_from(bytes).ok());
    let wrong = || format!("\"{text}\" is no number of bytes: write 65536, 500kB or 16MiB");
    size.filter(|bytes| (1..=MAX_BLOCK_BYTES).contains(bytes)).ok_or_else(wrong)
}

/// A block is one message stream of one transaction; more than this in memory helps nobody.
const MAX_BLOCK_BYTES: usize = 1 << 30;
