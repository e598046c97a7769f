//! `target_session_attrs`: which of several servers is the one.
//!
//! **Invariant:** pure; what a server is, somebody else has asked.

/// What a server has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SessionAttributes {
    #[default]
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    /// A standby, or any if there is none.
    PreferStandby,
}

/// What a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) is_standby: bool,
    pub(super) is_read_only: bool,
}

impl SessionAttributes {
    pub(super) const NAMES: [(&str, SessionAttributes); 6] = [
        ("any", SessionAttributes::Any),
        ("read-write", SessionAttributes::ReadWrite),
        ("read-only", SessionAttributes::ReadOnly),
        ("primary", SessionAttributes::Primary),
        ("standby", SessionAttributes::Standby),
        ("prefer-standby", SessionAttributes::PreferStandby),
    ];

    /// What is asked of all servers first, and then, if none is that.
    pub(super) fn rounds(self) -> &'static [SessionAttributes] {
        match self {
            SessionAttributes::Any => &[SessionAttributes::Any],
            SessionAttributes::ReadWrite => &[SessionAttributes::ReadWrite],
            SessionAttributes::ReadOnly => &[SessionAttributes::ReadOnly],
            SessionAttributes::Primary => &[SessionAttributes::Primary],
            SessionAttributes::Standby => &[SessionAttributes::Standby],
            SessionAttributes::PreferStandby => &[SessionAttributes::Standby, SessionAttributes::Any],
        }
    }

    /// Why a server is not the one, in libpq's words.
    pub(super) fn refuse(self, state: State) -> Result<(), &'static str> {
        let is_read_only = state.is_read_only || state.is_standby;
        match self {
            SessionAttributes::ReadWrite if is_read_only => Err("session is read-only"),
            SessionAttributes::ReadOnly if !is_read_only => Err("session is not read-only"),
            SessionAttributes::Primary if state.is_standby => Err("server is in hot standby mode"),
            SessionAttributes::Standby if !state.is_standby => Err("server is not in hot standby mode"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_is_read_only_and_a_primary_may_be() {
        let states = [(false, false), (false, true), (true, true)];
        let fits = |attributes: SessionAttributes| {
            states.map(|(is_standby, is_read_only)| attributes.refuse(State { is_standby, is_read_only }).is_ok())
        };
        assert_eq!(fits(SessionAttributes::Any), [true, true, true]);
        assert_eq!(fits(SessionAttributes::ReadWrite), [true, false, false]);
        assert_eq!(fits(SessionAttributes::ReadOnly), [false, true, true]);
        assert_eq!(fits(SessionAttributes::Primary), [true, true, false]);
        assert_eq!(fits(SessionAttributes::Standby), [false, false, true]);
    }
}
