//! Networks and the country that each is in, as they are now.

use std::net::IpAddr;

use plugin_sdk::{Change, Ctx, Pass, Reject, Row, Table, Uppercase, pass, text};

/// What is looked at.
#[derive(Clone, Copy, Debug, Default, Row)]
pub struct NetworkIn<'a> {
    /// An address and how many of its leading bits count, as PostgreSQL writes a `cidr`.
    pub network: &'a str,
    /// Two letters of ISO 3166-1, in any case.
    pub country: &'a str,
}

/// A network as it is now.
#[derive(Table)]
#[table(name = "networks", kind = "current", sort_key = ["network"])]
pub struct Network<'a> {
    network: Pass<&'a str>,
    #[column(clickhouse = "LowCardinality(String)")]
    country: Uppercase<'a>,
}

fn check<'a>(change: Change<NetworkIn<'a>>, _: &Ctx) -> Result<Network<'a>, Reject> {
    let NetworkIn { network, country } = change.row;
    // One that no dictionary can read would keep all others from being read.
    if !change.deleted() && !is_network(network) {
        return Err(Reject::new("bad_network", "a network is an address, a slash and a number of bits"));
    }
    Ok(Network { network: pass(), country: Uppercase(text::trim(country)) })
}

fn is_network(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let most = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

plugin_sdk::export! {
    plugin: Networks,
    input: Change<NetworkIn>,
    output: Network,
    row: check,
}
