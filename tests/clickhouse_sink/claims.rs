//! Who may insert, and what becomes of a block whose outcome nobody knows, beyond the window as well.

#![expect(clippy::unwrap_used, reason = "tests")]

use engine::sink::{Provenance, bronze_block, bronze_table};

use super::*;

/// A block of a table with the engine's columns.
fn rows(table: &Arc<Table>, epoch: u64, rows: i64) -> Block {
    let lane = lane();
    let of =
        Provenance { lane: &lane, plugin_digest: "", made_by: None, generation: 1, epoch, now_ms: 1_700_000_000_000 };
    let messages: Vec<_> = (0..rows)
        .map(|offset| engine::batch::Message::owned(offset, None, Some(b"k".to_vec()), Some(b"v".to_vec()), Vec::new()))
        .collect();
    bronze_block(table, of, &messages)
}

fn bronze(database: &str) -> Arc<Table> {
    Arc::new(bronze_table(database, "b"))
}

async fn claimed(sink: &ClickHouse, table: &Arc<Table>, owner: u64) -> Arc<Claim> {
    Arc::new(sink.claim(&lane(), Owner(owner), std::slice::from_ref(table)).await.expect("a claim"))
}

fn sending(block: &Block, token: &str, mark: Option<u64>, again: bool, claim: &Arc<Claim>) -> Sending {
    Sending { block: block.clone(), token: token.into(), mark, again, claim: claim.clone() }
}

/// The server, asked with the blocking client in a thread of its own: here is an async context.
fn sql(statement: &str) -> String {
    std::thread::scope(|threads| threads.spawn(|| SERVER.query(statement)).join().expect("the server answers"))
}

fn count(table: &Table) -> String {
    sql(&format!("SELECT count(), uniqExact(_epoch, _row) FROM {}", table.quoted())).trim().to_owned()
}

/// GIVEN two owners of a lane, WHEN the former one inserts, THEN the server refuses it, and the later one goes on.
#[test]
fn a_former_owner_is_refused_by_the_server() {
    let (sink, table) = (sink(), bronze(&database()));
    run(async {
        sink.prepare(&table).await.unwrap();
        let former = claimed(&sink, &table, 1).await;
        sink.insert(&sending(&rows(&table, 1, 10), "e1", None, false, &former)).await.unwrap();
        let present = claimed(&sink, &table, 2).await;
        let error = sink.insert(&sending(&rows(&table, 2, 10), "e2", None, false, &former)).await.unwrap_err();
        assert!(error.to_string().contains("owner 2 has it now, this engine is owner 1"), "{error}");
        sink.insert(&sending(&rows(&table, 2, 10), "e2", None, false, &present)).await.unwrap();

        let error = sink.claim(&lane(), Owner(1), std::slice::from_ref(&table)).await.unwrap_err();
        assert!(error.to_string().contains("owner 2 has it now"), "an old journal: {error}");
    });
    assert_eq!(count(&table), "20\t20");
}

/// GIVEN two processes that took the same owner's number, from copies of one journal, THEN one of them goes on.
#[test]
fn of_two_copies_of_a_journal_one_goes_on() {
    let (sink, table) = (sink(), bronze(&database()));
    run(async {
        sink.prepare(&table).await.unwrap();
        let (lane, tables) = (lane(), [table.clone()]);
        let (a, b) = tokio::join!(sink.claim(&lane, Owner(5), &tables), sink.claim(&lane, Owner(5), &tables));
        let mut landed = 0;
        for claim in [a, b].into_iter().flatten() {
            let sent = sink.insert(&sending(&rows(&table, 1, 7), "e1", None, false, &Arc::new(claim))).await;
            match sent {
                Ok(_) => landed += 1,
                Err(error) => assert!(error.to_string().contains("a copy of this journal"), "{error}"),
            }
        }
        assert_eq!(landed, 1);
    });
    assert_eq!(count(&table), "7\t7");
}

/// GIVEN a block of which one table partition landed, and a window that has forgotten it, WHEN it is sent again, THEN what
/// was missing is in, once.
#[test]
fn beyond_the_window_rows_are_counted_and_the_missing_ones_sent() {
    let (sink, table) = (sink(), bronze(&database()));
    run(async {
        sink.prepare(&table).await.unwrap();
        let claim = claimed(&sink, &table, 1).await;
        let whole = rows(&table, 3, 100);
        sink.insert(&sending(&whole, "e3", None, false, &claim)).await.unwrap();
        sql(&format!("ALTER TABLE {} DELETE WHERE _row % 3 = 1 SETTINGS mutations_sync = 1", table.quoted()));
        assert_eq!(count(&table), "67\t67");

        let after_a_crash = claimed(&sink, &table, 2).await;
        // The server still knows the token, and would drop the missing rows with it: this is what the window must not be
        // trusted with.
        sql(&format!("ALTER TABLE {} MODIFY SETTING non_replicated_deduplication_window = 0", table.quoted()));
        sink.prepare(&table).await.unwrap();
        sink.insert(&sending(&whole, "e3", None, true, &after_a_crash)).await.unwrap();
        assert_eq!(count(&table), "100\t100");
        sink.insert(&sending(&whole, "e3", None, true, &after_a_crash)).await.unwrap();
        assert_eq!(count(&table), "100\t100", "nothing is missing, so nothing is sent");

        sql(&format!("INSERT INTO {0} SELECT * FROM {0} WHERE _row = 5", table.quoted()));
        let error = sink.insert(&sending(&whole, "e3", None, true, &after_a_crash)).await.unwrap_err();
        assert!(error.to_string().contains("rows that no epoch made"), "{error}");
    });
}

/// GIVEN a mark within the window, WHEN a block is sent again, THEN its token decides; WHEN other writers have added more
/// parts than the window holds, THEN its rows are counted.
#[test]
fn a_mark_tells_whether_the_token_is_still_known() {
    let (sink, table) = (sink(), bronze(&database()));
    run(async {
        sink.prepare(&table).await.unwrap();
        sql(&format!("ALTER TABLE {} MODIFY SETTING non_replicated_deduplication_window = 10", table.quoted()));
        sink.prepare(&table).await.unwrap();
        let claim = claimed(&sink, &table, 1).await;
        let mark = sink.mark(&table).await;
        assert!(mark.is_some());
        let block = rows(&table, 1, 50);
        sink.insert(&sending(&block, "e1", mark, false, &claim)).await.unwrap();
        sink.insert(&sending(&block, "e1", mark, true, &claim)).await.unwrap();
        assert_eq!(count(&table), "50\t50");
        for epoch in 2..12 {
            sink.insert(&sending(&rows(&table, epoch, 1), &format!("e{epoch}"), mark, false, &claim)).await.unwrap();
        }
        sink.insert(&sending(&block, "e1", mark, true, &claim)).await.unwrap();
        assert_eq!(count(&table), "60\t60", "the token was forgotten ten parts ago");
    });
}

/// GIVEN rows of later epochs, WHEN a journal knows less, THEN that is seen.
#[test]
fn a_table_that_is_ahead_of_the_journal_is_seen() {
    let (sink, table) = (sink(), bronze(&database()));
    run(async {
        sink.prepare(&table).await.unwrap();
        let claim = claimed(&sink, &table, 1).await;
        sink.insert(&sending(&rows(&table, 9, 3), "e9", None, false, &claim)).await.unwrap();
        let column = |epoch| engine::sink::epoch_column(1, epoch);
        assert!(sink.holds_later(&table, &lane(), column(8), 0).await.unwrap());
        assert!(!sink.holds_later(&table, &lane(), column(9), 0).await.unwrap());
        let other = LaneId { partition: 4, ..lane() };
        assert!(!sink.holds_later(&table, &other, column(8), 0).await.unwrap());
    });
}
