//! Questions over HTTP from a thread that must not block: asked on a helper thread, one after the
//! other, answers fetched when the owner polls. For what futures' WebSocket API does not offer.

use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};

use serde_json::value::RawValue;

use super::errors;
use super::orders::HttpQuestion;
use super::rest::{Rest, RestError};

type Answer = (HttpQuestion, Result<Box<RawValue>, RestError>);

/// The helper thread. It ends when this is dropped, after the question at hand.
pub(super) struct Aside {
    questions: Sender<HttpQuestion>,
    answers: Receiver<Answer>,
    open: u32,
}

impl Aside {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn start(mut rest: Rest) -> std::io::Result<Self> {
        let (questions, inbox) = mpsc::channel::<HttpQuestion>();
        let (outbox, answers) = mpsc::channel();
        std::thread::Builder::new().name("aside".into()).spawn(move || {
            let mut synced = false;
            while let Ok(question) = inbox.recv() {
                synced = synced || rest.sync_clock(3).is_ok();
                let parameters: Vec<(&str, &str)> =
                    question.parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let answer = rest.ask(question.path, &parameters);
                synced &= !answer.as_ref().is_err_and(|error| error.code() == Some(errors::CLOCK));
                if outbox.send((question, answer)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { questions, answers, open: 0 })
    }

    /// Puts a question.
    pub(super) fn ask(&mut self, question: HttpQuestion) {
        // A thread that is gone answers nothing: the order manager asks again and alerts.
        if self.questions.send(question).is_ok() {
            self.open += 1;
        }
    }

    /// The next answer, if one has come.
    pub(super) fn answer(&mut self) -> Option<Answer> {
        match self.answers.try_recv() {
            Ok(answer) => {
                self.open = self.open.saturating_sub(1);
                Some(answer)
            }
            Err(TryRecvError::Disconnected) => {
                self.open = 0;
                None
            }
            Err(TryRecvError::Empty) => None,
        }
    }

    /// True while an answer is awaited: nothing but a poll will find it.
    pub(super) fn is_waiting(&self) -> bool {
        self.open > 0
    }
}
