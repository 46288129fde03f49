//! Seams known in advance: offsets with ranks, walls, and what is kept whole.
//!
//! A strategy that reads its text once pushes what it finds, in order, and lets this list answer.
//! An answer costs a binary search and one walk over the seams of the window.

use std::ops::Range;

use super::seams::Seams;

/// Seams in order of their offsets. Rank 0 is the coarsest.
#[derive(Debug)]
pub(in crate::split) struct Ranked {
    offsets: Vec<usize>,
    /// One a seam; apart from the offsets, so that a seam takes nine bytes and not sixteen.
    ranks: Vec<u8>,
    walls: Vec<usize>,
    whole: Vec<Range<usize>>,
    /// The finest rank at which repeated text may begin.
    resume: u8,
}

impl Ranked {
    /// No seams yet; repeated text may begin at seams of rank `resume` or coarser.
    pub(in crate::split) const fn new(resume: u8) -> Self {
        Self {
            offsets: Vec::new(),
            ranks: Vec::new(),
            walls: Vec::new(),
            whole: Vec::new(),
            resume,
        }
    }

    /// Adds a seam behind those already there. One at the same offset keeps the coarser rank; one at
    /// 0 or before the last separates nothing and is dropped.
    pub(in crate::split) fn push(&mut self, at: usize, rank: u8) {
        match (self.offsets.last(), self.ranks.last_mut()) {
            (Some(last), Some(known)) if *last == at => *known = rank.min(*known),
            (Some(last), _) if *last > at => {}
            _ if at == 0 => {}
            _ => {
                self.offsets.push(at);
                self.ranks.push(rank);
            }
        }
    }

    /// Adds an offset that no chunk may span.
    pub(in crate::split) fn wall_at(&mut self, at: usize) {
        if at > self.walls.last().copied().unwrap_or(0) {
            self.walls.push(at);
        }
    }

    /// Adds what is to be kept in one piece. Of ranges that lie in each other the outer one counts,
    /// so it has to be added first.
    pub(in crate::split) fn keep(&mut self, range: Range<usize>) {
        let free = self.whole.last().map_or(0, |last| last.end);
        if range.start >= free && range.start + 1 < range.end {
            self.whole.push(range);
        }
    }

    /// The coarsest seam in `after + 1..=upto` (of equals, the last) and its rank.
    pub(in crate::split) fn coarsest(&self, after: usize, upto: usize) -> Option<(usize, u8)> {
        let first = self.offsets.partition_point(|at| *at <= after);
        let offsets = self.offsets.get(first..)?.iter();
        let window = offsets.zip(self.ranks.get(first..)?).take_while(|(at, _)| **at <= upto);
        let mut best: Option<(usize, u8)> = None;
        for (at, rank) in window {
            if best.is_none_or(|(_, coarsest)| *rank <= coarsest) {
                best = Some((*at, *rank));
            }
        }
        best
    }

    /// The range kept whole that `at` stands inside of.
    pub(in crate::split) fn around(&self, at: usize) -> Option<Range<usize>> {
        let index = self.whole.partition_point(|range| range.end <= at);
        self.whole.get(index).filter(|range| range.start < at).cloned()
    }

    /// Whether text repeated before `before` may begin at `at`: not in the middle of something kept
    /// whole, unless that was too large and the chunk begins inside of it as well.
    pub(in crate::split) fn may_resume(&self, at: usize, before: usize) -> bool {
        self.around(at).is_none_or(|range| before < range.end)
    }
}

impl Seams for Ranked {
    fn best(&mut self, after: usize, upto: usize) -> Option<usize> {
        self.coarsest(after, upto).map(|(at, _)| at)
    }

    fn resume(&mut self, from: usize, before: usize) -> Option<usize> {
        let first = self.offsets.partition_point(|at| *at < from);
        let offsets = self.offsets.get(first..)?.iter();
        let mut window = offsets.zip(self.ranks.get(first..)?).take_while(|(at, _)| **at < before);
        window
            .find(|(at, rank)| **rank <= self.resume && self.may_resume(**at, before))
            .map(|(at, _)| *at)
    }

    fn wall(&mut self, after: usize) -> Option<usize> {
        self.walls.get(self.walls.partition_point(|at| *at <= after)).copied()
    }

    fn whole(&mut self, at: usize) -> Option<Range<usize>> {
        self.around(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarsest_wins_and_of_equals_the_last() {
        let mut ranked = Ranked::new(1);
        for (at, rank) in [(0, 0), (3, 1), (5, 0), (7, 1), (9, 1), (9, 2), (8, 0)] {
            ranked.push(at, rank);
        }
        assert_eq!(ranked.best(0, 100), Some(5));
        assert_eq!(ranked.best(5, 100), Some(9));
        assert_eq!(ranked.best(5, 8), Some(7));
        assert_eq!(ranked.best(9, 100), None);
        assert_eq!(ranked.best(5, 5), None);
        assert_eq!(ranked.best(7, 3), None);
    }

    #[test]
    fn what_is_kept_whole_is_entered_only_from_inside() {
        let mut ranked = Ranked::new(3);
        ranked.keep(10..20);
        ranked.keep(12..14);
        for (at, rank) in [(5, 4), (12, 3), (15, 3), (22, 0)] {
            ranked.push(at, rank);
        }
        assert_eq!(ranked.whole(10), None);
        assert_eq!(ranked.whole(13), Some(10..20));
        assert_eq!(ranked.whole(20), None);
        assert_eq!(ranked.resume(0, 30), Some(22), "not inside, and not at too fine a seam");
        assert_eq!(ranked.resume(0, 18), Some(12), "the chunk begins inside as well");
    }

    #[test]
    fn walls_are_found_in_order() {
        let mut ranked = Ranked::new(0);
        for at in [0, 4, 4, 9] {
            ranked.wall_at(at);
        }
        assert_eq!(ranked.wall(0), Some(4));
        assert_eq!(ranked.wall(4), Some(9));
        assert_eq!(ranked.wall(9), None);
    }
}
