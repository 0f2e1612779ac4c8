//! Products as they are now.

use plugin_sdk::{Change, Ctx, Decimal, Json, List, Pass, Reject, Row, Table, pass};

/// What is looked at.
#[derive(Clone, Copy, Debug, Default, Row)]
pub struct ProductIn<'a> {
    /// What it costs.
    pub price: Option<Decimal<10, 2>>,
    /// Words that it is found by.
    pub tags: Option<List<'a, &'a str>>,
}

/// A product as it is now.
#[derive(Table)]
#[table(name = "products", kind = "current", sort_key = ["id"])]
pub struct Product<'a> {
    id: Pass<i32>,
    #[column(codec = "ZSTD(1)")]
    name: Pass<&'a str>,
    #[column(codec = "ZSTD(1)")]
    description: Pass<Option<&'a str>>,
    weight: Pass<Option<f64>>,
    price: Option<Decimal<10, 2>>,
    /// None where the source says null: ClickHouse has no arrays that are null.
    tags: List<'a, &'a str>,
    /// What else is known of it, a JSON object.
    #[column(codec = "ZSTD(3)")]
    attributes: Pass<Option<Json<'a>>>,
}

fn clean<'a>(change: Change<ProductIn<'a>>, _: &Ctx) -> Result<Product<'a>, Reject> {
    let ProductIn { price, tags } = change.row;
    // A delete is never rejected: the product that it ends would stay for ever.
    if !change.deleted() && price.is_some_and(|price| price < Decimal::default()) {
        return Err(Reject::new("bad_price", "nobody is paid for taking a product"));
    }
    Ok(Product {
        id: pass(),
        name: pass(),
        description: pass(),
        weight: pass(),
        price,
        tags: tags.unwrap_or_default(),
        attributes: pass(),
    })
}

plugin_sdk::export! {
    plugin: Products,
    input: Change<ProductIn>,
    output: Product,
    row: clean,
}
