//! Parsing with a bound on the work.
//!
//! Tree-sitter always gives a tree, but on text that is not in its language that can take it gigabytes
//! and minutes: it pursues several readings at once, and where they never become one it copies them
//! all at the end. It does not say how many errors it met before that, except in its log. As writing
//! the log takes twice the time of parsing, only one stretch in eight is logged. All work is counted and
//! not timed, so that the same text is always cut the same way.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tree_sitter::{LogType, Node, ParseOptions, ParseState, Parser, Point, Tree};

use super::super::super::measure::{boundary_before, slice};
use super::languages::Language;

/// Bytes handed to the parser at once: what it reads twice is counted in these.
const READ: usize = 512;

/// How often the parser may read its text before it is stopped. Of 1350 files in seven languages the
/// worst took 9.4, the median 1.7.
const READ_LIMIT: usize = 16;

/// Parser steps a byte before it is stopped. The same files: 4.0 at worst, 0.6 in the median.
const STEP_LIMIT: usize = 6;

/// The parser asks whether to go on once in this many steps. One asking to the next is a stretch.
const STEPS_PER_STRETCH: usize = 100;

/// Stretches or reads that even the smallest text may cause.
const LEAST_WORK: usize = 50;

/// Stretches between two that are logged: from 1 to this, 7 on average.
const LONGEST_UNLOGGED: u64 = 13;

/// Errors met in logged stretches before the parser is stopped. Text without any sense has about 100
/// in a stretch; of 500 files in five languages, one in a hundred has more than this in 64 KiB.
const ERROR_LIMIT: usize = 60;

/// Logged stretches in a row during which there never was a single reading of the text.
const AMBIGUITY_LIMIT: usize = 3;

/// Brackets open at once before text is not parsed. The parser calls itself for each of them where
/// two readings of the text meet, so that thousands exhaust the stack.
const DEEPEST_BRACKETS: usize = 200;

/// Angle brackets open in one statement. Each of them may be a comparison or the start of type
/// arguments: as many readings of the text as there are brackets.
const DEEPEST_ANGLES: usize = 50;

/// Stack of the thread that parses. The parser is C that calls itself, and a stack that overflows ends
/// the process; half a megabyte was enough for thirty thousand texts made to be hard.
const STACK: usize = 32 << 20;

/// The syntax tree of `source`; `None` when nothing in it makes sense, or it takes more work than any
/// program needs.
pub(super) fn parse(source: &str, language: Language) -> Option<Tree> {
    if nests_deeply(source) {
        return None;
    }
    // Callers' stacks may be small: threads of Python's have half a megabyte on some systems.
    thread::scope(|scope| {
        let parser = thread::Builder::new().stack_size(STACK);
        parser.spawn_scoped(scope, || parse_here(source, language)).ok()?.join().ok()?
    })
}

fn parse_here(source: &str, language: Language) -> Option<Tree> {
    let mut work = Work::new(source);
    let mut parser = Parser::new();
    parser.set_language(&language.grammar()).ok()?;
    loop {
        let stretches = work.begin_stretches(&mut parser);
        let mut asked = 0;
        let mut progress = |_: &ParseState| {
            asked += 1;
            if asked < stretches { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let options = ParseOptions::new().progress_callback(&mut progress);
        let mut read = |at: usize, _: Point| work.read(source, at);
        // Without a tree the parser was stopped, and goes on when it is called again.
        let tree = parser.parse_with_options(&mut read, None, Some(options));
        work.stretches = work.stretches.checked_sub(asked.max(1))?;
        if work.is_exhausted() {
            return None;
        }
        if let Some(tree) = tree {
            return is_sensible(&tree).then_some(tree);
        }
    }
}

/// Whether more of the text was understood than was not.
fn is_sensible(tree: &Tree) -> bool {
    let root = tree.root_node();
    if !root.has_error() {
        return true;
    }
    let mut cursor = root.walk();
    let items = root.children(&mut cursor);
    let lost: usize = items.filter(Node::is_error).map(|item| item.byte_range().len()).sum();
    !root.is_error() && 2 * lost < root.byte_range().len()
}

/// What a text may still cost.
struct Work {
    reads: usize,
    stretches: usize,
    log: Arc<Log>,
    is_logged: bool,
    /// Logged stretches without a single reading, up to the last one.
    ambiguous: usize,
    /// Decides which stretches are logged. It comes from the text: whoever writes one cannot know
    /// where its errors will not be seen.
    chance: u64,
}

impl Work {
    fn new(source: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        source.hash(&mut hasher);
        Self {
            reads: LEAST_WORK + source.len() / READ * READ_LIMIT,
            stretches: LEAST_WORK + source.len() * STEP_LIMIT / STEPS_PER_STRETCH,
            log: Arc::default(),
            is_logged: true,
            ambiguous: 0,
            chance: hasher.finish(),
        }
    }

    /// Turns the log on or off; for how many stretches.
    fn begin_stretches(&mut self, parser: &mut Parser) -> usize {
        self.is_logged = !self.is_logged;
        if self.is_logged {
            self.log.certain.store(0, Ordering::Relaxed);
            self.log.uncertain.store(0, Ordering::Relaxed);
            let log = Arc::clone(&self.log);
            parser.set_logger(Some(Box::new(move |_: LogType, line: &str| log.read(line))));
            return 1;
        }
        parser.set_logger(None);
        // The constants are those of Knuth's 64-bit linear congruential generator (MMIX).
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005);
        self.chance = self.chance.wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.chance >> 33) % LONGEST_UNLOGGED).unwrap_or(0) + 1
    }

    /// The text from `at` on; its end to a parser that has read enough, as it cannot be stopped in the
    /// middle of a token. Always whole characters: the parser asks again for what an incomplete one
    /// lacks, and does not check whether it then got anything.
    fn read<'text>(&mut self, source: &'text str, at: usize) -> &'text [u8] {
        self.reads = self.reads.saturating_sub(1);
        if self.reads == 0 {
            return &[];
        }
        let end = boundary_before(source, source.len().min(at + READ));
        slice(source, at..end).as_bytes()
    }

    /// Whether to stop, after the stretches that were begun.
    fn is_exhausted(&mut self) -> bool {
        if self.is_logged {
            // Neither while the finished tree is put in order.
            let has_certain = self.log.certain.load(Ordering::Relaxed) > 0;
            let is_uncertain = !has_certain && self.log.uncertain.load(Ordering::Relaxed) > 0;
            self.ambiguous = if is_uncertain { self.ambiguous + 1 } else { 0 };
        }
        self.reads == 0
            || self.ambiguous >= AMBIGUITY_LIMIT
            || self.log.errors.load(Ordering::Relaxed) > ERROR_LIMIT
    }
}

/// What the parser's log told.
#[derive(Default)]
struct Log {
    /// Places where something did not fit.
    errors: AtomicUsize,
    /// Steps with a single reading of the text.
    certain: AtomicUsize,
    /// Steps with several.
    uncertain: AtomicUsize,
}

impl Log {
    fn read(&self, line: &str) {
        let begins = |starts: &[&str]| starts.iter().any(|start| line.starts_with(start));
        if begins(&["detect_error", "skip_token", "recover_"]) {
            self.errors.fetch_add(1, Ordering::Relaxed);
        } else if begins(&["process version:"]) {
            let is_certain = line.contains("version_count:1,");
            let steps = if is_certain { &self.certain } else { &self.uncertain };
            steps.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Whether too many brackets are open at once. Those in strings and comments count as well: no program
/// has that many of them unbalanced. An angle bracket may be a comparison, so it counts up to the end
/// of its statement, and only without a blank or another one behind it.
fn nests_deeply(source: &str) -> bool {
    let (mut depth, mut angles, mut last) = (0_usize, 0_usize, 0);
    let mut bytes = source.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'<' if last != b'<' => {
                let opens = |next: &u8| !matches!(next, b'<' | b'=' | b' ');
                angles += usize::from(bytes.peek().is_some_and(opens));
            }
            b'>' if !matches!(last, b'-' | b'=') => angles = angles.saturating_sub(1),
            _ => {}
        }
        if matches!(byte, b';' | b'{' | b'}') {
            angles = 0;
        }
        if depth > DEEPEST_BRACKETS || angles > DEEPEST_ANGLES {
            return true;
        }
        last = byte;
    }
    false
}
