//! Questions over HTTP from a thread that must not block: asked on a helper thread, one after the
//! other, answers fetched when the owner polls. For what futures' WebSocket API does not offer.

use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::errors;
use super::orders::HttpQuestion;
use super::rest::{Rest, RestError};
use crate::core::Span;

type Found = Result<Box<RawValue>, RestError>;
type Answer = (HttpQuestion, Found);

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
    pub(super) fn start(rest: Rest) -> std::io::Result<Self> {
        let (questions, inbox) = mpsc::channel::<HttpQuestion>();
        let (outbox, answers) = mpsc::channel();
        std::thread::Builder::new().name("aside".into()).spawn(move || {
            let mut asker = Asker { rest, synced: false, silence: None };
            while let Ok(question) = inbox.recv() {
                let answer = asker.ask(&question);
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

/// What the thread knows of the venue.
struct Asker {
    rest: Rest,
    /// The venue's clock is known.
    synced: bool,
    /// The venue wants silence until then, and said so with this status.
    silence: Option<(Instant, u16)>,
}

impl Asker {
    /// The answer to one question. In a silence it is the same refusal again, and nothing is sent: what was queued
    /// before the first refusal must not earn a ban.
    fn ask(&mut self, question: &HttpQuestion) -> Found {
        if let Some((until, status)) = self.silence
            && let left = until.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            let retry_after = Span(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX));
            return Err(RestError::Limited { path: question.path.to_owned(), status, retry_after });
        }
        let answer = self.put(question);
        if let Err(RestError::Limited { status, retry_after, .. }) = &answer {
            self.silence = Some((Instant::now() + Duration::from_nanos(retry_after.0), *status));
        }
        answer
    }

    fn put(&mut self, question: &HttpQuestion) -> Found {
        if !self.synced {
            match self.rest.sync_clock(3) {
                Ok(_) => self.synced = true,
                Err(error @ RestError::Limited { .. }) => return Err(error),
                // The question itself will say what is wrong.
                Err(_) => {}
            }
        }
        let parameters: Vec<(&str, &str)> =
            question.parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = self.rest.ask(question.path, &parameters);
        self.synced &= !answer.as_ref().is_err_and(|error| error.code() == Some(errors::CLOCK));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::super::endpoints::Market;
    use super::super::rest::tests::{rest, stand_in};
    use super::*;

    fn question(path: &'static str) -> HttpQuestion {
        HttpQuestion { id: 1, path, parameters: Vec::new() }
    }

    #[test]
    fn nothing_is_asked_while_the_venue_wants_silence() {
        let time = r#"{"serverTime":1700000000250}"#;
        let (base, server) = stand_in(vec![
            (200, "", time.into()),
            (200, "", time.into()),
            (200, "", time.into()),
            (429, "Retry-After: 2\r\n", r#"{"code":-1003,"msg":"Too many"}"#.into()),
            (200, "", "[]".into()),
        ]);
        let mut asker = Asker { rest: rest(&base, Market::UsdMFutures), synced: false, silence: None };
        let limited = |answer: Found| match answer {
            Err(RestError::Limited { status, retry_after, .. }) => (status, retry_after),
            other => panic!("{other:?}"),
        };
        assert_eq!(limited(asker.ask(&question("/first"))), (429, Span::seconds(2)));
        let (status, left) = limited(asker.ask(&question("/second")));
        assert!(status == 429 && left <= Span::seconds(2));
        // The silence is over.
        asker.silence = Some((Instant::now(), 429));
        assert_eq!(asker.ask(&question("/third")).unwrap().get(), "[]");
        let asked = server.join().unwrap();
        let lines: Vec<&str> = asked.iter().map(|request| request.split(['?', ' ']).nth(1).unwrap()).collect();
        assert_eq!(lines[2..], ["/fapi/v1/time", "/first", "/third"]);
    }
}
