#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

/// The definition, counted year by year and month by month: slow and plain, the oracle of the closed formula.
fn next_day((year, month, day): (i32, u32, u32)) -> (i32, u32, u32) {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let last = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month as usize - 1];
    match (month, day) {
        (12, 31) => (year + 1, 1, 1),
        _ if day == last => (year, month + 1, 1),
        _ => (year, month, day + 1),
    }
}

#[test]
fn every_day_from_year_minus_800_to_3200_agrees_with_counting() {
    let mut expected = (-800, 1, 1);
    let first = Date::from_ymd(-800, 1, 1).unwrap();
    let last = Date::from_ymd(3200, 12, 31).unwrap();
    for days in first.0..=last.0 {
        assert_eq!(Date(days).ymd(), expected);
        assert_eq!(Date::from_ymd(expected.0, expected.1, expected.2), Some(Date(days)));
        expected = next_day(expected);
    }
    assert_eq!(Date::from_ymd(1970, 1, 1), Some(Date(0)));
    assert_eq!(Date(18_896).to_string(), "2021-09-26");
}

#[test]
fn the_outermost_days_survive_the_way_through_text() {
    for days in [i32::MIN, i32::MAX, -719_529, -719_528, -1, 2_932_896, 2_932_897] {
        let text = Date(days).to_string();
        assert_eq!(Date::parse(&text), Some(Date(days)), "{text}");
    }
    assert_eq!(Date(i32::MAX).to_string(), "+5881580-07-11");
}

#[test]
fn text_that_is_no_date_is_refused() {
    for text in [
        "",
        "2023-02-29",
        "1900-02-29",
        "2024-13-01",
        "2024-00-10",
        "2024-1-01",
        "2024-01-32",
        "2024-01-00",
        "24-01-01",
        "2024-01-01 ",
        "12024-01-01",
        "+99999999-01-01",
        "2024/01/01",
    ] {
        assert_eq!(Date::parse(text), None, "{text}");
    }
    assert!(Date::parse("2000-02-29").is_some());
}

#[test]
fn timestamps_through_text() {
    let micros = |text| Timestamp::<Micros>::parse(text).map(Timestamp::units);
    assert_eq!(micros("2018-06-20T13:37:03.123456Z"), Some(1_529_501_823_123_456));
    assert_eq!(micros("2018-06-20T15:37:03.123456+02:00"), Some(1_529_501_823_123_456));
    assert_eq!(micros("2018-06-20 08:07:03.1234560-0530"), Some(1_529_501_823_123_456));
    assert_eq!(micros("1969-12-31T23:59:59.999999Z"), Some(-1));
    assert_eq!(micros("1970-01-01T00:00Z"), Some(0));
    for text in [
        "2018-06-20T13:37:03.1234567Z",
        "2018-06-20T13:37:03.123456",
        "2018-06-20T24:00:00Z",
        "infinity",
        "2018-06-20T13:37:60Z",
        "2018-06-20T13:37:03.Z",
        "2018-06-20T13:37:03Z+",
        "+5881580-07-11T00:00:00Z",
    ] {
        assert_eq!(micros(text), None, "{text}");
    }
    let wall = WallClock::<Millis>::parse("2024-02-29T12:00:00.5").unwrap();
    assert_eq!(wall.to_string(), "2024-02-29T12:00:00.500");
    assert_eq!(WallClock::<Millis>::parse("2024-02-29T12:00:00Z"), None);
}

#[test]
fn any_number_of_units_is_printed_and_read_back() {
    let mut units = 1_u64;
    for _ in 0..10_000 {
        units = units.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let nanos = Timestamp::<Nanos>::new(units.cast_signed());
        assert_eq!(Timestamp::parse(&nanos.to_string()), Some(nanos));
        let micros = WallClock::<Micros>::new(units.cast_signed() >> (units % 20));
        assert_eq!(Timestamp::parse(&micros.to_string()), Some(micros));
    }
}

#[test]
fn units_convert_downwards_in_time() {
    let before = Timestamp::<Micros>::new(-1);
    assert_eq!(before.to_unit::<Millis>(), Some(Timestamp::new(-1)));
    assert_eq!(before.to_unit::<Nanos>(), Some(Timestamp::new(-1_000)));
    assert_eq!(Timestamp::<Seconds>::new(i64::MAX).to_unit::<Millis>(), None);
    assert_eq!(before.date(), Some(Date(-1)));
    assert_eq!(before.time().to_string(), "23:59:59.999999");
    assert_eq!(Timestamp::<Seconds>::new(i64::MAX).date(), None);
}

#[test]
fn times_of_day() {
    assert_eq!(Time::<Millis>::parse("04:05:11.789").unwrap().units(), 14_711_789);
    assert_eq!(Time::<Micros>::parse("23:59:59.999999").unwrap().to_string(), "23:59:59.999999");
    assert_eq!(Time::<Seconds>::parse("23:59").unwrap().to_string(), "23:59:00");
    assert_eq!(
        (Time::<Seconds>::parse("24:00"), Time::<Micros>::new(-1), Time::<Millis>::new(86_400_000)),
        (None, None, None)
    );
}

#[test]
fn the_short_way_of_parsing_answers_as_the_long_one() {
    let mut texts = vec!["2025-01-31T12:34:56", "0000-03-01 00:00:00.001", "9999-12-31T23:59:59.999999"]
        .into_iter()
        .flat_map(|text| [text.to_owned(), format!("{text}Z")])
        .collect::<Vec<_>>();
    for text in texts.clone() {
        for at in 0..text.len() {
            for byte in b"0123469:-/.TZ ,".iter().copied() {
                let mut changed = text.clone().into_bytes();
                changed[at] = byte;
                texts.push(String::from_utf8(changed).expect("ASCII"));
            }
        }
    }
    fn same<U: Unit, Z: Zone>(text: &str) {
        let long = Timestamp::<U, Z>::parse_any(text).map(Timestamp::units);
        assert_eq!(Timestamp::<U, Z>::parse(text).map(Timestamp::units), long, "{text} in {:?}", U::UNIT);
    }
    for text in &texts {
        same::<Seconds, Utc>(text);
        same::<Millis, Wall>(text);
        same::<Micros, Utc>(text);
        same::<Nanos, Utc>(text);
        same::<Nanos, Wall>(text);
    }
    for day in (-719_530..=2_932_900).step_by(89) {
        let text = Date(day).to_string();
        assert_eq!((Date::parse(&text), Date::parse_any(&text)), (Some(Date(day)), Some(Date(day))), "{text}");
    }
    for text in texts.iter().filter_map(|text| text.get(..10)) {
        assert_eq!(Date::parse(text), Date::parse_any(text), "{text}");
    }
    assert!(texts.iter().filter(|text| usual::timestamp::<Micros, Utc>(text.as_bytes()).is_some()).count() > 100);
}

#[test]
fn durations_are_added_in_whole_units_and_end_where_64_bits_do() {
    let at = Timestamp::<Millis>::new(1_000);
    assert_eq!(at + Duration::from_micros(1_999), Timestamp::new(1_001));
    assert_eq!(at - Duration::from_secs(2), Timestamp::new(-1_000));
    assert_eq!(Timestamp::<Nanos, Wall>::new(1) + Duration::new(3, 5), Timestamp::new(3_000_000_006));
    assert_eq!(Timestamp::<Seconds>::new(7) + Duration::from_millis(999), Timestamp::new(7));
    assert_eq!(at + Duration::MAX, Timestamp::new(i64::MAX));
    assert_eq!(Timestamp::<Nanos>::new(-2) - Duration::MAX, Timestamp::new(i64::MIN));
}
