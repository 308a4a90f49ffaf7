//! Whether 32 bytes are a public key that Ed25519 should accept: canonical, on the curve, not of small order
//! (RFC 8032 §5.1.3, RFC 8725 §3.4). The cryptographic library takes any 32 bytes. Everything here is public, so
//! nothing needs constant time.

use crate::error::KeyError;

/// A number modulo 2^255 − 19 in five limbs of 51 bits (RFC 7748 §4.1 names the prime).
#[derive(Clone, Copy)]
struct Field([u64; 5]);

const MASK: u64 = (1 << 51) - 1;
const ONE: Field = Field([1, 0, 0, 0, 0]);
/// The curve's constant, −121665/121666 (RFC 8032 §5.1).
const D: Field = Field([
    929_955_233_495_203,
    466_365_720_129_213,
    1_662_059_464_998_953,
    2_033_849_074_728_123,
    1_442_794_654_840_575,
]);

/// The `y` of the eight points of small order, little-endian: 0, 1, −1, and the two of order eight.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

/// Refuses a public key that no honest key generation makes.
///
/// # Errors
/// [`KeyError::InvalidPoint`].
pub(super) fn check(key: &[u8; 32]) -> Result<(), KeyError> {
    let mut y_bytes = *key;
    y_bytes[31] &= 0x7f;
    let y = Field::from_bytes(&y_bytes);
    let canonical = y.to_bytes() == y_bytes;
    // x² = (y² − 1) / (d·y² + 1) has a root exactly if the product of the two has one; the divisor is never 0.
    let y2 = y.mul(y);
    let root = y2.sub(ONE).mul(D.mul(y2).add(ONE)).is_square();
    if canonical && root && !SMALL_ORDER.contains(&y_bytes) { Ok(()) } else { Err(KeyError::InvalidPoint) }
}

impl Field {
    fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut bits = bytes.iter().enumerate();
        let mut words = [0_u64; 4];
        for word in &mut words {
            for (i, byte) in bits.by_ref().take(8) {
                *word |= u64::from(*byte) << (i % 8 * 8);
            }
        }
        let [a, b, c, d] = words;
        Self([
            a & MASK,
            (a >> 51 | b << 13) & MASK,
            (b >> 38 | c << 26) & MASK,
            (c >> 25 | d << 39) & MASK,
            d >> 12 & MASK,
        ])
    }

    fn to_bytes(self) -> [u8; 32] {
        // Twice: the first pass leaves at most one excess in the lowest limb. Then the prime itself is taken off
        // if it fits, by adding 19 and seeing whether that reaches 2^255.
        let [a, b, c, d, e] = self.carry().carry().0;
        let q = (a + 19) >> 51;
        let q = (b + q) >> 51;
        let q = (c + q) >> 51;
        let q = (d + q) >> 51;
        let q = (e + q) >> 51;
        let a = a + 19 * q;
        let b = b + (a >> 51);
        let c = c + (b >> 51);
        let d = d + (c >> 51);
        let e = e + (d >> 51);
        let [a, b, c, d, e] = [a & MASK, b & MASK, c & MASK, d & MASK, e & MASK];
        let words = [a | b << 51, b >> 13 | c << 38, c >> 26 | d << 25, d >> 39 | e << 12];
        let mut out = [0; 32];
        for (chunk, word) in out.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    fn carry(self) -> Self {
        let [a, b, c, d, e] = self.0;
        let b = b + (a >> 51);
        let c = c + (b >> 51);
        let d = d + (c >> 51);
        let e = e + (d >> 51);
        Self([(a & MASK) + 19 * (e >> 51), b & MASK, c & MASK, d & MASK, e & MASK])
    }

    fn add(self, other: Self) -> Self {
        let ([a, b, c, d, e], [v, w, x, y, z]) = (self.0, other.0);
        Self([a + v, b + w, c + x, d + y, e + z]).carry()
    }

    fn sub(self, other: Self) -> Self {
        // Twice the prime is added first, so that no limb goes below zero.
        const LOW: u64 = 2 * (MASK - 18);
        const HIGH: u64 = 2 * MASK;
        let ([a, b, c, d, e], [v, w, x, y, z]) = (self.0, other.carry().0);
        Self([a + LOW - v, b + HIGH - w, c + HIGH - x, d + HIGH - y, e + HIGH - z]).carry()
    }

    fn mul(self, other: Self) -> Self {
        let [a, b, c, d, e] = self.carry().0.map(u128::from);
        let [v, w, x, y, z] = other.carry().0.map(u128::from);
        let r0 = a * v + 19 * (b * z + c * y + d * x + e * w);
        let r1 = a * w + b * v + 19 * (c * z + d * y + e * x);
        let r2 = a * x + b * w + c * v + 19 * (d * z + e * y);
        let r3 = a * y + b * x + c * w + d * v + 19 * (e * z);
        let r4 = a * z + b * y + c * x + d * w + e * v;
        let mask = u128::from(MASK);
        let r1 = r1 + (r0 >> 51);
        let r2 = r2 + (r1 >> 51);
        let r3 = r3 + (r2 >> 51);
        let r4 = r4 + (r3 >> 51);
        let low = (r0 & mask) + 19 * (r4 >> 51);
        let r1 = (r1 & mask) + (low >> 51);
        Self([low & mask, r1, r2 & mask, r3 & mask, r4 & mask].map(|limb| limb as u64))
    }

    /// Euler's criterion: the power (p − 1) / 2 = 2^254 − 10 is 1 for squares.
    fn is_square(self) -> bool {
        let mut power = ONE;
        for bit in (0..254).rev() {
            power = power.mul(power);
            if bit >= 4 || bit == 2 || bit == 1 {
                power = power.mul(self);
            }
        }
        power.to_bytes() == ONE.to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

    /// Attack A38.
    #[test]
    fn a38_small_order_and_non_canonical_keys_are_refused() {
        for mut y in SMALL_ORDER {
            assert_eq!(check(&y), Err(KeyError::InvalidPoint));
            y[31] |= 0x80;
            assert_eq!(check(&y), Err(KeyError::InvalidPoint));
        }
        // p, p + 1, … 2^255 − 1 are second spellings of 0, 1, … 18.
        for low in 0xed..=0xff_u8 {
            let mut y = [0xff; 32];
            (y[0], y[31]) = (low, 0x7f);
            assert_eq!(check(&y), Err(KeyError::InvalidPoint), "{low:x}");
        }
    }

    #[test]
    fn honest_keys_pass_and_half_of_all_others_do_not() {
        for seed in 0..=255_u8 {
            let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
            let key: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
            assert_eq!(check(&key), Ok(()), "{seed}");
        }
        let on_curve = (2..=255_u8).filter(|y| {
            let mut key = [0; 32];
            key[0] = *y;
            check(&key).is_ok()
        });
        assert!((100..160).contains(&on_curve.count()));
    }
}
