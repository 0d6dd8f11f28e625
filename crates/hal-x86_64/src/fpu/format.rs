//! The layout of a state, and what makes one acceptable.

/// Bytes of the part that `fxsave` knows.
pub const FXSAVE_SIZE: usize = 512;
/// Bytes of the header that follows it in the `xsave` layout.
pub(super) const HEADER_SIZE: usize = 64;

/// Offsets in the first part: control word, MXCSR, its mask.
pub(super) const FCW: usize = 0;
pub(super) const MXCSR: usize = 24;
pub(super) const MXCSR_MASK: usize = 28;

/// Values at the start of a program.
pub(super) const INITIAL_FCW: u16 = 0x037f;
pub(super) const INITIAL_MXCSR: u32 = 0x1f80;

/// The bytes are no state that this CPU can load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadState;

/// Makes zeroes the state of a fresh program: all components in their initial configuration.
pub(super) fn write_initial(area: &mut [u8]) {
    if let Some(field) = area.get_mut(FCW..FCW + 2) {
        field.copy_from_slice(&INITIAL_FCW.to_le_bytes());
    }
    if let Some(field) = area.get_mut(MXCSR..MXCSR + 4) {
        field.copy_from_slice(&INITIAL_MXCSR.to_le_bytes());
    }
}

/// Whether loading `area` cannot fault: reserved bits of MXCSR clear; with `xsave`, only known components, standard
/// form, reserved header bytes zero (Intel SDM vol. 1, 13.8.1).
pub(super) fn check(area: &[u8], components: u64, mxcsr_mask: u32) -> Result<(), BadState> {
    let mxcsr = area.get(MXCSR..MXCSR + 4).and_then(|bytes| bytes.try_into().ok()).ok_or(BadState)?;
    if u32::from_le_bytes(mxcsr) & !mxcsr_mask != 0 {
        return Err(BadState);
    }
    if components == 0 {
        return Ok(());
    }
    let header = area.get(FXSAVE_SIZE..FXSAVE_SIZE + HEADER_SIZE).ok_or(BadState)?;
    let ([present, rest @ ..], _) = header.as_chunks::<8>() else { return Err(BadState) };
    let reserved = rest.iter().fold(0, |all, word| all | u64::from_le_bytes(*word));
    if u64::from_le_bytes(*present) & !components | reserved != 0 {
        return Err(BadState);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> [u8; 832] {
        let mut area = [0; 832];
        write_initial(&mut area);
        area
    }

    #[test]
    fn initial_state_is_acceptable() {
        assert_eq!(check(&fresh(), 7, 0xffff), Ok(()));
        assert_eq!(check(&fresh()[..512], 0, 0xffff), Ok(()));
    }

    #[test]
    fn reserved_mxcsr_bits_are_refused() {
        let mut area = fresh();
        area[MXCSR + 2] = 1;
        assert_eq!(check(&area, 7, 0xffff), Err(BadState));
        assert_eq!(check(&area, 0, 0xffff), Err(BadState));
    }

    #[test]
    fn hostile_headers_are_refused() {
        for (offset, value) in [(512, 8), (519, 0x80), (520, 1), (527, 0x80), (530, 1), (575, 1)] {
            let mut area = fresh();
            area[offset] = value;
            assert_eq!(check(&area, 7, 0xffff), Err(BadState), "offset {offset}");
        }
        let mut area = fresh();
        area[512] = 7;
        assert_eq!(check(&area, 7, 0xffff), Ok(()));
    }

    #[test]
    fn short_states_are_refused() {
        assert_eq!(check(&[0; 20], 0, 0xffff), Err(BadState));
        assert_eq!(check(&[0; 512], 7, 0xffff), Err(BadState));
    }
}
