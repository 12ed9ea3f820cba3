//! State vectors that come from outside.

use yrs::StateVector;
use yrs::block::ClientID;

/// More clients than the longest-lived page has had. An entry costs 3 to 12 bytes.
const MAX_ENTRIES: usize = 200_000;

/// Reads `entries:var { client:var clock:var }*`. `None` for anything that is not exactly that:
/// yrs would reserve what the first number declares and read the rest by wrapping.
pub(super) fn read(bytes: &[u8]) -> Option<StateVector> {
    let mut rest = bytes;
    let entries = usize::try_from(number(&mut rest)?).ok()?;
    // Each entry takes two bytes at least.
    if entries > MAX_ENTRIES || entries > rest.len() / 2 {
        return None;
    }
    let mut clocks = StateVector::default();
    for _ in 0..entries {
        let client = number(&mut rest).filter(|&client| client < 1 << 53)?;
        let clock = u32::try_from(number(&mut rest)?).ok().filter(|&clock| clock < 1 << 31)?;
        clocks.set_max(ClientID::new(client), clock);
    }
    rest.is_empty().then_some(clocks)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..56).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
