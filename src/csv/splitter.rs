//! Finding where records end, in pieces cut anywhere.

use memchr::{memchr, memchr_iter, memchr2};

use super::{Dialect, LineEnd};

/// Finds where records end; see [`Splitter::find_end`].
///
/// It keeps four words of state between pieces, whatever the length of a record.
#[derive(Clone, Debug)]
pub struct Splitter {
    quote: u8,
    own_escape: Option<u8>,
    line_end: LineEnd,
    state: State,
    records: u64,
    lines: u64,
}

/// What the last byte that was scanned has left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A record ended with it, or the file begins.
    Between,
    Unquoted,
    /// An unquoted CR, which an LF may follow.
    CarriageReturn,
    Quoted,
    /// An escape between quotes, which a quote or another escape may follow.
    Escape,
}

impl Splitter {
    /// A splitter at the start of a record.
    pub fn new(dialect: &Dialect, line_end: LineEnd) -> Splitter {
        let (quote, own_escape) = (dialect.quote, dialect.own_escape());
        Splitter { quote, own_escape, line_end, state: State::Between, records: 0, lines: 0 }
    }

    /// Scans `piece`, which follows what was scanned, up to the first record end that leaves at least `least` bytes of
    /// it behind (and at least one); answers how many bytes lie before and with that end.
    ///
    /// `None`: all of `piece` is scanned and there was no such end; call again with the next piece. A record that the
    /// end of the file cuts has no end.
    pub fn find_end(&mut self, piece: &[u8], least: usize) -> Option<usize> {
        // The last byte of an end that is far enough lies behind what is skimmed.
        let skimmed = least.saturating_sub(1).min(piece.len());
        self.skim(&piece[..skimmed]);
        let end = self.seek(&piece[skimmed..]).map(|len| skimmed + len);
        let scanned = &piece[..end.unwrap_or(piece.len())];
        self.lines += memchr_iter(self.line_end.first_byte(), scanned).count() as u64;
        end
    }

    /// Records that ended in what was scanned.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Lines that ended in what was scanned: its bytes of the line end (of CR LF, its CRs), also those between quotes,
    /// as the server counts.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Whether a record could begin with the next byte: nothing was scanned, or a record has just ended.
    pub fn is_between_records(&self) -> bool {
        self.state == State::Between
    }

    fn is_quoted(&self) -> bool {
        matches!(self.state, State::Quoted | State::Escape)
    }

    /// Scans bytes whose record ends are only counted: whole stretches between quotes at once.
    fn skim(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let len = if self.is_quoted() { self.skip_quoted(rest) } else { self.skim_unquoted(rest) };
            rest = &rest[len..];
        }
    }

    /// Scans up to the next quote and with it; answers how many bytes that were.
    fn skim_unquoted(&mut self, bytes: &[u8]) -> usize {
        let quote = memchr(self.quote, bytes);
        let stretch = &bytes[..quote.unwrap_or(bytes.len())];
        self.records += self.count_ends(stretch);
        self.leave(stretch);
        if quote.is_some() {
            self.state = State::Quoted;
        }
        stretch.len() + usize::from(quote.is_some())
    }

    /// Scans up to the first record end and with it, which it answers.
    fn seek(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if self.is_quoted() {
                at += self.skip_quoted(&bytes[at..]);
                continue;
            }
            let rest = &bytes[at..];
            let Some(found) = memchr2(self.quote, self.line_end.last_byte(), rest) else {
                self.leave(rest);
                break;
            };
            at += found + 1;
            if rest[found] == self.quote {
                self.state = State::Quoted;
            } else if self.is_end(rest, found) {
                self.state = State::Between;
                self.records += 1;
                return Some(at);
            } else {
                self.state = State::Unquoted;
            }
        }
        None
    }

    /// Scans up to the closing quote and with it; answers how many bytes that were.
    fn skip_quoted(&mut self, bytes: &[u8]) -> usize {
        let Some(escape) = self.own_escape else {
            return self.close_at(memchr(self.quote, bytes), bytes);
        };
        if self.state == State::Escape {
            self.state = State::Quoted;
            return usize::from(bytes.first().is_some_and(|byte| [self.quote, escape].contains(byte)));
        }
        match memchr2(self.quote, escape, bytes) {
            Some(at) if bytes[at] == escape => {
                self.state = State::Escape;
                at + 1
            }
            found => self.close_at(found, bytes),
        }
    }

    fn close_at(&mut self, quote: Option<usize>, bytes: &[u8]) -> usize {
        if quote.is_some() {
            self.state = State::Unquoted;
        }
        quote.map_or(bytes.len(), |at| at + 1)
    }

    /// Record ends in an unquoted stretch.
    fn count_ends(&self, stretch: &[u8]) -> u64 {
        let ends = memchr_iter(self.line_end.last_byte(), stretch);
        match self.line_end {
            LineEnd::CarriageReturnNewline => ends.filter(|at| self.is_end(stretch, *at)).count() as u64,
            _ => ends.count() as u64,
        }
    }

    /// Whether the record is over with the line end's last byte at `at` of unquoted bytes.
    fn is_end(&self, unquoted: &[u8], at: usize) -> bool {
        self.line_end != LineEnd::CarriageReturnNewline
            || at.checked_sub(1).map_or(self.state == State::CarriageReturn, |before| unquoted[before] == b'\r')
    }

    /// Remembers what the last byte of an unquoted stretch leaves behind; nothing changes where there is none.
    fn leave(&mut self, stretch: &[u8]) {
        let Some((last, before)) = stretch.split_last() else {
            return;
        };
        let is_end = *last == self.line_end.last_byte() && self.is_end(stretch, before.len());
        self.state = match last {
            _ if is_end => State::Between,
            b'\r' => State::CarriageReturn,
            _ => State::Unquoted,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::twin;
    use super::*;
    use proptest::prelude::*;

    const ALL: usize = usize::MAX;

    fn newline_splitter() -> Splitter {
        Splitter::new(&Dialect::default(), LineEnd::Newline)
    }

    /// Where records end in a file that is handed over in pieces of these sizes, asked for one by one.
    fn ends(splitter: &mut Splitter, file: &[u8], sizes: &[usize]) -> Vec<usize> {
        let (mut at, mut ends) = (0, Vec::new());
        for size in sizes.iter().copied().chain([ALL]) {
            let mut piece = &file[at..at + size.min(file.len() - at)];
            while let Some(len) = splitter.find_end(piece, 0) {
                at += len;
                ends.push(at);
                piece = &piece[len..];
            }
            at += piece.len();
        }
        ends
    }

    #[test]
    fn a_record_goes_on_while_a_quote_is_open() {
        let mut splitter = newline_splitter();
        assert_eq!(splitter.find_end(b"a,\"b\n\"\"\n", 1), None);
        assert!(!splitter.is_between_records());
        assert_eq!(splitter.find_end(b"\"\nc\n", 1), Some(2));
        assert_eq!((splitter.records(), splitter.lines(), splitter.is_between_records()), (1, 3, true));
    }

    #[test]
    fn the_first_end_behind_what_is_asked_for_is_found() {
        for (least, end) in [(0, 2), (1, 2), (2, 2), (3, 4), (4, 4), (5, 6), (6, 6)] {
            let mut splitter = newline_splitter();
            assert_eq!(splitter.find_end(b"a\nb\nc\nd", least), Some(end), "at least {least} bytes");
            assert_eq!(splitter.records(), end as u64 / 2);
        }
        let mut splitter = newline_splitter();
        assert_eq!(splitter.find_end(b"a\nb\nc\nd", 7), None);
        assert_eq!((splitter.records(), splitter.is_between_records()), (3, false));
    }

    #[test]
    fn a_line_end_that_is_cut_in_two_is_one() {
        let mut splitter = Splitter::new(&Dialect::default(), LineEnd::CarriageReturnNewline);
        assert_eq!(splitter.find_end(b"a\r", 1), None);
        assert!(!splitter.is_between_records());
        assert_eq!(splitter.find_end(b"\n\n", 1), Some(1));
        assert_eq!(splitter.find_end(b"\n\r", 1), None);
        assert_eq!(splitter.find_end(b"\r", 1), None);
        assert_eq!((splitter.find_end(b"\n", 1), splitter.records()), (Some(1), 2));
    }

    #[test]
    fn an_empty_piece_changes_nothing() {
        let mut splitter = newline_splitter();
        for piece in [&b""[..], b"a", b"\"", b"\n"] {
            splitter.find_end(piece, 1);
            let before = format!("{splitter:?}");
            assert_eq!((splitter.find_end(b"", 1), format!("{splitter:?}")), (None, before));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn records_end_where_the_twin_ends_them_however_the_file_is_cut(
            dialect in twin::dialect(),
            line_end in twin::line_end(),
            file in twin::file(),
            sizes in proptest::collection::vec(0usize..9, 0..30),
        ) {
            let mut splitter = Splitter::new(&dialect, line_end);
            let found = ends(&mut splitter, &file, &sizes);
            let records = twin::records(&dialect, line_end, &file);
            let mut expected: Vec<usize> =
                records.iter().scan(0, |end, record| { *end += record.len; Some(*end) }).collect();
            let is_cut = records.last().is_some_and(|record| record.len == record.text.len());
            if is_cut {
                expected.pop();
            }
            prop_assert_eq!(&found, &expected);
            prop_assert_eq!(splitter.records(), found.len() as u64);
            let lines: u64 = records.iter().map(|record| record.lines).sum();
            prop_assert_eq!(splitter.lines(), lines - u64::from(is_cut));
            prop_assert_eq!(splitter.is_between_records(), !is_cut);
        }

        #[test]
        fn skipping_records_ends_where_asking_for_each_does(
            dialect in twin::dialect(),
            line_end in twin::line_end(),
            file in twin::file(),
            cut in 0usize..100,
            least in 0usize..100,
        ) {
            let (head, tail) = file.split_at(cut.min(file.len()));
            let mut one_by_one = Splitter::new(&dialect, line_end);
            let all = ends(&mut one_by_one, &file, &[head.len()]);
            let mut splitter = Splitter::new(&dialect, line_end);
            let in_head = splitter.find_end(head, least);
            prop_assert_eq!(in_head, all.iter().copied().find(|end| *end >= least && *end <= head.len()));
            if in_head.is_none() {
                let in_tail = splitter.find_end(tail, least).map(|len| head.len() + len);
                let expected = all.iter().copied().find(|end| *end > head.len() && *end >= head.len() + least);
                prop_assert_eq!(in_tail, expected);
            }
            let end = splitter.records() as usize;
            prop_assert_eq!(in_head.is_some(), in_head.is_some_and(|at| all[end - 1] == at));
        }
    }
}
