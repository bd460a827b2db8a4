//! What Toss keeps, by the contract's rates: its books name no fees, and its settlements can be read with live keys only.

use std::str::FromStr;

/// Rates of one installation: `CARD=3.4%,EASY_PAY=3.4%,TRANSFER=2%+100,VIRTUAL_ACCOUNT=400`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fees(Vec<(Way, Rate)>);

/// How a buyer pays, as far as contracts tell ways apart: the code of the setting, and Toss's words in its books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way(&'static [&'static str]);

const WAYS: [Way; 8] = [
    Way(&["CARD", "카드"]),
    Way(&["EASY_PAY", "간편결제"]),
    Way(&["TRANSFER", "계좌이체"]),
    Way(&["VIRTUAL_ACCOUNT", "가상계좌"]),
    Way(&["MOBILE_PHONE", "휴대폰"]),
    Way(&["CULTURE_GIFT_CERTIFICATE", "문화상품권"]),
    Way(&["BOOK_GIFT_CERTIFICATE", "도서문화상품권"]),
    Way(&["GAME_GIFT_CERTIFICATE", "게임문화상품권"]),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    /// Of the sum. [1/10,000]
    share: i64,
    /// Beside it, for each payment. [won]
    fixed: i64,
}

impl FromStr for Fees {
    type Err = String;

    fn from_str(text: &str) -> Result<Fees, String> {
        let mut fees: Vec<(Way, Rate)> = Vec::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let known = || {
                let (code, rate) = entry.split_once('=')?;
                let way = WAYS.into_iter().find(|way| way.0[0] == code.trim())?;
                Some((way, rate_of(rate.trim())?))
            };
            let (way, rate) = known().ok_or_else(|| {
                let codes = WAYS.map(|way| way.0[0]).join(", ");
                format!("`{entry}` is no fee: write CODE=3.4%, CODE=400 or CODE=2%+100; the codes are {codes}")
            })?;
            if fees.iter().any(|(other, _)| *other == way) {
                return Err(format!("{} has two fees", way.0[0]));
            }
            fees.push((way, rate));
        }
        Ok(Fees(fees))
    }
}

fn rate_of(text: &str) -> Option<Rate> {
    let (share, fixed) = match text.split_once('+') {
        Some((share, fixed)) => (share, fixed),
        None if text.ends_with('%') => (text, "0"),
        None => ("0%", text),
    };
    let (whole, hundredths) =
        share.trim().strip_suffix('%')?.split_once('.').unwrap_or((share.trim_end_matches('%').trim(), "0"));
    let hundredths = match hundredths.len() {
        1 => number(hundredths)? * 10,
        2 => number(hundredths)?,
        _ => return None,
    };
    let rate = Rate { share: number(whole)? * 100 + hundredths, fixed: number(fixed.trim())? };
    // More than a fifth is a slip of the pen.
    (rate.share <= 2_000 && rate.fixed <= 10_000).then_some(rate)
}

fn number(text: &str) -> Option<i64> {
    (!text.is_empty() && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

impl Fees {
    /// None: the contract's rate for it is not set.
    pub fn of_payment(&self, method: &str, amount_won: i64) -> Option<i64> {
        let rate = self.rate(method)?;
        Some(amount_won * rate.share / 10_000 + rate.fixed)
    }

    /// Below zero: the share of what went back is not kept. The fixed part is.
    pub fn of_refund(&self, method: &str, amount_won: i64) -> Option<i64> {
        self.rate(method).map(|rate| -(amount_won * rate.share / 10_000))
    }

    fn rate(&self, method: &str) -> Option<Rate> {
        self.0.iter().find(|(way, _)| way.0.contains(&method)).map(|(_, rate)| *rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_or_refused() {
        let fees: Fees = "CARD=3.4%, TRANSFER=2%+100,VIRTUAL_ACCOUNT=400".parse().unwrap();
        assert_eq!((fees.of_payment("카드", 10_000), fees.of_refund("CARD", 5_000)), (Some(340), Some(-170)));
        assert_eq!((fees.of_payment("계좌이체", 10_000), fees.of_refund("계좌이체", 10_000)), (Some(300), Some(-200)));
        assert_eq!((fees.of_payment("가상계좌", 9_999), fees.of_refund("가상계좌", 9_999)), (Some(400), Some(0)));
        assert_eq!(fees.of_payment("휴대폰", 10_000), None);
        assert_eq!("".parse::<Fees>(), Ok(Fees::default()));
        for wrong in
            ["CARD", "CARD=", "CARD=%", "CARD=3.456%", "CARD=-1%", "CARD=34%", "CASH=1%", "CARD=1%,CARD=2%", "CARD=1+1"]
        {
            assert!(wrong.parse::<Fees>().is_err(), "{wrong}");
        }
    }
}
