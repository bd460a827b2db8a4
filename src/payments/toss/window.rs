//! What Toss's window is opened with for each method (SDK v2): how long an account is open, and what the tax office is told.

use serde_json::{Value, json};

use crate::payments::model::{CashReceiptWish, Wishes};

pub fn window(wishes: &Wishes) -> Value {
    let mut transfer = json!({ "isCulturalExpenses": wishes.culture_expense });
    // Without a wish Toss asks the buyer itself.
    if let Some(wish) = wishes.cash_receipt {
        transfer["cashReceipt"] = json!({ "type": kind(wish) });
    }
    let mut account = transfer.clone();
    account["validHours"] = json!(wishes.deposit_h);
    json!({ "transfer": transfer, "virtualAccount": account })
}

fn kind(wish: CashReceiptWish) -> &'static str {
    match wish {
        CashReceiptWish::IncomeDeduction => "소득공제",
        CashReceiptWish::ExpenseProof => "지출증빙",
        CashReceiptWish::None => "미발행",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_put_in_toss_s_words() {
        let wishes = Wishes { culture_expense: true, deposit_h: 24, cash_receipt: None };
        let asked = window(&wishes);
        assert_eq!(asked["virtualAccount"], json!({ "isCulturalExpenses": true, "validHours": 24 }));
        assert_eq!(asked["transfer"], json!({ "isCulturalExpenses": true }));
        let proof = Wishes { cash_receipt: Some(CashReceiptWish::ExpenseProof), ..wishes };
        assert_eq!(window(&proof)["transfer"]["cashReceipt"]["type"], "지출증빙");
    }
}
