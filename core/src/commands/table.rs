//! All commands by their names, for whoever has no table of its own.

use super::{
    Follow, Read, Write, cancel, checkin, checkout, claim, config, drain, enqueue, events, evict, export, forget, get,
    heartbeat, import, labelled, labels, list, liveness, orphans, repair, revive, stats,
};

/// Does something with a command, by its kind.
pub trait Visit {
    /// What that comes to.
    type Out;

    /// With one that changes a project.
    fn write<W: Write>(self) -> Self::Out;

    /// With one that looks at a project.
    fn read<R: Read>(self) -> Self::Out;

    /// With one that looks at something that comes to be.
    fn follow<F: Follow>(self) -> Self::Out;
}

macro_rules! commands {
    ($($kind:ident $call:ident: $($command:ident)+;)+) => {
        /// The names of all commands.
        pub const NAMES: &[&str] = &[$($(<$command::Command as $kind>::DOC.name),+),+];

        /// Does something with the command of this name, in any case; none where there is none.
        pub fn visit<V: Visit>(name: &[u8], visitor: V) -> Option<V::Out> {
            $($(
                if name.eq_ignore_ascii_case(<$command::Command as $kind>::DOC.name.as_bytes()) {
                    return Some(visitor.$call::<$command::Command>());
                }
            )+)+
            None
        }
    };
}

commands! {
    Write write: checkout checkin heartbeat liveness repair evict enqueue claim cancel revive drain forget config labelled import;
    Read read: orphans get list stats export;
    Follow follow: events labels;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::Doc;

    struct DocOf;

    impl Visit for DocOf {
        type Out = Doc;

        fn write<W: Write>(self) -> Doc {
            W::DOC
        }

        fn read<R: Read>(self) -> Doc {
            R::DOC
        }

        fn follow<F: Follow>(self) -> Doc {
            F::DOC
        }
    }

    #[test]
    fn each_command_is_found_by_its_name_in_any_case() {
        for name in NAMES {
            let found = visit(name.to_ascii_lowercase().as_bytes(), DocOf).map(|doc| doc.name);
            assert_eq!(found, Some(*name));
        }
        assert!(visit(b"POPPO.LOAD", DocOf).is_none());
    }

    #[test]
    fn a_name_is_the_same_for_rust_and_for_c() {
        for name in NAMES {
            let doc = visit(name.as_bytes(), DocOf);
            assert_eq!(doc.map(|doc| doc.name_c.to_bytes()), Some(name.as_bytes()));
        }
    }
}
