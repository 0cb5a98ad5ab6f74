//! Virtual routers that change hands together: `status -o wide`.

use super::grid::{Cell, Grid, Tone};
use super::safe;
use crate::view::Status;
use std::collections::BTreeMap;

/// Every sync group of every node, one row each; none where there are none.
pub(crate) fn grid(status: &Status) -> Option<Grid> {
    let mut members: BTreeMap<(&str, &str), Vec<_>> = BTreeMap::new();
    for on in status.routers.iter().flat_map(|group| &group.nodes) {
        if let Some(group) = &on.router.sync_group {
            members.entry((&group.name, &on.node)).or_default().push((&on.router.name, group));
        }
    }
    let mut grid = Grid::new(&["SYNC GROUP", "NODE", "STATE", "VIRTUAL ROUTERS", "WAITS FOR"]);
    for ((name, node), members) in members {
        let Some((_, group)) = members.first() else { continue };
        let tone = match group.state.as_str() {
            "fault" => Tone::Bad,
            "master" => Tone::Good,
            _ if group.waits_for.is_some() => Tone::Odd,
            _ => Tone::Plain,
        };
        let routers: Vec<_> = members.iter().map(|(router, _)| safe(router)).collect();
        let waits = group.waits_for.as_ref().map_or("-".to_owned(), |waits| safe(&waits.text()));
        grid.rows.push(vec![
            safe(name).into(),
            safe(node).into(),
            Cell::new(&group.state, tone),
            routers.join(", ").into(),
            waits.into(),
        ]);
    }
    Some(grid).filter(|grid| !grid.rows.is_empty())
}

#[cfg(test)]
mod tests {
    use crate::output::status::{Style, text};
    use crate::view::samples::{Sample, status as of};
    use hacluster_proto::v1;

    /// A member of the group that waits for VI_52.
    fn member(sample: Sample, name: &str, vrid: u32, state: v1::State) -> Sample {
        sample.router(name, vrid, state, 100).with(|router| {
            router.sync_group = "BOTH".into();
            router.group = Some(v1::SyncGroup {
                state: v1::State::Backup.into(),
                waits_for: "VI_52".into(),
                waits_because: "it does not run".into(),
            });
        })
    }

    #[test]
    fn a_backup_that_waits_for_its_group_says_so() {
        let node = member(Sample::node("left"), "VI_51", 51, v1::State::Backup).hears("192.0.2.99", 50);
        let status = of(vec![node]);
        let why = status.routers[0].why_not.as_ref().expect("a reason");
        assert_eq!(why.text, "left waits for VI_52 of its sync group BOTH: it does not run");
        assert!(status.notes.iter().any(|note| note.kind == "waits_for_group"), "{:?}", status.notes);
        let alone = member(Sample::node("left"), "VI_51", 51, v1::State::Backup);
        let text = &of(vec![alone]).warnings[0].text;
        assert!(text.contains("nobody rules") && text.contains("VI_52 of its sync group"), "{text}");
    }

    #[test]
    fn a_group_says_for_whom_it_waits() {
        let node = member(Sample::node("left"), "VI_51", 51, v1::State::Backup);
        let node = member(node, "VI_52", 52, v1::State::Initialize);
        let shown = text(&of(vec![node]), Style { wide: true, color: false, columns: 80 });
        let row = shown.lines().find(|line| line.starts_with("BOTH")).expect("a row");
        let words: Vec<_> = row.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
        assert_eq!(words, ["BOTH", "left", "backup", "VI_51, VI_52", "VI_52: it does not run"], "{shown}");
    }
}
