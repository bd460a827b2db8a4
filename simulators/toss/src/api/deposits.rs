//! What a bank does to a virtual account: a deposit, its reversal, and a refund that it sends back.

use crate::clock::kst;
use crate::payment::Status;
use crate::sim::Sim;
use crate::store::Held;
use crate::webhooks::Job;

/// WAITING_FOR_DEPOSIT to DONE. The reason is for the tester; Toss itself has no such call.
pub fn deposit(sim: &Sim, held: &mut Held) -> Result<Vec<Job>, &'static str> {
    sim.mark_deposit_over(held);
    if held.object.status != Status::WaitingForDeposit {
        return Err("the payment is not waiting for a deposit");
    }
    let customer_name = held.terms.customer_name.clone();
    let Some(account) = &mut held.object.virtual_account else {
        return Err("the payment has no virtual account");
    };
    if account.expired {
        return Err("the account is past its due date: banks refuse late deposits");
    }
    account.depositor_name = Some(customer_name);
    account.settlement_status = "INCOMPLETED";
    let now_ms = sim.clock.now_ms();
    held.object.status = Status::Done;
    held.object.approved_at = Some(kst(now_ms));
    held.object.issue_cash_receipt(held.terms.cash_receipt);
    held.terms.approved_ms = now_ms;
    let amount = held.object.total_amount;
    sim.counts.approve(amount);
    let key = sim.ledger.book(now_ms, held.terms.pair, held.terms.customer_key.as_deref(), &held.object, amount);
    held.object.last_transaction_key = Some(key);
    Ok(sim.events(&held.object, &held.object.to_json()))
}

/// DONE back to WAITING_FOR_DEPOSIT: the bank could not make its transfer good.
pub fn reverse(sim: &Sim, held: &mut Held) -> Result<Vec<Job>, &'static str> {
    if held.object.status != Status::Done || !held.object.is_virtual() {
        return Err("only an untouched deposit can be reversed");
    }
    if let Some(account) = &mut held.object.virtual_account {
        account.depositor_name = None;
    }
    let now_ms = sim.clock.now_ms();
    held.object.status = Status::WaitingForDeposit;
    held.object.approved_at = None;
    held.object.cash_receipt = None;
    let amount = held.object.total_amount;
    sim.counts.reverse(amount);
    let key = sim.ledger.book(now_ms, held.terms.pair, held.terms.customer_key.as_deref(), &held.object, amount);
    held.object.last_transaction_key = Some(key);
    Ok(sim.events(&held.object, &held.object.to_json()))
}

/// The buyer's bank sends a refund back: told by no webhook, and the money does not come back to the payment.
pub fn bounce(_: &Sim, held: &mut Held) -> Result<Vec<Job>, &'static str> {
    let account = held.object.virtual_account.as_mut().ok_or("the payment has no virtual account")?;
    if account.refund_status == "NONE" {
        return Err("nothing was refunded into an account");
    }
    account.refund_status = if held.object.balance_amount == 0 { "FAILED" } else { "PARTIAL_FAILED" };
    Ok(Vec::new())
}
