//! Forests as look-up tables, so that an answer takes the same short time whatever the row.
//!
//! At load, for every feature, its thresholds are sorted; a value's *rank* is how many of them are
//! not above it. For every feature, every rank, and for "missing", one table row holds for every
//! tree a bit mask of the leaves that this feature alone leaves reachable (leaves numbered from left
//! to right; a split that a value fails clears its left subtree). A row of features is then seven
//! ranks; the AND of the seven masks of a tree leaves its exit leaf as the lowest bit; leaves are
//! added in tree order, as libxgboost does.
//!
//! There is one body. It is compiled for the target's baseline, for AVX2 and for AVX-512; only how a
//! rank is counted and how masks are loaded differs, and every way counts the same comparisons and adds
//! the same leaves in the same order, so the bits are the same.

#![expect(clippy::inline_always, reason = "one body, compiled anew under each kernel's instructions")]

use std::ops::BitAnd;

use super::forest::Forest;
use super::kernel::Kernel;
use super::model::Row;
use super::rank::Ranks;
use crate::core::fetch::fetch_at;
use crate::quant::Features;

const FEATURES: usize = Features::COUNT;
/// Cache lines that are asked for around a row: few enough that asking takes well under a microsecond.
const LINES_ASKED_FOR: usize = 256;
/// Largest table: a prediction touches seven rows of it, not the whole.
pub(super) const MAX_TABLE_BYTES: usize = 16 << 20;

/// A mask of leaves.
pub(super) trait Mask: Copy + BitAnd<Output = Self> + Send + Sync + 'static {
    /// Every leaf.
    const ALL: Self;
    /// All but the leaves from `first` up to but not including `end`.
    fn without(first: u32, end: u32) -> Self;
    /// Number of the lowest leaf.
    fn lowest(self) -> usize;
}

macro_rules! mask {
    ($($kind:ty),*) => {$(
        impl Mask for $kind {
            const ALL: Self = <$kind>::MAX;
            fn without(first: u32, end: u32) -> Self {
                (first..end).fold(Self::ALL, |mask, leaf| mask & !(1 << leaf))
            }
            #[inline(always)]
            fn lowest(self) -> usize {
                self.trailing_zeros() as usize
            }
        }
    )*};
}
mask!(u8, u16, u32, u64);

/// One cache line: `N` masks of neighbouring trees.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line<M, const N: usize>([M; N]);

/// Tables whose masks are `M`, `N` to a cache line, for trees of at most `L` leaves.
#[derive(Clone, Debug)]
pub(super) struct Table<M, const N: usize, const L: usize> {
    ranks: Ranks,
    /// First row of each feature; its rows are ranks 0 to n, then "missing".
    first_row: [u32; FEATURES],
    /// Cache lines in a row.
    lines: usize,
    rows: Vec<Line<M, N>>,
    leaves: Vec<[[f32; L]; N]>,
    trees: usize,
}

impl<M: Mask, const N: usize, const L: usize> Table<M, N, L> {
    const WHOLE_LINES: () = assert!(N * size_of::<M>() == 64 && size_of::<M>() * 8 >= L);

    /// Bytes that the masks will take, before they are made.
    fn bytes(thresholds: &[Vec<f32>; FEATURES], trees: usize) -> usize {
        thresholds.iter().map(|own| own.len() + 2).sum::<usize>() * trees.div_ceil(N) * 64
    }

    fn new(forest: &Forest, thresholds: &[Vec<f32>; FEATURES]) -> Self {
        let () = Self::WHOLE_LINES;
        let trees = forest.roots.len();
        let lines = trees.div_ceil(N);
        let mut first_row = [0; FEATURES];
        let mut row_count = 0;
        for (first, own) in first_row.iter_mut().zip(thresholds) {
            *first = row_count as u32;
            row_count += own.len() + 2;
        }
        let mut table = Self {
            ranks: Ranks::new(thresholds),
            first_row,
            lines,
            rows: vec![Line([M::ALL; N]); row_count * lines],
            leaves: vec![[[0.0; L]; N]; lines],
            trees,
        };
        for tree in 0..trees {
            table.add(forest, tree, thresholds);
        }
        table.accumulate(thresholds);
        table
    }

    /// Writes one tree's leaves, and each split's mask into the row where the split begins to fail.
    fn add(&mut self, forest: &Forest, tree: usize, thresholds: &[Vec<f32>; FEATURES]) {
        let nodes = forest.tree(tree);
        let root = forest.roots[tree];
        let (line, lane) = (tree / N, tree % N);
        // In preorder, the leaves before a node are those before it in the list.
        let mut leaves_before = Vec::with_capacity(nodes.len());
        let mut leaf = 0;
        for (at, node) in nodes.iter().enumerate() {
            leaves_before.push(leaf);
            if node.left == root + at as u32 {
                self.leaves[line][lane][leaf as usize] = node.threshold;
                leaf += 1;
            }
        }
        for (at, node) in nodes.iter().enumerate().filter(|(at, node)| node.left != root + *at as u32) {
            let feature = usize::from(node.feature);
            let own = &thresholds[feature];
            let rank = own.partition_point(|threshold| *threshold < node.threshold) + 1;
            let mask = M::without(leaves_before[at + 1], leaves_before[(node.right - root) as usize]);
            let mut clear = |row: usize| {
                let cell = &mut self.rows[(self.first_row[feature] as usize + row) * self.lines + line].0[lane];
                *cell = *cell & mask;
            };
            clear(rank);
            if !node.default_left {
                clear(own.len() + 1);
            }
        }
    }

    /// A rank fails every split that a lower rank fails.
    fn accumulate(&mut self, thresholds: &[Vec<f32>; FEATURES]) {
        for (first, own) in self.first_row.iter().zip(thresholds) {
            for rank in 1..=own.len() {
                let start = (*first as usize + rank) * self.lines;
                let (before, from) = self.rows.split_at_mut(start);
                for (lower, upper) in before[start - self.lines..].iter().zip(&mut from[..self.lines]) {
                    for (lower, upper) in lower.0.iter().zip(&mut upper.0) {
                        *upper = *upper & *lower;
                    }
                }
            }
        }
    }

    /// Asks for the table rows of a row and their neighbours, where the features of the next rows will be.
    fn fetch_around(&self, row: &Row) {
        let reach = LINES_ASKED_FOR / (2 * FEATURES * self.lines.max(1));
        let row_count = self.rows.len() / self.lines.max(1);
        for (feature, value) in row.iter().enumerate() {
            let first = self.first_row[feature] as usize;
            let end = self.first_row.get(feature + 1).map_or(row_count, |next| *next as usize);
            let at = first + self.ranks.portable(feature, *value);
            let (from, to) = (at.saturating_sub(reach).max(first), (at + reach + 1).min(end));
            let asked = &self.rows[from * self.lines..to * self.lines];
            fetch_at(asked.as_ptr().cast(), size_of_val(asked));
        }
    }

    /// The one body: seven ranks, then AND and add in tree order.
    #[inline(always)]
    fn sum(
        &self,
        base: f32,
        row: &Row,
        rank: impl Fn(&Ranks, usize, f32) -> usize,
        and: impl Fn([&Line<M, N>; FEATURES]) -> Line<M, N>,
    ) -> f32 {
        let rows: [&[Line<M, N>]; FEATURES] = std::array::from_fn(|feature| {
            let at = self.first_row[feature] as usize + rank(&self.ranks, feature, row[feature]);
            &self.rows[at * self.lines..][..self.lines]
        });
        let (mut sum, whole) = (base, self.trees / N);
        for line in 0..whole {
            let (masks, leaves) = (and(rows.map(|row| &row[line])).0, &self.leaves[line]);
            for lane in 0..N {
                // A leaf always survives; the AND says so to the compiler.
                sum += leaves[lane][masks[lane].lowest() & (L - 1)];
            }
        }
        if whole < self.lines {
            let (masks, leaves) = (and(rows.map(|row| &row[whole])).0, &self.leaves[whole]);
            for (mask, leaves) in masks.iter().zip(leaves).take(self.trees % N) {
                sum += leaves[mask.lowest() & (L - 1)];
            }
        }
        sum
    }

    /// The leaves that no feature has cleared, of the trees in one cache line.
    #[inline(always)]
    fn and(rows: [&Line<M, N>; FEATURES]) -> Line<M, N> {
        let mut masks = *rows[0];
        for row in &rows[1..] {
            for (mask, other) in masks.0.iter_mut().zip(&row.0) {
                *mask = *mask & *other;
            }
        }
        masks
    }

    /// The same with AVX2: left to itself, the compiler loads mask by mask, four times the loads.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2")]
    fn and_avx2(rows: [&Line<M, N>; FEATURES]) -> Line<M, N> {
        use std::arch::x86_64::{__m256i, _mm256_and_si256, _mm256_load_si256, _mm256_store_si256};
        let mut masks = Line([M::ALL; N]);
        for half in 0..2 {
            // SAFETY: a line is 64 bytes aligned to 64, read as two aligned halves of 32; AVX2 is enabled here.
            let load =
                |line: &Line<M, N>| unsafe { _mm256_load_si256(std::ptr::from_ref(line).cast::<__m256i>().add(half)) };
            let and = rows[1..].iter().fold(load(rows[0]), |and, row| _mm256_and_si256(and, load(row)));
            // SAFETY: as above, and masks of any bits are masks.
            unsafe { _mm256_store_si256(std::ptr::from_mut(&mut masks).cast::<__m256i>().add(half), and) };
        }
        // Through memory: taking lanes out of a register one by one costs two steps each.
        std::hint::black_box(&mut masks);
        masks
    }

    #[inline]
    fn margin(&self, kernel: Kernel, base: f32, row: &Row) -> f32 {
        match kernel {
            Kernel::Portable => self.sum(base, row, Ranks::portable, Self::and),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2(_) => {
                // SAFETY: the proof inside the kernel was made where the processor was seen to have AVX2, BMI and POPCNT.
                unsafe { self.margin_avx2(base, row) }
            }
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512(_) => {
                // SAFETY: the proof inside the kernel was made where the processor was seen to have AVX-512 F, BW, DQ, VL.
                unsafe { self.margin_avx512(base, row) }
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn margin_avx2(&self, base: f32, row: &Row) -> f32 {
        self.sum(base, row, |ranks, feature, value| ranks.avx2(feature, value), |rows| Self::and_avx2(rows))
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn margin_avx512(&self, base: f32, row: &Row) -> f32 {
        self.sum(base, row, |ranks, feature, value| ranks.avx512(feature, value), |rows| Self::and_avx2(rows))
    }
}

/// Tables with the narrowest masks that the widest tree fits.
#[derive(Clone, Debug)]
pub(super) enum Tables {
    Tiny(Table<u8, 64, 8>),
    Narrow(Table<u16, 32, 16>),
    Middle(Table<u32, 16, 32>),
    Wide(Table<u64, 8, 64>),
}

impl Tables {
    /// The tables of a forest, or why there are none.
    pub(super) fn new(forest: &Forest) -> Result<Self, String> {
        let thresholds: [Vec<f32>; FEATURES] = std::array::from_fn(|feature| forest.thresholds(feature));
        if let Some(most) = thresholds.iter().map(Vec::len).max().filter(|most| *most > Ranks::MAX) {
            return Err(format!("{most} thresholds of one feature are more than {}", Ranks::MAX));
        }
        let trees = forest.roots.len();
        let widest = forest.leaves.iter().copied().max().unwrap_or(0);
        let bytes = match widest {
            ..=8 => Table::<u8, 64, 8>::bytes(&thresholds, trees),
            9..=16 => Table::<u16, 32, 16>::bytes(&thresholds, trees),
            17..=32 => Table::<u32, 16, 32>::bytes(&thresholds, trees),
            33..=64 => Table::<u64, 8, 64>::bytes(&thresholds, trees),
            _ => return Err(format!("a tree of {widest} leaves is wider than a mask of 64")),
        };
        if bytes > MAX_TABLE_BYTES {
            return Err(format!("tables of {} MiB would be larger than {} MiB", bytes >> 20, MAX_TABLE_BYTES >> 20));
        }
        Ok(match widest {
            ..=8 => Self::Tiny(Table::new(forest, &thresholds)),
            9..=16 => Self::Narrow(Table::new(forest, &thresholds)),
            17..=32 => Self::Middle(Table::new(forest, &thresholds)),
            _ => Self::Wide(Table::new(forest, &thresholds)),
        })
    }

    /// The margin of one row.
    #[inline]
    pub(super) fn margin(&self, kernel: Kernel, base: f32, row: &Row) -> f32 {
        match self {
            Self::Tiny(table) => table.margin(kernel, base, row),
            Self::Narrow(table) => table.margin(kernel, base, row),
            Self::Middle(table) => table.margin(kernel, base, row),
            Self::Wide(table) => table.margin(kernel, base, row),
        }
    }

    /// Asks for the memory that rows near this one will need.
    pub(super) fn fetch_around(&self, row: &Row) {
        match self {
            Self::Tiny(table) => table.fetch_around(row),
            Self::Narrow(table) => table.fetch_around(row),
            Self::Middle(table) => table.fetch_around(row),
            Self::Wide(table) => table.fetch_around(row),
        }
    }

    /// Bits of a mask.
    pub(super) fn mask_bits(&self) -> u32 {
        match self {
            Self::Tiny(_) => 8,
            Self::Narrow(_) => 16,
            Self::Middle(_) => 32,
            Self::Wide(_) => 64,
        }
    }

    /// Bytes of masks and leaves.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Tiny(table) => size_of_val(&*table.rows) + size_of_val(&*table.leaves),
            Self::Narrow(table) => size_of_val(&*table.rows) + size_of_val(&*table.leaves),
            Self::Middle(table) => size_of_val(&*table.rows) + size_of_val(&*table.leaves),
            Self::Wide(table) => size_of_val(&*table.rows) + size_of_val(&*table.leaves),
        }
    }
}
