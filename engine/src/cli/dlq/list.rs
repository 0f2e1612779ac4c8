//! `engine dlq list`.

use std::process::ExitCode;

use super::{DlqError, ListArgs, in_time};
use crate::dead_letters::Group;
use crate::offsets::PluginKey;

pub(super) async fn list(args: &ListArgs) -> Result<ExitCode, DlqError> {
    let config = args.at.config()?;
    let filter = args.which.filter(args.all)?;
    let (tables, whole) = args.at.tables(&config, args.which.plugin.as_ref()).await?;
    let mut groups = Vec::new();
    for letters in tables {
        groups.extend(in_time(&config, letters.groups(&filter)).await?);
    }
    if args.json {
        for group in &groups {
            println!("{}", serde_json::to_string(group).expect("text and numbers"));
        }
    } else {
        groups.iter().for_each(show);
        println!("{}", total(&groups, args.all));
    }
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(group: &Group) {
    let column = if group.column.is_empty() { String::new() } else { format!(" column {}", group.column) };
    let plugin = PluginKey::new(&group.tenant, &group.plugin);
    println!("{:>9}  {plugin} {} {}{column}", group.letters, group.stage, group.code);
    println!("{:11}{} to {} UTC, {}", "", group.first, group.last, group.topics.join(", "));
    println!("{:11}{}", "", group.reason);
    let states = [
        (group.failed_again, "failed again when they were replayed"),
        (group.interrupted, "in a replay that was interrupted: the next one ends it"),
        (group.cut, "hold only the beginning of their message, and can't be replayed"),
    ];
    for (letters, what) in states.into_iter().filter(|(letters, _)| *letters > 0) {
        println!("{:11}{letters} {what}", "");
    }
}

fn total(groups: &[Group], all: bool) -> String {
    let letters: u64 = groups.iter().map(|group| group.letters).sum();
    let state = if all { "" } else { "open " };
    format!("{letters} {state}{}", if letters == 1 { "letter" } else { "letters" })
}
