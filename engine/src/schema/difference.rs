//! Lines in which two texts differ.

/// A text of so many lines is compared with one of so many: beyond, all of both are said to differ.
const MOST_LINES: usize = 2_000;

/// The lines that only the first text has, after `- `, and those that only the second has, after `+ `, in their order.
pub(super) fn difference(before: &str, after: &str) -> Vec<String> {
    let before: Vec<&str> = before.lines().map(str::trim_end).collect();
    let after: Vec<&str> = after.lines().map(str::trim_end).collect();
    let minus = |line: &&str| format!("- {line}");
    let plus = |line: &&str| format!("+ {line}");
    if before.len().max(after.len()) > MOST_LINES {
        return before.iter().map(minus).chain(after.iter().map(plus)).collect();
    }
    let common = common(&before, &after);
    let (mut lines, mut b, mut a) = (Vec::new(), 0, 0);
    for (in_before, in_after) in common.into_iter().chain([(before.len(), after.len())]) {
        lines.extend(before[b..in_before].iter().map(minus));
        lines.extend(after[a..in_after].iter().map(plus));
        (b, a) = (in_before + 1, in_after + 1);
    }
    lines
}

/// Places of the lines of a longest common sequence.
fn common(before: &[&str], after: &[&str]) -> Vec<(usize, usize)> {
    // How long the common sequence of both rests is.
    let mut length = vec![vec![0_u16; after.len() + 1]; before.len() + 1];
    for b in (0..before.len()).rev() {
        for a in (0..after.len()).rev() {
            let longer = length[b + 1][a].max(length[b][a + 1]);
            length[b][a] = if before[b] == after[a] { length[b + 1][a + 1] + 1 } else { longer };
        }
    }
    let (mut places, mut b, mut a) = (Vec::new(), 0, 0);
    while b < before.len() && a < after.len() {
        if before[b] == after[a] {
            places.push((b, a));
            (b, a) = (b + 1, a + 1);
        } else if length[b + 1][a] >= length[b][a + 1] {
            b += 1;
        } else {
            a += 1;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_differ_are_said_in_their_order() {
        let cases: [(&str, &str, &[&str]); 5] = [
            ("a\nb\nc", "a\nb\nc", &[]),
            ("a\nb\nc", "a\nx\nc", &["- b", "+ x"]),
            ("a\nc", "a\nb\nc", &["+ b"]),
            ("a\nb", "", &["- a", "- b"]),
            ("a\nb\nb", "b\na\nb", &["- a", "+ a"]),
        ];
        for (before, after, expected) in cases {
            let lines = difference(before, after);
            let changed = lines.len() == expected.len() && lines.iter().all(|line| expected.contains(&line.as_str()));
            assert!(changed, "{before:?} {after:?}: {lines:?}");
        }
    }
}
