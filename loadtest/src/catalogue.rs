//! What there is to buy, read from the public catalogue.

use serde::Deserialize;
use serde_json::Value;

use crate::Failure;
use crate::http::Client;

#[derive(Debug, Clone, Deserialize)]
pub struct Product {
    pub id: Value,
    pub dated: bool,
    pub price: i64,
    pub available_quantity: i64,
    pub state: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Slot {
    pub id: Value,
    pub date: String,
    pub available_quantity: i64,
    pub state: String,
}

/// One kind of ticket somebody wants, ready to be ordered many times.
#[derive(Debug, Clone)]
pub struct Choice {
    pub code: String,
    pub product: Product,
    pub slot: Option<Slot>,
    pub quantity: u32,
}

impl Choice {
    /// Places left for it, as far as the catalogue knows.
    pub fn places(&self) -> i64 {
        let slot = self.slot.as_ref().map_or(i64::MAX, |slot| slot.available_quantity);
        self.product.available_quantity.min(slot)
    }

    pub fn name(&self) -> String {
        match &self.slot {
            Some(slot) => format!("{} product {} on {} (slot {})", self.code, self.product.id, slot.date, slot.id),
            None => format!("{} product {} (undated)", self.code, self.product.id),
        }
    }
}

pub async fn products(site: &Client, code: &str) -> Result<Vec<Product>, Failure> {
    #[derive(Deserialize)]
    struct Page {
        products: Vec<Product>,
    }
    read::<Page>(site, &format!("/api/exhibitions/{code}/products")).await.map(|page| page.products)
}

pub async fn slots(site: &Client, code: &str) -> Result<Vec<Slot>, Failure> {
    #[derive(Deserialize)]
    struct Page {
        slots: Vec<Slot>,
    }
    read::<Page>(site, &format!("/api/exhibitions/{code}")).await.map(|page| page.slots)
}

async fn read<T: serde::de::DeserializeOwned>(site: &Client, path: &str) -> Result<T, Failure> {
    let request = site.get(path, &[]);
    site.call(&request, |status, body| match status {
        200 => serde_json::from_slice(body).map_err(|error| format!("GET {path}: {error}")),
        _ => Err(format!("GET {path} answered {status}")),
    })
    .await
    .map_err(|fault| format!("GET {path}: no answer ({fault:?})"))?
}

/// What the visitors of `code` fall upon: the product asked for, else product 1, else the roomiest.
pub async fn hot(site: &Client, code: &str, wanted: Option<&str>) -> Result<Choice, Failure> {
    let products = on_sale(products(site, code).await?);
    let product = match wanted {
        Some(id) => products.into_iter().find(|product| same(&product.id, id)),
        None => {
            let first = products.iter().find(|product| same(&product.id, "1") && !product.dated).cloned();
            first.or_else(|| products.into_iter().max_by_key(|product| (!product.dated, product.available_quantity)))
        }
    };
    let product = product.ok_or_else(|| format!("{code} has no such product on sale"))?;
    let slot = if product.dated { roomiest(slots(site, code).await?) } else { None };
    if product.dated && slot.is_none() {
        return Err(format!("{code} product {} is dated, and no slot has places", product.id));
    }
    Ok(Choice { code: code.to_owned(), product, slot, quantity: 1 })
}

/// Everything somebody can buy now: each undated product, and each dated one on each day that has places.
pub async fn choices(site: &Client, code: &str) -> Result<Vec<Choice>, Failure> {
    let products = on_sale(products(site, code).await?);
    let mut slots = slots(site, code).await?;
    slots.retain(|slot| slot.state == "on_sale" && slot.available_quantity > 0);
    let choice = |product: &Product, slot: Option<Slot>| Choice {
        code: code.to_owned(),
        product: product.clone(),
        slot,
        quantity: 1,
    };
    let undated = products.iter().filter(|product| !product.dated).map(|product| choice(product, None));
    let dated = products.iter().filter(|product| product.dated);
    let dated = dated.flat_map(|product| slots.iter().map(move |slot| choice(product, Some(slot.clone()))));
    let mut choices: Vec<Choice> = undated.chain(dated).filter(|choice| choice.places() > 0).collect();
    choices.sort_by_key(|choice| std::cmp::Reverse(choice.places()));
    if choices.is_empty() { Err(format!("{code} has nothing on sale")) } else { Ok(choices) }
}

fn on_sale(mut products: Vec<Product>) -> Vec<Product> {
    products.retain(|product| product.state == "on_sale");
    products
}

fn roomiest(slots: Vec<Slot>) -> Option<Slot> {
    let open = slots.into_iter().filter(|slot| slot.state == "on_sale" && slot.available_quantity > 0);
    open.max_by_key(|slot| slot.available_quantity)
}

/// How a race finds its slot.
pub struct Wish<'a> {
    pub slot: Option<&'a str>,
    pub product: Option<&'a str>,
    pub places: Option<i64>,
}

/// The slot to race for: the one named, else the smallest with at least `places`, else the scarcest.
pub async fn scarce(site: &Client, code: &str, wish: &Wish<'_>) -> Result<Choice, Failure> {
    let mut products = on_sale(products(site, code).await?);
    products.retain(|product| product.dated && wish.product.is_none_or(|id| same(&product.id, id)));
    // A paid product, because a free one may be settled at once; then the one that limits least.
    let product = products
        .into_iter()
        .max_by_key(|product| (product.price > 0, product.available_quantity))
        .ok_or_else(|| format!("{code} has no such dated product on sale"))?;
    let mut slots = slots(site, code).await?;
    slots.retain(|slot| match wish.slot {
        Some(id) => same(&slot.id, id),
        None => slot.state == "on_sale" && slot.available_quantity >= wish.places.unwrap_or(1).max(1),
    });
    let slot = slots
        .into_iter()
        .min_by_key(|slot| slot.available_quantity)
        .ok_or_else(|| format!("{code} has no slot with the places asked for"))?;
    Ok(Choice { code: code.to_owned(), product, slot: Some(slot), quantity: 1 })
}

/// Ids are compared as text, so that numbers and strings both serve.
fn same(id: &Value, text: &str) -> bool {
    let shown = id.to_string();
    shown.trim_matches('"') == text
}
