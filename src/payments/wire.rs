//! What adapters share about calls and answers.

use super::model::Payment;

/// An answer counts only if it is about this order, this payment and this sum.
pub fn belongs(payment: &Payment, payment_key: Option<&str>, order_id: &str, amount_won: i64) -> Result<(), String> {
    if payment.order_id != order_id || payment_key.is_some_and(|key| key != payment.payment_key) {
        return Err(format!("an answer about another payment ({})", payment.order_id));
    }
    if payment.total_won != amount_won || payment.currency != "KRW" {
        return Err(format!("an answer about {} {}", payment.total_won, payment.currency));
    }
    Ok(())
}

/// Keys and ids are ours or the provider's, but they travelled through a browser.
pub fn path_segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_segments_cannot_leave_their_segment() {
        assert_eq!(path_segment("../x?y=1#z"), "..%2Fx%3Fy%3D1%23z");
    }
}
