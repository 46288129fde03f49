//! The folder from outside: what was acknowledged is there, whatever happened to the files.

use proptest::prelude::*;

use super::*;
use crate::store::VectorStore;
use crate::types::Matrix;

/// A folder of its own for each test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("graphbit-store-{name}-{}-{}", std::process::id(), fastrand::u64(..));
        Self(std::env::temp_dir().join(name))
    }

    fn open(&self) -> VectorStore {
        VectorStore::open(&self.0, StoreOptions::default()).unwrap()
    }

    fn read(&self) -> Result<VectorStore> {
        VectorStore::open(&self.0, StoreOptions { read_only: true, ..StoreOptions::default() })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn put(store: &VectorStore, ids: &[&str], value: f32) {
    let vectors: Vec<_> = ids.iter().map(|_| vec![value, 1.0]).collect();
    let entry = |id: &&str| Entry { id: (*id).to_owned(), ..Entry::text(value.to_string()) };
    let entries = ids.iter().map(entry).collect();
    store.add(Matrix::from_rows(&vectors).unwrap(), entries).unwrap();
}

fn entries(ids: &[String]) -> Vec<Entry> {
    ids.iter().map(|id| Entry { id: id.clone(), ..Entry::text("replaced") }).collect()
}

/// Everything a search could see.
fn contents(store: &VectorStore) -> Vec<(u64, String, String, Vec<f32>)> {
    let current = store.current();
    let vectors = current.blocks.iter().flat_map(|block| block.vectors.iter());
    let rows = current.rows().zip(vectors);
    rows.map(|((index, entry), vector)| {
        (index, entry.id.clone(), entry.text.clone(), vector.values(current.precision, 2))
    })
    .collect()
}

fn outgrown(store: &VectorStore) {
    store.writer.lock().unwrap().folder.as_mut().unwrap().limit = 0;
}

fn names(scratch: &Scratch) -> Vec<String> {
    let entries = fs::read_dir(&scratch.0).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, f32),
    Delete(Vec<u8>),
    Replace(Vec<u8>, Vec<u8>, f32),
    Compact,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ids = || prop::collection::hash_set(0_u8..8, 1..5).prop_map(Vec::from_iter);
    let step = prop_oneof![
        4 => (ids(), -9.0_f32..9.0).prop_map(|(ids, value)| Step::Put(ids, value)),
        2 => ids().prop_map(Step::Delete),
        2 => (ids(), ids(), -9.0_f32..9.0).prop_map(|(stale, ids, value)| Step::Replace(stale, ids, value)),
        1 => Just(Step::Compact),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_folder_holds_what_memory_would(
        steps in steps(),
        precision in prop::sample::select(vec![Precision::F32, Precision::F16, Precision::I8]),
    ) {
        let scratch = Scratch::new("model");
        let memory = VectorStore::with_precision(Metric::Cosine, None, precision).unwrap();
        let new = StoreOptions { precision: Some(precision), ..StoreOptions::default() };
        let mut store = VectorStore::open(&scratch.0, new).unwrap();
        let reader = scratch.read().unwrap();
        for step in steps {
            let name = |ids: &[u8]| ids.iter().map(|id| format!("id {id}")).collect::<Vec<_>>();
            match step {
                Step::Put(ids, value) => {
                    let ids = name(&ids);
                    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                    put(&memory, &ids, value);
                    put(&store, &ids, value);
                }
                Step::Delete(ids) => {
                    let gone = memory.delete(&name(&ids)).unwrap();
                    prop_assert_eq!(store.delete(&name(&ids)).unwrap(), gone);
                }
                Step::Replace(stale, ids, value) => {
                    let (stale, ids) = (name(&stale), name(&ids));
                    let vectors = Matrix::new(vec![value; 2 * ids.len()], ids.len(), 2).unwrap();
                    // In memory as two changes: what must come out is what deleting and adding gives, but for
                    // the places of ids that come again.
                    let gone: Vec<_> = stale.iter().filter(|id| !ids.contains(id)).collect();
                    memory.delete(&gone).unwrap();
                    memory.add(vectors.clone(), entries(&ids)).unwrap();
                    prop_assert_eq!(store.replace(&stale, vectors, entries(&ids)).unwrap(), ids);
                }
                Step::Compact => outgrown(&store),
                Step::Reopen => {
                    drop(store);
                    store = scratch.open();
                }
            }
            prop_assert_eq!(contents(&store), contents(&memory));
            reader.refresh().unwrap();
            prop_assert_eq!(contents(&reader), contents(&memory));
        }
        drop(store);
        prop_assert_eq!(contents(&scratch.read().unwrap()), contents(&memory));
    }
}

#[test]
fn a_journal_cut_anywhere_keeps_the_changes_that_were_whole() {
    let scratch = Scratch::new("cut");
    let mut states = vec![(0, Vec::new())];
    let place = journal_path(&scratch.0, 0);
    let store = scratch.open();
    for (number, id) in ["a", "b", "a", "c"].into_iter().enumerate() {
        put(&store, &[id, "x"], f32::from(u8::try_from(number).unwrap()));
        states.push((fs::metadata(&place).unwrap().len(), contents(&store)));
    }
    let vectors = Matrix::new(vec![5.0; 4], 2, 2).unwrap();
    store.replace(&["a", "b"], vectors, entries(&["b".to_owned(), "d".to_owned()])).unwrap();
    states.push((fs::metadata(&place).unwrap().len(), contents(&store)));
    store.delete(&["x"]).unwrap();
    states.push((fs::metadata(&place).unwrap().len(), contents(&store)));
    drop(store);
    let whole = fs::read(&place).unwrap();
    for cut in 0..=whole.len() {
        fs::write(&place, &whole[..cut]).unwrap();
        let expected = states.iter().rfind(|(length, _)| *length <= cut as u64).unwrap();
        assert_eq!(contents(&scratch.read().unwrap()), expected.1, "read, cut at {cut}");
        let store = scratch.open();
        assert_eq!(contents(&store), expected.1, "cut at {cut}");
        put(&store, &["after"], 7.0);
        let after = contents(&store);
        drop(store);
        assert_eq!(contents(&scratch.open()), after, "written behind a cut at {cut}");
    }
}

#[test]
fn room_that_a_power_cut_left_empty_is_no_damage_and_a_changed_byte_is() {
    let scratch = Scratch::new("damage");
    let store = scratch.open();
    put(&store, &["a"], 1.0);
    put(&store, &["b"], 2.0);
    let held = contents(&store);
    drop(store);
    let place = journal_path(&scratch.0, 0);
    let whole = fs::read(&place).unwrap();
    fs::write(&place, [&whole[..], &[0; 5000]].concat()).unwrap();
    assert_eq!(contents(&scratch.open()), held);
    // In a length, in a checksum, in a body.
    for at in [0, 7, 9, 13, 20] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&place, damaged).unwrap();
        let error = scratch.read().unwrap_err();
        assert_eq!(error.kind(), Kind::Store);
        assert!(error.message().contains("damaged at byte 0"), "{error}");
    }
    fs::write(&place, "a text of somebody's that has this name").unwrap();
    assert!(scratch.read().unwrap_err().message().contains("damaged"));
}

#[test]
fn one_writes_and_others_read() {
    let scratch = Scratch::new("lock");
    assert!(scratch.read().unwrap_err().message().contains("there is no store"));
    let store = scratch.open();
    let second = VectorStore::open(&scratch.0, StoreOptions::default()).unwrap_err();
    assert!(second.message().contains("another process is writing"), "{second}");
    let reader = scratch.read().unwrap();
    assert!(!reader.refresh().unwrap());
    put(&store, &["a"], 1.0);
    assert!(reader.refresh().unwrap() && reader.len() == 1);
    let refused = reader.delete(&["a"]).unwrap_err();
    assert!(refused.message().contains("read-only"), "{refused}");
    assert_eq!(reader.len(), 1);
    store.close().unwrap();
    assert!(store.delete(&["a"]).unwrap_err().message().contains("closed"));
    assert_eq!(store.search(&[1.0, 1.0], 1).unwrap().len(), 1);
    put(&scratch.open(), &["b"], 1.0);
}

#[test]
fn a_reader_follows_to_a_store_that_took_the_folders_place() {
    let scratch = Scratch::new("replaced");
    let five = ["a", "b", "c", "d", "e"];
    put(&scratch.open(), &five, 1.0);
    let reader = scratch.read().unwrap();
    // Of the same length, renamed into the place of the old one.
    let other = Scratch::new("replacing");
    put(&other.open(), &five, 2.0);
    let old = Scratch::new("replaced-before");
    fs::rename(&scratch.0, &old.0).unwrap();
    assert!(reader.refresh().unwrap_err().message().contains("there is no store"));
    assert_eq!(contents(&reader), contents(&old.read().unwrap()));
    fs::rename(&other.0, &scratch.0).unwrap();
    assert!(reader.refresh().unwrap());
    assert!(!reader.refresh().unwrap());
    // Removed, and made anew with fewer rows and with more; what comes later is followed as ever.
    for count in [1, 3, 30] {
        fs::remove_dir_all(&scratch.0).unwrap();
        let store = scratch.open();
        let ids: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        put(&store, &ids.iter().map(String::as_str).collect::<Vec<_>>(), 3.0);
        assert!(reader.refresh().unwrap());
        assert_eq!(contents(&reader), contents(&store));
        put(&store, &["later"], 4.0);
        assert!(reader.refresh().unwrap());
        assert_eq!(contents(&reader), contents(&store));
        assert!(!reader.refresh().unwrap());
    }
    fs::remove_dir_all(&scratch.0).unwrap();
    let options = StoreOptions { precision: Some(Precision::I8), ..StoreOptions::default() };
    let store = VectorStore::open(&scratch.0, options).unwrap();
    store.add(Matrix::new(vec![1.0; 3], 1, 3).unwrap(), vec![Entry::text("longer")]).unwrap();
    assert!(reader.refresh().unwrap());
    assert_eq!((reader.dimensions(), reader.precision()), (Some(3), Precision::I8));
    assert_eq!(reader.search(&[1.0, 1.0, 1.0], 1).unwrap()[0].entry.text, "longer");
    drop(store);
    // What cannot be followed is said, and changes nothing.
    fs::remove_dir_all(&scratch.0).unwrap();
    let options = StoreOptions { metric: Some(Metric::L2), ..StoreOptions::default() };
    drop(VectorStore::open(&scratch.0, options).unwrap());
    for _ in 0..2 {
        let error = reader.refresh().unwrap_err();
        assert!(error.message().contains("the metric 'l2' and not 'cosine'"), "{error}");
    }
    fs::remove_file(journal_path(&scratch.0, 0)).unwrap();
    fs::write(journal_path(&scratch.0, 0), "a text of somebody's that has this name").unwrap();
    assert!(reader.refresh().unwrap_err().message().contains("damaged at byte 0"));
    assert_eq!((reader.len(), reader.dimensions()), (1, Some(3)));
}

#[test]
fn a_reader_tells_pairs_of_the_same_number_apart() {
    let (scratch, other) = (Scratch::new("pair"), Scratch::new("other-pair"));
    for (scratch, value) in [(&scratch, 1.0), (&other, 2.0)] {
        let store = scratch.open();
        outgrown(&store);
        put(&store, &["a", "b"], value);
        assert_eq!(names(scratch), ["journal-1.log", "lock", "store-1.safetensors"]);
    }
    let reader = scratch.read().unwrap();
    assert!(!reader.refresh().unwrap());
    fs::remove_dir_all(&scratch.0).unwrap();
    fs::rename(&other.0, &scratch.0).unwrap();
    assert!(reader.refresh().unwrap());
    assert_eq!(contents(&reader), contents(&scratch.read().unwrap()));
    assert_eq!(reader.search(&[1.0, 1.0], 1).unwrap()[0].entry.text, "2");
}

#[test]
fn a_reader_begins_again_where_the_journal_is_written_over() {
    let scratch = Scratch::new("over");
    let store = scratch.open();
    put(&store, &["a"], 1.0);
    drop(store);
    let place = journal_path(&scratch.0, 0);
    let short = fs::read(&place).unwrap();
    put(&scratch.open(), &["b"], 1.0);
    let reader = scratch.read().unwrap();
    fs::write(&place, short).unwrap();
    assert!(reader.refresh().unwrap());
    assert_eq!(contents(&reader), contents(&scratch.read().unwrap()));
    let other = Scratch::new("over-by");
    put(&other.open(), &["a", "b", "c", "d", "e", "f"], 2.0);
    fs::write(&place, fs::read(journal_path(&other.0, 0)).unwrap()).unwrap();
    assert!(reader.refresh().unwrap());
    assert_eq!(contents(&reader), contents(&other.read().unwrap()));
}

#[test]
fn a_reader_of_an_empty_journal_waits_for_its_settings() {
    let scratch = Scratch::new("unnamed");
    fs::create_dir(&scratch.0).unwrap();
    fs::write(journal_path(&scratch.0, 0), "").unwrap();
    let reader = scratch.read().unwrap();
    assert!(!reader.refresh().unwrap());
    let options = StoreOptions { precision: Some(Precision::F16), ..StoreOptions::default() };
    let store = VectorStore::open(&scratch.0, options).unwrap();
    put(&store, &["a"], 1.0);
    assert!(reader.refresh().unwrap());
    assert_eq!(reader.precision(), Precision::F16);
    assert_eq!(contents(&reader), contents(&store));
}

#[test]
fn an_outgrown_journal_is_replaced_and_nothing_else_stays() {
    let scratch = Scratch::new("compact");
    let store = scratch.open();
    put(&store, &["a", "b"], 1.0);
    outgrown(&store);
    put(&store, &["c"], 2.0);
    assert_eq!(names(&scratch), ["journal-1.log", "lock", "store-1.safetensors"]);
    // What a process leaves that is killed just before the new snapshot counts.
    fs::write(journal_path(&scratch.0, 2), b"half a journal").unwrap();
    fs::write(scratch.0.join(".store-2.safetensors.1-0.tmp"), b"half a snapshot").unwrap();
    let held = contents(&store);
    assert_eq!(contents(&scratch.read().unwrap()), held);
    drop(store);
    assert_eq!(contents(&scratch.open()), held);
    assert_eq!(names(&scratch), ["journal-1.log", "lock", "store-1.safetensors"]);
}

#[test]
fn settings_of_a_store_are_kept_and_others_refused() {
    let scratch = Scratch::new("settings");
    let new =
        StoreOptions { metric: Some(Metric::L2), dimensions: Some(2), ..StoreOptions::default() };
    drop(VectorStore::open(&scratch.0, new).unwrap());
    let store = scratch.open();
    assert_eq!((store.metric(), store.dimensions()), (Metric::L2, Some(2)));
    drop(store);
    let other = StoreOptions { metric: Some(Metric::Dot), ..StoreOptions::default() };
    let error = VectorStore::open(&scratch.0, other).unwrap_err();
    assert!(error.message().contains("metric 'l2'"), "{error}");
    let other = StoreOptions { precision: Some(Precision::I8), ..StoreOptions::default() };
    let error = VectorStore::open(&scratch.0, other).unwrap_err();
    assert!(error.message().contains("precision 'f32'"), "{error}");
    let other = StoreOptions { dimensions: Some(3), ..StoreOptions::default() };
    assert!(VectorStore::open(&scratch.0, other).is_err());
}
