//! Groups of newcomers that nothing would lead to.
//!
//! Rows come in the order of their documents, and the first of a new subject are more alike to each other than to
//! anything that was there before. They choose each other, and what they choose besides has nearer neighbours than
//! them and forgets them. So one of each such group is put into the layers where walks begin.

use std::collections::BTreeMap;

/// What a newcomer has found, and its level.
pub(super) struct Member<'links> {
    pub(super) level: usize,
    pub(super) links: &'links [u32],
    /// A node with the same vector that it hangs on.
    pub(super) twin: Option<u32>,
    /// Whether some of the most alike to it are in the graph.
    pub(super) at_home: bool,
}

/// Of each group without a member that is at home among the `first` nodes of the graph, the number of the highest
/// member. Links make groups whichever way they lead. Where the graph was empty, the group of the highest of all is
/// left out.
pub(super) fn islands(first: u32, members: &[Member<'_>]) -> Vec<usize> {
    let mainland = match first {
        0 => highest(members.iter().map(|member| member.level).enumerate()).unwrap_or_default(),
        _ => members.len(),
    };
    let mut groups: Vec<usize> = (0..=members.len()).collect();
    for (at, member) in members.iter().enumerate() {
        if member.at_home || member.twin.is_some_and(|twin| twin < first) {
            join(&mut groups, at, mainland);
        }
        let mates = member.links.iter().chain(&member.twin);
        let mates = mates.filter_map(|link| link.checked_sub(first));
        mates.for_each(|mate| join(&mut groups, at, mate as usize));
    }
    let main = groups.get(mainland).copied();
    let mut apart: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
    for ((at, member), group) in members.iter().enumerate().zip(groups) {
        if Some(group) != main && member.twin.is_none() {
            apart.entry(group).or_default().push((at, member.level));
        }
    }
    apart.into_values().filter_map(highest).collect()
}

/// The first of those with the highest level.
fn highest(members: impl IntoIterator<Item = (usize, usize)>) -> Option<usize> {
    let higher =
        |one: (usize, usize), next: (usize, usize)| if next.1 > one.1 { next } else { one };
    members.into_iter().reduce(higher).map(|(at, _)| at)
}

/// Makes the groups of both one.
fn join(groups: &mut [usize], one: usize, other: usize) {
    let (Some(kept), Some(joined)) = (groups.get(one).copied(), groups.get(other).copied()) else {
        return;
    };
    if kept != joined {
        groups.iter_mut().filter(|group| **group == joined).for_each(|group| *group = kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(level: usize, links: &[u32]) -> Member<'_> {
        Member { level, links, twin: None, at_home: false }
    }

    #[test]
    fn groups_that_nothing_leads_to_are_found() {
        // Nodes 0 to 9 were there. Of the newcomers 10 is at home, 12 over 10 and 11 over 12; 13 to 15 and 16 are not.
        let links: [&[u32]; 7] = [&[3, 12], &[12], &[10], &[14, 3], &[15], &[], &[]];
        let levels = [0, 0, 1, 0, 1, 1, 0];
        let members = levels.iter().zip(links).map(|(level, links)| member(*level, links));
        let mut members: Vec<_> = members.collect();
        members[0].at_home = true;
        assert_eq!(islands(10, &members), [4, 6]);
        // A twin belongs to what it hangs on, and is nothing to begin with.
        members.push(Member { twin: Some(16), ..member(3, &[]) });
        assert_eq!(islands(10, &members), [4, 6]);
        members.push(Member { twin: Some(9), ..member(3, &[17]) });
        assert_eq!(islands(10, &members), [4]);
    }

    #[test]
    fn of_the_first_rows_one_group_is_where_all_begins() {
        let members = [member(0, &[1]), member(0, &[0]), member(1, &[3]), member(0, &[])];
        assert_eq!(islands(0, &members), [0]);
        assert_eq!(islands(0, &[]), [0; 0]);
    }
}
