//! Identifiers in the shapes Stripe gives them. Random parts come from the thread's cryptographic generator.

use rand::distr::{Alphanumeric, SampleString};
use simulator_common::Text;

/// `pi_3MtwBwLkdIwHu7ix28a3tqPa`: a prefix, the generation of ids, and characters that tell nothing.
pub fn fresh(prefix: &str) -> Text {
    format!("{prefix}_3{}", alphanumeric(23)).into()
}

/// `evt_1MtwBwLkdIwHu7ixqBmFKvbl`, and payment methods likewise.
pub fn first_generation(prefix: &str) -> Text {
    format!("{prefix}_1{}", alphanumeric(23)).into()
}

/// What proves to the browser's calls that the payment is theirs.
pub fn client_secret(intent: &str) -> Text {
    format!("{intent}_secret_{}", alphanumeric(25)).into()
}

pub fn request() -> Text {
    format!("req_{}", alphanumeric(14)).into()
}

fn alphanumeric(len: usize) -> String {
    Alphanumeric.sample_string(&mut rand::rng(), len)
}
