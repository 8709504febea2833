//! A ring between two threads: one writer, one reader, crate `disruptor`.
//!
//! Of the crate only what never blocks is used: `try_publish` and `take(n)` of an event poller. Its
//! `publish` spins without end on a full ring, and its managed threads cannot also serve sockets. A
//! reader that sleeps is woken by the writer; one that spins or yields is not bothered.

use std::sync::{Arc, OnceLock};
use std::task::Waker;

use disruptor::{
    BusySpin, EventPoller, Polling, Producer, SingleConsumerBarrier, SingleProducer, SingleProducerBarrier,
    build_single_producer,
};

use super::clock::StampClock;
use super::parcel::Parcel;

/// How the writer wakes the reader, once the reader has said how.
type WakerCell = Arc<OnceLock<Waker>>;

/// The writing end. Dropped, it ends the ring: the reader sees what is left, and then the end.
pub struct RingWriter {
    producer: SingleProducer<Parcel, SingleConsumerBarrier>,
    waker: WakerCell,
    clock: StampClock,
}

/// The reading end.
pub struct RingReader {
    poller: EventPoller<Parcel, SingleProducerBarrier>,
    waker: WakerCell,
    largest_batch: usize,
}

/// A ring for this many parcels, a power of two.
///
/// # Panics
/// When `size` is not a power of two.
pub fn ring(size: usize, clock: StampClock) -> (RingWriter, RingReader) {
    let builder = build_single_producer(size, Parcel::default, BusySpin);
    let (poller, builder) = builder.new_event_poller();
    let waker = WakerCell::default();
    let writer = RingWriter { producer: builder.build(), waker: Arc::clone(&waker), clock };
    (writer, RingReader { poller, waker, largest_batch: 0 })
}

impl RingWriter {
    /// Puts a parcel in; false when the ring is full.
    #[inline]
    #[must_use]
    pub fn try_send(&mut self, parcel: &Parcel) -> bool {
        let clock = self.clock;
        let sent = self.producer.try_publish(|slot| {
            parcel.copy_to(slot);
            slot.set_sent(clock.now());
        });
        if sent.is_err() {
            return false;
        }
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
        true
    }
}

/// What a reader found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// So many parcels were handled.
    Some(usize),
    /// Nothing there just now.
    Nothing,
    /// The writer is gone, and nothing is left.
    End,
}

impl RingReader {
    /// From here on the writer wakes this reader with every parcel.
    pub fn wake_by(&self, waker: Waker) {
        // Said once, by the thread that reads; a second word would be the same.
        let _ = self.waker.set(waker);
    }

    /// Hands at most `limit` parcels to `each`, oldest first.
    #[inline]
    pub fn take(&mut self, limit: usize, mut each: impl FnMut(&Parcel)) -> Taken {
        match self.poller.take(limit as u64) {
            Ok(mut guard) => {
                let count = ExactSizeIterator::len(&&mut guard);
                for parcel in &mut guard {
                    each(parcel);
                }
                self.largest_batch = self.largest_batch.max(count);
                Taken::Some(count)
            }
            Err(Polling::NoEvents) => Taken::Nothing,
            Err(Polling::Shutdown) => Taken::End,
        }
    }

    /// Most parcels that one take brought: how far behind the reader was.
    pub fn largest_batch(&self) -> usize {
        self.largest_batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Event, EventKind, InstrumentId, Nanos};
    use crate::engine::clock::Stamp;

    fn parcel(number: u64) -> Parcel {
        let event = Event::new(EventKind::Trade, InstrumentId(0), Nanos(1), Nanos(1), [number, 0, 0, 0]);
        let mut parcel = Parcel::default();
        parcel.fill(&event, Stamp(0), Some(&event));
        parcel
    }

    #[test]
    fn a_full_ring_says_so_and_loses_nothing() {
        let (mut writer, mut reader) = ring(4, StampClock::monotonic());
        let sent = (1..=9).take_while(|number| writer.try_send(&parcel(*number))).count();
        assert_eq!(sent, 4);
        let mut got = Vec::new();
        assert_eq!(reader.take(3, |parcel| got.push(parcel.input().payload[0])), Taken::Some(3));
        assert!(writer.try_send(&parcel(5)));
        drop(writer);
        assert_eq!(reader.take(9, |parcel| got.push(parcel.input().payload[0])), Taken::Some(2));
        assert_eq!(got, [1, 2, 3, 4, 5]);
        assert_eq!((reader.take(9, |_| ()), reader.largest_batch()), (Taken::End, 3));
    }

    #[test]
    fn a_sleeping_reader_is_woken_by_what_comes() {
        let (mut writer, mut reader) = ring(64, StampClock::monotonic());
        let reading = std::thread::spawn(move || {
            reader.wake_by(crate::engine::waiting::waker_of_this_thread());
            let mut got = 0;
            loop {
                match reader.take(8, |_| got += 1) {
                    Taken::Some(_) => {}
                    Taken::End => return got,
                    // An hour: without the wake-up the test would not end.
                    Taken::Nothing if got < 1000 => std::thread::park_timeout(std::time::Duration::from_secs(3600)),
                    Taken::Nothing => std::thread::yield_now(),
                }
            }
        });
        for number in 0..1000 {
            while !writer.try_send(&parcel(number)) {
                std::thread::yield_now();
            }
            if number % 50 == 0 {
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
        }
        drop(writer);
        assert_eq!(reading.join().unwrap(), 1000);
    }
}
