//! Whether a payment can be true, and how it is written. A pure function of the row: what it says of a row when it comes is
//! what it says of the same row when it is the one before a change.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use plugin_sdk::{Reject, text};

use crate::TransactionIn;

/// Currencies that payments are made in.
pub const CURRENCIES: [&str; 3] = ["EUR", "GBP", "USD"];
/// What becomes of payments.
pub const STATUSES: [&str; 3] = ["APPROVED", "DECLINED", "REVERSED"];

/// A payment's texts in their one form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked<'a> {
    /// The card's first six digits.
    pub card_issuer: &'a str,
    /// Its last four.
    pub card_last_four: &'a str,
    /// One of [`CURRENCIES`].
    pub currency: &'a str,
    /// One of [`STATUSES`].
    pub status: &'a str,
    /// An address.
    pub ip: Cow<'a, str>,
}

/// Why a payment can't be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing, or less, was paid.
    Amount,
    /// In none of [`CURRENCIES`].
    Currency,
    /// None of [`STATUSES`].
    Status,
    /// No number that a card can have.
    Card,
    /// No address.
    Ip,
}

impl Fault {
    /// The code of its dead letters.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Amount => "bad_amount",
            Self::Currency => "unknown_currency",
            Self::Status => "unknown_status",
            Self::Card => "bad_card_number",
            Self::Ip => "bad_ip",
        }
    }

    /// As a dead letter says it.
    #[must_use]
    pub fn reject(self) -> Reject {
        let reason = match self {
            Self::Amount => "an amount is above zero",
            Self::Currency => "the currency is none of those that payments are made in",
            Self::Status => "the status is none of those that a payment can have",
            Self::Card => "a card's number has 12 to 19 digits, of which the last fits the others",
            Self::Ip => "it is an address neither of IPv4 nor of IPv6",
        };
        Reject::new(self.code(), reason)
    }
}

/// Checks a payment; the first fault counts.
///
/// # Errors
/// What is wrong with it.
pub fn check<'a>(row: &TransactionIn<'a>) -> Result<Checked<'a>, Fault> {
    if row.amount.unscaled() <= 0 {
        return Err(Fault::Amount);
    }
    let currency = known(&CURRENCIES, row.currency).ok_or(Fault::Currency)?;
    let status = known(&STATUSES, row.status).ok_or(Fault::Status)?;
    let (card_issuer, card_last_four) = card(text::trim(row.card_number)).ok_or(Fault::Card)?;
    let ip = address(text::trim(row.ip)).ok_or(Fault::Ip)?;
    Ok(Checked { card_issuer, card_last_four, currency, status, ip })
}

fn known(list: &[&'static str], word: &str) -> Option<&'static str> {
    let word = text::trim(word);
    list.iter().find(|known| text::eq_ignore_ascii_case(known, word)).copied()
}

/// The parts of a card's number that may be shown. The last digit is a check digit (Luhn's formula, ISO/IEC 7812-1).
fn card(number: &str) -> Option<(&str, &str)> {
    let digits = number.as_bytes();
    if !(12..=19).contains(&digits.len()) {
        return None;
    }
    let mut sum = 0;
    for (place, digit) in digits.iter().rev().enumerate() {
        let digit = u32::from(digit.checked_sub(b'0').filter(|digit| *digit <= 9)?);
        let doubled = digit * 2;
        sum += if place % 2 == 0 { digit } else { doubled / 10 + doubled % 10 };
    }
    // All are ASCII, so every index is one of a character.
    (sum % 10 == 0).then(|| (&number[..6], &number[number.len() - 4..]))
}

fn address(text: &str) -> Option<Cow<'_, str>> {
    // An address of IPv4 has one form only that is parsed.
    if text.parse::<Ipv4Addr>().is_ok() {
        return Some(Cow::Borrowed(text));
    }
    let address: IpAddr = text.parse().ok()?;
    Some(Cow::Owned(address.to_canonical().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_has_the_digits_of_the_norm() {
        // Numbers that the card networks publish for tests, of 12, 15, 16 and 19 digits.
        for (number, parts) in [
            ("4111111111111111", Some(("411111", "1111"))),
            ("378282246310005", Some(("378282", "0005"))),
            ("6304000000000000", Some(("630400", "0000"))),
            ("676770000000", None),
            ("4111111111111112", None),
            ("4111 1111 1111 1111", None),
            ("411111111111111é", None),
            ("0", None),
            ("", None),
        ] {
            assert_eq!(card(number), parts, "{number}");
        }
    }

    #[test]
    fn any_single_wrong_digit_and_most_swaps_are_found() {
        let good = *b"4539578763621486";
        assert!(card(str::from_utf8(&good).expect("ASCII")).is_some());
        for place in 0..good.len() {
            for digit in b'0'..=b'9' {
                let mut other = good;
                other[place] = digit;
                let text = str::from_utf8(&other).expect("ASCII");
                assert_eq!(card(text).is_some(), digit == good[place], "{text}");
            }
        }
    }

    #[test]
    fn an_address_has_one_form() {
        for (text, form) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("2001:DB8:0:0:0:0:0:1", Some("2001:db8::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("256.1.1.1", None),
            ("192.0.2.01", None),
            ("192.0.2.1/32", None),
            ("", None),
        ] {
            assert_eq!(address(text).as_deref(), form, "{text}");
        }
    }
}
