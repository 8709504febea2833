//! libxgboost through its C interface, loaded at run time.
//!
//! Seventeen functions of `xgboost/c_api.h`. A library older than 3.1 reads the base score of a newer
//! model as 0.5 without a word, and answers wrongly: it is refused. One thread, so that the same seed
//! gives the same model.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::Arc;

use libloading::{Library, Symbol};
use pawl::oracle::Row;
use pawl::quant::Features;

use crate::LIBRARY_BESIDE_TARGET;

/// Why libxgboost did not do it.
#[derive(Debug, thiserror::Error)]
pub enum XgboostError {
    /// No library.
    #[error(
        "expected libxgboost in {}, found none ({reason}); run the two commands of tools/train/README.md, or name it in PAWL_LIBXGBOOST",
        path.display()
    )]
    Absent {
        /// Where it was looked for.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// A library that misreads models.
    #[error(
        "expected libxgboost 3.1 or newer, found {found}: older ones read the base score of newer models as 0.5 without a word; install xgboost-cpu==3.4.1"
    )]
    TooOld {
        /// Its version.
        found: String,
    },
    /// A call failed.
    #[error("libxgboost, {call}: {message}")]
    Call {
        /// Which function.
        call: &'static str,
        /// What it said.
        message: String,
    },
}

type Result<T> = std::result::Result<T, XgboostError>;
type Handle = *mut c_void;

/// The loaded library.
#[derive(Clone)]
pub struct Xgboost {
    loaded: Arc<Library>,
    version: (i32, i32, i32),
}

/// Calls a function of the library by its C name and checks its return code.
macro_rules! call {
    ($library:expr, $name:ident ( $($kind:ty = $value:expr),* $(,)? )) => {{
        let name = stringify!($name);
        // SAFETY: the type is that of `xgboost/c_api.h` 3.x for this name; every pointer given lives through the call.
        unsafe {
            match $library.loaded.get::<unsafe extern "C" fn($($kind),*) -> c_int>(concat!(stringify!($name), "\0").as_bytes()) {
                Ok(function) if function($($value),*) == 0 => Ok(()),
                Ok(_) => Err(XgboostError::Call { call: name, message: $library.last_error() }),
                Err(error) => Err(XgboostError::Call { call: name, message: error.to_string() }),
            }
        }
    }};
}

impl Xgboost {
    /// Loads the library that `PAWL_LIBXGBOOST` names, or the one beside the workspace's target folder.
    ///
    /// # Errors
    /// There is none, or it is older than 3.1.
    pub fn load() -> Result<Self> {
        let path = std::env::var_os("PAWL_LIBXGBOOST").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(LIBRARY_BESIDE_TARGET),
            PathBuf::from,
        );
        Self::open(&path)
    }

    /// Loads the library in a file.
    ///
    /// # Errors
    /// As [`Xgboost::load`].
    pub fn open(path: &Path) -> Result<Self> {
        let absent =
            |error: libloading::Error| XgboostError::Absent { path: path.to_owned(), reason: error.to_string() };
        // SAFETY: loading runs the library's initialisers; it is the one the user installed and named.
        let library = unsafe { Library::new(path) }.map_err(absent)?;
        let (mut major, mut minor, mut patch) = (0, 0, 0);
        {
            // SAFETY: `void XGBoostVersion(int*, int*, int*)` in every version since 1.0.
            let version: Symbol<unsafe extern "C" fn(*mut c_int, *mut c_int, *mut c_int)> =
                unsafe { library.get(b"XGBoostVersion\0") }.map_err(absent)?;
            // SAFETY: three integers that live through the call.
            unsafe { version(&raw mut major, &raw mut minor, &raw mut patch) };
        }
        check_version(major, minor, patch)?;
        Ok(Self { loaded: Arc::new(library), version: (major, minor, patch) })
    }

    /// `libxgboost 3.4.1`.
    pub fn name(&self) -> String {
        let (major, minor, patch) = self.version;
        format!("libxgboost {major}.{minor}.{patch}")
    }

    fn last_error(&self) -> String {
        // SAFETY: `const char* XGBGetLastError()`; the text belongs to the library and is copied at once.
        unsafe {
            match self.loaded.get::<unsafe extern "C" fn() -> *const c_char>(b"XGBGetLastError\0") {
                Ok(function) => {
                    let text = CStr::from_ptr(function()).to_string_lossy().into_owned();
                    // The first line says it; a stack trace follows.
                    text.lines().next().unwrap_or_default().to_owned()
                }
                Err(error) => error.to_string(),
            }
        }
    }
}

fn check_version(major: i32, minor: i32, patch: i32) -> Result<()> {
    if (major, minor) >= (3, 1) {
        Ok(())
    } else {
        Err(XgboostError::TooOld { found: format!("{major}.{minor}.{patch}") })
    }
}

/// Rows with labels, inside libxgboost.
pub struct Matrix {
    xgboost: Xgboost,
    handle: Handle,
    rows: usize,
}

impl Matrix {
    /// Copies rows and labels into libxgboost. NaN means missing; infinities are refused by it.
    ///
    /// # Errors
    /// libxgboost refuses.
    pub fn new(library: &Xgboost, rows: &[Row], labels: &[f32]) -> Result<Self> {
        let mut handle = ptr::null_mut();
        let flat = rows.as_flattened();
        call!(library, XGDMatrixCreateFromMat(
            *const f32 = flat.as_ptr(), u64 = rows.len() as u64, u64 = Features::COUNT as u64,
            f32 = f32::NAN, *mut Handle = &raw mut handle,
        ))?;
        let matrix = Self { xgboost: library.clone(), handle, rows: rows.len() };
        if !labels.is_empty() {
            call!(library, XGDMatrixSetFloatInfo(
                Handle = handle, *const c_char = c"label".as_ptr(), *const f32 = labels.as_ptr(), u64 = labels.len() as u64,
            ))?;
        }
        let names: Vec<CString> = Features::NAMES.iter().filter_map(|name| CString::new(*name).ok()).collect();
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        call!(library, XGDMatrixSetStrFeatureInfo(
            Handle = handle, *const c_char = c"feature_name".as_ptr(),
            *mut *const c_char = pointers.as_mut_ptr(), u64 = pointers.len() as u64,
        ))?;
        Ok(matrix)
    }
}

impl Drop for Matrix {
    fn drop(&mut self) {
        // A matrix that cannot be freed is only a leak.
        let _ = call!(self.xgboost, XGDMatrixFree(Handle = self.handle));
    }
}

/// What a prediction is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Log odds.
    Margin,
    /// Probability.
    Probability,
}

/// A model inside libxgboost.
pub struct Booster {
    xgboost: Xgboost,
    handle: Handle,
    /// Filled once for single rows: predictions in place want a proxy.
    proxy: Handle,
}

impl Booster {
    /// A model without trees that will learn from `matrix`.
    ///
    /// # Errors
    /// A parameter that libxgboost does not know.
    pub fn new(library: &Xgboost, matrix: &Matrix, parameters: &[(&str, String)]) -> Result<Self> {
        let booster = Self::create(library, &[matrix.handle])?;
        for (name, value) in parameters {
            let (name, value) = (c_text(name)?, c_text(value)?);
            call!(library, XGBoosterSetParam(
                Handle = booster.handle, *const c_char = name.as_ptr(), *const c_char = value.as_ptr(),
            ))?;
        }
        Ok(booster)
    }

    /// A model from the bytes of its file.
    ///
    /// # Errors
    /// libxgboost cannot read it.
    pub fn from_bytes(library: &Xgboost, bytes: &[u8]) -> Result<Self> {
        let booster = Self::create(library, &[])?;
        call!(library, XGBoosterLoadModelFromBuffer(
            Handle = booster.handle, *const c_void = bytes.as_ptr().cast(), u64 = bytes.len() as u64,
        ))?;
        call!(library, XGBoosterSetParam(
            Handle = booster.handle, *const c_char = c"nthread".as_ptr(), *const c_char = c"1".as_ptr(),
        ))?;
        Ok(booster)
    }

    fn create(library: &Xgboost, matrices: &[Handle]) -> Result<Self> {
        let (mut handle, mut proxy) = (ptr::null_mut(), ptr::null_mut());
        call!(library, XGBoosterCreate(
            *const Handle = matrices.as_ptr(), u64 = matrices.len() as u64, *mut Handle = &raw mut handle,
        ))?;
        let created = call!(library, XGProxyDMatrixCreate(*mut Handle = &raw mut proxy));
        let booster = Self { xgboost: library.clone(), handle, proxy };
        created.map(|()| booster)
    }

    /// One more round of boosting.
    ///
    /// # Errors
    /// libxgboost refuses.
    pub fn update(&mut self, round: i32, matrix: &Matrix) -> Result<()> {
        call!(self.xgboost, XGBoosterUpdateOneIter(Handle = self.handle, c_int = round, Handle = matrix.handle))
    }

    /// The first `rounds` rounds as a model of their own.
    ///
    /// # Errors
    /// There are not so many.
    pub fn first_rounds(&self, rounds: i32) -> Result<Self> {
        let mut sliced = ptr::null_mut();
        call!(self.xgboost, XGBoosterSlice(
            Handle = self.handle, c_int = 0, c_int = rounds, c_int = 1, *mut Handle = &raw mut sliced,
        ))?;
        let mut booster = Self { xgboost: self.xgboost.clone(), handle: sliced, proxy: ptr::null_mut() };
        call!(self.xgboost, XGProxyDMatrixCreate(*mut Handle = &raw mut booster.proxy))?;
        Ok(booster)
    }

    /// Predictions for a matrix.
    ///
    /// # Errors
    /// libxgboost refuses.
    pub fn predict(&self, matrix: &Matrix, kind: Kind) -> Result<Vec<f32>> {
        let configuration = configuration(kind, "\"training\":false")?;
        let (mut shape, mut dimensions, mut values) = (ptr::null(), 0u64, ptr::null());
        call!(self.xgboost, XGBoosterPredictFromDMatrix(
            Handle = self.handle, Handle = matrix.handle, *const c_char = configuration.as_ptr(),
            *mut *const u64 = &raw mut shape, *mut u64 = &raw mut dimensions, *mut *const f32 = &raw mut values,
        ))?;
        // SAFETY: for one target the library returns one float a row, and keeps them until the next call.
        Ok(unsafe { std::slice::from_raw_parts(values, matrix.rows) }.to_vec())
    }

    /// Predictions in place, which take infinities too.
    ///
    /// # Errors
    /// libxgboost refuses.
    pub fn predict_in_place(&self, rows: &[Row], kind: Kind) -> Result<Vec<f32>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let configuration = configuration(kind, "\"missing\":NaN,\"cache_id\":0")?;
        let array = c_text(&format!(
            "{{\"data\":[{},true],\"shape\":[{},{}],\"typestr\":\"<f4\",\"version\":3}}",
            rows.as_ptr() as usize,
            rows.len(),
            Features::COUNT
        ))?;
        let (mut shape, mut dimensions, mut values) = (ptr::null(), 0u64, ptr::null());
        call!(self.xgboost, XGBoosterPredictFromDense(
            Handle = self.handle, *const c_char = array.as_ptr(), *const c_char = configuration.as_ptr(), Handle = self.proxy,
            *mut *const u64 = &raw mut shape, *mut u64 = &raw mut dimensions, *mut *const f32 = &raw mut values,
        ))?;
        // SAFETY: for one target the library returns one float a row, and keeps them until the next call.
        Ok(unsafe { std::slice::from_raw_parts(values, rows.len()) }.to_vec())
    }

    /// What libxgboost says of the features that the model splits on, by name: `weight`, `gain`, `total_gain`, `cover`.
    ///
    /// # Errors
    /// libxgboost refuses.
    pub fn importance(&self, kind: &str) -> Result<Vec<(String, f32)>> {
        let configuration = c_text(&format!("{{\"importance_type\":\"{kind}\"}}"))?;
        let (mut count, mut names) = (0u64, ptr::null::<*const c_char>());
        let (mut dimensions, mut shape, mut scores) = (0u64, ptr::null::<u64>(), ptr::null::<f32>());
        call!(self.xgboost, XGBoosterFeatureScore(
            Handle = self.handle, *const c_char = configuration.as_ptr(),
            *mut u64 = &raw mut count, *mut *const *const c_char = &raw mut names,
            *mut u64 = &raw mut dimensions, *mut *const u64 = &raw mut shape, *mut *const f32 = &raw mut scores,
        ))?;
        if count == 0 {
            return Ok(Vec::new());
        }
        // SAFETY: the library says how many names and, for a tree model, scores there are, and keeps both until the next call.
        let (names, scores) = unsafe {
            (std::slice::from_raw_parts(names, count as usize), std::slice::from_raw_parts(scores, count as usize))
        };
        // SAFETY: each name is a C string that the library keeps.
        let name = |name: &*const c_char| unsafe { CStr::from_ptr(*name) }.to_string_lossy().into_owned();
        Ok(names.iter().map(name).zip(scores.iter().copied()).collect())
    }

    /// The model's file, `json` or `ubj`.
    ///
    /// # Errors
    /// libxgboost refuses.
    pub fn to_bytes(&self, format: &str) -> Result<Vec<u8>> {
        // A slice forgets the names.
        let names: Vec<CString> = Features::NAMES.iter().filter_map(|name| CString::new(*name).ok()).collect();
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        call!(self.xgboost, XGBoosterSetStrFeatureInfo(
            Handle = self.handle, *const c_char = c"feature_name".as_ptr(),
            *mut *const c_char = pointers.as_mut_ptr(), u64 = pointers.len() as u64,
        ))?;
        let configuration = c_text(&format!("{{\"format\":\"{format}\"}}"))?;
        let (mut length, mut bytes) = (0u64, ptr::null::<c_char>());
        call!(self.xgboost, XGBoosterSaveModelToBuffer(
            Handle = self.handle, *const c_char = configuration.as_ptr(),
            *mut u64 = &raw mut length, *mut *const c_char = &raw mut bytes,
        ))?;
        // SAFETY: the library says how many bytes it holds, and keeps them until the next call.
        Ok(unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length as usize) }.to_vec())
    }
}

impl Drop for Booster {
    fn drop(&mut self) {
        // What cannot be freed is only a leak.
        let _ = call!(self.xgboost, XGBoosterFree(Handle = self.handle));
        if !self.proxy.is_null() {
            let _ = call!(self.xgboost, XGDMatrixFree(Handle = self.proxy));
        }
    }
}

fn configuration(kind: Kind, rest: &str) -> Result<CString> {
    let kind = i32::from(kind == Kind::Margin);
    c_text(&format!("{{\"type\":{kind},\"iteration_begin\":0,\"iteration_end\":0,\"strict_shape\":false,{rest}}}"))
}

fn c_text(text: &str) -> Result<CString> {
    CString::new(text).map_err(|error| XgboostError::Call { call: "text", message: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_misreads_new_models_is_refused() {
        for (major, minor) in [(0, 81), (1, 7), (2, 1), (3, 0)] {
            assert!(check_version(major, minor, 9).unwrap_err().to_string().contains("3.1 or newer"));
        }
        for (major, minor) in [(3, 1), (3, 4), (4, 0)] {
            assert!(check_version(major, minor, 0).is_ok());
        }
    }

    #[test]
    fn an_absent_library_says_what_to_do() {
        let error = Xgboost::open(Path::new("/nowhere/libxgboost.so")).err().map(|error| error.to_string());
        assert!(error.unwrap_or_default().contains("tools/train/README.md"));
    }
}
