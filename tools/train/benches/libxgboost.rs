//! pawl, libxgboost's own single-row call and, where `PAWL_TL2CGEN_PYTHON` names a Python that has treelite and tl2cgen,
//! the C code that these make of a model, on the same models and rows, in one run.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use libloading::{Library, Symbol};

use pawl::oracle::{Model, Row};
use pawl::quant::Features;
use pawl::venue::random::Random;
use pawl_train::xgboost::{Booster, Kind, Matrix, Xgboost};

const ROWS: usize = 1 << 13;

/// Median nanoseconds over batches of 16 calls.
fn median(calls: usize, mut call: impl FnMut(usize)) -> f64 {
    let mut means: Vec<f64> = (0..calls / 16)
        .map(|batch| {
            let began = Instant::now();
            (0..16).for_each(|at| call((batch * 16 + at) * 2_713 % ROWS));
            began.elapsed().as_nanos() as f64 / 16.0
        })
        .collect();
    means.sort_by(f64::total_cmp);
    means[means.len() / 2]
}

/// A feature as tl2cgen's code takes it: minus one as an integer, which is a NaN, means missing.
type Entry = f32;
type Predict = unsafe extern "C" fn(data: *mut Entry, margin: i32, result: *mut f32);

/// A model as C code by tl2cgen, compiled by gcc.
struct Compiled(Library);

impl Compiled {
    /// None without a Python that can.
    fn make(json: &[u8], folder: &Path, name: &str) -> Option<Self> {
        const SCRIPT: &str = "import sys, treelite, tl2cgen; tl2cgen.export_lib(treelite.frontend.load_xgboost_model(sys.argv[1]), \
            toolchain='gcc', libpath=sys.argv[2], params={'parallel_comp': 16}, options=['-O3', '-march=native'])";
        let python = std::env::var_os("PAWL_TL2CGEN_PYTHON")?;
        let (model, library) = (folder.join(format!("{name}.json")), folder.join(format!("{name}.so")));
        std::fs::write(&model, json).expect("a file");
        let mut command = Command::new(python);
        command.args(["-c", SCRIPT]).args([&model, &library]).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(command.status().expect("Python").success(), "tl2cgen: {command:?}");
        // SAFETY: the library was made just now from a model of ours, and has no initialisers.
        Some(Self(unsafe { Library::new(&library) }.expect("the library made just now")))
    }

    fn predict(&self) -> Symbol<'_, Predict> {
        // SAFETY: `void predict(union Entry*, int, float*)` in the header that tl2cgen 1.0 writes.
        unsafe { self.0.get(b"predict\0") }.expect("its function")
    }
}

fn main() {
    let test = std::env::args().any(|argument| argument == "--test");
    let library = Xgboost::load().expect("libxgboost: see tools/train/README.md");
    let mut random = Random::new(1);
    let rows: Vec<Row> = (0..ROWS).map(|_| std::array::from_fn(|_| random.normal() as f32)).collect();
    let labels: Vec<f32> =
        rows.iter().map(|row| f32::from(f64::from(row[2] * row[4] - row[0]) + random.normal() > 0.0)).collect();
    let matrix = Matrix::new(&library, &rows, &labels).expect("rows");
    let folder = tempfile::tempdir().expect("a temporary folder");
    println!("one row to its margin, median nanoseconds: pawl, {} PredictFromDense, tl2cgen -O3", library.name());
    for (trees, depth) in [(100, 4), (100, 6), (500, 6), (1000, 8)] {
        let parameters = [
            ("objective", "binary:logistic".to_owned()),
            ("nthread", "1".to_owned()),
            ("max_depth", depth.to_string()),
            ("min_child_weight", "0".to_owned()),
            ("eta", "0.02".to_owned()),
        ];
        let mut booster = Booster::new(&library, &matrix, &parameters).expect("parameters");
        for round in 0..if test { 10 } else { trees } {
            booster.update(round, &matrix).expect("a round");
        }
        let bytes = booster.to_bytes("ubj").expect("a model");
        let (booster, model) = (
            Booster::from_bytes(&library, &bytes).expect("a model"),
            Model::from_bytes(&bytes, &Features::NAMES).expect("a model"),
        );
        let calls = if test { 64 } else { 40_000 };
        let mut sum = 0.0;
        let own = median(calls, |at| sum += model.margin(&rows[(at + usize::from(sum > 0.0)) % ROWS]));
        let theirs =
            median(calls / 4, |at| sum += booster.predict_in_place(&rows[at..=at], Kind::Margin).expect("a row")[0]);
        let json = booster.to_bytes("json").expect("a model");
        let compiled = Compiled::make(&json, folder.path(), &format!("{trees}x{depth}")).map(|compiled| {
            let predict = compiled.predict();
            median(calls, |at| {
                let (mut row, mut result) = (rows[(at + usize::from(sum > 0.0)) % ROWS], 0.0);
                // SAFETY: seven entries and one result, as the model has; the rows hold no NaN.
                unsafe { predict(row.as_mut_ptr(), 1, &raw mut result) };
                sum += result;
            })
        });
        println!(
            "{trees:>5} x {depth}  {own:>8.0}  {theirs:>8.0} ({:.0} times)  {}  {}, {sum:.0}",
            theirs / own,
            compiled.map_or("not here".to_owned(), |compiled| format!("{compiled:>8.0} ({:.1} times)", compiled / own)),
            model.method()
        );
    }
}
