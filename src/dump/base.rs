//! The archive that another one is built on.

use super::request::Request;
use crate::archive::{Archive, Base, Manifest};
use crate::error::{Error, Kind, Result};

/// Opens the base that was asked for.
///
/// # Errors
/// [`Kind::Refused`] where it is no archive that is complete, or the one that shall be written.
pub(super) fn open_base(request: &Request) -> Result<Option<Archive>> {
    let Some(path) = &request.base else { return Ok(None) };
    let base = Archive::open(path).map_err(|error| error.with_kind(Kind::Refused))?;
    let is_same = || Some(path.canonicalize().ok()? == request.output.canonicalize().ok()?);
    match is_same() {
        Some(true) => Err(Error::refused(format!("{} cannot be its own base", path.display()))
            .hint("Name another directory for the new archive.")),
        _ => Ok(Some(base)),
    }
}

/// What the manifest says of the base.
pub(super) fn origin(request: &Request, base: Option<&Archive>) -> Option<Base> {
    let path = request.base.as_ref()?;
    base.map(|base| Base { id: base.manifest.id.clone(), path: path.display().to_string() })
}

/// Why none of the base's segments can be part of an archive that begins so; none where they can.
pub(super) fn obstacle(base: &Manifest, header: &Manifest) -> Option<&'static str> {
    [
        (base.format != header.format, "format"),
        (base.compression != header.compression, "compression"),
        (base.columns != header.columns, "columns"),
        (base.encoding != header.encoding, "encoding"),
        (base.checksum_form != header.checksum_form, "form of the checksums"),
        (base.definition.hypertable.name() != header.definition.hypertable.name(), "table"),
    ]
    .into_iter()
    .find_map(|(differs, what)| differs.then_some(what))
}
