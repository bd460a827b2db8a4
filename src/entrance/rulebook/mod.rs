//! The rules of entry of an exhibition, as its admins set them and as its devices know them.

pub mod admin;
pub mod api;
pub mod pg;

use std::collections::HashMap;

use super::rules::Rules;
use crate::error::FieldError;
use crate::orders::contact::has_control;

const GATES_MAX: usize = 50;

/// Of the exhibition and of the products that differ from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rulebook {
    pub exhibition: Option<Rules>,
    pub products: HashMap<i32, Rules>,
    /// Gates may sell what is left, for cash.
    pub walk_ins: bool,
}

/// Appends what is wrong with `rules`, each under its field.
pub fn check(rules: &Rules, under: &str, gate_chars_max: usize, errors: &mut Vec<FieldError>) {
    let mut refuse = |field: &str, code| errors.push(FieldError { field: format!("{under}.{field}"), code });
    for (field, value, range) in [
        ("early_min", rules.early_min, 0..=1440),
        ("late_min", rules.late_min, 0..=1440),
        ("per_day", rules.per_day, 1..=50),
        ("gap_s", rules.gap_s, 0..=86_400),
    ] {
        if !range.contains(&value) {
            refuse(field, "out_of_range");
        }
    }
    let Some(gates) = &rules.gates else { return };
    if gates.is_empty() || gates.len() > GATES_MAX {
        refuse("gates", "out_of_range");
    }
    for gate in gates {
        if gate.trim().is_empty() || gate.trim() != gate {
            refuse("gates", "required");
        } else if has_control(gate) {
            refuse("gates", "control_characters");
        } else if gate.chars().count() > gate_chars_max {
            refuse("gates", "too_long");
        }
    }
}
