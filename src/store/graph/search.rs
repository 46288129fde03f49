//! Searching by the graph, where that is worth it.
//!
//! The graph proposes; what is answered is scored from the rows, and rows that are not linked yet are compared
//! with as ever. A search gives up, and leaves the query to the scan, when too few rows are linked, when nearly all
//! are asked for, when a filter means so few that looking for them by walking would take longer than comparing
//! with them, and when a walk finds less than was wanted.

use super::chart::{Chart, FROM};
use super::ground::{Ground, Towards, row};
use super::walk::{Aim, Walker};
use crate::store::block::Snapshot;
use crate::store::filter::Filter;
use crate::store::search::{Best, Candidate, Query, Wanted, in_parallel, workers};

/// Nodes kept in sight by default.
const SIGHT: usize = 160;
/// Entries that are asked to estimate how many a filter means.
const SAMPLE: usize = 512;
/// A filter that means less than one entry in so many is looked for by comparing.
const NARROW: usize = 8;
/// A walk that has scored one row in so many costs what comparing with all would.
const TOO_LONG: usize = 4;
/// Queries that a thread takes at a time at most: few, as some walks are longer than others.
const AT_ONCE: usize = 8;

/// The best rows for each query; `None` for one that must be compared with all rows.
pub(in crate::store) fn search<'block>(
    snapshot: &'block Snapshot,
    chart: &Chart,
    queries: &[Query<'_>],
    wanted: Wanted<'_>,
) -> Vec<Option<Best<'block>>> {
    let none = || queries.iter().map(|_| None).collect();
    let rows = snapshot.len();
    let sight = wanted.sight.unwrap_or(SIGHT).max(wanted.top_k);
    let charted = rows == chart.live + chart.pending.len();
    if rows < FROM
        || !charted
        || chart.pending.len() > chart.live
        || sight.saturating_mul(16) > rows
    {
        return none();
    }
    if wanted.filter.is_some_and(|filter| is_narrow(snapshot, chart, filter)) {
        return none();
    }
    let dimensions = snapshot.dimensions.unwrap_or_default();
    let work = (sight * 16 + chart.pending.len()).saturating_mul(dimensions);
    let workers = workers(work.saturating_mul(queries.len()));
    let share = queries.len().div_ceil(workers).min(AT_ONCE);
    let parts = in_parallel(queries, share, workers, |queries| {
        let mut walker = Walker::default();
        let walk = |query| walk(snapshot, chart, query, wanted, sight, &mut walker);
        queries.iter().map(walk).collect::<Vec<_>>()
    });
    parts.into_iter().flatten().collect()
}

/// Whether few entries are meant, as far as some of them tell.
fn is_narrow(snapshot: &Snapshot, chart: &Chart, filter: &Filter) -> bool {
    let stride = chart.places.len().div_ceil(SAMPLE).max(1);
    let places = chart.places.iter().step_by(stride);
    let (mut asked, mut meant) = (0, 0);
    for row in places.filter_map(|place| row(snapshot, *place)) {
        asked += 1;
        meant += usize::from(filter.matches(&row.entry.metadata));
    }
    meant * NARROW < asked
}

fn walk<'block>(
    snapshot: &'block Snapshot,
    chart: &Chart,
    query: &Query<'_>,
    wanted: Wanted<'_>,
    sight: usize,
    walker: &mut Walker,
) -> Option<Best<'block>> {
    let ground = Ground::new(snapshot, &chart.places, wanted.metric);
    let meant = |place| match wanted.filter {
        None => true,
        Some(filter) => row(snapshot, place).is_some_and(|row| filter.matches(&row.entry.metadata)),
    };
    let towards = Towards::new(ground, |vector| query.order(vector));
    walker.begin(&chart.graph, chart.live / TOO_LONG);
    let starts = walker.descend(&chart.graph, 0, &towards);
    let aim = Aim { layer: 0, count: sight, twins: true };
    let near = walker.layer(&chart.graph, aim, &starts, &towards, meant);
    if walker.gave_up() || near.len() < wanted.top_k.min(chart.live) {
        return None;
    }
    let mut best = Best::new(wanted.top_k);
    for near in near {
        let row = row(snapshot, near.place)?;
        best.offer(Candidate { score: near.score, sequence: row.sequence, entry: row.entry });
    }
    let pending = chart.pending.iter().filter(|place| meant(**place));
    query.scan(pending.filter_map(|place| row(snapshot, *place)), &mut best);
    Some(best)
}
