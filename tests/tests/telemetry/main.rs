//! What collectors are told, read back from them.
//!
//! | module | what |
//! |---|---|
//! | [`collector`] | rotel, a real OTLP collector: one story over two nodes, logs and metrics |
//! | [`verdict`] | what a tracker found as the root of the story, over two nodes |
//! | [`ways`] | the same over HTTP and TLS |
//! | [`proxy`] | the same behind nginx, which wants TLS and a header |
//! | [`change`] | collectors switched by a reload |
//! | [`stop`] | the last story of a node that stops |
//! | [`balance`] | a real server that leaves: one reason in log, events, view and span; hooks and mail in its trace |
//! | [`journal`] | systemd's journal, by a stand-in |
//! | [`page`] | the Prometheus page, parsed, and looked at by promtool where there is one |
//! | [`away`] | stand-ins for a collector: one that never answers, and none at all |
//!
//! rotel comes from PyPI: `pip install --target TARGET_DIR/rotel rotel==0.0.1a15`, or `HACLUSTER_ROTEL` names
//! its program. Without it the trials that need it are skipped by name.

mod away;
mod balance;
mod change;
mod collector;
mod journal;
mod page;
mod proxy;
mod stop;
mod verdict;
mod ways;

use hacluster_tests::harness::Suite;
use hacluster_tests::rotel;

fn main() {
    let mut suite = Suite::enter();
    collector::trials(&mut suite);
    verdict::trials(&mut suite);
    ways::trials(&mut suite);
    proxy::trials(&mut suite);
    change::trials(&mut suite);
    stop::trials(&mut suite);
    balance::trials(&mut suite);
    journal::trials(&mut suite);
    page::trials(&mut suite);
    away::trials(&mut suite);
    suite.run();
}
