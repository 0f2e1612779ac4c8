//! `engine recover`: an operator's decision to go on elsewhere in a topic. Nothing is skipped without it.

use std::process::ExitCode;

use super::args::RecoverArgs;
use crate::disposition::in_words;
use crate::journal::{Journal, JournalError, LocalJournal};
use crate::offsets::LaneId;

/// Where a lane goes on.
#[derive(Clone, Copy)]
enum From {
    /// Where a new lane begins.
    Start,
    /// Where it stands; only its generation is raised.
    Here,
    Offset(i64),
}

/// The command.
pub(super) fn recover(args: &RecoverArgs) -> ExitCode {
    let from = match args.from.as_str() {
        "start" => From::Start,
        "here" => From::Here,
        offset => match offset.parse::<i64>() {
            Ok(offset) if offset >= 0 => From::Offset(offset),
            Ok(_) | Err(_) => {
                eprintln!("flag --from: neither an offset nor `start` nor `here`");
                return ExitCode::from(2);
            }
        },
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("engine: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(restart_lanes(args, from)) {
        Ok(0) => {
            eprintln!(
                "the journal in {} knows no lane of plugin {} on topic {}",
                args.data_dir.display(),
                args.plugin,
                args.topic
            );
            ExitCode::from(2)
        }
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("engine: {}", in_words(&error));
            ExitCode::FAILURE
        }
    }
}

async fn restart_lanes(args: &RecoverArgs, from: From) -> Result<usize, JournalError> {
    let journal = LocalJournal::open(&args.data_dir)?;
    let meant = |lane: &LaneId| {
        lane.key() == args.plugin
            && lane.topic == args.topic
            && args.partition.is_none_or(|partition| partition == lane.partition)
    };
    let lanes: Vec<_> = journal.lanes()?.into_iter().filter(|(lane, ..)| meant(lane)).collect();
    let raise = raise(lanes.iter().map(|(_, position, _)| position.generation));
    for (lane, old, open) in &lanes {
        let next_offset = match from {
            From::Start => None,
            From::Here => old.next_offset,
            From::Offset(offset) => Some(offset),
        };
        let new = old.restarted(old.generation.saturating_add(raise), next_offset);
        journal.restart(lane, new.clone()).await?;
        let place =
            |offset: Option<i64>| offset.map_or_else(|| "its start".to_owned(), |offset| format!("offset {offset}"));
        let forgotten = if old.state_versions.is_empty() { "" } else { ", what the plugin remembered forgotten" };
        println!(
            "{lane}: generation {} → {}, {} → {}; {open} open epochs given up{forgotten}",
            old.generation,
            new.generation,
            place(old.next_offset),
            place(new.next_offset),
        );
    }
    Ok(lanes.len())
}

/// By how much the generations of lanes are raised, so that each is above all that there were and their order stays:
/// partitions that came later have greater ones, as their keys' rows are the newer ones.
pub(super) fn raise(generations: impl Iterator<Item = u16> + Clone) -> u16 {
    let (least, most) = (generations.clone().min().unwrap_or(0), generations.max().unwrap_or(0));
    (most - least).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::raise;

    #[test]
    fn generations_go_above_all_there_were() {
        for (generations, expected) in [(vec![], 1), (vec![1, 1], 1), (vec![1, 2, 2], 2), (vec![5], 1)] {
            assert_eq!(raise(generations.iter().copied()), expected, "{generations:?}");
        }
    }
}
