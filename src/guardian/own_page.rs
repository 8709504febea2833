//! The guardian's own page, also while there is no room for one: a guardian that has something to finish does it
//! without. Its engine then hears nothing, and is killed instead.

use std::path::{Path, PathBuf};

use crate::snapshot::{GuardianPageWriter, GuardianView, PageError};

/// The page, or the wish for one.
#[derive(Debug)]
pub(super) struct OwnPage {
    folder: PathBuf,
    writer: Option<GuardianPageWriter>,
    /// The kill word; 0 = none.
    kill: u64,
}

impl OwnPage {
    /// Makes it. Where it `may_wait`, a refusal is said, and it is made when [`OwnPage::retry`] can.
    ///
    /// # Errors
    /// The folder or the file cannot be made.
    pub(super) fn create(folder: &Path, may_wait: bool) -> Result<Self, PageError> {
        let writer = match GuardianPageWriter::create(folder) {
            Ok(writer) => Some(writer),
            Err(error) if may_wait => {
                eprintln!("pawl guardian: without a page for now: {error}");
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Self { folder: folder.to_owned(), writer, kill: 0 })
    }

    /// Makes it if it could not be made before; what was said in the meantime holds.
    pub(super) fn retry(&mut self) {
        if self.writer.is_none()
            && let Ok(mut writer) = GuardianPageWriter::create(&self.folder)
        {
            if self.kill != 0 {
                writer.kill(self.kill);
            }
            self.writer = Some(writer);
        }
    }

    /// A new one, without a kill word: an engine that was told the old one never hears it taken back.
    ///
    /// # Errors
    /// The folder or the file cannot be made; the old one stands.
    pub(super) fn renew(&mut self) -> Result<(), PageError> {
        (self.writer, self.kill) = (Some(GuardianPageWriter::create(&self.folder)?), 0);
        Ok(())
    }

    /// Tells the engine to send nothing any more.
    pub(super) fn kill(&mut self, latch: u64) {
        self.kill = latch;
        if let Some(writer) = &mut self.writer {
            writer.kill(latch);
        }
    }

    /// Stores what the engine is to know.
    pub(super) fn publish(&mut self, view: &GuardianView) {
        if let Some(writer) = &mut self.writer {
            writer.publish(view);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::GuardianPage;

    #[test]
    fn a_page_that_could_not_be_made_is_made_later_and_says_what_was_to_be_said() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("pages");
        std::fs::write(&place, "in the way").unwrap();
        assert!(OwnPage::create(&place, false).is_err());
        let mut page = OwnPage::create(&place, true).unwrap();
        page.publish(&GuardianView::default());
        page.kill(7);
        page.retry();
        std::fs::remove_file(&place).unwrap();
        page.retry();
        assert_eq!(GuardianPage::attach(&place).unwrap().kill(), 7);
        page.renew().unwrap();
        assert_eq!(GuardianPage::attach(&place).unwrap().kill(), 0);
    }
}
