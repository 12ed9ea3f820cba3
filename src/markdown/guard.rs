//! Sources that would cost the parser more than their length.

use std::borrow::Cow;

/// The text as the parser gets it. Lines stay where they are.
pub(super) fn tame(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}
