//! A file that a command writes: there whole or as it was before, and never in the place of one that is read.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Failure;

/// Refuses to write over a file that is read, under whatever name.
pub(super) fn refuse_input<'a>(out: &Path, inputs: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), Failure> {
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let Some(written) = identity(out) else { return Ok(()) };
    match inputs.into_iter().find(|input| identity(input) == Some(written)) {
        Some(input) => Err(Failure::Usage(format!(
            "expected a file to write that is not read at the same time, found {}, which is the input {}; name another",
            out.display(),
            input.display()
        ))),
        None => Ok(()),
    }
}

/// Written as `NAME.new`; [`NewFile::finish`] gives it its name.
pub(super) struct NewFile {
    file: BufWriter<File>,
    path: PathBuf,
    /// `None` where nothing can be renamed: a pipe, `/dev/null`.
    half: Option<PathBuf>,
}

impl NewFile {
    /// Begins a file that is none of the inputs. Open the inputs before: where one is missing, nothing is touched.
    pub(super) fn create<'a>(
        path: &Path,
        inputs: impl IntoIterator<Item = &'a PathBuf> + Clone,
    ) -> Result<Self, Failure> {
        refuse_input(path, inputs.clone())?;
        // A link stays one: what it leads to is written.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let half = match std::fs::metadata(&path) {
            Ok(found) if !found.is_file() => None,
            _ => {
                let mut name = path.clone().into_os_string();
                name.push(".new");
                Some(PathBuf::from(name))
            }
        };
        let opened = half.as_ref().unwrap_or(&path);
        refuse_input(opened, inputs)?;
        let file = File::create(opened).map_err(failed("create", opened))?;
        Ok(Self { file: BufWriter::new(file), path, half })
    }

    /// Ends it, and puts it in the place of what was there.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.file.flush().map_err(failed("write", &self.path))?;
        match self.half.take() {
            Some(half) => std::fs::rename(&half, &self.path).map_err(failed("write", &self.path)),
            None => Ok(()),
        }
    }
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    move |source| Failure::File { verb, path: path.to_owned(), source }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(half) = &self.half {
            // Half a table would look like a whole one.
            let _ = std::fs::remove_file(half);
        }
    }
}
