//! A kernel that does not answer, at start or later: nobody waits for it, and people hear of it.

use super::desk::{Desk, Message};
use super::looks::Looks;
use super::notice::Notice;
use super::operator::Ask;
use super::table::Table;
use hacluster_conf::model::Config;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// How long operators wait for the kernel's first word.
const PATIENCE: Duration = Duration::from_secs(2);
/// A kernel that keeps us waiting for longer is said to.
const SILENCE: Duration = Duration::from_secs(20);

/// What came before the kernel's first word.
pub(super) struct Begun {
    pub(super) inherited: Table,
    pub(super) config: Option<Box<Config>>,
    pub(super) asks: Vec<Ask>,
}

/// Waits for the kernel's first word: an empty table where it has no IPVS. One that never comes keeps
/// nobody from reloading and stopping.
pub(super) async fn begin<L: Looks>(
    desk: &mut Desk<L>,
    messages: &mut mpsc::Receiver<Message>,
    inherited: &mut mpsc::Receiver<Table>,
) -> Option<Begun> {
    let mut begun = Begun { inherited: Table::new(), config: None, asks: Vec::new() };
    let impatient = sleep(PATIENCE);
    tokio::pin!(impatient);
    loop {
        tokio::select! {
            biased;
            table = inherited.recv() => {
                begun.inherited = table.unwrap_or_default();
                return Some(begun);
            }
            message = messages.recv() => match message? {
                Message::Configure(config) => begun.config = Some(config),
                Message::Ask(ask) => begun.asks.push(*ask),
                Message::Stop(done) => {
                    desk.farewell();
                    let _ = done.send(());
                    return None;
                }
            },
            () = &mut impatient => {
                impatient.as_mut().reset(Instant::now() + PATIENCE);
                begun.asks.drain(..).for_each(|ask| ask.refuse("the kernel's IPVS does not answer"));
                desk.hear_silence();
            }
        }
    }
}

impl<L: Looks> Desk<L> {
    /// Says when the kernel does not answer, and when it does again.
    pub(super) fn hear_silence(&mut self) {
        let silent = self.hands.silence() > SILENCE;
        if silent == std::mem::replace(&mut self.silent, silent) {
            return;
        }
        let text = match silent {
            true => {
                let text = "the kernel's IPVS does not answer: its table stays as it is, virtual routers go on. Look \
                            for `ip_vs` in the kernel's log; only a restart of the machine ends a lock-up";
                self.hands.show(text);
                text
            }
            false => "the kernel's IPVS answers again",
        };
        self.say(Notice::plain(silent, text.to_owned()));
    }
}
