//! Ways to pay: the codes the SDK takes, the Korean literals answers carry, the English ones on request.

use serde::{Serialize, Serializer};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Card,
    EasyPay,
    VirtualAccount,
    Transfer,
    MobilePhone,
    CultureGift,
    BookGift,
    GameGift,
}

const NAMES: [(Method, &[&str], &str, &str); 8] = [
    (Method::Card, &["CARD"], "카드", "Card"),
    (Method::EasyPay, &["EASY_PAY", "FOREIGN_EASY_PAY"], "간편결제", "Easy pay"),
    (Method::VirtualAccount, &["VIRTUAL_ACCOUNT"], "가상계좌", "Virtual account"),
    (Method::Transfer, &["TRANSFER"], "계좌이체", "Transfer"),
    (Method::MobilePhone, &["MOBILE_PHONE"], "휴대폰", "Mobile phone"),
    (Method::CultureGift, &["CULTURE_GIFT_CERTIFICATE"], "문화상품권", "Culture gift certificate"),
    (Method::BookGift, &["BOOK_GIFT_CERTIFICATE"], "도서문화상품권", "Book gift certificate"),
    (Method::GameGift, &["GAME_GIFT_CERTIFICATE"], "게임문화상품권", "Game gift certificate"),
];

impl Method {
    /// Takes the SDK's code or the Korean literal.
    pub fn parse(text: &str) -> Option<Self> {
        let named = NAMES.iter().find(|(_, codes, korean, _)| codes.contains(&text) || *korean == text);
        named.map(|(method, ..)| *method)
    }

    fn row(self) -> &'static (Self, &'static [&'static str], &'static str, &'static str) {
        // Declared in the order of the enum, so the position is the discriminant.
        &NAMES[self as usize]
    }

    pub fn code(self) -> &'static str {
        self.row().1[0]
    }

    pub fn korean(self) -> &'static str {
        self.row().2
    }

    pub fn english(self) -> &'static str {
        self.row().3
    }

    pub fn is_gift(self) -> bool {
        matches!(self, Self::CultureGift | Self::BookGift | Self::GameGift)
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.korean())
    }
}

/// Two-digit codes of banks that can receive a refund or offer an account, with Korean names.
const BANKS: [(&str, &str); 26] = [
    ("02", "산업"),
    ("03", "기업"),
    ("06", "국민"),
    ("07", "수협"),
    ("11", "농협"),
    ("12", "단위농협"),
    ("20", "우리"),
    ("23", "SC제일"),
    ("27", "씨티"),
    ("31", "대구"),
    ("32", "부산"),
    ("34", "광주"),
    ("35", "제주"),
    ("37", "전북"),
    ("39", "경남"),
    ("45", "새마을"),
    ("48", "신협"),
    ("50", "저축"),
    ("54", "홍콩상하이"),
    ("64", "산림"),
    ("71", "우체국"),
    ("81", "하나"),
    ("88", "신한"),
    ("89", "케이"),
    ("90", "카카오"),
    ("92", "토스"),
];

/// Banks that offer virtual accounts.
const OFFERING: [&str; 15] = ["39", "34", "06", "03", "11", "31", "32", "45", "07", "88", "20", "71", "37", "89", "81"];

/// Requests may name a bank by code or by name; answers carry the code.
pub fn bank_code(text: &str) -> Option<&'static str> {
    let text = text.strip_suffix("은행").unwrap_or(text);
    BANKS.iter().find(|(code, name)| *code == text || *name == text).map(|(code, _)| *code)
}

pub fn offering_bank(text: &str) -> Option<&'static str> {
    bank_code(text).filter(|code| OFFERING.contains(code))
}
