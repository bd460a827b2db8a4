//! All SQL of the catalogue's admins.

pub mod exhibitions;
pub mod products;
pub mod sales;
pub mod slots;

use crate::platform::pg::Statement;

pub fn statements() -> Vec<&'static Statement> {
    [exhibitions::STATEMENTS, products::STATEMENTS, slots::STATEMENTS, sales::STATEMENTS].concat()
}
