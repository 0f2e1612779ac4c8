//! Answers that are lost, refused or strange.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use engine::sink::{Cause, ClickHouse, Guarantee, Inserted, Sink, SinkError};
use harness::clickhouse::ClickHouse as Server;
use harness::wait::wait_until;

use crate::proxy::{Fault, Proxy};
use crate::{SERVER, count_and_sum, database, id_block, ids, run, run_sql, send, settings, sink};

const TOO_MANY_PARTS: &str = "HTTP/1.1 500 Internal Server Error\r\nX-ClickHouse-Exception-Code: 252\r\n\r\nCode: 252. DB::Exception: Too many parts (3001). Merges";
const UNHEARD_OF: &str = "HTTP/1.1 500 Internal Server Error\r\n\r\n\
    Code: 1999. DB::Exception: Cosmic radiation";
const NOT_CLICKHOUSE: &str = "HTTP/1.1 200 OK\r\n\r\nIt works :-)";
const BAD_GATEWAY: &str = "HTTP/1.1 502 Bad Gateway\r\n\r\n";
const STARTING: &str = "HTTP/1.1 503 Service Unavailable\r\n\r\n";
const LATE_EXCEPTION: &str = "HTTP/1.1 200 OK\r\nX-ClickHouse-Summary: {\"written_rows\":\"5\"}\r\n\r\nCode: 241. DB::Exception: Memory limit!!!!!";
const SHORT: &str = "HTTP/1.1 200 OK\r\nX-ClickHouse-Summary: {\"written_rows\":\"4\"}\r\n\r\n";

/// Inserts five rows through a proxy with these faults, then gives the rows of the table, what the sink says, and how
/// often it met each cause.
fn five_rows_through(faults: Vec<Fault>) -> (String, Inserted, Vec<(Cause, u64)>) {
    let table = ids(&database());
    let proxy = Proxy::start(&SERVER.http_url(), faults);
    let mut settings = settings(&proxy.url());
    settings.timeout = Duration::from_secs(20);
    let sink = ClickHouse::new(settings).unwrap();
    let inserted = run(async {
        assert_eq!(sink.prepare(&table).await.unwrap(), Guarantee::Window { parts: 10_000 });
        sink.insert(&send(&id_block(&table, 0..5), "lane-1")).await.unwrap()
    });
    assert_eq!(proxy.faults_left(), 0);
    let met = sink.stats().failures().filter(|(_, count)| *count > 0).collect();
    (count_and_sum(&SERVER, &table), inserted, met)
}

#[test]
fn the_same_block_twice_is_one_block() {
    let table = ids(&database());
    let sink = sink();
    run(async {
        sink.prepare(&table).await.unwrap();
        for _ in 0..3 {
            sink.insert(&send(&id_block(&table, 0..5), "lane-1")).await.unwrap();
        }
        sink.insert(&send(&id_block(&table, 0..5), "lane-2")).await.unwrap();
    });
    assert_eq!(count_and_sum(&SERVER, &table), "10\t20");
}

#[test]
fn a_lost_answer_repeats_no_row() {
    let (rows, inserted, met) = five_rows_through(vec![Fault::LoseAnswer; 3]);
    assert_eq!(rows, "5\t10");
    assert_eq!(inserted.attempts, 4);
    assert_eq!(met, [(Cause::Broken, 3)]);
}

#[test]
fn half_a_request_leaves_no_row_behind() {
    let (rows, _, met) = five_rows_through(vec![Fault::CutRequest; 3]);
    assert_eq!(rows, "5\t10");
    assert_eq!(met, [(Cause::Broken, 3)]);
}

#[test]
fn too_many_parts_twenty_times_in_a_row() {
    let (rows, inserted, met) = five_rows_through(vec![Fault::Say(TOO_MANY_PARTS); 20]);
    assert_eq!(rows, "5\t10");
    assert_eq!(inserted.attempts, 21);
    assert_eq!(met, [(Cause::TooManyParts, 20)]);
}

#[test]
fn answers_that_say_nothing_certain_are_no_success_and_no_refusal() {
    let strange = [UNHEARD_OF, NOT_CLICKHOUSE, BAD_GATEWAY, STARTING, LATE_EXCEPTION, SHORT];
    let (rows, inserted, met) = five_rows_through(strange.map(Fault::Say).to_vec());
    assert_eq!(rows, "5\t10");
    assert_eq!(inserted.attempts, 7);
    let expected =
        [Cause::Unavailable, Cause::Resources, Cause::NoVerdict, Cause::NoVerdict, Cause::Short, Cause::UnknownCode];
    let met: Vec<_> = met.iter().flat_map(|(cause, count)| (0..*count).map(|_| *cause)).collect();
    assert_eq!(met, expected);
}

#[test]
fn a_server_that_never_answers_is_asked_again() {
    let table = ids(&database());
    run(sink().prepare(&table)).unwrap();
    let proxy = Proxy::start(&SERVER.http_url(), [Fault::Hang, Fault::Hang]);
    let mut settings = settings(&proxy.url());
    settings.timeout = Duration::from_millis(300);
    let sink = ClickHouse::new(settings).unwrap();
    run(sink.insert(&send(&id_block(&table, 0..5), "lane-1"))).unwrap();
    assert_eq!(count_and_sum(&SERVER, &table), "5\t10");
    assert!(sink.stats().failures().any(|(cause, count)| cause == Cause::Timeout && count >= 2));
}

#[test]
fn a_server_that_is_killed_gets_every_block_once_when_it_is_back() {
    const LANES: i64 = 40;
    let mut server = Server::start();
    let table = ids("db");
    let sink = Arc::new(ClickHouse::new(settings(&server.http_url())).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(sink.prepare(&table)).unwrap();
    runtime.block_on(sink.insert(&send(&id_block(&table, 0..100), "lane-0-1"))).unwrap();
    server.kill();

    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            let (sink, table) = (Arc::clone(&sink), Arc::clone(&table));
            runtime.spawn(async move {
                // The first is a repeat: its rows are in since before the kill.
                let block = id_block(&table, lane * 100..(lane + 1) * 100);
                sink.insert(&send(&block, &format!("lane-{lane}-1"))).await
            })
        })
        .collect();
    wait_until("all lanes wait", Duration::from_secs(30), || sink.stats().totals().waiting == LANES as u64);
    server.restart();
    for lane in lanes {
        runtime.block_on(lane).unwrap().unwrap();
    }
    let rows = LANES * 100;
    assert_eq!(count_and_sum(&server, &table), format!("{rows}\t{}", rows * (rows - 1) / 2));
    assert_eq!(sink.stats().totals().waiting, 0);
}

#[test]
fn a_view_on_the_table_gets_each_row_once() {
    let table = ids(&database());
    let proxy = Proxy::start(&SERVER.http_url(), [Fault::LoseAnswer, Fault::LoseAnswer]);
    let sink = ClickHouse::new(settings(&proxy.url())).unwrap();
    run(sink.prepare(&table)).unwrap();
    let target = format!("`{}`.sums", table.database);
    run_sql(&format!(
        "CREATE TABLE {target} (total Int64) ENGINE = MergeTree ORDER BY total SETTINGS non_replicated_deduplication_window = 100"
    ));
    let view = format!("`{}`.view", table.database);
    run_sql(&format!("CREATE MATERIALIZED VIEW {view} TO {target} AS SELECT sum(id) AS total FROM {}", table.quoted()));
    run(sink.insert(&send(&id_block(&table, 0..5), "lane-1"))).unwrap();
    assert_eq!(crate::rows(&format!("SELECT total FROM {target}")), ["10"]);
}

#[test]
fn a_wrong_password_is_an_error_that_does_not_show_it() {
    let mut settings = settings(&SERVER.http_url());
    settings.password = "hunter2".to_owned().into();
    let shown = format!("{settings:?}");
    let sink = ClickHouse::new(settings).unwrap();
    let table = ids(&database());
    let error = run(sink.insert(&send(&id_block(&table, 0..5), "lane-1"))).unwrap_err();
    assert!(matches!(error, SinkError::Denied { .. }), "{error}");
    assert!(error.to_string().contains("Authentication failed"), "{error}");
    assert!(matches!(run(sink.prepare(&table)), Err(SinkError::Denied { .. })));
    assert!(!format!("{shown} {sink:?} {error:?}").contains("hunter2"));
}

#[test]
fn an_address_that_leads_elsewhere_is_an_error() {
    let redirect = "HTTP/1.1 301 Moved Permanently\r\nLocation: https://elsewhere\r\n\r\n";
    let proxy = Proxy::start(&SERVER.http_url(), [Fault::Say(redirect)]);
    let sink = ClickHouse::new(settings(&proxy.url())).unwrap();
    let error = run(sink.insert(&send(&id_block(&ids("db"), 0..5), "lane-1"))).unwrap_err();
    assert!(matches!(&error, SinkError::Denied { message } if message.contains("https://elsewhere")), "{error}");
    for url in ["clickhouse:8123", "http://user:secret@host:8123", "ftp://host", ""] {
        let error = ClickHouse::new(settings(url)).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn rows_that_the_server_refuses_are_refused_once() {
    let table = ids(&database());
    let sink = sink();
    run(sink.prepare(&table)).unwrap();
    run_sql(&format!("ALTER TABLE {} ADD CONSTRAINT small CHECK id < 3", table.quoted()));
    let error = run(sink.insert(&send(&id_block(&table, 0..5), "lane-1"))).unwrap_err();
    assert!(matches!(error, SinkError::Refused { code: 469, rows: 5, .. }), "{error}");
    assert_eq!(count_and_sum(&SERVER, &table), "0\t0");
    // A server that refuses early may also close the connection before it was read: that is repeated, a refusal is not.
    assert!(sink.stats().failures().any(|met| met == (Cause::Rows, 1)));
}

#[test]
fn a_table_that_is_gone_is_an_error_of_the_table() {
    let table = ids(&database());
    let sink = sink();
    run(sink.prepare(&table)).unwrap();
    run_sql(&format!("DROP TABLE {}", table.quoted()));
    let error = run(sink.insert(&send(&id_block(&table, 0..5), "lane-1"))).unwrap_err();
    assert!(matches!(error, SinkError::Table { .. }), "{error}");
    run(sink.prepare(&table)).unwrap();
    run(sink.insert(&send(&id_block(&table, 0..5), "lane-1"))).unwrap();
    assert_eq!(count_and_sum(&SERVER, &table), "5\t10");
}
