//! Archives of one story: made, restored, and tampered with.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hypercopy::archive::{
    self, ArchiveId, Asked, Compression, Definition, Extents, FORMAT_VERSION, MANIFEST, Manifest, Segment,
    SegmentColumn, SegmentFormat, SegmentWriter, Stored,
};
use hypercopy::catalog::{Chunk, read};
use hypercopy::connect::{Conninfo, Reader, Side};
use hypercopy::ident::quote_columns;
use hypercopy::look::Found;
use hypercopy::pgcopy::Format;
use hypercopy::plan::{Range, Wire, primary_dimension};
use hypercopy::reader::chunk::copy_out_of;
use hypercopy::reader::rows::RowScanner;
use serde_json::Value;

use crate::folders::Folder;
use crate::harness::{Database, Run};

/// An archive, removed with its story.
pub struct Archive {
    folder: Folder,
}

impl Archive {
    /// What `dump` makes of a table.
    #[track_caller]
    pub fn of(database: &Database, table: &str, name: &str, arguments: &[&str]) -> Archive {
        let archive = Archive::nowhere(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_hypercopy"));
        command.args(["dump", table, "--quiet", "--output", &archive.path()]).args(arguments);
        let dump = Run::of(command.env("HYPERCOPY_SOURCE", &database.conninfo).output().expect("the program starts"));
        assert_eq!(dump.code, 0, "{}", dump.stderr);
        archive
    }

    /// Of a table with a segment for each slice that has chunks: a dump would put small ones together.
    #[track_caller]
    pub fn of_slices(database: &Database, table: &str, name: &str, format: SegmentFormat) -> Archive {
        let archive = Archive::nowhere(name);
        database.wait(write(&database.conninfo, table, Path::new(&archive.path()), format));
        archive
    }

    fn nowhere(name: &str) -> Archive {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        Archive { folder: Folder::new(&format!("archive-{}-{name}", NUMBER.fetch_add(1, Ordering::Relaxed))) }
    }

    /// Its directory.
    pub fn path(&self) -> String {
        self.folder.path("archive")
    }

    /// A file of it.
    pub fn file(&self, name: &str) -> String {
        self.folder.path(&format!("archive/{name}"))
    }

    /// The program about to restore it.
    pub fn command(&self, target: &Database, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hypercopy"));
        command.args([&["restore", "--input", &self.path()], arguments].concat());
        command.env("HYPERCOPY_TARGET", &target.conninfo).stdin(Stdio::null());
        command
    }

    /// Restores it.
    #[track_caller]
    pub fn restore(&self, target: &Database, arguments: &[&str]) -> Run {
        Run::of(self.command(target, arguments).output().expect("the program starts"))
    }

    /// Restores it with `--json`, expects success and that nobody is left at work, and answers the report.
    #[track_caller]
    pub fn restored(&self, target: &Database, arguments: &[&str]) -> Value {
        let run = self.restore(target, &[&["--json"], arguments].concat());
        assert_eq!(run.code, 0, "{}", run.stderr);
        target.assert_nothing_left();
        run.json()
    }

    /// Expects a restore to end with this code and text, a hint, and nothing on the target.
    #[track_caller]
    pub fn assert_refused(&self, target: &Database, arguments: &[&str], code: i32, text: &str) {
        let before = target.objects();
        let run = self.restore(target, arguments);
        assert_eq!(run.code, code, "{}", run.stderr);
        assert!(run.stderr.contains(text), "{}", run.stderr);
        assert!(run.stderr.contains("hint: "), "an error should say what to do: {}", run.stderr);
        assert_eq!(before, target.objects(), "nothing is created on the target");
    }

    /// What it says of itself.
    #[track_caller]
    pub fn manifest(&self) -> Value {
        serde_json::from_slice(&self.folder.read(&format!("archive/{MANIFEST}"))).expect("the manifest is JSON")
    }

    /// Makes it say something else of itself.
    #[track_caller]
    pub fn edit(&self, edit: impl FnOnce(&mut Value)) {
        let mut manifest = self.manifest();
        edit(&mut manifest);
        self.write(MANIFEST, manifest.to_string());
    }

    /// Puts a file in the place of one that it has.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        self.folder.write(&format!("archive/{name}"), contents);
    }

    /// What stands in a file of it.
    #[track_caller]
    pub fn read(&self, name: &str) -> Vec<u8> {
        self.folder.read(&format!("archive/{name}"))
    }

    /// The names of its segments' files, along the axis.
    #[track_caller]
    pub fn segments(&self) -> Vec<String> {
        let manifest = self.manifest();
        let segments = manifest["segments"].as_array().expect("there are segments");
        segments.iter().map(|segment| segment["file"].as_str().expect("it is text").to_string()).collect()
    }

    /// Puts other bytes into a segment, of which the manifest tells the truth.
    #[track_caller]
    pub fn forge(&self, segment: usize, contents: &[u8]) {
        let name = &self.segments()[segment];
        let file = zstd::encode_all(contents, 1).expect("zstd compresses");
        self.write(name, &file);
        self.edit(|manifest| {
            let segment = &mut manifest["segments"][segment];
            segment["bytes"] = contents.len().into();
            segment["file_bytes"] = file.len().into();
            segment["blake3"] = blake3::hash(&file).to_hex().to_string().into();
        });
    }
}

/// Writes an archive with one segment for each slice that has chunks.
async fn write(conninfo: &str, table: &str, path: &Path, format: SegmentFormat) {
    let conninfo = Conninfo::parse(conninfo, |_| None).unwrap();
    let found = Found::look(Side::Source, &conninfo, "story", table).await.unwrap();
    let hypertable = found.describe(&found.session).await.unwrap();
    let chunks = read::chunks(&found.session, &found.server, found.row.id).await.unwrap();
    let mut cuts: Vec<i64> = chunks.iter().map(|chunk| chunk.primary().start).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let ends: Vec<Option<i64>> = cuts.iter().skip(1).copied().map(Some).chain([None]).collect();
    let starts = std::iter::once(None).chain(ends.iter().copied());
    let directory = Arc::new(archive::Directory::create(path).unwrap());
    let binary = Wire::of(&hypertable, |_| None);
    let copied: Vec<_> = hypertable.copied_columns().collect();
    let wire = match format {
        SegmentFormat::Binary => binary,
        _ => Wire::decide(&copied, &hypertable.types, Some("it was asked for".into())),
    };
    let compression = Compression::Zstd { level: 1 };
    let mut manifest = Manifest {
        format_version: FORMAT_VERSION,
        hypercopy: "0".into(),
        id: ArchiveId::random().unwrap(),
        base: None,
        snapshot_at: "now".into(),
        server: found.server.clone(),
        encoding: "UTF8".into(),
        asked: Asked { from: None, until: None, range: Range::ALL },
        columns: SegmentColumn::of(&hypertable),
        definition: Definition {
            shapes: chunks.iter().map(Chunk::shape).collect(),
            chunks: chunks.len() as u64,
            compressed_chunks: chunks.iter().filter(|chunk| chunk.compressed).count() as u64,
            hypertable: hypertable.clone(),
        },
        format: match (wire.format, format) {
            (Format::Text, SegmentFormat::Binary) => SegmentFormat::Text,
            _ => format,
        },
        format_reason: wire.reason.clone(),
        compression,
        checksum_form: wire.form(),
        segments: Vec::new(),
    };
    let primary = primary_dimension(hypertable.name(), &hypertable.dimensions).unwrap();
    for (number, (from, until)) in (1..).zip(starts.zip(ends.iter().copied())) {
        let range = Range { from, until };
        let columns = quote_columns(copied.iter().map(|column| column.name.as_str()));
        let table = hypertable.name().sql();
        let query = format!("select {columns} from {table}{}", primary.filter(range));
        let mut rows = RowScanner::new(&wire, true);
        let raw = copied_out(&found.session, &copy_out_of(&query, wire.format.name())).await;
        let mut extents = Extents::new(primary.clone(), primary.coordinate(&hypertable));
        let at = extents.coordinate();
        rows.push(&raw, |row| extents.add(at.and_then(|at| row.coordinate(at)))).unwrap();
        let counted = rows.finish().unwrap();
        let contents = match manifest.format {
            SegmentFormat::Csv => {
                copied_out(&found.session, &format!("copy ({query}) to stdout (format csv, header)")).await
            }
            _ => raw,
        };
        let file = manifest.format.file(compression, number);
        let mut writer = SegmentWriter::create(Arc::clone(&directory), &file, compression).unwrap();
        writer.write(&contents).unwrap();
        let Stored { bytes, file_bytes, blake3 } = writer.finish().unwrap().give(&file).unwrap();
        let (rows, checksum) = (counted.rows, counted.checksum.unwrap());
        manifest.segments.push(Segment {
            file,
            range,
            rows,
            extents: extents.end(),
            bytes,
            file_bytes,
            checksum,
            blake3,
            reused: false,
        });
    }
    std::fs::write(path.join(MANIFEST), manifest.to_json().unwrap()).unwrap();
}

async fn copied_out(session: &Reader, statement: &str) -> Vec<u8> {
    let mut stream = session.copy_out(statement).await.unwrap();
    let mut bytes = Vec::new();
    while stream.fill().await.unwrap() {
        while let Some(piece) = stream.piece().unwrap() {
            bytes.extend_from_slice(piece);
        }
    }
    stream.finish().unwrap();
    bytes
}
