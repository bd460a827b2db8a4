//! All SQL of the catalogue's admins.

pub mod exhibitions;
pub mod products;
pub mod sales;
pub mod slots;

use crate::platform::pg::Statement;

/// A product or a slot, with its stock.
#[derive(Clone, Debug)]
pub struct Stocked<S> {
    pub id: i32,
    pub exhibition_id: i32,
    pub stock_id: i32,
    pub revision: i64,
    pub held: i32,
    pub sold: i32,
    pub settings: S,
}

pub fn statements() -> Vec<&'static Statement> {
    [exhibitions::STATEMENTS, products::STATEMENTS, slots::STATEMENTS, sales::STATEMENTS].concat()
}
