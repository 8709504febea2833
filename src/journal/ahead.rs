//! A long read has a helper thread that maps pages before the reader gets to them and unmaps segments after it
//! has left: of pages that were written one by one, mapping and unmapping takes a reader as long as their records do
//! (5 of 11 ns a record). It touches no record: it asks the system to map them, so a file that gets shorter meanwhile
//! does it no harm.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use memmap2::{Advice, Mmap};

/// Bytes mapped by one call: short enough that the reader, who waits where a mapping goes away, does not wait long.
const WINDOW: usize = 256 << 10;

/// The helper. It ends with its reader.
#[derive(Debug)]
pub(super) struct MapAhead {
    /// None once it is told to end.
    work: Option<Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Work {
    /// Map the pages from this byte on.
    Map(Arc<Mmap>, usize),
    /// Drop it, which unmaps it.
    Leave(Arc<Mmap>),
}

impl MapAhead {
    /// Starts the helper; `None` where there is no core for it or no thread to be had: the reader then maps its
    /// pages itself.
    pub(super) fn begin() -> Option<Self> {
        if std::thread::available_parallelism().map_or(1, std::num::NonZero::get) < 2 {
            return None;
        }
        let (work, todo) = channel();
        let thread = std::thread::Builder::new().name("journal-ahead".into()).spawn(move || help(&todo)).ok()?;
        Some(Self { work: Some(work), thread: Some(thread) })
    }

    /// The reader is about to read this map, from a byte on.
    pub(super) fn map(&self, map: &Arc<Mmap>, from: usize) {
        self.tell(Work::Map(Arc::clone(map), from));
    }

    /// The reader has left it.
    pub(super) fn leave(&self, map: Arc<Mmap>) {
        self.tell(Work::Leave(map));
    }

    fn tell(&self, work: Work) {
        if let Some(helper) = &self.work {
            // Should it have ended, the work is dropped here: the reader does it itself.
            let _ = helper.send(work);
        }
    }
}

impl Drop for MapAhead {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            // It cannot panic; and if it could, the reader has read what it has read.
            let _ = thread.join();
        }
    }
}

fn help(todo: &Receiver<Work>) {
    while let Ok(work) = todo.recv() {
        match work {
            Work::Map(map, from) => {
                for start in (from..map.len()).step_by(WINDOW) {
                    // Nobody else has it any more: the reader is gone.
                    if Arc::strong_count(&map) == 1 {
                        break;
                    }
                    // Kernels before 5.14 cannot, and a file may have become shorter.
                    if map.advise_range(Advice::PopulateRead, start, WINDOW.min(map.len() - start)).is_err() {
                        break;
                    }
                }
            }
            Work::Leave(map) => drop(map),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_gets_shorter_under_it_and_a_reader_that_goes_away_do_no_harm() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8 << 20).unwrap();
        // SAFETY: nobody reads the map's bytes.
        let map = Arc::new(unsafe { Mmap::map(&file) }.unwrap());
        file.set_len(4096).unwrap();
        let Some(helper) = MapAhead::begin() else { return };
        helper.map(&map, 0);
        helper.map(&map, 4096 * 2000);
        helper.leave(map);
        // Joins: a panic of its thread would be told by the test's output, a hang by its time.
        drop(helper);
    }
}
