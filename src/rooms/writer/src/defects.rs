//! Defects that tests plant, one at a time, to show that the tests of rooms as graphs find them. They exist only with the feature
//! `defects`, which `rooms-testing` alone enables; without it, no defect is ever planted.

/// A mistake that a writer could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "defects"),
    expect(unreachable_pub, reason = "exported only for tests")
)]
pub enum Defect {
    /// Events that the current state forbids are accepted.
    SoftFailLeftOut,
    /// Events are checked against the current state instead of the state before them.
    CurrentStateOnly,
    /// Every accepted redaction applies.
    RedactionUnchecked,
    /// An event joins the extremities without replacing those it follows.
    ExtremityKept,
    /// What is cached of the current state outlives a resolution.
    ResolutionCached,
    /// An event whose previous events are missing leaves no gap.
    GapForgotten,
    /// Members follow the event that arrived, not the difference of the states.
    MembershipByEvent,
    /// An event that gets its verdict leaves those that waited for it as they are.
    DependentsLeft,
}

/// The defect of one writer.
#[derive(Default)]
pub(crate) struct Planted {
    #[cfg(feature = "defects")]
    defect: std::sync::OnceLock<Defect>,
}

impl Planted {
    pub(crate) fn has(&self, defect: Defect) -> bool {
        #[cfg(feature = "defects")]
        return self.defect.get() == Some(&defect);
        #[cfg(not(feature = "defects"))]
        {
            let _ = (self, defect);
            false
        }
    }
}

#[cfg(feature = "defects")]
impl crate::RoomWriter {
    /// Makes this writer wrong in one way from now on.
    ///
    /// # Panics
    ///
    /// Where a defect is planted already.
    pub fn plant(&self, defect: Defect) {
        let planted = self.shared.planted.defect.set(defect);
        planted.expect("a writer has one defect");
    }
}
