//! The one thing that is needed from AML: the sleep types of state S5.

use super::fields::u8_at;

/// Finds `Name (\_S5, Package () {a, b, …})` by its bytes (ACPI 6.5, 20.2.5) and returns `a` and `b`.
pub(super) fn sleep_type_s5(aml: &[u8]) -> Option<(u8, u8)> {
    const NAME_OP: u8 = 0x08;
    const ROOT: u8 = b'\\';
    let mut from = 0;
    loop {
        let at = from + aml.get(from..)?.windows(4).position(|window| window == b"_S5_")?;
        from = at + 4;
        let before = |distance: usize| at.checked_sub(distance).and_then(|at| u8_at(aml, at));
        let named = before(1) == Some(NAME_OP) || (before(1) == Some(ROOT) && before(2) == Some(NAME_OP));
        if let Some(types) = aml.get(from..).filter(|_| named).and_then(package) {
            return Some(types);
        }
    }
}

/// The first two integers of a package; the second defaults to the first.
fn package(aml: &[u8]) -> Option<(u8, u8)> {
    const PACKAGE_OP: u8 = 0x12;
    let (op, rest) = aml.split_first()?;
    if *op != PACKAGE_OP {
        return None;
    }
    // The length's first byte tells in bits 6 and 7 how many follow; then comes the number of elements.
    let length_bytes = usize::from(rest.first()? >> 6) + 1;
    let elements = rest.get(length_bytes + 1..)?;
    let (first, rest) = integer(elements)?;
    let second = integer(rest).map_or(first, |(second, _)| second);
    Some((first, second))
}

/// A small integer constant and what follows it.
fn integer(aml: &[u8]) -> Option<(u8, &[u8])> {
    let (op, rest) = aml.split_first()?;
    let (value, len) = match op {
        0x00 => return Some((0, rest)),
        0x01 => return Some((1, rest)),
        0x0a => (*rest.first()?, 1),
        0x0b => (*rest.first()?, 2),
        0x0c => (*rest.first()?, 4),
        _ => return None,
    };
    Some((value, rest.get(len..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_types_are_found_in_their_encodings() {
        // As QEMU's q35 has it: Name (_S5, Package (4) {Zero, Zero, Zero, Zero}).
        assert_eq!(sleep_type_s5(b"\x10\x08_S5_\x12\x06\x04\x00\x00\x00\x00"), Some((0, 0)));
        // As many PCs have it: byte constants, the name with a root prefix.
        assert_eq!(sleep_type_s5(b"\x08\\_S5_\x12\x0a\x04\x0a\x07\x0a\x05\x00\x00"), Some((7, 5)));
        assert_eq!(sleep_type_s5(b"\x08_S5_\x12\x08\x04\x0b\x05\x00\x01\x00"), Some((5, 1)));
        // A length of two bytes.
        assert_eq!(sleep_type_s5(b"\x08_S5_\x12\x46\x00\x04\x01\x00\x00\x00"), Some((1, 0)));
    }

    #[test]
    fn mentions_that_define_nothing_are_skipped() {
        assert_eq!(sleep_type_s5(b"_S5_ \x08_S5_\x12\x06\x04\x0a\x03"), Some((3, 3)));
        assert_eq!(sleep_type_s5(b"\x08_S5_\x14\x06"), None);
        assert_eq!(sleep_type_s5(b"\x08_S5"), None);
        assert_eq!(sleep_type_s5(b"\x08_S5_\x12"), None);
        assert_eq!(sleep_type_s5(b"\x08_S5_\x12\xc6\x04"), None);
        assert_eq!(sleep_type_s5(b""), None);
    }
}
