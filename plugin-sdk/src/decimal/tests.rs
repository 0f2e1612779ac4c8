#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

type Price = Decimal<10, 2>;

#[test]
fn text_and_back() {
    for (text, unscaled) in
        [("12.50", 1250), ("-0.01", -1), ("0.00", 0), ("99999999.99", 9_999_999_999), ("-7.00", -700)]
    {
        let price = Price::parse(text).unwrap();
        assert_eq!((price.unscaled(), price.to_string().as_str()), (unscaled, text));
    }
    for (text, shown) in
        [("5", "5.00"), ("+5.5", "5.50"), (".5", "0.50"), ("5.", "5.00"), ("5.500", "5.50"), ("-0", "0.00")]
    {
        assert_eq!(Price::parse(text).unwrap().to_string(), shown);
    }
    for wrong in ["", "-", ".", "1.2.3", "1e3", " 1", "1,5", "0.001", "100000000.00", "NaN", "--1"] {
        assert_eq!(Price::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn scales_beside_the_usual() {
    assert_eq!(Decimal::<5, -2>::parse("12300").unwrap().unscaled(), 123);
    assert_eq!(Decimal::<5, -2>::parse("12300").unwrap().to_string(), "12300");
    assert_eq!(Decimal::<5, -2>::parse("12345"), None);
    assert_eq!(Decimal::<5, -2>::parse("0").unwrap().to_string(), "0");
    assert_eq!(Decimal::<3, 5>::parse("0.00123").unwrap().unscaled(), 123);
    assert_eq!(Decimal::<3, 5>::parse("0.00123").unwrap().to_string(), "0.00123");
    assert_eq!(Decimal::<38, 0>::parse(&"9".repeat(38)).unwrap().to_string(), "9".repeat(38));
    assert_eq!(Decimal::<38, 0>::parse(&"9".repeat(39)), None);
}

#[test]
fn arithmetic_is_exact_or_none() {
    let price = Price::parse("19.99").unwrap();
    assert_eq!(price.checked_mul::<12>(3).unwrap().to_string(), "59.97");
    assert_eq!(price.checked_mul::<12>(-3).unwrap().to_string(), "-59.97");
    let greatest = Price::parse("99999999.99").unwrap();
    assert_eq!(greatest.checked_mul::<12>(100).unwrap().to_string(), "9999999999.00");
    assert_eq!(greatest.checked_mul::<12>(101), None);
    assert_eq!(greatest.checked_mul::<38>(i64::MAX).unwrap().unscaled(), 9_999_999_999 * i128::from(i64::MAX));
    assert_eq!(greatest.checked_add(Price::new(1).unwrap()), None);
    assert_eq!(price.checked_sub(greatest).unwrap().to_string(), "-99999980.00");
    assert_eq!(Decimal::<38, 0>::new(10_i128.pow(38)), None);
}

#[test]
fn rescaling_loses_nothing() {
    let price = Price::parse("-19.90").unwrap();
    assert_eq!(price.rescale::<12, 4>().unwrap().to_string(), "-19.9000");
    assert_eq!(price.rescale::<10, 1>().unwrap().to_string(), "-19.9");
    assert_eq!(price.rescale::<10, 0>(), None);
    assert_eq!(price.rescale::<3, 2>(), None);
    assert_eq!(Price::default().rescale::<38, -100>().unwrap().unscaled(), 0);
    assert_eq!(price.rescale::<38, 120>(), None);
}

#[test]
fn the_short_ways_answer_as_the_long_ones() {
    fn same<const P: u8, const S: i8>(text: &str) {
        let parsed = Decimal::<P, S>::parse(text);
        assert_eq!(parsed, Decimal::<P, S>::parse_any(text), "{text} as Decimal<{P}, {S}>");
        let Some(decimal) = parsed else { return };
        assert_eq!(decimal.rescale::<38, 4>(), decimal.rescale_any::<38, 4>(), "{decimal:?}");
        assert_eq!(decimal.rescale::<10, 0>(), decimal.rescale_any::<10, 0>(), "{decimal:?}");
        assert_eq!(decimal.rescale::<38, 30>(), decimal.rescale_any::<38, 30>(), "{decimal:?}");
        assert_eq!(decimal.rescale::<20, -3>(), decimal.rescale_any::<20, -3>(), "{decimal:?}");
    }
    let digits = ["", "0", "7", "12000", "00012", "9223372036854775807", "9223372036854775808", "99999999999999999999"];
    for whole in digits {
        for fraction in digits {
            for text in [format!("{whole}.{fraction}"), format!("{whole}{fraction}"), format!("{whole}.{fraction}x")] {
                for text in [format!("-{text}"), format!("+{text}"), text] {
                    same::<10, 2>(&text);
                    same::<18, 18>(&text);
                    same::<38, 0>(&text);
                    same::<38, 20>(&text);
                    same::<38, 2>(&text);
                    same::<5, -2>(&text);
                }
            }
        }
    }
}

#[test]
fn wide_decimals() {
    type Wei = Decimal256<76, 18>;
    let text = format!("-{}.{}", "9".repeat(58), "9".repeat(18));
    assert_eq!(Wei::parse(&text).unwrap().to_string(), text);
    assert_eq!(Wei::parse(&format!("1{}", "0".repeat(58))), None);
    assert_eq!(Wei::new(-1).to_string(), "-0.000000000000000001");
    assert_eq!(Wei::new(i128::MIN).unscaled(), Some(i128::MIN));
    assert!(Wei::parse("-2").unwrap() < Wei::parse("-1.5").unwrap());
    assert!(Wei::parse("1").unwrap() > Wei::parse("-1").unwrap());
    assert_eq!(Wei::parse(&text).unwrap().unscaled(), None);
}
