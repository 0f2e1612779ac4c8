//! The benchmark of many tenants: an order is cleaned, or its plugin misbehaves as a parameter says.

use std::hint::black_box;
use std::str::FromStr;

use plugin_sdk::{Ctx, Lowercase, Parameters, Pass, Reject, Row, Table, pass};

/// An order as it comes.
#[derive(Clone, Copy, Debug, Row)]
#[expect(missing_docs, reason = "columns are named by their source")]
pub struct OrderIn<'a> {
    pub status: &'a str,
    pub email: &'a str,
}

/// An order, cleaned.
#[derive(Debug, Table)]
#[table(name = "orders", kind = "append", sort_key = ["id"])]
pub struct Order<'a> {
    id: Pass<i64>,
    amount: Pass<i64>,
    status: Lowercase<'a>,
    email: Lowercase<'a>,
}

/// What it does with each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Its work.
    Good,
    /// Nothing, without end.
    Loop,
    /// Takes memory, without end.
    Allocate,
    /// Panics.
    Trap,
}

impl FromStr for Manner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "good" => Ok(Self::Good),
            "loop" => Ok(Self::Loop),
            "allocate" => Ok(Self::Allocate),
            "trap" => Ok(Self::Trap),
            _ => Err("one of good, loop, allocate, trap".to_owned()),
        }
    }
}

/// How it behaves.
#[derive(Parameters)]
pub struct Behaviour {
    /// good, loop, allocate or trap.
    #[parameter(default = "good")]
    manner: Manner,
}

fn clean<'a>(order: OrderIn<'a>, ctx: &Ctx<Behaviour>) -> Result<Order<'a>, Reject> {
    match ctx.parameters.manner {
        Manner::Good => {}
        Manner::Loop => loop {
            black_box(());
        },
        Manner::Allocate => {
            let mut kept = Vec::new();
            loop {
                kept.push(black_box(vec![1_u8; 1 << 16]));
            }
        }
        Manner::Trap => panic!("on each row"),
    }
    if !order.email.contains('@') {
        return Err(Reject::new("bad_email", "there is no @ in it"));
    }
    Ok(Order { id: pass(), amount: pass(), status: Lowercase(order.status), email: Lowercase(order.email.trim()) })
}

plugin_sdk::export! {
    plugin: Manners,
    format: Envelope,
    input: OrderIn,
    output: Order,
    parameters: Behaviour,
    row: clean,
}
