//! Randomness that is good to have and that nothing may fail for the lack of.

use ring::rand::{SecureRandom as _, SystemRandom};

/// Random bytes; all 0, which is logged, when the system has none to give.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        tracing::warn!("the system gives no random numbers; what should differ from process to process is constant");
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_are_never_the_same() {
        assert_ne!(bytes::<32>(), bytes::<32>());
    }
}
